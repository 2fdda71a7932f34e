"""`landslide-rcnn evaluate` and `landslide-rcnn compare`."""

import click

from landslide_rcnn.cli.options import one_line_errors, options, overwrite_option, quiet_option

PART_OPTIONS = (
    click.option("--aoi", help="Polygons of interest: only pixels inside count."),
    click.option(
        "--bounds",
        type=float,
        nargs=4,
        metavar="LEFT BOTTOM RIGHT TOP",
        help="Part of the map, in its CRS.",
    ),
    click.option(
        "--window",
        type=int,
        nargs=4,
        metavar="COLUMN ROW WIDTH HEIGHT",
        help="Part of the map, in pixels.",
    ),
    click.option(
        "--block-size",
        type=click.IntRange(1),
        help="Of the blocks that intervals are drawn from, pixels. Unset: the map's tile size.",
    ),
)


@click.command()
@click.option("--prediction", required=True, help="Folder that detect wrote.")
@click.option("--truth", required=True, help="Polygons, or a mask raster of any grid.")
@click.option("--output", required=True, help="Folder for metrics.json and the error map.")
@options(PART_OPTIONS)
@overwrite_option
@quiet_option
@one_line_errors
def evaluate(prediction, truth, output, overwrite, quiet, **part) -> None:
    """Judge a map against the truth: pixels, landslides, calibration, intervals, error map."""
    from landslide_rcnn.evaluation.maps import evaluate_map
    from landslide_rcnn.evaluation.tables import format_table

    metrics = evaluate_map(
        prediction, truth, output, overwrite=overwrite, progress=not quiet, **_part(part)
    )
    click.echo(format_table(metrics))


def _part(given: dict) -> dict:
    """Return the values of `PART_OPTIONS` as arguments of the library's calls."""
    from rasterio.windows import Window

    if given["bounds"] and given["window"]:
        raise click.UsageError("Give --bounds or --window, not both.")
    within = Window(*given["window"]) if given["window"] else given["bounds"]
    return {"within": within, "aoi": given["aoi"], "block_px": given["block_size"]}
