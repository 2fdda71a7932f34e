"""The whole way on a generated scene, in minutes: `landslide-rcnn demo`.

make_scene -> west: train | middle: choose epoch and threshold | east: never trained on
           -> map the scene -> evaluate the east -> demo.png, report.html
"""

from dataclasses import dataclass
from pathlib import Path

from rasterio.windows import Window

from landslide_rcnn.config import LandslideConfig
from landslide_rcnn.data.scenes import SceneDataset
from landslide_rcnn.data.synthetic import make_scene
from landslide_rcnn.evaluation.error_map import ERROR_MAP_NAME
from landslide_rcnn.evaluation.maps import OUTPUT_NAMES, evaluate_map
from landslide_rcnn.evaluation.tables import format_table
from landslide_rcnn.files import atomic_path, refuse_to_overwrite
from landslide_rcnn.geo.probability import ProbabilityMap
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.vector import align_crs, rasterize_instances, read_polygons
from landslide_rcnn.inference.result import MapResult
from landslide_rcnn.report.collect import collect
from landslide_rcnn.report.page import write_report
from landslide_rcnn.visualize import map_figure
from landslide_rcnn.workflows.detect import detect_scene
from landslide_rcnn.workflows.train import train_model

HEIGHT, WIDTH = 1024, 2048  # pixels of the scene
TRAIN_COLUMNS = (0, 1088)
VAL_COLUMNS = (1088, 1344)
HELD_OUT_COLUMNS = (1344, WIDTH)


class DemoConfig(LandslideConfig):
    """A network small enough to learn from random weights in two minutes on two cores."""

    NAME = "demo"
    BACKBONE = "resnet26"
    TOP_DOWN_PYRAMID_SIZE = 64
    FPN_CLASSIF_FC_LAYERS_SIZE = 256
    IMAGES_PER_GPU = 8
    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 128
    RPN_ANCHOR_SCALES = (16, 32, 56, 88, 128)
    RPN_TRAIN_ANCHORS_PER_IMAGE = 128
    POST_NMS_ROIS_TRAINING = 200
    POST_NMS_ROIS_INFERENCE = 100
    TRAIN_ROIS_PER_IMAGE = 32
    MAX_GT_INSTANCES = 20
    DETECTION_MAX_INSTANCES = 20
    LOSS_WEIGHTS = {"mrcnn_mask_edge_loss": 0.1}
    LEARNING_RATE = 1e-3
    WARMUP_STEPS = 30


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Attributes:
        metrics: `evaluation.maps.evaluate_map` of the part that was never trained on.
        map: The map of the whole scene.
        report: What was held out, the scores and the files, as text.
    """

    metrics: dict
    map: MapResult
    report: str


def run_demo(
    output_dir: str | Path,
    *,
    seed: int = 0,
    epochs: int = 12,
    minutes: float = 3.0,
    overwrite: bool = False,
    progress: bool = True,
) -> DemoResult:
    """Generate a scene, train on its west, map all of it, and judge the east.

    Args:
        output_dir: Gets scene/, model/, map/, metrics.json, demo.png and report.html.
        seed: Of the generated scene.
        epochs: Of training.
        minutes: Stop training after this time.
        overwrite: Replace results that are there.
        progress: Show progress bars on stderr.
    """
    output_dir = Path(output_dir)
    picture, page = output_dir / "demo.png", output_dir / "report.html"
    refuse_to_overwrite(
        picture, page, *(output_dir / name for name in OUTPUT_NAMES), overwrite=overwrite
    )
    scene = make_scene(output_dir / "scene", height=HEIGHT, width=WIDTH, seed=seed)
    train = _part(scene, TRAIN_COLUMNS, overlap=64)
    val = _part(scene, VAL_COLUMNS, overlap=0)
    trained = train_model(
        DemoConfig(),
        train,
        val,
        output_dir / "model",
        epochs=epochs,
        minutes=minutes,
        overwrite=overwrite,
        progress=progress,
    )
    result = detect_scene(
        scene.orthophoto,
        trained.weights,
        output_dir / "map",
        overlap=64,
        overwrite=overwrite,
        progress=progress,
    )
    held_out = _window(HELD_OUT_COLUMNS)
    metrics = evaluate_map(
        output_dir / "map",
        scene.polygons,
        output_dir,
        overwrite=overwrite,
        within=held_out,
        progress=progress,
    )
    _draw(scene, result, held_out, metrics, picture)
    # Not by make_report, which would judge what was trained on too.
    facts = collect(output_dir / "map", metrics, scene.polygons, output_dir / ERROR_MAP_NAME)
    write_report(facts, page, overwrite=overwrite, progress=progress)
    return DemoResult(metrics, result, _report(metrics, result, picture, page))


def _window(columns: tuple[int, int]) -> Window:
    return Window(columns[0], 0, columns[1] - columns[0], HEIGHT)


def _part(scene, columns: tuple[int, int], overlap: int) -> SceneDataset:
    return SceneDataset(
        scene.orthophoto,
        scene.polygons,
        tile_size=DemoConfig.IMAGE_MAX_DIM,
        overlap=overlap,
        window=_window(columns),
    )


def _draw(scene, result: MapResult, window: Window, metrics: dict, path: Path) -> None:
    """Save the picture of the held-out part."""
    with (
        Scene(scene.orthophoto) as image,
        ProbabilityMap(result.probability_path) as probability,
        Scene(result.mask_path) as mask,
    ):
        truth = align_crs(read_polygons(scene.polygons), image)
        scores = metrics["at_map_threshold"]
        figure = map_figure(
            image.read(window),
            rasterize_instances(truth, window, image.transform) > 0,
            probability.read(window),
            mask.read(window)[..., 0] == 1,
            pixel_size_m=image.pixel_size_m,
            metrics={
                "Precision": scores["precision"],
                "Recall": scores["recall"],
                "F1": scores["f1"],
                "IoU": scores["iou"],
            },
            title="Landslides in the held-out part",
            subtitle="A generated scene; trained on its west, judged on its east",
        )
    with atomic_path(path) as partial:
        figure.savefig(partial, dpi=110)


def _report(metrics: dict, result: MapResult, picture: Path, page: Path) -> str:
    first, last = HELD_OUT_COLUMNS
    return "\n".join(
        [
            f"Trained on columns {TRAIN_COLUMNS[0]} to {TRAIN_COLUMNS[1]} of a generated scene of "
            f"{WIDTH} x {HEIGHT} px; epoch and threshold chosen on columns {VAL_COLUMNS[0]} to "
            f"{VAL_COLUMNS[1]}.",
            f"Held out, and all that is judged here: columns {first} to {last}.",
            "",
            format_table(metrics),
            "",
            f"Landslides: {result.polygons_path}",
            f"Rasters:    {result.probability_path}, {result.mask_path}",
            f"Picture:    {picture}",
            f"Report:     {page}",
        ]
    )
