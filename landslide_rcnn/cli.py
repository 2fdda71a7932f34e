"""`landslide-rcnn`: commands that parse, make one library call, and print.

Exit codes: 0 done; 1 an error in data, files or settings, in one line; 2 a wrong command line.
Results go to stdout, progress and warnings to stderr. `--help` loads no TensorFlow.
"""

import functools
import logging
import sys
import warnings

import click

from landslide_rcnn.errors import LandslideError
from landslide_rcnn.startup import import_keras_quietly


def one_line_errors(command):
    """Turn this package's errors into one line on stderr and exit code 1."""

    @functools.wraps(command)
    def wrapped(*args, **kwargs):
        try:
            return command(*args, **kwargs)
        except LandslideError as error:
            click.echo(f"Error: {' '.join(str(error).split())}", err=True)
            sys.exit(1)

    return wrapped


def overwrite_option(command):
    return click.option("--overwrite", is_flag=True, help="Replace results that are there.")(
        command
    )


def no_crs_option(command):
    return click.option(
        "--no-crs", is_flag=True, help="Take a scene without CRS in pixel coordinates."
    )(command)


def quiet_option(command):
    return click.option("-q", "--quiet", is_flag=True, help="No progress bars.")(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="landslide_rcnn")
def main() -> None:
    """Landslides out of imagery: train, detect, evaluate."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    warnings.formatwarning = lambda message, *_, **__: f"Warning: {message}\n"


@main.command()
@click.option("--output", default="demo", show_default=True, help="Folder for the results.")
@click.option("--seed", default=0, show_default=True, help="Of the generated scene.")
@overwrite_option
@quiet_option
@one_line_errors
def demo(output, seed, overwrite, quiet) -> None:
    """Generate a scene, train on its west, map and judge its east. About four minutes."""
    import_keras_quietly()
    from landslide_rcnn.workflows.demo import run_demo

    result = run_demo(output, seed=seed, overwrite=overwrite, progress=not quiet)
    click.echo(result.report)


@main.command()
@click.option("--train", "train_data", required=True, help="FOLDER[#PART] or SCENE:POLYGONS.")
@click.option("--val", "val_data", required=True, help="The same forms; chooses epoch, threshold.")
@click.option("--output", required=True, help="Folder for model.weights.h5 and its card.")
@click.option(
    "--experiment",
    default="resnext50-n-edge",
    show_default=True,
    help="One of the experiments of Liu et al. 2021: resnet101, resnext50, resnext101, "
    "resnext50-n (improved FPN), resnext50-n-edge (and edge loss).",
)
@click.option(
    "--weights",
    default="none",
    show_default=True,
    help="none, imagenet, coco, last, or a file: .weights.h5, .h5, .npz, .safetensors, .pth.",
)
@click.option("--layers", default="all", show_default=True, help="heads, 3+, 4+, 5+, all, a regex.")
@click.option("--epochs", default=20, show_default=True, type=click.IntRange(1))
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Stop in time.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A Config attribute.")
@no_crs_option
@overwrite_option
@quiet_option
@one_line_errors
def train(
    train_data,
    val_data,
    output,
    experiment,
    weights,
    layers,
    epochs,
    minutes,
    settings,
    no_crs,
    overwrite,
    quiet,
) -> None:
    """Train on labelled tiles, or on a scene with polygons."""
    from landslide_rcnn.config import experiment_config, parse_settings
    from landslide_rcnn.data.readers import open_dataset

    config = experiment_config(experiment, **parse_settings(list(settings)))
    tiles = dict(
        tile_size=int(config.IMAGE_MAX_DIM),
        overlap=int(config.IMAGE_MAX_DIM) // 4,
        allow_no_crs=no_crs,
    )
    train_set, val_set = open_dataset(train_data, **tiles), open_dataset(val_data, **tiles)
    import_keras_quietly()
    from landslide_rcnn.workflows.train import train_model

    result = train_model(
        config,
        train_set,
        val_set,
        output,
        weights=weights,
        layers=layers,
        epochs=epochs,
        minutes=minutes,
        overwrite=overwrite,
        progress=not quiet,
    )
    click.echo(f"{result.weights} (epoch {result.epoch})")
    click.echo(f"val F1 {result.metrics['f1']:.3f} at threshold {result.threshold:.3f}")


@main.command()
@click.argument("scene")
@click.option("--weights", required=True, help="A .weights.h5 with its card beside it.")
@click.option("--output", required=True, help="Folder for the results.")
@click.option("--bands", help="Bands of the scene in the weights' order, such as 3,2,1.")
@click.option("--threshold", type=click.FloatRange(0, 1), help="Instead of the card's.")
@click.option("--overlap", type=click.IntRange(0), help="Of tiles, pixels. Unset: a quarter.")
@click.option("--min-area", default=0.0, show_default=True, help="Smallest landslide, m2.")
@click.option("--batch-size", type=click.IntRange(1), help="Tiles predicted together.")
@click.option("--resume", is_flag=True, help="Go on with a run that was stopped.")
@no_crs_option
@overwrite_option
@quiet_option
@one_line_errors
def detect(
    scene,
    weights,
    output,
    bands,
    threshold,
    overlap,
    min_area,
    batch_size,
    resume,
    no_crs,
    overwrite,
    quiet,
) -> None:
    """Map the landslides of SCENE: polygons, probability, mask and a summary."""
    from landslide_rcnn.workflows.detect import detect_scene

    result = detect_scene(
        scene,
        weights,
        output,
        bands=_parse_bands(bands),
        threshold=threshold,
        overlap=overlap,
        min_area_m2=min_area,
        batch_size=batch_size,
        no_crs=no_crs,
        overwrite=overwrite,
        resume=resume,
        progress=not quiet,
    )
    click.echo(f"{len(result.polygons)} landslides: {result.polygons_path}")


@main.command()
@click.option("--prediction", required=True, help="Folder that detect wrote.")
@click.option("--truth", required=True, help="Polygons, or a mask raster on the same grid.")
@click.option("--output", required=True, help="Folder for metrics.json.")
@overwrite_option
@quiet_option
@one_line_errors
def evaluate(prediction, truth, output, overwrite, quiet) -> None:
    """Judge a map against the truth: P, R, OA, F1, IoU, mIoU."""
    from landslide_rcnn.evaluation.maps import evaluate_map, format_table

    metrics = evaluate_map(prediction, truth, output, overwrite=overwrite, progress=not quiet)
    click.echo(format_table(metrics))


def _parse_bands(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(
            f"Bands are numbers from 1, separated by commas. Received: {text!r}. Use 3,2,1, say.",
            param_hint="--bands",
        ) from None


if __name__ == "__main__":
    main()
