"""`python -m samples.shuicheng train|evaluate`."""

from samples.commands import sample_commands
from samples.shuicheng.shuicheng import EPOCHS, VARIANTS, open_part

main = sample_commands(
    "shuicheng",
    "FCN-FL, the FCN with and without focal loss, U-Net and SegNet; --kfold 5 makes it FCN-FLK.",
    VARIANTS,
    open_part,
    default="fcn-fl",
    epochs=EPOCHS,
)

if __name__ == "__main__":
    main()
