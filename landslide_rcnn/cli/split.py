"""`landslide-rcnn split`."""

import click

from landslide_rcnn.cli.options import (
    no_crs_option,
    one_line_errors,
    overwrite_option,
    quiet_option,
    seed_option,
)


@click.command()
@click.argument("data")
@click.option("-o", "--output", required=True, help="A CSV file. DATA#PART@FILE opens a part.")
@click.option(
    "--by",
    default="blocks",
    show_default=True,
    help="blocks, blocks=4 (tiles a side), blocks=500m, attribute=county, random, kfold=5.",
)
@click.option(
    "--parts",
    default="train=0.7,val=0.15,test=0.15",
    show_default=True,
    help="Their names and shares.",
)
@seed_option()
@click.option("--table", help="CSV with file and the attribute. Unset: the data's split.csv.")
@click.option("--tile-size", default=256, show_default=True, type=click.IntRange(16), help="Px.")
@click.option("--overlap", type=click.IntRange(0), help="Of tiles, pixels. Unset: a quarter.")
@no_crs_option
@overwrite_option
@quiet_option
@one_line_errors
def split(
    data, output, by, parts, seed, table, tile_size, overlap, no_crs, overwrite, quiet
) -> None:
    """Split DATA (all forms of train) so that no part has seen another's ground."""
    from landslide_rcnn.data.readers import open_dataset
    from landslide_rcnn.workflows.split import split_dataset

    dataset = open_dataset(
        data,
        tile_size=tile_size,
        overlap=tile_size // 4 if overlap is None else overlap,
        allow_no_crs=no_crs,
    )
    made, counts = split_dataset(
        dataset,
        output,
        by,
        parts=_parse_shares(parts),
        seed=seed,
        table=table,
        overwrite=overwrite,
        progress=not quiet,
    )
    click.echo(f"{output}: {made.kind}")
    for one in counts:
        click.echo(
            f"{one.part:12} {one.samples:6} samples, {one.with_landslides:6} with landslides, "
            f"{one.landslide_share:.2%} of the pixels"
        )


def _parse_shares(text: str) -> dict[str, float]:
    try:
        pairs = [item.split("=") for item in text.split(",")]
        return {name.strip(): float(share) for name, share in pairs}
    except ValueError:
        raise click.BadParameter(
            f"Parts are NAME=SHARE, separated by commas. Received: {text!r}. "
            "Use train=0.7,val=0.15,test=0.15, say.",
            param_hint="--parts",
        ) from None
