"""Semantic networks on one Keras backend, from fixed weights: `python -m ... FOLDER`.

TensorFlow makes the weights; what the networks answer goes to `semantic-<backend>.npz`.
"""

import sys
from pathlib import Path

import keras
import numpy as np
from keras import ops

from landslide_rcnn.nn.compiled import compile_forward
from landslide_rcnn.nn.semantic.deeplab import build_deeplab
from landslide_rcnn.nn.semantic.drs_unet import build_drs_unet
from landslide_rcnn.nn.semantic.segnet import build_segnet
from landslide_rcnn.nn.semantic_losses import focal_loss

# Thin ones, of what is not only Keras' layers: pooling indices, dilation and resizing, shrinkage.
NETWORKS = {
    "segnet": lambda: build_segnet(width=8, channels=2),
    "deeplab": lambda: build_deeplab(backbone="mobilenet", width=16, channels=2),
    "drs_unet": lambda: build_drs_unet(width=8, channels=2),
}


def run(folder: Path) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 37, 50, 2)).astype(np.float32)
    truth = {"class_map": (x[..., 0] > 0.3).astype(np.int32), "valid_mask": x[..., 1] < 1}
    truth = {name: ops.convert_to_tensor(value) for name, value in truth.items()}
    found = {}
    for name, build in NETWORKS.items():
        keras.utils.set_random_seed(0)
        model, path = build(), folder / f"{name}.weights.h5"
        if not path.exists():
            for variable in model.weights:  # statistics and scales of a network that has trained
                if variable.path.endswith(("moving_variance", "gamma")):
                    variable.assign(rng.uniform(0.7, 1.3, variable.shape))
            model.save_weights(path)
        model.load_weights(path)
        found[name] = compile_forward(model)(x)["output"]
        answers = {"logits": ops.convert_to_tensor(found[name]), **truth}
        found[f"loss_{name}"] = ops.convert_to_numpy(focal_loss(answers))
    return found


if __name__ == "__main__":
    target = Path(sys.argv[1])
    np.savez(target / f"semantic-{keras.backend.backend()}.npz", **run(target))
