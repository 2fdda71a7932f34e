"""`python -m samples.bijie train|evaluate`: arguments in, one library call, a table out."""

import json

import click

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


@main.command()
@DATA
@click.option("--output", required=True, help="Folder for the weights.")
@click.option("--weights", default="none", show_default=True, help="none, imagenet, coco, a file.")
@click.option("--variant", type=click.Choice(list(VARIANTS)), default="resnext50")
@click.option("--minutes", type=float, help="Stop after this time.")
@click.option("--epochs", default=1000, show_default=True)
@click.option("--layers", help="Layers that train, instead of the variant's.")
@click.option("--set", "settings", multiple=True, help="NAME=VALUE for a Config attribute.")
@click.option("--overwrite", is_flag=True)
def train(data, output, weights, variant, minutes, epochs, layers, settings, overwrite) -> None:
    """Train on the train part; epoch and threshold are chosen on the val part."""
    config_class, variant_layers = VARIANTS[variant]
    result = train_model(
        config_class(**parse_settings(list(settings))),
        open_part(data, "train"),
        open_part(data, "val"),
        output,
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
@click.option("--weights", required=True, help="A .weights.h5 with its card.")
@click.option("--part", default="test", show_default=True)
def evaluate(data, weights, part) -> None:
    """Judge weights on a part, at the threshold that their card carries."""
    model, card = MaskRCNN.from_weights(weights)
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
