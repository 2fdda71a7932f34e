"""`landslide-rcnn detect`."""

import click

from landslide_rcnn.cli.options import (
    no_crs_option,
    one_line_errors,
    options,
    overwrite_option,
    quiet_option,
)

READING = (
    click.option("--bands", help="Bands of the scene in the weights' order, such as 3,2,1."),
    click.option("--resolution", type=float, help="Map at this size of a pixel, metres."),
    click.option(
        "--companion",
        "companions",
        multiple=True,
        help="Further bands: a raster, river lines, or DEM#FACTORS, such as dem.tif#slope,aspect.",
    ),
    click.option("--companion-fill", type=float, help="Where a companion ends. Unset: no map."),
    click.option("--crs", help="Of a scene that says none, such as EPSG:32648."),
    no_crs_option,
    click.option("--allow-vrt", is_flag=True, help="Open virtual rasters."),
    click.option("--allow-remote", is_flag=True, help="Open URLs and /vsi paths."),
)
PREDICTING = (
    click.option("--threshold", type=click.FloatRange(0, 1), help="Instead of the card's."),
    click.option("--overlap", type=click.IntRange(0), help="Of tiles, pixels. Unset: a quarter."),
    click.option("--batch-size", type=click.IntRange(1), help="Tiles predicted together."),
    click.option("--scheduler", help="Address of a Dask scheduler, to predict on its workers."),
    click.option("--resume", is_flag=True, help="Go on with a run that was stopped."),
)
CLEANING = (
    click.option("--min-area", default=0.0, show_default=True, help="Smallest landslide, m2."),
    click.option("--min-pixels", default=0, show_default=True, help="Likewise, pixels."),
    click.option("--fill-holes", default=0.0, show_default=True, help="Holes up to this, m2."),
    click.option("--sieve", default=0, show_default=True, help="Smallest part, pixels."),
    click.option("--simplify", default=0.0, show_default=True, help="Tolerance, metres."),
    click.option("--smooth", is_flag=True, help="Cut the corners of outlines."),
    click.option("--dem", help="Elevation, for limits and attributes."),
    click.option("--min-elevation", type=float, help="Pixels below are none, metres."),
    click.option("--max-elevation", type=float, help="Pixels above are none, metres."),
    click.option("--min-slope", type=float, help="Of a landslide's mean slope, degrees."),
    click.option("--max-slope", type=float, help="Likewise."),
)
FILES = (
    click.option(
        "--format",
        "formats",
        multiple=True,
        help="Also write geojson, shapefile, flatgeobuf or coco; may be repeated.",
    ),
    click.option(
        "--probability",
        default="percent",
        show_default=True,
        type=click.Choice(["percent", "float32"]),
        help="How probability.tif holds it.",
    ),
    click.option("--date", help="When the scene was taken, YYYY-MM-DD."),
)


@click.command()
@click.argument("scene", nargs=-1, required=True)
@click.option("--weights", required=True, help="A .weights.h5 with its card, or a --kfold folder.")
@click.option("--output", required=True, help="Folder for the results.")
@options(READING, PREDICTING, CLEANING, FILES)
@overwrite_option
@quiet_option
@one_line_errors
def detect(scene, weights, output, overwrite, quiet, **given) -> None:
    """Map the landslides of SCENE, one raster or several neighbouring ones.

    Written are polygons, probability, mask, a summary and a STAC item.
    """
    from landslide_rcnn.geo.companions import Companion
    from landslide_rcnn.inference import PostProcessing
    from landslide_rcnn.workflows.detect import detect_scene

    reading = dict(
        bands=_parse_bands(given["bands"]),
        resolution_m=given["resolution"],
        companions=[Companion.parse(text, given["companion_fill"]) for text in given["companions"]],
        crs=given["crs"],
        allow_no_crs=given["no_crs"],
        allow_vrt=given["allow_vrt"],
        allow_remote=given["allow_remote"],
    )
    limits = {
        f"{name}_{unit}": given[name]
        for name, unit in (
            ("min_elevation", "m"),
            ("max_elevation", "m"),
            ("min_slope", "deg"),
            ("max_slope", "deg"),
        )
        if given[name] is not None
    }
    result = detect_scene(
        list(scene),
        weights,
        output,
        reading=reading,
        processing=PostProcessing(
            min_area_m2=given["min_area"],
            min_pixels=given["min_pixels"],
            fill_holes_m2=given["fill_holes"],
            sieve_pixels=given["sieve"],
            simplify_m=given["simplify"],
            smooth=given["smooth"],
            **limits,
        ),
        overwrite=overwrite,
        progress=not quiet,
        formats=tuple(given["formats"]),
        **{
            name: given[name]
            for name in (
                *("threshold", "overlap", "batch_size", "scheduler", "resume"),
                *("dem", "probability", "date"),
            )
        },
    )
    click.echo(f"{len(result.polygons)} landslides: {result.polygons_path}")


def _parse_bands(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(
            f"Bands are numbers from 1, separated by commas. Received: {text!r}. Use 3,2,1, say.",
            param_hint="--bands",
        ) from None
