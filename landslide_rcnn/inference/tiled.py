"""A predictor and a scene of any size -> probability raster, mask raster, polygons, summary.

The flow; three threads read ahead, predict, and write behind:

    tile_grid -> plan_units -> Runner (read, predict_tiles) -> UnitResult
              -> Journal, what --resume goes on from
              -> Mapping (blend, merge) -> probability.tif, mask.tif, landslides.gpkg

What is written depends on the units' answers alone, not on when and where they were predicted:
a resumed run and a cluster give what an undisturbed run gives. Any `prediction.Predictor` works:
instances come from the model where it has them, and are the connected regions of the final mask
where it has not. What is written:

- `probability.tif`: a Cloud Optimized GeoTIFF of percent in one byte, or of float32.
- `mask.tif`: likewise; 1 = landslide, 0 = none, 255 = invalid. The landslides' exact pixels,
  after post-processing, and nothing else.
- `landslides.gpkg`: the layers `landslides`, largest first, which do not overlap; `tiles`; and
  `aoi`, the area that was mapped. With a style for QGIS.
- `summary.json`: counts, areas, settings, versions. `item.json`: the same for STAC catalogues.

Shape letters: B tiles of a batch; H, W pixels of a tile; C bands; X the scene's width.
"""

import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.windows import Window
from tqdm import tqdm

from landslide_rcnn.data.tiles import tile_grid
from landslide_rcnn.geo.probability import PROBABILITY_KINDS
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.terrain import Terrain
from landslide_rcnn.geo.writing import RasterWriter
from landslide_rcnn.inference.answers import encode
from landslide_rcnn.inference.fingerprint import fingerprint_of, identity_of
from landslide_rcnn.inference.finishing import finish_map
from landslide_rcnn.inference.mapping import BAND_ROWS, Mapping
from landslide_rcnn.inference.result import (
    KNOWN_NAMES,
    PROBABILITY_NAME,
    MapResult,
    finished_map,
)
from landslide_rcnn.inference.run_folder import RunFolder, finish_publishing, open_run
from landslide_rcnn.inference.runners import LocalRunner, Runner, UnitResult, Work
from landslide_rcnn.inference.settings import MapSettings
from landslide_rcnn.inference.summary import MapCounts
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
    overwrite: bool = False,
    resume: bool = False,
    card_summary: dict[str, Any] | None = None,
    progress: bool = True,
    **settings: Any,
) -> MapResult:
    """Map the landslides of a scene.

    Writes the files of the module's head, all or none, in the scene's CRS and the rasters on its
    exact grid. A run that is stopped, by whatever, leaves `.unfinished/` in the output folder,
    and `resume=True` goes on from it.

    Args:
        predictor: The model; or a runner that has one, such as `cluster.ClusterRunner`.
        scene: Open; its bands are in the model's order.
        output_dir: Made if it is missing.
        overwrite: Replace earlier results, or an unfinished run.
        resume: Go on with an unfinished run, or take the results of a finished one, if scene,
            model and settings are the same.
        card_summary: What the summary shall say about the model; also tells models apart when
            a run is resumed. None: the predictor's `identity()`, if it has one.
        progress: Show a bar on stderr.
        **settings: What `MapSettings` has: tile_size, overlap, batch_size, threshold,
            processing, dem, probability, formats, date.

    Raises:
        OutputExistsError: A result is there already and `overwrite` is False.
        UnfinishedRunError: An unfinished run is there and `resume` is False, or it is another
            one, or another process is at work on it.
        GeoReferenceError: The settings need a CRS that the scene has not.
        ConfigError: They need a DEM, or their tiles cannot cover the scene.
        ShapeError: The predictor answers with another number or size of tiles.
        WeightsError: The predictor answers with NaN or numbers outside [0, 1].
    """
    settings = MapSettings(**settings)
    settings.require_place(scene)
    runner = predictor if hasattr(predictor, "run") else LocalRunner(predictor)
    model = card_summary or identity_of(predictor)
    windows = tile_grid(scene.height, scene.width, settings.tile_size, settings.overlap)
    output_dir, started = Path(output_dir), time.perf_counter()
    with ExitStack() as until_exit:
        terrain = settings.dem and until_exit.enter_context(Terrain(settings.dem, scene))
        table = PolygonTable(scene.transform, scene.crs, settings.processing, terrain)
        fingerprint = fingerprint_of(scene, settings, model)
        inputs = [*scene.paths, *(each.path for each in scene.companions)]
        inputs += [settings.dem] if settings.dem else []
        finish_publishing(output_dir)
        if resume and (finished := finished_map(output_dir, fingerprint)) is not None:
            return finished
        run = until_exit.enter_context(
            open_run(
                output_dir,
                fingerprint,
                result_names=KNOWN_NAMES,
                inputs=inputs,
                resume=resume,
                overwrite=overwrite,
            )
        )
        candidates, counts = _map_tiles(runner, scene, run, windows, settings, table, progress)
        counts.seconds = time.perf_counter() - started
        counts.predicting_seconds = runner.predicting_seconds
        polygons, summary = finish_map(
            run, scene, settings, table, windows, candidates, counts, fingerprint
        )
        run.publish(KNOWN_NAMES)
    return MapResult(output_dir, polygons, summary)


def _map_tiles(
    runner: Runner,
    scene: Scene,
    run: RunFolder,
    windows: list[Window],
    settings: MapSettings,
    table: PolygonTable,
    progress: bool,
) -> tuple[dict[tuple[int, int], int], MapCounts]:
    """Predict all tiles; write the work raster of probabilities and fill `table`.

    Returns:
        `Mapping.candidates` and the counts; the strips of the mapping are let go of.
    """
    units = plan_units(windows, settings.batch_size)
    kind = PROBABILITY_KINDS[settings.probability]
    with (
        RasterWriter(
            run.work / PROBABILITY_NAME, like=scene, block_rows=BAND_ROWS, **kind.raster
        ) as writer,
        tqdm(total=len(windows), desc="Mapping", unit="tile", disable=not progress) as bar,
    ):

        def write(probability: np.ndarray, window: Window) -> None:
            writer.write(kind.encode(probability), window)

        mapping = Mapping(scene.height, scene.width, settings, table, write)

        def take(result: UnitResult) -> None:
            answers = result.answers(settings.threshold)
            if result.unit.index not in run.journal:
                run.journal.store(result.unit.index, encode(answers))
            for answer in answers:
                mapping.add(answer)

        work = Work(scene, units, settings.batch_size, settings.threshold, run.journal, bar.update)
        results = runner.run(work)
        with closing(results), WorkBehind(take, UNITS_BEHIND) as behind:
            for result in results:
                behind.put(result)
        return mapping.candidates, mapping.finish(tile_count=len(windows))
