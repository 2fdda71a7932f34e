"""`python -m samples.jiuzhaigou train|evaluate`."""

from samples.commands import sample_commands
from samples.jiuzhaigou.jiuzhaigou import EPOCHS, VARIANTS, open_part

main = sample_commands(
    "jiuzhaigou",
    "The improved Mask R-CNN of Liu et al. 2021 and the four that it is compared with.",
    VARIANTS,
    open_part,
    default="resnext50-n-edge",
    epochs=EPOCHS,
)

if __name__ == "__main__":
    main()
