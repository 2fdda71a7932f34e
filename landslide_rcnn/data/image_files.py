"""One image or mask file -> an array; a table of decoders by the file's ending.

The first step of `data/`. Half of a file is an error, never a picture with a grey rest.

Shape letters: H, W pixels; C channels.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import h5py
import numpy as np

from landslide_rcnn.errors import DatasetError, LandslideError
from landslide_rcnn.geo.raster import Scene

RASTER_SUFFIXES = (".tif", ".tiff")
JPEG_SUFFIXES = (".jpg", ".jpeg")
HDF5_SUFFIXES = (".h5", ".hdf5")
PICTURE_SUFFIXES = (".png", *JPEG_SUFFIXES, ".bmp")
IMAGE_SUFFIXES = (*PICTURE_SUFFIXES, *RASTER_SUFFIXES, *HDF5_SUFFIXES)

# Landslide4Sense (Ghorbanzadeh et al. 2022): a file holds one array of one of these names.
HDF5_ARRAYS = ("img", "mask")
# Its bands in order: Sentinel-2's twelve, then slope and elevation, all at 10 m.
LANDSLIDE4SENSE_BANDS = [*(f"B{number}" for number in range(1, 13)), "slope", "dem"]
LANDSLIDE4SENSE_PIXEL_SIZE_M = 10.0
MAX_HDF5_VALUES = 1 << 28  # a tile; more is not one, or a file made to fill the memory

JPEG_END = b"\xff\xd9"


def read_image_file(path: str | Path) -> np.ndarray:
    """Read an image file as [H, W, C], in its own dtype; colours are in RGB order.

    GeoTIFFs (with or without CRS) give all their bands, Landslide4Sense's HDF5 files their
    array, other formats what they hold, less the alpha channel of a PNG.

    Raises:
        DatasetError: The file is missing, unreadable or incomplete.
    """
    path = Path(path)
    return READERS.get(path.suffix.lower(), _read_picture)(path)


def read_valid_file(path: str | Path) -> np.ndarray:
    """Return [H, W] bool of a GeoTIFF, True = usable pixel.

    Raises:
        DatasetError: The file is missing or unreadable.
    """
    try:
        with Scene(path, allow_no_crs=True) as scene:
            return scene.read_valid(scene.window)
    except LandslideError as error:
        raise DatasetError(str(error)) from error


def check_jpeg(path: str | Path) -> None:
    """Decode a JPEG once more, by a decoder that says when it had to invent pixels.

    OpenCV's writes "Corrupt JPEG data" to stderr and fills up with grey.

    Raises:
        DatasetError: The file is damaged.
    """
    _read_raster(Path(path))


def decode_picture(encoded: np.ndarray, name: str) -> np.ndarray:
    """Return [H, W, C] of the bytes [n] uint8 of a PNG, JPEG or BMP.

    Raises:
        DatasetError: They are damaged or incomplete; `name` is said.
    """
    content = encoded.tobytes()
    # Older OpenCV completes a JPEG that breaks off with grey.
    cut_off = content[:2] == b"\xff\xd8" and JPEG_END not in content
    image = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED) if encoded.size and not cut_off else None
    if image is None:
        raise DatasetError(
            f"An image must be readable. Received: {name} ({encoded.size} bytes), which is "
            f"{'incomplete' if cut_off else 'damaged or not an image'}. Replace or remove it."
        )
    if image.ndim == 2:
        return image[..., None]
    return np.ascontiguousarray(image[..., 2::-1])  # BGR or BGRA -> RGB


def match_channels(image: np.ndarray, channel_count: int, name: str) -> np.ndarray:
    """Return an image with the wanted number of channels; grey is repeated to make three.

    Args:
        image: [H, W, C] or [H, W].
        channel_count: The C wanted.
        name: What messages call the image.

    Raises:
        DatasetError: It has another number of channels.
    """
    if image.ndim == 2:
        image = image[..., None]
    if image.shape[-1] == 1 and channel_count == 3:
        return np.repeat(image, 3, axis=-1)
    if image.shape[-1] != channel_count:
        raise DatasetError(
            f"{name}: an image must have IMAGE_CHANNEL_COUNT channels. Received: "
            f"{image.shape[-1]} channels, IMAGE_CHANNEL_COUNT={channel_count}. "
            f"Use IMAGE_CHANNEL_COUNT={image.shape[-1]}, or select bands in load_image."
        )
    return image


def _read_picture(path: Path) -> np.ndarray:
    try:
        encoded = np.fromfile(path, np.uint8)  # not cv2.imread: it fails on non-ASCII Windows paths
    except OSError as error:
        raise DatasetError(
            f"An image must be readable. Received: {path}: {error.strerror}. Correct the path."
        ) from error
    return decode_picture(encoded, str(path))


def _read_raster(path: Path) -> np.ndarray:
    try:
        with Scene(path, allow_no_crs=True) as scene:
            return scene.read(scene.window)
    except LandslideError as error:
        raise DatasetError(str(error)) from error


def _read_hdf5(path: Path) -> np.ndarray:
    try:
        with h5py.File(path, "r") as file:
            names = [
                name
                for name in HDF5_ARRAYS
                # A link may lead into any other file of the computer.
                if isinstance(file.get(name, getlink=True), h5py.HardLink)
                and isinstance(file[name], h5py.Dataset)
            ]
            if len(names) != 1:
                raise DatasetError(
                    f"A Landslide4Sense file holds one array, {' or '.join(HDF5_ARRAYS)}. "
                    f"Received: {path} with {', '.join(file) or 'nothing'}. Correct the file."
                )
            array = file[names[0]]
            is_number = array.dtype.kind in "uif"
            if array.ndim not in (2, 3) or not is_number or array.size > MAX_HDF5_VALUES:
                raise DatasetError(
                    "An image is [H, W] or [H, W, C] numbers. Received: "
                    f"{path} with {array.shape} {array.dtype}. Correct the file."
                )
            pixels = array[()]
    except (OSError, RuntimeError) as error:  # h5py's, of damage
        reason = " ".join(str(error).split())
        raise DatasetError(
            f"An image must be readable. Received: {path} ({reason}). Replace or remove it."
        ) from error
    return pixels if pixels.ndim == 3 else pixels[..., None]


READERS: dict[str, Callable[[Path], np.ndarray]] = {
    **dict.fromkeys(RASTER_SUFFIXES, _read_raster),
    **dict.fromkeys(HDF5_SUFFIXES, _read_hdf5),
}
