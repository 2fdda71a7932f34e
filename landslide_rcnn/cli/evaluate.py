"""`landslide-rcnn evaluate`."""

import click

from landslide_rcnn.cli.options import one_line_errors, overwrite_option, quiet_option


@click.command()
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
