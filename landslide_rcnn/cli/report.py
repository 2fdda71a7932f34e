"""`landslide-rcnn report`."""

import click

from landslide_rcnn.cli.options import one_line_errors, overwrite_option, quiet_option


@click.command()
@click.argument("result")
@click.option("--truth", help="Polygons or a mask: how far to trust the map.")
@click.option("--scene", "scenes", multiple=True, help="Where the scene lies, if it was moved.")
@click.option("-o", "--output", required=True, help="The HTML file.")
@overwrite_option
@quiet_option
@one_line_errors
def report(result, truth, scenes, output, overwrite, quiet) -> None:
    """Show RESULT, a folder that detect wrote, as one page that opens in any browser."""
    from landslide_rcnn.workflows.report import make_report

    path = make_report(
        result,
        output,
        truth=truth,
        scene=list(scenes) or None,
        overwrite=overwrite,
        progress=not quiet,
    )
    click.echo(str(path))
