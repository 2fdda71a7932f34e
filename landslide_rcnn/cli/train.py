"""`landslide-rcnn train`."""

import click

from landslide_rcnn.cli.options import (
    instance_rules,
    no_crs_option,
    one_line_errors,
    overwrite_option,
    quiet_option,
    seed_option,
    tile_options,
)
from landslide_rcnn.startup import import_keras_quietly


@click.command()
@click.option("--train", "train_data", required=True, help="FOLDER[#PART] or SCENE:POLYGONS.")
@click.option("--val", "val_data", help="The same forms; chooses epoch, threshold.")
@click.option(
    "--kfold",
    type=click.IntRange(2),
    metavar="K",
    help="Instead of --val: K models, each judged by the part of the data that it has not seen, "
    "and their ensemble.",
)
@click.option("--output", required=True, help="Folder for model.weights.h5 and its card.")
@click.option(
    "--experiment",
    default="resnext50-n-edge",
    show_default=True,
    help="Mask R-CNN of Liu et al. 2021: resnet101, resnext50, resnext101, resnext50-n (improved "
    "FPN), resnext50-n-edge (and edge loss). Semantic networks: unet, segnet, drs-unet, fcn, "
    "fcn-fl, unet-vgg16, unet-resnet50, pspnet, pspnet-mobilenet, deeplab, deeplab-mobilenet.",
)
@click.option(
    "--weights",
    default="none",
    show_default=True,
    help="none, imagenet, coco, last, or a file: .weights.h5, .h5, .npz, .safetensors, .pth.",
)
@click.option("--layers", show_default="all", help="heads, 3+, 4+, 5+, all, a regex.")
@click.option("--epochs", show_default="20", type=click.IntRange(1))
@click.option(
    "--stage",
    "stages",
    multiple=True,
    metavar="LAYERS:EPOCHS:LEARNING_RATE[:BATCH_SIZE]",
    help="Instead of --layers and --epochs: train in stages, such as heads:50:1e-4:8, then "
    "all:100:1e-5:4; may be repeated.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    help="Stop in time; stages share it by their epochs.",
)
@click.option(
    "--monitor",
    default="val_f1",
    show_default=True,
    help="What chooses the epoch: val_f1, val_iou, val_miou, val_precision, val_recall, "
    "val_overall_accuracy, val_loss, loss, or a part of the loss: val_dice, dice.",
)
@click.option(
    "--patience",
    type=click.IntRange(1),
    metavar="N",
    help="End a stage after N epochs without a better one.",
)
@click.option("--bands", help="Of the images, by number or name: 3,2,1 or red=1,dem=4,slope=6.")
@click.option(
    "--companion",
    "companions",
    multiple=True,
    help="Further bands of a scene: a raster, river lines, or DEM#FACTORS, as in detect.",
)
@click.option(
    "--normalize",
    type=click.Choice(["data", "config"]),
    help="Whose mean and deviation of each band. Unset: the data's, except for RGB in bytes.",
)
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A Config attribute.")
@click.option(
    "--splice",
    default=0,
    metavar="N",
    help="Add N samples of one landslide tile and three without (Yang et al. 2022: 531).",
)
@click.option(
    "--cutmix",
    default=0,
    metavar="N",
    help="Add N tiles with a landslide pasted into them (Yang et al. 2022: 600).",
)
@click.option(
    "--augmentation",
    metavar="NAME",
    help="A paper's recipe instead of random flips and quarter turns: jiuzhaigou, fcn_fl, pspnet.",
)
@click.option("--cache", metavar="FOLDER", help="Keep decoded training samples there (20 GB).")
@seed_option()
@tile_options
@no_crs_option
@click.option("--resume", is_flag=True, help="Go on with a training that was interrupted.")
@overwrite_option
@quiet_option
@one_line_errors
def train(
    train_data,
    val_data,
    kfold,
    output,
    experiment,
    weights,
    layers,
    epochs,
    stages,
    minutes,
    monitor,
    patience,
    bands,
    companions,
    normalize,
    settings,
    splice,
    cutmix,
    augmentation,
    cache,
    seed,
    no_crs,
    resume,
    overwrite,
    quiet,
    **given,
) -> None:
    """Train on labelled tiles, or on a scene with polygons."""
    from landslide_rcnn.config import parse_settings
    from landslide_rcnn.data.background import BackgroundEnhanced
    from landslide_rcnn.data.bands import select_bands
    from landslide_rcnn.data.cache import CachedDataset
    from landslide_rcnn.data.readers import open_dataset
    from landslide_rcnn.data.recipes import recipe
    from landslide_rcnn.experiments import experiment_config
    from landslide_rcnn.geo.companions import Companion

    config = experiment_config(experiment, **parse_settings(list(settings)))
    tiles = dict(
        tile_size=int(config.IMAGE_MAX_DIM),
        overlap=int(config.IMAGE_MAX_DIM) // 4,
        allow_no_crs=no_crs,
        companions=[Companion.parse(text) for text in companions],
        rules=instance_rules(given),
    )
    if (val_data is None) == (kfold is None):
        raise click.UsageError("One of --val and --kfold is needed, and not both.")

    def open_data(spec):
        dataset = open_dataset(spec, **tiles)
        return dataset if bands is None else select_bands(dataset, bands)

    train_set = open_data(train_data)
    val_set = None if val_data is None else open_data(val_data)
    if cache:
        train_set = CachedDataset(train_set, cache)
    if kfold is None and (splice or cutmix):
        train_set = BackgroundEnhanced(train_set, splice, cutmix, seed=seed)
    augmenter = recipe(augmentation) if augmentation else None
    import_keras_quietly()
    from landslide_rcnn.workflows.train import Stage, train_model

    training = dict(
        weights=weights,
        layers=layers,
        epochs=epochs,
        stages=[Stage.parse(text) for text in stages],
        minutes=minutes,
        monitor=monitor,
        patience=patience,
        normalize=normalize,
        augment=augmenter is None,
        augmentation=augmenter,
        seed=seed,
        resume=resume,
        overwrite=overwrite,
        progress=not quiet,
    )
    if kfold is not None:
        from landslide_rcnn.workflows.kfold import format_folds, train_folds

        enhancement = {"splice": splice, "cutmix": cutmix}
        folds = train_folds(config, train_set, output, kfold, enhancement=enhancement, **training)
        click.echo(format_folds(folds.summary))
        click.echo(f"{folds.ensemble} (threshold {folds.threshold:.3f})")
        return
    result = train_model(config, train_set, val_set, output, **training)
    click.echo(f"{result.weights} (epoch {result.epoch})")
    click.echo(f"val F1 {result.metrics['f1']:.3f} at threshold {result.threshold:.3f}")
