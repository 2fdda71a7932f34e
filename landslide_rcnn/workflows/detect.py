"""A scene and a weight file -> a landslide inventory: `landslide-rcnn detect`.

card -> bands of the scene -> model, here or on a cluster -> predict_scene
"""

import functools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from landslide_rcnn.errors import WeightsError
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.inference.result import KNOWN_NAMES, MapResult
from landslide_rcnn.inference.run_folder import FOLDER_NAME, check_output_dir
from landslide_rcnn.inference.tiled import predict_scene
from landslide_rcnn.prediction import Predictor
from landslide_rcnn.startup import import_keras_quietly
from landslide_rcnn.weights import ENSEMBLE_NAME, Card, EnsembleCard, read_any_card

logger = logging.getLogger(__name__)


def detect_scene(
    scene_path: str | Path | Sequence[str | Path],
    weights: str | Path,
    output_dir: str | Path,
    *,
    reading: Mapping[str, Any] | None = None,
    threshold: float | None = None,
    overlap: int | None = None,
    batch_size: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
    **settings: Any,
) -> MapResult:
    """Find the landslides of a scene.

    Architecture, bands, normalisation, tile size and threshold come from the weights' card.

    Args:
        scene_path: A raster of any size, or several that make one scene.
        weights: A `.weights.h5` with its card beside it, or the folder of an ensemble
            (`train --kfold`).
        output_dir: Gets landslides.gpkg, probability.tif, mask.tif, summary.json and item.json.
        reading: How to read the scene: arguments of `geo.raster.Scene`, such as bands,
            resolution_m, companions. Without bands, those are taken whose names are the card's,
            else all in the file's order.
        threshold: Probability from which a pixel is landslide. None: the card's.
        overlap: Of neighbouring tiles, pixels. None: a quarter of a tile.
        batch_size: Tiles predicted together. None: the card's.
        scheduler: Address of a Dask scheduler, to predict on its workers; scene and weights
            must lie where they can read them under the same paths.
        overwrite: Replace results, or an unfinished run, that are there.
        resume: Go on with a run that was stopped.
        progress: Show a progress bar on stderr.
        **settings: More of `inference.MapSettings`: processing, dem, probability, formats, date.

    Raises:
        RasterError, GeoReferenceError: The scene cannot be used.
        WeightsError: The weights cannot be used, or not for these bands.
        OutputExistsError: Results are there and `overwrite` is not set.
        UnfinishedRunError: An unfinished run is there and `resume` is not set, or is another one.
        ClusterError: The cluster cannot be reached, or cannot do the work.
    """
    check_output_dir(output_dir, KNOWN_NAMES, resume=resume, overwrite=overwrite)
    card = read_any_card(weights)
    tile_size = int(card.config["IMAGE_MAX_DIM"])
    with _open_scene(scene_path, card, weights, dict(reading or {})) as scene:
        _warn_of_other_resolution(scene, card)
        model_settings = {} if batch_size is None else {"BATCH_SIZE": batch_size}
        load = functools.partial(load_predictor, Path(weights).resolve(), model_settings)
        try:
            return predict_scene(
                load() if scheduler is None else _cluster(scheduler, load),
                scene,
                output_dir,
                tile_size=tile_size,
                overlap=tile_size // 4 if overlap is None else overlap,
                batch_size=int(batch_size or card.config["BATCH_SIZE"]),
                threshold=card.threshold if threshold is None else threshold,
                overwrite=overwrite,
                resume=resume,
                card_summary=_summary_of(weights, card),
                progress=progress,
                **settings,
            )
        except (KeyboardInterrupt, OSError) as error:  # Ctrl-C, a full disk
            is_refused = isinstance(error, FileExistsError)
            if not is_refused and (Path(output_dir) / FOLDER_NAME).exists():
                logger.warning(
                    "Stopped. What was predicted is kept in %s; the same command with --resume "
                    "(resume=True) goes on from there.",
                    Path(output_dir) / FOLDER_NAME,
                )
            raise


def load_predictor(weights: Path, settings: Mapping[str, Any]) -> Predictor:
    """Load a model, here or in a worker of a cluster; takes seconds."""
    import_keras_quietly()
    from landslide_rcnn.loading import load_model

    return load_model(weights, **settings)[0]


def _summary_of(weights: str | Path, card: Card) -> dict[str, Any]:
    """Return what the map's summary says of the model; also tells models apart."""
    path = Path(weights).resolve()
    summary = {
        "weights": path.name,
        "sha256": card.sha256,
        "architecture": card.architecture,
        "bands": card.bands,
    }
    if not isinstance(card, EnsembleCard):
        return {**summary, "backbone": card.config["BACKBONE"]}
    if path.name == ENSEMBLE_NAME:
        summary["weights"] = path.parent.name
    members = [{**_summary_of(each.path, each.card), "weights": each.name} for each in card.members]
    return {**summary, "members": members}


def _cluster(scheduler: str, load: functools.partial):
    from landslide_rcnn.inference.cluster import ClusterRunner

    return ClusterRunner(scheduler, load)


def _open_scene(
    scene_path: str | Path | Sequence[str | Path],
    card: Card,
    weights: str | Path,
    reading: dict[str, Any],
) -> Scene:
    """Open a scene with the bands that the card names."""
    if reading.get("bands") is None:
        with Scene(scene_path, **reading) as every:
            own_count = every.band_count - every.companion_band_count
            wanted = card.bands[: len(card.bands) - every.companion_band_count]
            reading["bands"] = _bands_by_name(every.band_names[:own_count], wanted)
    scene = Scene(scene_path, **reading)
    if scene.band_count == len(card.bands):
        _warn_of_other_bands(scene, card)
        return scene
    scene.close()
    names = ", ".join(name or f"band {i + 1}" for i, name in enumerate(scene.band_names))
    raise WeightsError(
        f"The scene must have the {len(card.bands)} bands that the weights were trained on "
        f"({', '.join(card.bands)}). Received: {scene.path.name} with {scene.band_count} bands "
        f"({names}), weights {Path(weights).name}. Choose bands with --bands, such as "
        f"--bands {','.join(str(i + 1) for i in range(len(card.bands)))}, add what lies in other "
        "files with --companion, or take other weights."
    )


def _bands_by_name(names: Sequence[str], wanted: Sequence[str]) -> list[int] | None:
    """Return the 1-based bands that have the wanted names; None where one is missing."""
    known = [name.lower() for name in names]
    if not all(name.lower() in known for name in wanted):
        return None
    return [known.index(name.lower()) + 1 for name in wanted] or None


def _warn_of_other_bands(scene: Scene, card: Card) -> None:
    """Say when bands with names are taken for bands of other names."""
    pairs = [
        f"{name} for {wanted}"
        for name, wanted in zip(scene.band_names, card.bands, strict=True)
        if name.lower() != wanted.lower() and not (_is_number(name) or _is_number(wanted))
    ]
    if pairs:
        logger.warning(
            "Bands are taken in the file's order: %s. If that is wrong, choose with --bands.",
            ", ".join(pairs),
        )


def _is_number(name: str) -> bool:
    return not name or name.lower().startswith("band ")


def _warn_of_other_resolution(scene: Scene, card: Card) -> None:
    if scene.pixel_size_m is None or card.pixel_size_m is None:
        return
    ratio = scene.pixel_size_m / card.pixel_size_m
    if not 0.5 <= ratio <= 2:
        logger.warning(
            "The weights were trained on pixels of %.3g m; %s has pixels of %.3g m. Landslides "
            "look different at another scale: expect a poor map, or use --resolution %.3g "
            "(reading={'resolution_m': %.3g}).",
            card.pixel_size_m,
            scene.path.name,
            scene.pixel_size_m,
            card.pixel_size_m,
            card.pixel_size_m,
        )
