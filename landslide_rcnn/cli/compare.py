"""`landslide-rcnn compare`."""

import click

from landslide_rcnn.cli.options import (
    judged_part,
    one_line_errors,
    overwrite_option,
    part_options,
    quiet_option,
)


@click.command()
@click.argument("first")
@click.argument("second")
@click.option("--truth", required=True, help="Polygons, or a mask raster of any grid.")
@click.option("--output", required=True, help="Folder for comparison.json.")
@part_options
@overwrite_option
@quiet_option
@one_line_errors
def compare(first, second, truth, output, overwrite, quiet, **part) -> None:
    """Judge two maps of one scene, FIRST and SECOND, against the truth: is one better?

    Both are folders that detect wrote. Only pixels that both have count, each map at its own
    threshold.
    """
    from landslide_rcnn.evaluation.comparison import compare_maps
    from landslide_rcnn.evaluation.tables import format_comparison

    comparison = compare_maps(
        first, second, truth, output, overwrite=overwrite, progress=not quiet, **judged_part(part)
    )
    click.echo(format_comparison(comparison))
