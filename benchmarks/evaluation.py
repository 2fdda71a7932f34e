"""How long judging a map takes, and how much memory, up to 36000 x 18000 pixels.

    python -m benchmarks.evaluation --output results [--height 18000 --width 36000]

A map as `predict_scene` writes it is made of ellipses: most of them lie, somewhat moved, on a true
landslide, some are false alarms, and some true ones are missed. It is judged in processes of their
own, against polygons, against a mask on another grid, and against a second map, so that each one's
peak memory is known. Written are `evaluation.json` and a table; the maps are removed.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from landslide_rcnn.evaluation.comparison import compare_maps
from landslide_rcnn.evaluation.maps import evaluate_map
from landslide_rcnn.files import write_json
from landslide_rcnn.geo.cog import write_cog
from landslide_rcnn.geo.probability import PROBABILITY_KINDS
from landslide_rcnn.geo.vector import rasterize_instances, write_polygons
from landslide_rcnn.geo.writing import Grid, RasterWriter
from landslide_rcnn.inference.result import LAYER
from landslide_rcnn.inference.summary import peak_memory_mb

PIXEL_M = 2.0
BAND_ROWS = 512
MISSED, FALSE_ALARMS = 0.2, 0.1  # shares of the true landslides


def ellipses(rng: np.random.Generator, count: int, grid: Grid) -> np.ndarray:
    """Return polygons of landslides' sizes, most of them small, anywhere on the grid."""
    centres = rng.uniform(0, 1, (count, 2)) * [grid.width, -grid.height] * PIXEL_M
    radii = np.minimum(6 + rng.pareto(1.4, count) * 10, 600)  # metres
    angle = np.linspace(0, 2 * np.pi, 33)[:-1]
    turn = rng.uniform(0, np.pi, (count, 1))
    x, y = radii[:, None] * np.cos(angle), 0.5 * radii[:, None] * np.sin(angle)
    points = np.stack(
        [x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=-1
    )
    origin = [grid.transform.c, grid.transform.f]
    return shapely.polygons(points + centres[:, None] + origin)


def predicted_of(rng: np.random.Generator, true: np.ndarray, grid: Grid) -> gpd.GeoDataFrame:
    """Return what a map might hold: most of the true ones, moved by some metres, and others."""
    found = true[rng.uniform(size=len(true)) > MISSED]
    moves = rng.normal(0, 3, (len(found), 2))
    moved = [
        shapely.transform(each, lambda points, move=move: points + move)
        for each, move in zip(found, moves, strict=True)
    ]
    shapes = [*moved, *ellipses(rng, int(FALSE_ALARMS * len(true)), grid)]
    table = gpd.GeoDataFrame({"score": rng.uniform(0.5, 1, len(shapes))}, geometry=shapes)
    return table.set_crs(grid.crs.to_wkt())


def write_raster(path: Path, polygons: gpd.GeoDataFrame, grid: Grid, values, **raster) -> None:
    """Write a Cloud Optimized GeoTIFF, band by band.

    Args:
        values: From [h, w] bool, True = in a polygon, to the pixels.
        **raster: Of `RasterWriter`.
    """
    work = path.with_name(f"work-{path.name}")
    with RasterWriter(work, like=grid, **raster) as writer:
        for row in range(0, grid.height, BAND_ROWS):
            window = Window(0, row, grid.width, min(BAND_ROWS, grid.height - row))
            inside = rasterize_instances(polygons, window, grid.transform) > 0
            writer.write(values(inside), window)
    write_cog(work, path, "classes")
    work.unlink()


def write_map(folder: Path, polygons: gpd.GeoDataFrame, grid: Grid, seed: int) -> None:
    """Write a result folder; the probability has a new value every 8 pixels."""
    folder.mkdir()
    rng = np.random.default_rng(seed)

    def percent(inside: np.ndarray) -> np.ndarray:
        height, width = inside.shape
        noise = rng.integers(0, 50, (-(-height // 8), -(-width // 8)), np.uint8)
        noise = noise.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
        return noise + np.uint8(50) * inside

    write_raster(
        folder / "probability.tif", polygons, grid, percent, **PROBABILITY_KINDS["percent"].raster
    )
    write_raster(
        folder / "mask.tif", polygons, grid, lambda inside: inside.astype(np.uint8),
        dtype="uint8", nodata=255,
    )  # fmt: skip
    write_polygons(polygons, folder / "landslides.gpkg", LAYER)
    write_json(
        folder / "summary.json",
        {"threshold": 0.5, "landslides": len(polygons), "tiles": {"size": 256}},
    )


def measure(task, *arguments) -> dict[str, float]:
    """Run a call in a process of its own; return its seconds and its peak memory."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(sender, task, arguments))
    process.start()
    sender.close()
    try:
        measured = receiver.recv()
    finally:
        process.join()
    return measured


def _run(sender, task, arguments) -> None:
    start = time.perf_counter()
    task(*arguments)
    seconds = {
        "seconds": round(time.perf_counter() - start, 1),
        # What a machine with nothing else to do would take, if it had one core.
        "processor_seconds": round(time.process_time(), 1),
    }
    sender.send({**seconds, "peak_memory_mb": peak_memory_mb()})


def judge(folder: Path, truth: Path, output: Path) -> None:
    evaluate_map(folder, truth, output, progress=False)


def compare(first: Path, second: Path, truth: Path, output: Path) -> None:
    compare_maps(first, second, truth, output, progress=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--height", type=int, default=18_000)
    parser.add_argument("--width", type=int, default=36_000)
    parser.add_argument("--landslides", type=int, default=20_000)
    options = parser.parse_args()
    origin = Affine(PIXEL_M, 0, 400_000, 0, -PIXEL_M, 3_700_000)
    grid = Grid(options.height, options.width, CRS.from_epsg(32648), origin)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(dir=options.output.parent) as folder:
        folder = Path(folder)
        true = ellipses(rng, options.landslides, grid)
        table = gpd.GeoDataFrame(geometry=true, crs=grid.crs.to_wkt())
        write_polygons(table, folder / "truth.gpkg", LAYER)
        moved = Grid(
            grid.height + 20, grid.width + 20, grid.crs, origin * Affine.translation(-10.4, -9.7)
        )
        write_raster(
            folder / "truth.tif", table, moved, lambda inside: inside.astype(np.uint8),
            dtype="uint8",
        )  # fmt: skip
        for index, name in enumerate(("first", "second")):
            write_map(folder / name, predicted_of(rng, true, grid), grid, index)
        first, second = folder / "first", folder / "second"
        results = {
            "height": grid.height,
            "width": grid.width,
            "landslides": options.landslides,
            "polygons": measure(judge, first, folder / "truth.gpkg", folder / "a"),
            "mask_on_another_grid": measure(judge, first, folder / "truth.tif", folder / "b"),
            "comparison": measure(compare, first, second, folder / "truth.gpkg", folder / "c"),
        }
        metrics = json.loads((folder / "a/metrics.json").read_text())
        results["f1"] = metrics["at_map_threshold"]["f1"]
        results["ap50"] = metrics["landslides"]["ap"]["ap50"]
    options.output.mkdir(parents=True, exist_ok=True)
    write_json(options.output / "evaluation.json", results)
    print(f"{grid.width} x {grid.height} px, {options.landslides} true landslides")
    for name in ("polygons", "mask_on_another_grid", "comparison"):
        each = results[name]
        print(
            f"{name:<22}{each['seconds']:>8.0f} s, {each['processor_seconds']:.0f} s of processor"
            f"{each['peak_memory_mb']:>9.0f} MB"
        )


if __name__ == "__main__":
    main()
