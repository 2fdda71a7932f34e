"""Background enhancement (Yang et al. 2022): new training samples of one landslide tile and others.

    splice: 1 landslide tile + 3 tiles without   -> one sample of 2 x 2 tiles, each at half size
    cutmix: 1 landslide's box + 1 tile without   -> the tile with the box pasted into it

`BackgroundEnhanced` adds such samples to a dataset; `data/batches.py` makes them on the fly.
Everything that a tile has goes along: all bands, instances, crowds and the valid mask.

Shape letters: H, W pixels; C channels; N instances.
Source: Yang et al. 2022, Landslide Extraction Using Mask R-CNN with Background-Enhancement Method.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.masks import extract_bboxes
from landslide_rcnn.data.places import Place
from landslide_rcnn.data.problems import Problem
from landslide_rcnn.data.samples import (
    Sample,
    count_instances,
    crop_sample,
    read_sample,
    scale_sample,
)
from landslide_rcnn.data.wrapper import DatasetWrapper
from landslide_rcnn.errors import ConfigError, DatasetError

# How many samples of each kind Yang et al. 2022 made.
PAPER_COUNTS = {"splice": 531, "cutmix": 600}


def splice(landslide: Sample, others: Sequence[Sample], rng: np.random.Generator) -> Sample:
    """Put four tiles into one sample of 2 x 2.

    The sample has the size of the landslide tile, whose width and height are halved. Tiles of
    another size are scaled so that they cover their quarter, and a random part of what sticks
    out is cut off: neither is anything stretched, nor is there an empty place.

    Args:
        landslide: [H, W, C] and its labels; H and W at least 2 pixels.
        others: Three tiles of as many channels.
        rng: Draws the places.

    Returns:
        [H, W, C] with the labels of all four; instances may be left without a pixel.

    Raises:
        DatasetError: Channels or dtypes differ, or the tile is smaller than 2 x 2 pixels.
    """
    height, width = landslide.valid.shape
    if min(height, width) < 2:
        raise DatasetError(
            "A tile must have at least 2 x 2 pixels to be halved. Received: "
            f"{height} x {width}. Leave it out."
        )
    quarters = [
        (top, left, bottom - top, right - left)
        for top, bottom in ((0, height // 2), (height // 2, height))
        for left, right in ((0, width // 2), (width // 2, width))
    ]
    tiles = [landslide, *others]
    canvas = _blank(landslide)
    for place, tile in zip(rng.permutation(4), tiles, strict=True):
        top, left, *size = quarters[place]
        canvas = _paste(canvas, _cover(tile, *size, rng), top, left)
    return canvas


def cutmix(background: Sample, landslide: Sample, rng: np.random.Generator) -> Sample:
    """Paste the box of one instance, at its own size, at a random place of a tile without any.

    The box is taken as it is, with all its pixels and every other instance in it. Instances
    whose box fits into the tile are preferred. Where none does, as much of a box as fits is
    taken, around a random pixel of the instance. Crowds serve only where there is nothing else.

    Args:
        background: [H, W, C] without instances.
        landslide: A tile of any size with as many channels, and at least one instance.
        rng: Draws instance and place.

    Returns:
        [H, W, C] with the labels in the box, moved along; each has at least one pixel.

    Raises:
        DatasetError: Channels or dtypes differ, or the landslide tile has no instance with pixels.
    """
    height, width = background.valid.shape
    top, left, box_height, box_width = _choose_region(landslide, height, width, rng)
    region = crop_sample(landslide, top, left, box_height, box_width)
    region = _select(region, region.masks.any(axis=(0, 1)))
    y = int(rng.integers(height - box_height + 1))
    x = int(rng.integers(width - box_width + 1))
    return _paste(background, region, y, x)


class BackgroundEnhanced(DatasetWrapper):
    """A dataset with spliced and CutMix samples after its own images.

    Nothing is stored but which tiles make a sample: its pixels are made when they are asked for
    (each thread keeps its last one), from `seed` and the sample's number alone. A virtual
    image's `image_info` names its "kind" and its "tiles", image ids of `base`; its path is None.
    """

    def __init__(
        self, dataset: Dataset, splice: int = 300, cutmix: int = 300, seed: int = 0
    ) -> None:
        """Count the instances of every image, and draw the tiles of every virtual one.

        Args:
            dataset: Prepared.
            splice: How many spliced samples.
            cutmix: How many CutMix samples.
            seed: Decides tiles, instances and places.

        Raises:
            ConfigError: A number is negative.
            DatasetError: There is no tile with, or none without landslides; a file is unreadable.
        """
        super().__init__(dataset)
        if min(splice, cutmix) < 0:
            raise ConfigError(
                "The number of virtual samples cannot be negative. Received: "
                f"splice={splice}, cutmix={cutmix}. Use 0 for none."
            )
        self.seed = seed
        self._memory = threading.local()
        if splice or cutmix:
            landslides, backgrounds = tell_apart(dataset)
            self._add_virtual("splice", splice, landslides, backgrounds)
            self._add_virtual("cutmix", cutmix, landslides, backgrounds)
        self.prepare()

    def _add_virtual(
        self, kind: str, count: int, landslides: np.ndarray, backgrounds: np.ndarray
    ) -> None:
        for number in range(count):
            rng = self._rng(kind, number, "tiles")
            tiles = draw_tiles(kind, rng.choice(landslides), backgrounds, rng)
            # Its classes are those of the landslide tile's source.
            source = self.base.image_info[tiles[0]]["source"]
            self.add_image(source, f"{kind} {number}", None, kind=kind, number=number, tiles=tiles)

    def _rng(self, kind: str, number: int, purpose: str) -> np.random.Generator:
        streams = list(KINDS).index(kind), ("tiles", "pixels").index(purpose)
        return np.random.default_rng((self.seed, *streams, number))

    def is_virtual(self, image_id: int) -> bool:
        """Tell whether an image is made of others."""
        return image_id >= self.base.num_images

    def sample(self, image_id: int) -> Sample:
        """Return an image with its labels."""
        if not self.is_virtual(image_id):
            return read_sample(self.base, image_id)
        if getattr(self._memory, "image_id", None) != image_id:
            info = self.image_info[image_id]
            rng = self._rng(info["kind"], info["number"], "pixels")
            self._memory.sample = compose(self.base, info["kind"], info["tiles"], rng)
            self._memory.image_id = image_id
        return self._memory.sample

    def verify(self, progress: bool = True, channel_count: int | None = None) -> dict[str, int]:
        """Check the tiles that everything here is made of; see `Dataset.verify`."""
        counts = self.base.verify(progress, channel_count)
        self.facts = self.base.facts
        return counts

    def load_place(self, image_id: int) -> Place | None:
        """Return where on the ground an image lies; None for a virtual one, which is nowhere."""
        return None if self.is_virtual(image_id) else super().load_place(image_id)

    def find_problems(self, image_id: int, size: tuple[int, int] | None) -> list[Problem]:
        """Return what is wrong with an image's labels; a virtual one has those of its tiles."""
        return [] if self.is_virtual(image_id) else super().find_problems(image_id, size)

    def describe_image(self, image_id: int) -> str:
        """Return an image's path, or the kind and the tiles of a virtual one."""
        if not self.is_virtual(image_id):
            return super().describe_image(image_id)
        info = self.image_info[image_id]
        tiles = " + ".join(self.base.describe_image(tile) for tile in info["tiles"])
        return f"{info['id']} of {tiles}"

    def image_reference(self, image_id: int) -> str:
        """Return what identifies an image to a person."""
        if self.is_virtual(image_id):
            return self.describe_image(image_id)
        return super().image_reference(image_id)

    def load_image(self, image_id: int) -> np.ndarray:
        """Return [H, W, C]."""
        if self.is_virtual(image_id):
            return self.sample(image_id).image
        return super().load_image(image_id)

    def load_mask(self, image_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Return masks [H, W, N] bool and class ids [N] int32."""
        if self.is_virtual(image_id):
            sample = self.sample(image_id)
            return sample.masks, sample.class_ids
        return super().load_mask(image_id)

    def load_valid_mask(self, image_id: int) -> np.ndarray:
        """Return [H, W] bool, True = usable pixel."""
        if self.is_virtual(image_id):
            return self.sample(image_id).valid
        return super().load_valid_mask(image_id)

    def image_size(self, image_id: int) -> tuple[int, int]:
        """Return (height, width) in pixels."""
        if self.is_virtual(image_id):
            info = self.image_info[image_id]
            return self.base.image_size(info["tiles"][KINDS[info["kind"]].sized_by])
        return super().image_size(image_id)


def tell_apart(dataset: Dataset, need_background: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids of the images with instances, and of those without.

    Raises:
        DatasetError: There are none with, or none without where those are needed; or masks
            cannot be read.
    """
    counts = count_instances(dataset)
    landslides, backgrounds = np.flatnonzero(counts > 0), np.flatnonzero(counts == 0)
    for ids, needed, what, fix in (
        (landslides, True, "with landslides", "Check masks or polygons, and the part"),
        (backgrounds, need_background, "without landslides", "Add some, or leave it out"),
    ):
        if needed and not ids.size:
            raise DatasetError(
                f"Background enhancement, or a share of background, needs images {what}. "
                f"Received: {len(counts)} images, none of them {what}. {fix}."
            )
    return landslides, backgrounds


def draw_tiles(
    kind: str, landslide: int, backgrounds: np.ndarray, rng: np.random.Generator
) -> list[int]:
    """Return the image ids of a sample's tiles: the landslide tile, then those without.

    Args:
        kind: Of `KINDS`.
        landslide: Its landslide tile.
        backgrounds: The images without landslides; different ones are drawn, if there are enough.
        rng: Draws.
    """
    wanted = KINDS[kind].others
    drawn = rng.choice(backgrounds, wanted, replace=len(backgrounds) < wanted)
    return [int(tile) for tile in (landslide, *drawn)]


def compose(dataset: Dataset, kind: str, tiles: Sequence[int], rng: np.random.Generator) -> Sample:
    """Make a sample of the tiles that `draw_tiles` named.

    Raises:
        DatasetError: The tiles do not fit together, or cannot be read; names their files.
    """
    samples = [read_sample(dataset, tile) for tile in tiles]
    first = samples[0].image
    for tile, sample in zip(tiles, samples):
        image = sample.image
        if (image.shape[2], image.dtype) != (first.shape[2], first.dtype):
            raise DatasetError(
                "Tiles that are put together must have one number of channels and one dtype. "
                f"Received: {dataset.describe_image(tiles[0])} with {first.shape[2]} of "
                f"{first.dtype}, {dataset.describe_image(tile)} with {image.shape[2]} of "
                f"{image.dtype}. Convert one of them."
            )
    return KINDS[kind].make(samples[0], samples[1:], rng)


def _choose_region(
    sample: Sample, max_height: int, max_width: int, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Return (top, left, height, width) of a random instance's box, at most of the given size."""
    boxes = extract_bboxes(sample.masks)
    sizes = boxes[:, 2:] - boxes[:, :2]
    usable = sizes.all(axis=1)
    if not usable.any():
        raise DatasetError(
            "CutMix needs an instance with pixels. Received: a tile whose instances have none. "
            "Remove empty masks in load_mask."
        )
    plain = usable & (sample.class_ids > 0)
    usable = plain if plain.any() else usable
    fitting = usable & (sizes <= [max_height, max_width]).all(axis=1)
    chosen = int(rng.choice(np.flatnonzero(fitting if fitting.any() else usable)))
    top, left, bottom, right = boxes[chosen]
    inside = np.argwhere(sample.masks[..., chosen])
    y, x = inside[rng.integers(len(inside))]
    top, height = _at_most(top, bottom, max_height, y)
    left, width = _at_most(left, right, max_width, x)
    return top, left, height, width


def _at_most(start: int, stop: int, limit: int, around: int) -> tuple[int, int]:
    """Return start and length of an interval, cut to `limit` pixels around one where longer."""
    length = min(int(stop - start), limit)
    return int(np.clip(around - length // 2, start, stop - length)), length


def _cover(sample: Sample, height: int, width: int, rng: np.random.Generator) -> Sample:
    """Scale a sample until it covers `height` x `width` pixels, and cut off what sticks out."""
    factor = max(height / sample.valid.shape[0], width / sample.valid.shape[1])
    full_height = max(height, round(sample.valid.shape[0] * factor))
    full_width = max(width, round(sample.valid.shape[1] * factor))
    top = int(rng.integers(full_height - height + 1))
    left = int(rng.integers(full_width - width + 1))
    return crop_sample(scale_sample(sample, full_height, full_width), top, left, height, width)


def _blank(sample: Sample) -> Sample:
    """Return a sample of the same size, without instances; every pixel is to be pasted over."""
    return _select(
        replace(sample, image=np.zeros_like(sample.image), valid=np.zeros_like(sample.valid)),
        np.zeros(len(sample.class_ids), bool),
    )


def _select(sample: Sample, kept: np.ndarray) -> Sample:
    return replace(sample, masks=sample.masks[..., kept], class_ids=sample.class_ids[kept])


def _paste(canvas: Sample, piece: Sample, top: int, left: int) -> Sample:
    """Return the canvas with a piece over it: pixels, valid mask, and the piece's instances.

    Instances of the canvas lose the pixels that the piece covers.
    """
    height, width = piece.valid.shape
    place = slice(top, top + height), slice(left, left + width)
    image, valid = canvas.image.copy(), canvas.valid.copy()
    image[place], valid[place] = piece.image, piece.valid
    count = len(canvas.class_ids)
    masks = np.zeros((*valid.shape, count + len(piece.class_ids)), bool)
    masks[..., :count] = canvas.masks
    masks[place] = False
    masks[..., count:][place] = piece.masks
    class_ids = np.concatenate([canvas.class_ids, piece.class_ids])
    return Sample(image, masks, class_ids, valid)


@dataclass(frozen=True)
class Kind:
    """How a kind of virtual sample is made.

    Attributes:
        others: How many tiles without landslides it needs.
        sized_by: Which of its tiles, the landslide tile being 0, it has the size of.
        make: (landslide tile, tiles without, rng) -> sample.
    """

    others: int
    sized_by: int
    make: Callable[[Sample, Sequence[Sample], np.random.Generator], Sample]


KINDS = {
    "splice": Kind(3, 0, splice),
    "cutmix": Kind(1, 1, lambda landslide, others, rng: cutmix(others[0], landslide, rng)),
}
