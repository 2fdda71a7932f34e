"""`landslide-rcnn models`."""

import click

from landslide_rcnn.cli.options import one_line_errors, quiet_option
from landslide_rcnn.startup import import_keras_quietly


@click.command()
@click.option(
    "--size", default=256, show_default=True, type=click.IntRange(32), help="Of a tile, pixels."
)
@click.option("--channels", default=3, show_default=True, type=click.IntRange(1), help="Bands.")
@click.option(
    "--classes",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Besides the background.",
)
@click.option("--only", multiple=True, help="Name of an architecture or experiment; repeat it.")
@quiet_option
@one_line_errors
def models(size, channels, classes, only, quiet) -> None:
    """List every architecture with its parameters and multiply-adds. About a minute."""
    import_keras_quietly()
    from landslide_rcnn.workflows.models import format_costs, measure_costs

    settings = dict(size=size, channels=channels, classes=classes)
    costs = measure_costs(**settings, only=only, progress=not quiet)
    click.echo(format_costs(costs, **settings))
