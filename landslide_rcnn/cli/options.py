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


def quiet_option(command):
    return click.option("-q", "--quiet", is_flag=True, help="No progress bars.")(command)
