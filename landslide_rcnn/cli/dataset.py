"""`landslide-rcnn dataset`."""

import click

from landslide_rcnn.cli.options import (
    no_crs_option,
    one_line_errors,
    overwrite_option,
    quiet_option,
)


@click.command()
@click.argument("data")
@click.option(
    "--against",
    multiple=True,
    metavar="DATA",
    help="Other data that should share nothing with it, e.g. the training part; repeatable.",
)
@click.option("--sheet", help="Write a contact sheet with outlines, e.g. sheet.png.")
@click.option("--json", "json_path", help="Write the report as JSON too.")
@click.option("--tile-size", default=256, show_default=True, type=click.IntRange(1), help="Pixels.")
@click.option("--overlap", default=0, show_default=True, type=click.IntRange(0), help="Pixels.")
@no_crs_option
@overwrite_option
@quiet_option
@one_line_errors
def dataset(data, against, sheet, json_path, tile_size, overlap, no_crs, overwrite, quiet) -> None:
    """Say what training data hold, and every problem in them, by file.

    DATA is a folder of images and masks, FOLDER or FOLDER#PART; labels of COCO, VIA or labelme,
    FILE.json or a folder of them; or SCENE:POLYGONS. Options follow a question mark:
    'scene.tif:map.gpkg?class=kind&classes=slide,flow'. The exit code is 0 whatever is found,
    unless the data are unreadable as a whole.
    """
    from landslide_rcnn.data.inspection import as_text
    from landslide_rcnn.workflows.dataset import inspect_files

    inspection = inspect_files(
        data,
        against,
        sheet=sheet,
        json_path=json_path,
        tile_size=tile_size,
        overlap=overlap,
        allow_no_crs=no_crs,
        overwrite=overwrite,
        progress=not quiet,
    )
    click.echo(as_text(inspection))
