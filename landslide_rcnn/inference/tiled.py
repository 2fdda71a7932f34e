"""A predictor and a scene of any size -> probability raster, mask raster, polygons, summary.

The flow; three threads read ahead, predict, and write behind:

    tile_grid -> plan_units -> Runner (read, predict_tiles) -> UnitResult
              -> Journal, what --resume goes on from
              -> Mapping (blend, merge) -> probability.tif, mask.tif, landslides.gpkg

What is written depends on the units' answers alone, not on when and where they were predicted:
a resumed run and a cluster give what an undisturbed run gives. Any `prediction.Predictor` works:
instances come from the model where it has them, and are the connected regions of the final mask
where it has not. What is written:

- `probability.tif`: float32 in [0, 1], NaN where the scene is invalid. Not scaled to uint8: every
  reader gets probabilities without knowing a scale, and thresholding it gives exactly `mask.tif`.
- `mask.tif`: uint8; 1 where the probability reaches the threshold, else 0; 255 = nodata.
- `landslides.gpkg`, layer `landslides`: one row a landslide, largest first. They do not overlap,
  and with the small ones, which can be left out here, they cover exactly the ones of `mask.tif`.
- `summary.json`: counts, areas, settings, versions.

Shape letters: B tiles of a batch; H, W pixels of a tile; C bands; X the scene's width.
"""

import time
from contextlib import closing
from pathlib import Path
from typing import Any

from tqdm import tqdm

from landslide_rcnn.data.tiles import tile_grid
from landslide_rcnn.files import write_json
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.vector import write_polygons
from landslide_rcnn.geo.writing import RasterWriter
from landslide_rcnn.inference.answers import encode
from landslide_rcnn.inference.fingerprint import fingerprint_of, identity_of
from landslide_rcnn.inference.mapping import MASK_NODATA, Mapping
from landslide_rcnn.inference.result import (
    LAYER,
    MASK_COLORS,
    MASK_NAME,
    OUTPUT_NAMES,
    POLYGONS_NAME,
    PROBABILITY_NAME,
    SUMMARY_NAME,
    MapResult,
    finished_map,
)
from landslide_rcnn.inference.run_folder import RunFolder, finish_publishing, open_run
from landslide_rcnn.inference.runners import LocalRunner, Runner, UnitResult
from landslide_rcnn.inference.summary import MapCounts, MapSettings, summary_of
from landslide_rcnn.inference.threads import WorkBehind
from landslide_rcnn.inference.units import plan_units
from landslide_rcnn.inference.vectorize import PolygonTable
from landslide_rcnn.prediction import Predictor

UNITS_BEHIND = 1  # predicted and not yet blended; more only takes memory


def predict_scene(
    predictor: Predictor | Runner,
    scene: Scene,
    output_dir: str | Path,
    *,
    tile_size: int,
    overlap: int,
    batch_size: int = 4,
    threshold: float = 0.5,
    min_area_m2: float = 0.0,
    min_pixels: int = 0,
    overwrite: bool = False,
    resume: bool = False,
    card_summary: dict[str, Any] | None = None,
    progress: bool = True,
) -> MapResult:
    """Map the landslides of a scene.

    Writes the four files of the module's head, all or none, in the scene's CRS and the rasters
    on its exact grid. A run that is stopped, by whatever, leaves `.unfinished/` in the output
    folder, and `resume=True` goes on from it.

    Args:
        predictor: The model; or a runner that has one, such as `cluster.ClusterRunner`.
        scene: Open; its bands are in the model's order.
        output_dir: Made if it is missing.
        tile_size: Pixels a side.
        overlap: Pixels that neighbouring tiles share, at least 1: landslides of neighbouring
            tiles are recognised as one there. An eighth to a half of the tile is usual.
        batch_size: Tiles predicted at once.
        threshold: Of probability, and of score x mask probability of instances; above 0.
        min_area_m2: Smaller landslides get no polygon; needs a CRS.
        min_pixels: Likewise, in pixels.
        overwrite: Replace earlier results, or an unfinished run.
        resume: Go on with an unfinished run, or take the results of a finished one, if scene,
            model and settings are the same.
        card_summary: What the summary shall say about the model; also tells models apart when
            a run is resumed. None: the predictor's `identity()`, if it has one.
        progress: Show a bar on stderr.

    Raises:
        OutputExistsError: A result is there already and `overwrite` is False.
        UnfinishedRunError: An unfinished run is there and `resume` is False, or it is another
            one, or another process is at work on it.
        ConfigError: A setting cannot work.
        GeoReferenceError: `min_area_m2` for a scene without a CRS.
        ShapeError: The predictor answers with another number or size of tiles.
        WeightsError: The predictor answers with NaN or numbers outside [0, 1].
    """
    settings = MapSettings(tile_size, overlap, batch_size, threshold)
    table = PolygonTable(scene.transform, scene.crs, min_area_m2, min_pixels)
    runner = predictor if hasattr(predictor, "run") else LocalRunner(predictor)
    model = card_summary or identity_of(predictor)
    fingerprint = fingerprint_of(scene, settings, (min_area_m2, min_pixels), model)
    output_dir = Path(output_dir)
    finish_publishing(output_dir)
    if resume and (finished := finished_map(output_dir, fingerprint)) is not None:
        return finished
    started = time.perf_counter()
    with open_run(
        output_dir, fingerprint, result_names=OUTPUT_NAMES, resume=resume, overwrite=overwrite
    ) as run:
        counts = _write_rasters(runner, scene, run, settings, table, progress)
        mapping_seconds = time.perf_counter() - started
        polygons = table.table()
        write_polygons(polygons, run.staging / POLYGONS_NAME, LAYER)
        seconds = time.perf_counter() - started
        summary = summary_of(scene, polygons, table, settings, counts, seconds, model)
        summary["mapping_seconds"] = mapping_seconds
        summary["predicting_seconds"] = runner.predicting_seconds
        summary["fingerprint"] = fingerprint
        write_json(run.staging / SUMMARY_NAME, summary)
        run.publish(OUTPUT_NAMES)
    return MapResult(output_dir, polygons, summary)


def _write_rasters(
    runner: Runner,
    scene: Scene,
    run: RunFolder,
    settings: MapSettings,
    table: PolygonTable,
    progress: bool,
) -> MapCounts:
    """Predict all tiles; write both rasters into the run's staging and fill `table`."""
    windows = tile_grid(scene.height, scene.width, settings.tile_size, settings.overlap)
    units = plan_units(windows, settings.batch_size)
    with (
        RasterWriter(
            run.staging / PROBABILITY_NAME,
            like=scene,
            dtype="float32",
            nodata=float("nan"),
            descriptions=("landslide probability",),
        ) as probability_writer,
        RasterWriter(
            run.staging / MASK_NAME,
            like=scene,
            dtype="uint8",
            nodata=MASK_NODATA,
            colormap=MASK_COLORS,
            descriptions=("landslide",),
        ) as mask_writer,
        tqdm(total=len(windows), desc="Mapping", unit="tile", disable=not progress) as bar,
    ):
        mapping = Mapping(
            scene.height, scene.width, settings, table, probability_writer, mask_writer
        )

        def take(result: UnitResult) -> None:
            answers = result.answers(settings.threshold)
            if result.unit.index not in run.journal:
                run.journal.store(result.unit.index, encode(answers))
            for answer in answers:
                mapping.add(answer)

        results = runner.run(
            scene, units, settings.batch_size, settings.threshold, run.journal, bar.update
        )
        with closing(results), WorkBehind(take, UNITS_BEHIND) as behind:
            for result in results:
                behind.put(result)
        return mapping.finish(tile_count=len(windows))
