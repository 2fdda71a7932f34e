"""`python -m samples.ludian train|evaluate`."""

from samples.commands import sample_commands
from samples.ludian.ludian import EPOCHS, VARIANTS, open_part

main = sample_commands(
    "ludian",
    "Mask R-CNN with background enhancement and landslide-inducing factors (Yang et al. 2022).",
    VARIANTS,
    open_part,
    default="background-factors",
    epochs=EPOCHS,
)

if __name__ == "__main__":
    main()
