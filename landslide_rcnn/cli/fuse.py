"""`landslide-rcnn fuse`."""

import click

from landslide_rcnn.cli.options import one_line_errors, overwrite_option


@click.command()
@click.argument("maps", nargs=-1, required=True)
@click.option("--output", required=True, help="A GeoPackage for the result.")
@overwrite_option
@one_line_errors
def fuse(maps, output, overwrite) -> None:
    """Fuse two or more MAPS, such as ascending and descending: what several saw counts once."""
    from landslide_rcnn.workflows.fuse import fuse_files

    fused = fuse_files(maps, output, overwrite=overwrite)
    several = int((fused["stands_for"] != "").sum())
    click.echo(f"{len(fused)} landslides, {several} of them in several maps: {output}")
