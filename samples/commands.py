"""What `python -m samples.NAME` offers: `train` a variant of a paper's system, `evaluate` it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from landslide_rcnn.cli.options import one_line_errors, seed_option
from landslide_rcnn.config import Config, parse_settings
from landslide_rcnn.data.background import BackgroundEnhanced
from landslide_rcnn.data.dataset import Dataset


@dataclass(frozen=True)
class Variant:
    """A system that a sample can train.

    Attributes:
        config: Its configuration.
        layers: What trains; see `MaskRCNN.train`.
        augment: Random flips and quarter turns.
        augmentation: Makes an imgaug augmenter; None for none.
        splice: Spliced samples that are added to the training data.
        cutmix: CutMix samples that are added to them.
    """

    config: type[Config]
    layers: str = "all"
    augment: bool = True
    augmentation: Callable[[], Any] | None = None
    splice: int = 0
    cutmix: int = 0


def sample_commands(
    name: str,
    summary: str,
    variants: dict[str, Variant],
    open_part: Callable[[str, str, Config], Dataset],
    *,
    default: str,
    epochs: int,
) -> click.Group:
    """Return the commands of a sample.

    Args:
        name: Of the sample; part of the results' folder.
        summary: One line for `--help`.
        variants: By name.
        open_part: (folder, "train", "val" or "test", configuration) -> the dataset.
        default: The variant where none is named.
        epochs: Where no number is given.
    """
    group = click.Group(help=summary)
    data = click.option("--data", required=True, help="Folder with split.csv; see the README.")
    variant_option = click.option(
        "--variant", type=click.Choice(list(variants)), default=default, show_default=True
    )

    def default_output(variant: str) -> Path:
        """Where a variant's weights go, and are looked for, unless told otherwise."""
        return Path("results") / f"{name}-{variant}"

    @group.command()
    @data
    @click.option("--output", help=f"Folder for the weights.  [default: results/{name}-VARIANT]")
    @click.option("--weights", default="none", show_default=True, help="imagenet, coco, a file.")
    @variant_option
    @click.option("--minutes", type=float, help="Stop after this time.")
    @click.option("--epochs", default=epochs, show_default=True)
    @click.option("--layers", help="Layers that train, instead of the variant's.")
    @click.option("--splice", type=int, help="Spliced samples, instead of the variant's number.")
    @click.option("--cutmix", type=int, help="CutMix samples, instead of the variant's number.")
    @seed_option()
    @click.option("--set", "settings", multiple=True, help="NAME=VALUE for a Config attribute.")
    @click.option(
        "--kfold",
        type=click.IntRange(2),
        metavar="K",
        help="K models on folds of train and val together.  [default output: .../VARIANT-kfold]",
    )
    @click.option("--resume", is_flag=True, help="Go on with a training that was interrupted.")
    @click.option("--overwrite", is_flag=True, help="Replace results that are there.")
    @one_line_errors
    def train(
        data,
        output,
        weights,
        variant,
        minutes,
        epochs,
        layers,
        splice,
        cutmix,
        seed,
        settings,
        kfold,
        resume,
        overwrite,
    ) -> None:
        """Train on the train part; epoch and threshold are chosen on the val part."""
        chosen = variants[variant]
        config = chosen.config(**parse_settings(list(settings)))
        enhancement = {
            "splice": chosen.splice if splice is None else splice,
            "cutmix": chosen.cutmix if cutmix is None else cutmix,
        }
        training = dict(
            weights=weights,
            layers=layers or chosen.layers,
            epochs=epochs,
            minutes=minutes,
            augment=chosen.augment,
            augmentation=chosen.augmentation and chosen.augmentation(),
            seed=seed,
            resume=resume,
            overwrite=overwrite,
        )
        if kfold is not None:
            from landslide_rcnn.workflows.kfold import format_folds, train_folds

            every = open_part(data, "train+val", config)
            output = output or default_output(f"{variant}-kfold")
            result = train_folds(config, every, output, kfold, enhancement=enhancement, **training)
            click.echo(format_folds(result.summary))
            click.echo(f"{result.ensemble}: threshold {result.threshold:.3f}")
            return
        from landslide_rcnn.workflows.train import train_model

        train_set, val_set = (open_part(data, part, config) for part in ("train", "val"))
        if any(enhancement.values()):
            train_set = BackgroundEnhanced(train_set, **enhancement, seed=seed)
        output = output or default_output(variant)
        result = train_model(config, train_set, val_set, output, **training)
        click.echo(f"{result.weights}: epoch {result.epoch}, threshold {result.threshold:.3f}")
        click.echo(f"val F1 {result.metrics['f1']:.3f}")

    @group.command()
    @data
    @click.option(
        "--weights", help="A .weights.h5 or a --kfold folder.  [default: what train left]"
    )
    @variant_option
    @click.option("--part", default="test", show_default=True, help="A part of split.csv.")
    @one_line_errors
    def evaluate(data, weights, variant, part) -> None:
        """Judge weights on a part, at the threshold that their card carries."""
        from landslide_rcnn.evaluation.datasets import evaluate_dataset
        from landslide_rcnn.loading import load_model

        path = weights or default_output(variant) / "model.weights.h5"
        model, card = load_model(path)
        dataset = open_part(data, part, Config(**card.config))
        metrics = evaluate_dataset(model, dataset, card.threshold)
        click.echo(json.dumps(metrics, indent=2))

    return group
