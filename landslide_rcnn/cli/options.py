"""What several commands share: options, and errors as one line."""

import functools
import sys

import click

from landslide_rcnn.errors import LandslideError


def one_line_errors(command):
    """Turn this package's errors into one line on stderr and exit code 1; Ctrl-C into 130."""

    @functools.wraps(command)
    def wrapped(*args, **kwargs):
        try:
            return command(*args, **kwargs)
        except LandslideError as error:
            click.echo(f"Error: {' '.join(str(error).split())}", err=True)
            sys.exit(1)
        except OSError as error:  # a full disk, a folder that went away
            named = f"{error.filename} ({error.strerror})" if error.filename else str(error)
            click.echo(
                "Error: Files must be readable and writable. Received: "
                f"{' '.join(named.split())}. Check permissions and free space.",
                err=True,
            )
            sys.exit(1)
        except KeyboardInterrupt:
            sys.exit(130)  # what to do next was said where it happened

    return wrapped


def overwrite_option(command):
    return click.option("--overwrite", is_flag=True, help="Replace results that are there.")(
        command
    )


def seed_option(told="Decides everything random."):
    """Return `--seed`, from 0: a number that NumPy takes."""
    return click.option(
        "--seed", default=0, show_default=True, type=click.IntRange(0, 2**32 - 1), help=told
    )


def no_crs_option(command):
    return click.option(
        "--no-crs", is_flag=True, help="Take a scene without CRS in pixel coordinates."
    )(command)


def options(*groups):
    """Put options on a command, in the order in which `--help` shall list them."""

    def decorate(command):
        for option in reversed([each for group in groups for each in group]):
            command = option(command)
        return command

    return decorate


# Which landslides are instances of a scene's tiles.
TILE_OPTIONS = (
    click.option(
        "--min-pixels",
        default=10,
        show_default=True,
        type=click.IntRange(0),
        help="Of a landslide's part in a tile.",
    ),
    click.option(
        "--min-area",
        default=0.0,
        show_default=True,
        type=click.FloatRange(0),
        help="Of a landslide, m2.",
    ),
    click.option(
        "--min-share",
        default=0.0,
        show_default=True,
        type=click.FloatRange(0, 1),
        help="Of a landslide (or a tile, if that is smaller) that the tile's edge may leave.",
    ),
    click.option(
        "--left-out",
        default="background",
        show_default=True,
        type=click.Choice(["background", "crowd"]),
        help="What smaller ones are: background, or neither that nor landslide.",
    ),
)


# Which part of a map is judged.
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

tile_options, part_options = options(TILE_OPTIONS), options(PART_OPTIONS)


def instance_rules(given: dict):
    """Take the values of `tile_options` out of a command's options; return the rules."""
    from landslide_rcnn.data.tiles import InstanceRules

    return InstanceRules(
        given.pop("min_pixels"), given.pop("min_area"), given.pop("min_share"),
        given.pop("left_out"),
    )  # fmt: skip


def judged_part(given: dict) -> dict:
    """Return the values of `part_options` as arguments of the library's calls."""
    from rasterio.windows import Window

    if given["bounds"] and given["window"]:
        raise click.UsageError("Give --bounds or --window, not both.")
    within = Window(*given["window"]) if given["window"] else given["bounds"]
    return {"within": within, "aoi": given["aoi"], "block_px": given["block_size"]}


def quiet_option(command):
    return click.option("-q", "--quiet", is_flag=True, help="No progress bars.")(command)
