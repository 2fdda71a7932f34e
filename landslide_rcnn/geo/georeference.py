"""Which place on the earth a raster says that it has.

Used by the readers of `geo/`: comparing CRSs, finding the one that a file or its neighbours name.

CRS: rasterio's and pyproj's; None = pixel coordinates.
"""

import functools
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyproj
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.io import DatasetReader

from landslide_rcnn.errors import GeoReferenceError

logger = logging.getLogger(__name__)

MIN_CONTROL_POINTS = 3
CURVED_CONTROL_POINTS = 6  # what a polynomial of second order needs
AFFINE_MISFIT_PX = 1e-3
SAID_MISFIT_PX = 1.0
OUTLINE_POINTS = 65  # along each side
OUTLINE_STEPS = 20  # each brings the outline of a bent file nearer, at least by half
WGS84 = "EPSG:4326"
MAX_LONGITUDE_TURNS = 1.5  # either way; scenes across the dateline go on beyond 180 degrees


def same_crs(first: object, second: object) -> bool:
    """Return whether two CRSs place coordinates alike; the wording and axis order may differ.

    Args:
        first, second: CRSs of pyproj or rasterio.
    """
    return _same_wkt(first.to_wkt(), second.to_wkt())


@functools.lru_cache(maxsize=256)
def _same_wkt(first_wkt: str, second_wkt: str) -> bool:
    if first_wkt == second_wkt:
        return True
    first, second = (pyproj.CRS.from_wkt(wkt) for wkt in (first_wkt, second_wkt))
    if first.equals(second, ignore_axis_order=True):
        return True
    code = first.to_epsg()
    return code is not None and code == second.to_epsg()


def full_turn(crs: object) -> float:
    """Return how much a longitude grows in a full turn, in the CRS's unit; 0 where it is planar."""
    return _turn_of_wkt(crs.to_wkt())


@functools.lru_cache(maxsize=256)
def _turn_of_wkt(wkt: str) -> float:
    crs = pyproj.CRS.from_wkt(wkt)
    if not crs.is_geographic:
        return 0.0
    # Degrees come out as 360 to the last bit.
    return round(2 * math.pi / crs.axis_info[0].unit_conversion_factor, 9)


class Place(NamedTuple):
    """Where a file's pixels lie.

    Attributes:
        crs: None for pixel coordinates.
        transform: From (column, row) to map coordinates; with `pixels_of` the best affine fit.
        pixels_of: Map (x, y) -> (columns, rows), for a file that its ground control points bend.
    """

    crs: CRS | None
    transform: Affine
    pixels_of: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None


def find_place(
    dataset: DatasetReader,
    path: str | Path,
    crs: CRS | str | int | None = None,
    allow_no_crs: bool = False,
) -> Place:
    """Find where a file's pixels lie: its own transform or world file, else its control points.

    Args:
        dataset: The open file.
        path: Of it; a .prj file beside it says the CRS where the file itself does not.
        crs: Of a file that says none.
        allow_no_crs: Pixel coordinates where CRS or transform is missing.

    Raises:
        GeoReferenceError: One of the two is missing or cannot be, `crs` is no CRS, or is not the
            file's.
    """
    place = _said_place(dataset, path, crs, allow_no_crs)
    _check_transform(place.transform, path)
    if place.crs is not None:
        _check_on_earth(place, dataset.height, dataset.width, path)
    return place


def _check_transform(transform: Affine, path: str | Path) -> None:
    """Refuse a transform that puts all pixels on a line, or nowhere."""
    if not np.isfinite(transform).all() or transform.determinant == 0:
        values = ", ".join(f"{value:g}" for value in transform[:6])
        raise GeoReferenceError(
            "A transform must give every pixel an area on the map. Received: "
            f"({values}) in {path}. Georeference it anew."
        )


def _check_on_earth(place: Place, height: int, width: int, path: str | Path) -> None:
    """Refuse what lies where its CRS has no earth: metres called degrees, above all.

    A site's own grid (an engineering CRS) lies nowhere in particular, and may.
    """
    crs = pyproj.CRS.from_wkt(place.crs.to_wkt())
    if crs.is_geocentric:
        raise GeoReferenceError(
            "A scene must lie on a map, of degrees or of a projection. Received: "
            f"{path} in the geocentric {crs.name}. Reproject it."
        )
    corners = np.array([place.transform * at for at in _corners(height, width)])
    if crs.is_geographic:
        turn = full_turn(place.crs)
        pixel = abs(place.transform.d) + abs(place.transform.e)  # of grids with pixels on a pole
        found = bool(
            (np.abs(corners[:, 1]) <= turn / 4 + pixel).all()
            and (np.abs(corners[:, 0]) <= turn * MAX_LONGITUDE_TURNS).all()
        )
    else:
        try:
            to_wgs84 = pyproj.Transformer.from_crs(crs, WGS84, always_xy=True)
        except pyproj.exceptions.ProjError:
            return  # an engineering CRS
        found = bool(np.isfinite(to_wgs84.transform(*corners.mean(axis=0))).all())
    if not found:
        (left, bottom), (right, top) = corners.min(axis=0), corners.max(axis=0)
        raise GeoReferenceError(
            f"A scene must lie where its CRS is defined. Received: {path} from ({left:g}, "
            f"{bottom:g}) to ({right:g}, {top:g}) in {crs.name}. Check its CRS and transform."
        )


def _corners(height: int, width: int) -> list[tuple[int, int]]:
    return [(column, row) for column in (0, width) for row in (0, height)]


def _said_place(
    dataset: DatasetReader, path: str | Path, crs: CRS | str | int | None, allow_no_crs: bool
) -> Place:
    """Return what the file says, or the user; see `find_place`."""
    gcps, gcp_crs = dataset.gcps
    has_transform = dataset.transform != Affine.identity()
    found = dataset.crs or (None if has_transform else gcp_crs) or _prj_beside(path)
    found = _assigned(found, crs, path)
    if found is not None and has_transform:
        return Place(found, dataset.transform)
    if found is not None and len(gcps) >= MIN_CONTROL_POINTS:
        return _place_of_control_points(gcps, found, dataset.height, dataset.width, path)
    if allow_no_crs:
        return Place(None, dataset.transform)
    if not has_transform and dataset.rpcs is not None:
        raise GeoReferenceError(
            f"A scene must lie on a map. Received: {path}, which has only rational polynomials "
            "(RPC), whose places depend on the ground's height. Orthorectify it: "
            "gdalwarp -rpc -to RPC_DEM=dem.tif."
        )
    missing = [name for name, has in (("CRS", found), ("transform", has_transform)) if not has]
    fix = "Georeference it (gdal_translate -a_ullr, or a world file beside it)"
    if has_transform:
        fix = "Set it (gdal_edit -a_srs EPSG:32648), or name a scene's with --crs (crs=...)"
    raise GeoReferenceError(
        f"A scene must have a CRS and a transform. Received: {path} without "
        f"{' and '.join(missing)}. {fix}, or use --no-crs (allow_no_crs=True) to work in pixel "
        "coordinates."
    )


def _assigned(found: CRS | None, crs: CRS | str | int | None, path: str | Path) -> CRS | None:
    """Return the file's CRS, or the one that the user gives a file without."""
    if crs is None:
        return found
    try:
        given = CRS.from_user_input(crs)
    except CRSError as error:
        raise GeoReferenceError(
            f"A CRS must be one that PROJ knows. Received: crs={crs!r} "
            f"({' '.join(str(error).split())}). Use e.g. EPSG:32648."
        ) from error
    if found is not None and not same_crs(found, given):
        raise GeoReferenceError(
            f"A CRS can be given to a file that has none. Received: crs={given.to_string()} for "
            f"{path}, which is in {found.to_string()}. Leave crs out, or reproject the file."
        )
    return given if found is None else found


def _prj_beside(path: str | Path) -> CRS | None:
    """Return the CRS in the .prj file beside a local file; None where there is none."""
    for suffix in (".prj", ".PRJ"):
        beside = Path(path).with_suffix(suffix)
        if not beside.is_file():
            continue
        try:
            return CRS.from_wkt(beside.read_text(encoding="utf-8", errors="replace").strip())
        except CRSError as error:
            raise GeoReferenceError(
                f"A .prj file must hold a CRS as WKT. Received: {beside} "
                f"({' '.join(str(error).split())}). Correct or remove it."
            ) from error
    return None


def _place_of_control_points(
    gcps: list[GroundControlPoint], crs: CRS, height: int, width: int, path: str | Path
) -> Place:
    """Return the affine place where the points fit one, or are too few to say more.

    Otherwise they are joined by a polynomial of second order, as GDAL does.
    """
    turn = full_turn(crs)
    x = np.array([point.x for point in gcps])
    if turn:  # points on both sides of the dateline
        x = x - turn * np.rint((x - x[0]) / turn)
    y = np.array([point.y for point in gcps])
    pixels = np.array([(point.col, point.row) for point in gcps])
    design = np.column_stack([pixels, np.ones(len(pixels))])
    # Coordinates around their mean: millions of metres would cost digits.
    middle = np.array([x.mean(), y.mean()])
    fit, _, rank, _ = np.linalg.lstsq(design, np.stack([x, y], axis=1) - middle, rcond=None)
    if rank < 3:
        raise GeoReferenceError(
            "Ground control points must not lie on one line. "
            f"Received: {len(gcps)} points in {path}. Georeference it anew."
        )
    (a, d), (b, e), (c, f) = fit
    transform = Affine(a, b, c + middle[0], d, e, f + middle[1])
    columns, rows = ~transform * (x, y)
    misfit_px = np.hypot(columns - pixels[:, 0], rows - pixels[:, 1]).max()
    if misfit_px < AFFINE_MISFIT_PX or len(gcps) < CURVED_CONTROL_POINTS:
        _say_misfit(misfit_px, path)
        return Place(crs, transform)
    # Around their mean and near 1: squares of millions of metres would cost all digits.
    spread = max(np.ptp(x), np.ptp(y))
    terms = _second_order_terms((x - middle[0]) / spread, (y - middle[1]) / spread)
    weights, *_ = np.linalg.lstsq(np.stack(terms, axis=1), pixels, rcond=None)

    def pixels_of(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        terms = _second_order_terms((x - middle[0]) / spread, (y - middle[1]) / spread)
        # Summed term by term, so that a pixel is placed alike in windows of any size.
        columns, rows = (sum(w * term for w, term in zip(axis, terms)) for axis in weights.T)
        return columns, rows

    columns, rows = pixels_of(x, y)
    _say_misfit(np.hypot(columns - pixels[:, 0], rows - pixels[:, 1]).max(), path)
    return Place(crs, transform, pixels_of)


def _say_misfit(misfit_px: float, path: str | Path) -> None:
    if misfit_px > SAID_MISFIT_PX:
        logger.warning(
            "%s: its control points disagree by up to %.1f px; places are as uncertain",
            path,
            misfit_px,
        )


def _second_order_terms(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    return np.ones_like(x), x, y, x * y, x * x, y * y


def grid_around(source, pixels_of: Callable) -> tuple[int, int, Affine]:
    """Return (height, width, transform) of a north-up grid around a bent source.

    Its outline is followed from the affine fit to where `pixels_of` has it. Pixels are square
    and as large as the source's.
    """
    share = np.linspace(0, 1, OUTLINE_POINTS)
    columns = source.width * np.concatenate([share, share, share * 0, share * 0 + 1])
    rows = source.height * np.concatenate([share * 0, share * 0 + 1, share, share])
    x, y = source.transform * (columns, rows)
    inverse = ~source.transform
    for _ in range(OUTLINE_STEPS):
        there_columns, there_rows = pixels_of(x, y)
        across, down = columns - there_columns, rows - there_rows
        x = x + source.transform.a * across + source.transform.b * down
        y = y + source.transform.d * across + source.transform.e * down
    size = 1 / math.sqrt(abs(inverse.determinant))
    height, width = (max(math.ceil(np.ptp(axis) / size), 1) for axis in (y, x))
    return height, width, Affine(size, 0, x.min(), 0, -size, y.max())
