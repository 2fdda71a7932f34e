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


tile_options = options(TILE_OPTIONS)


def instance_rules(given: dict):
    """Take the values of `tile_options` out of a command's options; return the rules."""
    from landslide_rcnn.data.tiles import InstanceRules

    return InstanceRules(
        given.pop("min_pixels"), given.pop("min_area"), given.pop("min_share"),
        given.pop("left_out"),
    )  # fmt: skip


def quiet_option(command):
    return click.option("-q", "--quiet", is_flag=True, help="No progress bars.")(command)
