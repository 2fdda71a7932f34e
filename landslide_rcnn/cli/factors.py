"""`landslide-rcnn factors`."""

import click

from landslide_rcnn.cli.options import one_line_errors, overwrite_option, quiet_option


@click.command()
@click.option("--dem", help="Elevation, metres, on any grid.")
@click.option("--rivers", help="River lines, in any CRS.")
@click.option("--like", required=True, help="The scene whose grid the factors get.")
@click.option("-o", "--output", required=True, help="A GeoTIFF for the factors.")
@click.option(
    "--factors",
    "names",
    help="Of elevation, slope, aspect, curvature, river, ndvi. Unset: all that the input allows.",
)
@click.option("--red", type=click.IntRange(1), help="The scene's band of red. Unset: by name.")
@click.option("--nir", type=click.IntRange(1), help="That of near infrared. Unset: by name.")
@overwrite_option
@quiet_option
@one_line_errors
def factors(dem, rivers, like, output, names, red, nir, overwrite, quiet) -> None:
    """Compute landslide-inducing factors as bands on a scene's grid."""
    from landslide_rcnn.workflows.factors import write_factors

    bands = write_factors(
        like,
        output,
        dem=dem,
        rivers=rivers,
        names=names and [name.strip() for name in names.split(",")],
        red=red,
        nir=nir,
        overwrite=overwrite,
        progress=not quiet,
    )
    click.echo(f"{output}: {', '.join(bands)}")
