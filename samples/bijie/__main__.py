"""`python -m samples.bijie train|evaluate`: arguments in, one library call, a table out."""

import json
from pathlib import Path

import click

from landslide_rcnn.cli.options import one_line_errors
from landslide_rcnn.config import parse_settings
from landslide_rcnn.evaluation.datasets import sweep_dataset
from landslide_rcnn.evaluation.pixels import metrics_dict
from landslide_rcnn.model import MaskRCNN
from landslide_rcnn.workflows.train import train_model
from samples.bijie.bijie import VARIANTS, open_part, photometric_augmentation


@click.group()
def main() -> None:
    """Bijie landslides: train on three counties, choose on a fourth, judge on a fifth."""


DATA = click.option("--data", required=True, help="Folder with split.csv and landslide/.")
VARIANT = click.option(
    "--variant", type=click.Choice(list(VARIANTS)), default="resnext50", show_default=True
)


def default_output(variant: str) -> Path:
    """Where a variant's weights go, and are looked for, unless told otherwise."""
    return Path("results") / f"bijie-{variant}"


@main.command()
@DATA
@click.option("--output", help="Folder for the weights.  [default: results/bijie-VARIANT]")
@click.option("--weights", default="none", show_default=True, help="none, imagenet, coco, a file.")
@VARIANT
@click.option("--minutes", type=float, help="Stop after this time.")
@click.option("--epochs", default=40, show_default=True)
@click.option("--layers", help="Layers that train, instead of the variant's.")
@click.option("--set", "settings", multiple=True, help="NAME=VALUE for a Config attribute.")
@click.option("--overwrite", is_flag=True, help="Replace results that are there.")
@one_line_errors
def train(data, output, weights, variant, minutes, epochs, layers, settings, overwrite) -> None:
    """Train on the train part; epoch and threshold are chosen on the val part."""
    config_class, variant_layers = VARIANTS[variant]
    result = train_model(
        config_class(**parse_settings(list(settings))),
        open_part(data, "train"),
        open_part(data, "val"),
        output or default_output(variant),
        weights=weights,
        layers=layers or variant_layers,
        epochs=epochs,
        minutes=minutes,
        augmentation=photometric_augmentation(),
        overwrite=overwrite,
    )
    click.echo(f"{result.weights}: epoch {result.epoch}, threshold {result.threshold:.3f}")
    click.echo(f"val F1 {result.metrics['f1']:.3f}")


@main.command()
@DATA
@click.option("--weights", help="A .weights.h5 with its card.  [default: what train left]")
@VARIANT
@click.option("--part", default="test", show_default=True, help="A part of split.csv.")
@one_line_errors
def evaluate(data, weights, variant, part) -> None:
    """Judge weights on a part, at the threshold that their card carries."""
    model, card = MaskRCNN.from_weights(weights or default_output(variant) / "model.weights.h5")
    sweep = sweep_dataset(model, open_part(data, part))
    metrics = metrics_dict(sweep.confusion_at(card.threshold))
    metrics["threshold"] = card.threshold
    best = sweep.best_threshold()
    metrics["best_threshold"] = best
    metrics["f1_at_best_threshold"] = sweep.confusion_at(best).f1 if best else None
    del metrics["definition"]
    click.echo(json.dumps(metrics, indent=2))


if __name__ == "__main__":
    main()
