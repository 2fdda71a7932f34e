"""`landslide-rcnn detect`."""

import click

from landslide_rcnn.cli.options import (
    no_crs_option,
    one_line_errors,
    overwrite_option,
    quiet_option,
)


@click.command()
@click.argument("scene")
@click.option("--weights", required=True, help="A .weights.h5 with its card beside it.")
@click.option("--output", required=True, help="Folder for the results.")
@click.option("--bands", help="Bands of the scene in the weights' order, such as 3,2,1.")
@click.option("--threshold", type=click.FloatRange(0, 1), help="Instead of the card's.")
@click.option("--overlap", type=click.IntRange(0), help="Of tiles, pixels. Unset: a quarter.")
@click.option("--min-area", default=0.0, show_default=True, help="Smallest landslide, m2.")
@click.option("--batch-size", type=click.IntRange(1), help="Tiles predicted together.")
@click.option("--resume", is_flag=True, help="Go on with a run that was stopped.")
@no_crs_option
@overwrite_option
@quiet_option
@one_line_errors
def detect(
    scene,
    weights,
    output,
    bands,
    threshold,
    overlap,
    min_area,
    batch_size,
    resume,
    no_crs,
    overwrite,
    quiet,
) -> None:
    """Map the landslides of SCENE: polygons, probability, mask and a summary."""
    from landslide_rcnn.workflows.detect import detect_scene

    result = detect_scene(
        scene,
        weights,
        output,
        bands=_parse_bands(bands),
        threshold=threshold,
        overlap=overlap,
        min_area_m2=min_area,
        batch_size=batch_size,
        no_crs=no_crs,
        overwrite=overwrite,
        resume=resume,
        progress=not quiet,
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
