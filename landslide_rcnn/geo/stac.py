"""The files of a map -> a STAC item, by which catalogues of maps find and check them.

STAC 1.1.0, one GeoJSON feature: the scene's outline in longitude and latitude, its date, and an
asset for each file with type, size and checksum. Written last, when the files are as they stay.

Source: https://github.com/radiantearth/stac-spec, v1.1.0; the extensions projection v2.0.0,
file v2.1.0 and raster v2.0.0.
"""

from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyproj
import shapely
from shapely.geometry.base import BaseGeometry

from landslide_rcnn.errors import ConfigError
from landslide_rcnn.files import sha256_of, write_json
from landslide_rcnn.geo.opening import open_raster
from landslide_rcnn.geo.wgs84 import footprint
from landslide_rcnn.geo.writing import Grid

STAC_VERSION = "1.1.0"
EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
)
COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
SHA256_MULTIHASH = "1220"  # 0x12 = sha2-256, 0x20 = its 32 bytes
DEGREE_DECIMALS = 7

# The beginning of the time in which a scene of unknown date was taken: before aerial photographs.
EARLIEST = "1858-01-01T00:00:00Z"

MEDIA_TYPES = {
    ".tif": COG_TYPE,
    ".gpkg": "application/geopackage+sqlite3",
    ".geojson": "application/geo+json",
    ".json": "application/json",
    ".fgb": "application/vnd.flatgeobuf",
    ".shp": "application/vnd.shp",
    ".shx": "application/vnd.shx",
    ".dbf": "application/vnd.dbf",
    ".png": "image/png",
    ".html": "text/html",
}
OTHER_TYPE = "application/octet-stream"


class Asset(NamedTuple):
    """One file of a map.

    Attributes:
        path: The file, in the item's folder or below it.
        title: What it is, for people.
        roles: "data" or "metadata".
    """

    path: Path
    title: str
    roles: tuple[str, ...] = ("data",)


def write_stac_item(
    path: str | Path,
    grid: Grid,
    assets: Mapping[str, Asset],
    *,
    item_id: str,
    mapped_at: str,
    scene_date: str | None = None,
    properties: Mapping[str, Any] | None = None,
) -> None:
    """Write the item, atomically.

    Args:
        path: The item, such as `item.json`, in the folder of the assets.
        grid: The scene, or its grid.
        assets: Key -> file; each is read for its checksum.
        item_id: Unique in a catalogue, such as the name of the scene without suffix.
        mapped_at: When the map was made, ISO 8601: `created`.
        scene_date: When the scene was taken, a date or time in ISO 8601; a time without zone is
            UTC. None: unknown, and the item says "between 1858 and the making of the map".
        properties: More of them, such as the model's name.

    Raises:
        GeoReferenceError: The scene has no CRS, or one that has no way to WGS84: there is no
            item then, since it must say where on earth the map lies.
        ConfigError: A date is not ISO 8601, or an asset lies elsewhere.
        OSError: An asset is missing.
    """
    path = Path(path)
    outline = footprint(grid)
    bbox = _bbox(outline)
    item = {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": list(EXTENSIONS),
        "id": item_id,
        "geometry": _geometry(outline),
        "bbox": bbox,
        "properties": {
            **_times(scene_date, mapped_at),
            **_projection(grid),
            **(properties or {}),
        },
        "links": [],
        "assets": {name: _asset(asset, path.parent) for name, asset in assets.items()},
    }
    write_json(path, item)


def _geometry(outline: BaseGeometry) -> dict[str, Any]:
    """Return the outline as GeoJSON, its outer rings counter-clockwise."""
    parts = [
        [np.round(shapely.get_coordinates(part.exterior), DEGREE_DECIMALS).tolist()]
        for part in shapely.get_parts(shapely.orient_polygons(outline))
    ]
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "MultiPolygon", "coordinates": parts}


def _bbox(outline: BaseGeometry) -> list[float]:
    """Return [west, south, east, north]; west > east across the antimeridian (RFC 7946, 5.2)."""
    west, south, east, north = outline.bounds
    parts = shapely.bounds(shapely.get_parts(outline))
    if len(parts) > 1 and (west, east) == (-180, 180):
        western = parts[:, 0] == -180  # the parts behind the antimeridian
        if not western.all() and parts[western, 2].max() < parts[~western, 0].min():
            west, east = parts[~western, 0].min(), parts[western, 2].max()
    return [round(float(value), DEGREE_DECIMALS) for value in (west, south, east, north)]


def _times(scene_date: str | None, mapped_at: str) -> dict[str, Any]:
    """Return `datetime` and `created`; the specification wants a range where there is no date."""
    created = _utc(mapped_at)
    if scene_date is not None:
        return {"datetime": _utc(scene_date), "created": created}
    return {
        "datetime": None,
        "start_datetime": EARLIEST,
        "end_datetime": created,
        "created": created,
        "description": "The date of the scene is unknown: the range ends when it was mapped.",
    }


def _utc(time: str) -> str:
    """Return a date or time as RFC 3339 in UTC."""
    try:
        parsed = datetime.fromisoformat(time)
    except ValueError:
        raise ConfigError(
            f"A date must be ISO 8601. Received: {time}. Use 2026-05-01 or 2026-05-01T10:30:00Z."
        ) from None
    zoned = parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    return zoned.strftime("%Y-%m-%dT%H:%M:%SZ")


def _projection(grid: Grid) -> dict[str, Any]:
    """Return the projection extension's fields: a code, or the definition where there is none."""
    crs = pyproj.CRS.from_wkt(grid.crs.to_wkt())
    authority = crs.to_authority()
    named = (
        {"proj:code": ":".join(authority)}
        if authority is not None
        else {"proj:code": None, "proj:wkt2": crs.to_wkt("WKT2_2019")}
    )
    return {
        **named,
        "proj:shape": [int(grid.height), int(grid.width)],
        "proj:transform": [float(value) for value in grid.transform[:6]],
    }


def _asset(asset: Asset, folder: Path) -> dict[str, Any]:
    """Return an asset's entry."""
    file = Path(asset.path)
    try:
        href = file.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        raise ConfigError(
            f"An item's files must lie in its folder. Received: {file}, for an item in {folder}. "
            "Write them there."
        ) from None
    bands = {"bands": _bands(file)} if file.suffix == ".tif" else {}
    return {
        "href": f"./{href}",
        "title": asset.title,
        "type": MEDIA_TYPES.get(file.suffix, OTHER_TYPE),
        "roles": list(asset.roles),
        "file:size": file.stat().st_size,
        "file:checksum": SHA256_MULTIHASH + sha256_of(file),
        **bands,
    }


def _bands(file: Path) -> list[dict[str, Any]]:
    """Return what the values of a raster's bands are."""
    with closing(open_raster(file)) as dataset:
        bands = []
        for index, name, dtype, nodata, scale, offset, unit in zip(
            dataset.indexes, dataset.descriptions, dataset.dtypes, dataset.nodatavals,
            dataset.scales, dataset.offsets, dataset.units, strict=True,
        ):  # fmt: skip
            band: dict[str, Any] = {"name": name or f"band {index}", "data_type": dtype}
            if nodata is not None:
                # JSON has no NaN; the specification writes it as a text.
                band["nodata"] = "nan" if np.isnan(nodata) else nodata
            if unit:
                band["unit"] = unit
            if (scale, offset) != (1, 0):
                band.update({"raster:scale": scale, "raster:offset": offset})
            bands.append(band)
    return bands
