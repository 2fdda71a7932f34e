"""`landslide-rcnn evaluate`."""

import click

from landslide_rcnn.cli.options import (
    judged_part,
    one_line_errors,
    overwrite_option,
    part_options,
    quiet_option,
)


@click.command()
@click.option("--prediction", required=True, help="Folder that detect wrote.")
@click.option("--truth", required=True, help="Polygons, or a mask raster of any grid.")
@click.option("--output", required=True, help="Folder for metrics.json and the error map.")
@part_options
@overwrite_option
@quiet_option
@one_line_errors
def evaluate(prediction, truth, output, overwrite, quiet, **part) -> None:
    """Judge a map against the truth: pixels, landslides, calibration, intervals, error map."""
    from landslide_rcnn.evaluation.maps import evaluate_map
    from landslide_rcnn.evaluation.tables import format_table

    metrics = evaluate_map(
        prediction, truth, output, overwrite=overwrite, progress=not quiet, **judged_part(part)
    )
    click.echo(format_table(metrics))
