"""`landslide-rcnn demo`."""

import click

from landslide_rcnn.cli.options import one_line_errors, overwrite_option, quiet_option, seed_option
from landslide_rcnn.startup import import_keras_quietly


@click.command()
@click.option("--output", default="demo", show_default=True, help="Folder for the results.")
@seed_option("Of the generated scene.")
@overwrite_option
@quiet_option
@one_line_errors
def demo(output, seed, overwrite, quiet) -> None:
    """Generate a scene, train on its west, map and judge its east. About four minutes."""
    import_keras_quietly()
    from landslide_rcnn.workflows.demo import run_demo

    result = run_demo(output, seed=seed, overwrite=overwrite, progress=not quiet)
    click.echo(result.report)
