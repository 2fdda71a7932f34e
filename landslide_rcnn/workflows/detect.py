"""A scene and a weight file -> a landslide inventory: `landslide-rcnn detect`."""

import logging
from collections.abc import Sequence
from pathlib import Path

from landslide_rcnn.errors import WeightsError
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.inference.result import OUTPUT_NAMES, MapResult
from landslide_rcnn.inference.run_folder import check_output_dir
from landslide_rcnn.inference.tiled import predict_scene
from landslide_rcnn.startup import import_keras_quietly
from landslide_rcnn.weights import Card, read_card

logger = logging.getLogger(__name__)


def detect_scene(
    scene_path: str | Path,
    weights: str | Path,
    output_dir: str | Path,
    *,
    bands: Sequence[int] | None = None,
    threshold: float | None = None,
    overlap: int | None = None,
    min_area_m2: float = 0.0,
    batch_size: int | None = None,
    no_crs: bool = False,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
) -> MapResult:
    """Find the landslides of a scene.

    Architecture, bands, normalisation, tile size and threshold come from the weights' card.

    Args:
        scene_path: A raster of any size.
        weights: A `.weights.h5` with its card beside it.
        output_dir: Gets landslides.gpkg, probability.tif, mask.tif and summary.json.
        bands: Bands of the scene to use, counted from 1, in the card's order. None: all.
        threshold: Probability from which a pixel is landslide. None: the card's.
        overlap: Of neighbouring tiles, pixels. None: a quarter of a tile.
        min_area_m2: Smaller landslides are left out of the polygons.
        batch_size: Tiles predicted together. None: the card's.
        no_crs: Take a scene without CRS in pixel coordinates.
        overwrite: Replace results, or an unfinished run, that are there.
        resume: Go on with a run that was stopped.
        progress: Show a progress bar on stderr.

    Raises:
        RasterError, GeoReferenceError: The scene cannot be used.
        WeightsError: The weights cannot be used, or not for these bands.
        OutputExistsError: Results are there and `overwrite` is not set.
    """
    check_output_dir(output_dir, OUTPUT_NAMES, resume=resume, overwrite=overwrite)
    card = read_card(weights)
    with Scene(scene_path, bands=bands, allow_no_crs=no_crs) as scene:
        _check_bands(scene, card, weights)
        _warn_of_other_resolution(scene, card)
        import_keras_quietly()  # takes seconds: not before the checks
        from landslide_rcnn.model import MaskRCNN

        settings = {} if batch_size is None else {"BATCH_SIZE": batch_size}
        model, _ = MaskRCNN.from_weights(weights, **settings)
        tile_size = int(model.config.IMAGE_MAX_DIM)
        return predict_scene(
            model,
            scene,
            output_dir,
            tile_size=tile_size,
            overlap=tile_size // 4 if overlap is None else overlap,
            batch_size=model.config.BATCH_SIZE,
            threshold=card.threshold if threshold is None else threshold,
            min_area_m2=min_area_m2,
            overwrite=overwrite,
            resume=resume,
            card_summary={
                "weights": Path(weights).name,
                "sha256": card.sha256,
                "architecture": card.architecture,
                "bands": card.bands,
                "backbone": card.config["BACKBONE"],
            },
            progress=progress,
        )


def _warn_of_other_resolution(scene: Scene, card: Card) -> None:
    if scene.pixel_size_m is None or card.pixel_size_m is None:
        return
    ratio = scene.pixel_size_m / card.pixel_size_m
    if not 0.5 <= ratio <= 2:
        logger.warning(
            "The weights were trained on pixels of %.3g m; %s has pixels of %.3g m. Landslides "
            "look different at another scale: expect a poor map, or resample the scene first.",
            card.pixel_size_m,
            scene.path.name,
            scene.pixel_size_m,
        )


def _check_bands(scene: Scene, card: Card, weights: str | Path) -> None:
    if scene.band_count != len(card.bands):
        names = ", ".join(name or f"band {i + 1}" for i, name in enumerate(scene.band_names))
        raise WeightsError(
            f"The scene must have the {len(card.bands)} bands that the weights were trained on "
            f"({', '.join(card.bands)}). Received: {scene.path.name} with {scene.band_count} bands "
            f"({names}), weights {Path(weights).name}. Choose bands with --bands, such as "
            f"--bands {','.join(str(i + 1) for i in range(len(card.bands)))}, or other weights."
        )
