"""`python -m samples.bijie train|evaluate|compare|kfold`."""

from pathlib import Path

import click

from landslide_rcnn.cli.options import one_line_errors, seed_option
from samples.bijie.bijie import VARIANTS, open_part
from samples.commands import sample_commands

main = sample_commands(
    "bijie",
    "Bijie landslides: train on three counties, choose on a fourth, judge on a fifth.",
    VARIANTS,
    open_part,
    default="resnext50",
    epochs=40,
)


@main.command()
@click.option("--data", required=True, help="Folder with split.csv; see the README.")
@click.option("--output", default="results/bijie-compare", show_default=True)
@click.option("--row", "names", multiple=True, help="Only these rows.  [default: all]")
@click.option("--cpu-minutes", default=12.0, show_default=True, help="Of training, each row.")
@seed_option()
@one_line_errors
def compare(data, output, names, cpu_minutes, seed) -> None:
    """Train every architecture alike, and print how they do on the test county."""
    from samples.bijie.comparison import compare_rows

    click.echo(compare_rows(data, Path(output), names, cpu_minutes, seed))


@main.command()
@click.option("--data", required=True, help="Folder with split.csv; see the README.")
@click.option("--output", default="results/bijie-kfold", show_default=True)
@click.option("--row", "name", required=True, help="One of `compare`.")
@click.option("--folds", default=5, show_default=True)
@click.option("--cpu-minutes", default=60.0, show_default=True, help="Of all folds together.")
@seed_option()
@one_line_errors
def kfold(data, output, name, folds, cpu_minutes, seed) -> None:
    """Cross-validate one row of `compare` on four counties; the fifth judges the ensemble."""
    from samples.bijie.comparison import fold_row

    click.echo(fold_row(name, data, Path(output), cpu_minutes, folds=folds, seed=seed))


if __name__ == "__main__":
    main()
