"""This package: training steps through `MaskRCNN.train`, or `MaskRCNN.detect`, timed.

`--precision` is a value of `Config.PRECISION`.
"""

import importlib
import tempfile

import keras
import numpy as np

from benchmarks.workload import Clock, make_images, make_masks, parse_options, time_steps
from landslide_rcnn.config import Config
from landslide_rcnn.data.batches import TrainingBatches
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.model import MaskRCNN
from landslide_rcnn.training import KerasBatches


class Ellipses(Dataset):
    """The workload's images and masks."""

    def __init__(self, count: int, size: int):
        super().__init__()
        self.images, self.size = make_images(count, size), size
        self.add_class("benchmark", 1, "ellipse")
        for i in range(count):
            self.add_image("benchmark", i, path=None)
        self.prepare()

    def load_image(self, image_id):
        return self.images[image_id]

    def load_mask(self, image_id):
        masks = make_masks(self.size, seed=image_id)
        return masks.transpose(1, 2, 0), np.ones(len(masks), np.int32)


class Ticks(keras.callbacks.Callback):
    """Tells the clock when a step has ended."""

    def __init__(self, clock: Clock):
        super().__init__()
        self.clock = clock

    def on_train_batch_end(self, batch, logs=None):
        self.clock.tick()


def main() -> None:
    options = parse_options(__doc__)
    config = Config(
        NAME="benchmark",
        NUM_CLASSES=2,
        BACKBONE=options.backbone,
        BACKBONE_STYLE="torchvision",
        BATCH_SIZE=options.batch,
        IMAGE_MIN_DIM=options.size,
        IMAGE_MAX_DIM=options.size,
        TRAIN_ROIS_PER_IMAGE=options.rois,
        DETECTION_MAX_INSTANCES=options.detections,
        DETECTION_MIN_CONFIDENCE=0.0,
        DETECTION_NMS_THRESHOLD=0.5,  # torchvision's
        STEPS_PER_EPOCH=options.warmup + options.steps,
        STD_PIXEL=58.0,
        PRECISION=options.precision,
    )
    keras.utils.set_random_seed(0)
    model = MaskRCNN("training", config, tempfile.mkdtemp())
    for name, layer in model.keras_model.leaf_layers().items():
        if name.endswith("branch2c") and name.startswith("bn"):
            layer.gamma.assign(0.2 * layer.gamma)  # stored statistics: keeps activations bounded
    run = {"train": train, "detect": detect}[options.mode]
    clock, facts = run(model, options)
    versions = {"keras": keras.__version__, keras.backend.backend(): backend_version()}
    precision = model.keras_model.dtype_policy.name
    clock.report(options.warmup, precision=precision, versions=versions, **facts)


def train(model, options):
    # Random deltas could move a proposal onto an instance: see `workload.INSTANCES`.
    bbox_pred = model.keras_model.get_layer("rpn_bbox_pred")
    bbox_pred.kernel.assign(0.0 * bbox_pred.kernel)
    dataset, clock = Ellipses(options.batch, options.size), Clock()
    batch = KerasBatches(TrainingBatches(dataset, model.config))[0]
    if options.no_loading:
        KerasBatches.__getitem__ = lambda self, index: batch
    model.train(
        dataset,
        None,
        learning_rate=1e-4,
        epochs=1,
        layers="all",
        custom_callbacks=[Ticks(clock)],
        checkpoints=False,
        verbose=0,
    )
    learnt = model.keras_model.training_pass(*batch)["mask_targets"].used
    return clock, {"mask_rois": int(np.sum(keras.ops.convert_to_numpy(learnt)))}


def detect(model, options):
    # Random weights know no objects: every anchor a proposal, every proposal one, fills the slots.
    layers = model.keras_model.leaf_layers()
    layers["mrcnn_class_logits"].bias.assign([0.0, 5.0])
    for name in ("rpn_bbox_pred", "mrcnn_bbox_fc", "mrcnn_class_logits"):
        layers[name].kernel.assign(0.0 * layers[name].kernel)
    images = make_images(options.batch, options.size)
    counts = [len(found["scores"]) for found in model.detect(images)]
    return time_steps(lambda: model.detect(images), options), {"detections": counts}


def backend_version() -> str:
    return importlib.import_module(keras.backend.backend()).__version__


if __name__ == "__main__":
    main()
