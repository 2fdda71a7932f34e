"""`python -m samples.bijie train|evaluate`."""

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

if __name__ == "__main__":
    main()
