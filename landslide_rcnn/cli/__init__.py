"""`landslide-rcnn`: commands that parse, make one library call, and print. A file for each.

Exit codes: 0 done; 1 an error in data, files or settings, in one line; 2 a wrong command line;
130 stopped by Ctrl-C. Results go to stdout, progress and warnings to stderr. `--help` loads no
TensorFlow.
"""

import logging
import warnings

import click

from landslide_rcnn.cli.compare import compare
from landslide_rcnn.cli.dataset import dataset
from landslide_rcnn.cli.demo import demo
from landslide_rcnn.cli.detect import detect
from landslide_rcnn.cli.evaluate import evaluate
from landslide_rcnn.cli.factors import factors
from landslide_rcnn.cli.fuse import fuse
from landslide_rcnn.cli.models import models
from landslide_rcnn.cli.report import report
from landslide_rcnn.cli.split import split
from landslide_rcnn.cli.tile import tile
from landslide_rcnn.cli.train import train


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="landslide_rcnn")
def main() -> None:
    """Landslides out of imagery: train, detect, evaluate."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    warnings.formatwarning = lambda message, *_, **__: f"Warning: {message}\n"


COMMANDS = (
    *(demo, dataset, factors, tile, split, train, models),
    *(detect, fuse, evaluate, compare, report),
)
for command in COMMANDS:
    main.add_command(command)
