"""Generated mountain scenes with landslides, for the demo, for tests and for trying things out.

A valley with a river, forest, meadows, roads, fields and landslides, with what belongs to it:
the elevation model, the river's line, and a polygon for each landslide. The same seed gives the
same scene. No imagery and no real place is behind it.

    synthetic_terrain -> synthetic_landslides -> synthetic_cover -> light -> files

Shape letters: H, W pixels of the scene. Units: metres in files and in `SyntheticArrays`.
CRS: EPSG:32648 (UTM zone 48 north), in the mountains west of the Sichuan Basin.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from rasterio.crs import CRS
from scipy import ndimage

from landslide_rcnn.data import synthetic_cover as cover
from landslide_rcnn.data.synthetic_landslides import make_landslides
from landslide_rcnn.data.synthetic_terrain import fractal_noise, make_terrain
from landslide_rcnn.errors import ConfigError
from landslide_rcnn.geo.measure import area_m2
from landslide_rcnn.geo.vector import polygons_of_mask, write_lines, write_polygons
from landslide_rcnn.geo.writing import Grid, RasterWriter

EPSG = 32648
WEST, NORTH = 400_000.0, 3_660_000.0  # of the upper left corner, metres
MIN_SIDE = 256  # pixels; a smaller scene has no room for a valley and a landslide


@dataclass(frozen=True)
class SyntheticScene:
    """The files of a generated scene.

    Attributes:
        orthophoto: GeoTIFF, RGB, uint8.
        dem: GeoTIFF, elevation in metres, float32, on the same grid.
        polygons: GeoPackage, layer `landslides`: id, area_m2.
        rivers: GeoPackage, layer `rivers`: the centre line.
    """

    orthophoto: Path
    dem: Path
    polygons: Path
    rivers: Path


@dataclass(frozen=True)
class SyntheticArrays:
    """A generated scene in memory.

    Attributes:
        image: [H, W, 3] uint8, RGB.
        elevation_m: [H, W] float32.
        slope_deg: [H, W] float32.
        labels: [H, W] int32, 0 = none, i + 1 = landslide i; no two touch.
        fields: [H, W] bool.
        roads: [H, W] bool.
        riverbed: [H, W] bool, water and gravel.
        river: [n, (x, y)] float, pixels.
    """

    image: np.ndarray
    elevation_m: np.ndarray
    slope_deg: np.ndarray
    labels: np.ndarray
    fields: np.ndarray
    roads: np.ndarray
    riverbed: np.ndarray
    river: np.ndarray


def make_scene(
    output_dir: str | Path,
    *,
    height: int = 1024,
    width: int = 2048,
    pixel_size_m: float = 1.0,
    seed: int = 0,
) -> SyntheticScene:
    """Generate a scene and write it; files of the same names are replaced.

    Args:
        output_dir: Made if it is missing.
        height, width: Pixels. A landslide is 20 to 60 px wide and 40 to 200 px long.
        pixel_size_m: Ground size of a pixel, metres.
        seed: Of all that is random.

    Raises:
        ConfigError: A size cannot work.
        RasterError: A file cannot be written.
    """
    arrays = generate(height, width, pixel_size_m=pixel_size_m, seed=seed)
    output_dir = Path(output_dir)
    transform = Affine(pixel_size_m, 0, WEST, 0, -pixel_size_m, NORTH)
    grid = Grid(height, width, CRS.from_epsg(EPSG), transform)
    scene = SyntheticScene(
        output_dir / "orthophoto.tif",
        output_dir / "dem.tif",
        output_dir / "landslides.gpkg",
        output_dir / "rivers.gpkg",
    )
    colours = ("red", "green", "blue")
    with RasterWriter(
        scene.orthophoto, like=grid, dtype="uint8", count=3, descriptions=colours
    ) as writer:
        writer.write(arrays.image, grid.window)
    with RasterWriter(scene.dem, like=grid, dtype="float32", descriptions=("elevation",)) as writer:
        writer.write(arrays.elevation_m, grid.window)
    write_polygons(landslide_polygons(arrays.labels, transform), scene.polygons, "landslides")
    line = shapely.LineString([transform * tuple(point) for point in arrays.river])
    frame = shapely.box(WEST, NORTH - height * pixel_size_m, WEST + width * pixel_size_m, NORTH)
    rivers = gpd.GeoDataFrame(
        {"name": ["river"]}, geometry=[line.intersection(frame)], crs=f"EPSG:{EPSG}"
    )
    write_lines(rivers, scene.rivers, "rivers")
    return scene


def landslide_polygons(labels: np.ndarray, transform: Affine) -> gpd.GeoDataFrame:
    """Outline each label exactly: id (from 1), area_m2, geometry in EPSG:32648."""
    count = int(labels.max())
    geometry = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        place = transform * Affine.translation(columns.start, rows.start)
        geometry.append(polygons_of_mask(labels[rows, columns] == number, place))
    series = gpd.GeoSeries(geometry, crs=f"EPSG:{EPSG}")
    ids = np.arange(1, count + 1, dtype=np.int32)
    return gpd.GeoDataFrame({"id": ids, "area_m2": area_m2(series, series.crs)}, geometry=series)


def generate(
    height: int, width: int, *, pixel_size_m: float = 1.0, seed: int = 0
) -> SyntheticArrays:
    """Generate a scene in memory; see `make_scene`."""
    if min(height, width) < MIN_SIDE or pixel_size_m <= 0:
        raise ConfigError(
            f"A generated scene must be at least {MIN_SIDE} px on a side, of pixels larger than "
            f"0 m. Received: {height} x {width}, pixel_size_m={pixel_size_m}. Use a larger size."
        )
    # A source of randomness for each step: changing one does not change the others.
    steps = iter(np.random.default_rng(seed).spawn(8))
    terrain = make_terrain(next(steps), height, width)
    patches = fractal_noise(next(steps), height, width, 160, 1.6)
    colour, canopy = cover.make_forest(next(steps), terrain, patches)
    riverbed = cover.paint_river(next(steps), colour, terrain)
    roads = cover.paint_roads(next(steps), colour, terrain)
    fields = cover.paint_fields(next(steps), colour, terrain, riverbed | roads)

    rng = next(steps)
    ragged = fractal_noise(rng, height, width, 26, 1.6)
    landslides, labels = make_landslides(rng, terrain, riverbed | fields, ragged)
    elevation = terrain.elevation.copy()
    streaks = cv2.GaussianBlur(rng.standard_normal((512, 512), dtype=np.float32), (0, 0), 1)
    streaks /= streaks.std()
    for landslide in landslides:
        cover.paint_landslide(rng, colour, landslide, streaks)
        elevation[landslide.window] += cover.landslide_relief(rng, landslide, ragged)

    canopy[(labels > 0) | fields | roads | riverbed] = 0
    image = _photograph(next(steps), colour, cover.light(elevation, canopy))
    return SyntheticArrays(
        image,
        elevation * np.float32(pixel_size_m),
        terrain.slope_deg,
        labels,
        fields,
        roads & (labels == 0),
        riverbed,
        terrain.river,
    )


def _photograph(rng: np.random.Generator, colour: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Return what a camera makes of colours [H, W, 3] in a light [H, W]: uint8, RGB."""
    haze = np.array([0.035, 0.045, 0.06])
    image = cv2.GaussianBlur((colour * light[..., None] + haze).astype(np.float32), (0, 0), 0.55)
    image += 0.012 * rng.standard_normal(image.shape, dtype=np.float32)
    return np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
