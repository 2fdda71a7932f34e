"""`landslide-rcnn tile`."""

import click

from landslide_rcnn.cli.options import (
    instance_rules,
    no_crs_option,
    one_line_errors,
    overwrite_option,
    quiet_option,
    tile_options,
)


@click.command()
@click.argument("data")
@click.option("-o", "--output", required=True, help="Folder for images/ and annotations.json.")
@click.option("--tile-size", default=256, show_default=True, type=click.IntRange(16), help="Px.")
@click.option("--overlap", type=click.IntRange(0), help="Of tiles, pixels. Unset: a quarter.")
@click.option(
    "--companion",
    "companions",
    multiple=True,
    help="Further bands: a raster, river lines, or DEM#FACTORS, such as dem.tif#slope,aspect.",
)
@tile_options
@no_crs_option
@click.option("--resume", is_flag=True, help="Go on with a run that was stopped.")
@overwrite_option
@quiet_option
@one_line_errors
def tile(
    data, output, tile_size, overlap, companions, no_crs, resume, overwrite, quiet, **given
) -> None:
    """Write the tiles of DATA, SCENE:POLYGONS, as GeoTIFFs with one COCO file."""
    from landslide_rcnn.data.readers import open_dataset
    from landslide_rcnn.data.scenes import SceneDataset
    from landslide_rcnn.errors import DatasetError
    from landslide_rcnn.geo.companions import Companion
    from landslide_rcnn.workflows.tile import write_tiles

    overlap = tile_size // 4 if overlap is None else overlap
    dataset = open_dataset(
        data,
        tile_size=tile_size,
        overlap=overlap,
        allow_no_crs=no_crs,
        companions=[Companion.parse(text) for text in companions],
        rules=instance_rules(given),
    )
    if not isinstance(dataset, SceneDataset):
        raise DatasetError(
            f"Tiles are cut from a scene. Received: {data}. Name SCENE.tif:POLYGONS.gpkg."
        )
    counts = write_tiles(
        dataset,
        output,
        {"tile_size": tile_size, "overlap": overlap, "companions": list(companions)},
        resume=resume,
        overwrite=overwrite,
        progress=not quiet,
    )
    click.echo(
        f"{counts['tiles']} tiles, {counts['tiles_with_landslides']} of them with "
        f"{counts['instances']} landslides: {output}"
    )
    if counts["left_out"]:
        click.echo(f"{counts['left_out']} parts of landslides left out", err=True)
