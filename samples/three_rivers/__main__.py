"""`python -m samples.three_rivers train|evaluate`."""

from samples.commands import sample_commands
from samples.three_rivers.three_rivers import EPOCHS, VARIANTS, open_part

main = sample_commands(
    "three_rivers",
    "DRs-UNet, U-Net and SegNet on tiles of InSAR maps (Chen et al. 2022).",
    VARIANTS,
    open_part,
    default="drs-unet",
    epochs=EPOCHS,
)

if __name__ == "__main__":
    main()
