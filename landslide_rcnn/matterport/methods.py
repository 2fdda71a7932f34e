"""The methods of matterport's `MaskRCNN` that notebooks use, for `model.MaskRCNN` to inherit.

    images -> mold_inputs -> detect_molded -> results
    images -> run_graph -> any stage of the network by its name

Shape letters: `landslide_rcnn.nn`.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from landslide_rcnn.boxes import generate_pyramid_anchors, norm_boxes
from landslide_rcnn.config import Config
from landslide_rcnn.data.resize import resize_image
from landslide_rcnn.errors import ConfigError, RegistryError, ShapeError
from landslide_rcnn.matterport.image_meta import (
    compose_image_meta,
    compute_backbone_shapes,
    log,
    parse_image_meta,
)
from landslide_rcnn.matterport.replaced import missing
from landslide_rcnn.molding import inference_resize, mold, unmold
from landslide_rcnn.nn.mask_rcnn import MaskRCNNNetwork
from landslide_rcnn.nn.stages import STAGES, Forward, Stage, compute_stage, stage_name
from landslide_rcnn.prediction import masks_of
from landslide_rcnn.training import set_trainable


class MatterportMethods:
    """What `MaskRCNN` offers beside training, detection and weights."""

    config: Config
    keras_model: MaskRCNNNetwork

    def __getattr__(self, name: str) -> Any:
        """Say what to use instead of a method of matterport's that is not here."""
        raise missing("MaskRCNN", name)

    # --- Detection in steps ------------------------------------------------------------------

    def mold_inputs(
        self, images: Sequence[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Resize, pad and normalise images.

        Args:
            images: [H, W, C] arrays, in the files' own values.

        Returns:
            molded_images: [B, h, w, C] float32.
            image_metas: [B, IMAGE_META_SIZE].
            windows: [B, (y1, x1, y2, x2)] int32, pixels of the molded images, half-open.

        Raises:
            ShapeError: The images are not of one size after resizing.
        """
        molded, windows = zip(*(mold(image, None, self.config) for image in images))
        shapes = {image.shape for image in molded}
        if len(shapes) > 1:
            raise ShapeError(
                "The images of a batch must have one size after resizing. Received: "
                f"{sorted(shapes)} with IMAGE_RESIZE_MODE={self.config.IMAGE_RESIZE_MODE!r}. "
                "Use IMAGE_RESIZE_MODE='square', or detect, which takes any sizes."
            )
        windows = np.stack(windows).astype(np.int32)
        no_classes = np.zeros(self.config.NUM_CLASSES, np.int32)
        metas = []
        for image, shaped, window in zip(images, molded, windows):
            # Resizing an image of no channels costs nothing and tells the scale.
            scale = resize_image(image[..., :0], **inference_resize(self.config))[2]
            metas.append(
                compose_image_meta(0, image.shape, shaped.shape, window, scale, no_classes)
            )
        return np.stack(molded), np.stack(metas), windows

    def detect_molded(
        self, molded_images: np.ndarray, image_metas: np.ndarray, verbose: int = 0
    ) -> list[dict[str, np.ndarray]]:
        """Find the objects in images from `mold_inputs`.

        Args:
            molded_images: [B, h, w, C].
            image_metas: [B, IMAGE_META_SIZE]; original size and window are read.
            verbose: 1 prints the inputs.

        Returns:
            For each image what `detect` returns, in the original image's pixels.
        """
        if verbose:
            log("molded_images", molded_images)
            log("image_metas", image_metas)
        meta = parse_image_meta(image_metas)
        windows = meta["window"].astype(np.float32)
        outputs = self._run(np.asarray(molded_images, np.float32), windows)
        results = []
        for i, (height, width, _) in enumerate(meta["original_image_shape"]):
            instances = unmold(
                outputs["detections"][i],
                outputs["masks"][i],
                windows[i],
                molded_images[i].shape[:2],
                (height, width),
            )
            results.append(
                {
                    "rois": instances.boxes,
                    "class_ids": instances.class_ids,
                    "scores": instances.scores,
                    "masks": masks_of(instances, height, width),
                }
            )
        return results

    def unmold_detections(
        self,
        detections: np.ndarray,
        mrcnn_mask: np.ndarray,
        original_image_shape: Sequence[int],
        image_shape: Sequence[int],
        window: Sequence[int],
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Bring one image's detections back to its own pixels.

        Args:
            detections: [D, (y1, x1, y2, x2, class_id, score)], normalised; class 0 is padding.
            mrcnn_mask: [D, h, w, K], probabilities inside the boxes.
            original_image_shape: (H, W, ...) of the image.
            image_shape: (H, W, ...) of the network's input.
            window: (y1, x1, y2, x2), pixels of the network's input, half-open.

        Returns:
            boxes [N, 4] int32 pixels, class_ids [N] int32, scores [N] float32, masks [H, W, N]
            bool.
        """
        own = detections[:, 4].astype(np.int32)
        masks = mrcnn_mask[np.arange(len(own)), :, :, own]
        height, width = original_image_shape[:2]
        found = unmold(
            detections, masks, np.asarray(window), tuple(image_shape[:2]), (height, width)
        )
        return found.boxes, found.class_ids, found.scores, masks_of(found, height, width)

    # --- Anchors -----------------------------------------------------------------------------

    def get_anchors(self, image_shape: Sequence[int]) -> np.ndarray:
        """Return the anchors, [A, 4] normalised, of images (H, W, ...); sets `anchors`."""
        key = tuple(int(side) for side in image_shape[:2])
        cache = self.__dict__.setdefault("_anchor_cache", {})
        if key not in cache:
            pixels = generate_pyramid_anchors(
                self.config.RPN_ANCHOR_SCALES,
                self.config.RPN_ANCHOR_RATIOS,
                compute_backbone_shapes(self.config, key),
                self.config.BACKBONE_STRIDES,
                self.config.RPN_ANCHOR_STRIDE,
            )
            cache[key] = pixels, norm_boxes(pixels, key)
        self._anchors_shape = key
        return cache[key][1]

    @property
    def anchors(self) -> np.ndarray:
        """[A, 4], pixels, of the size last given to `get_anchors`, at first IMAGE_SHAPE."""
        key = self.__dict__.get("_anchors_shape")
        if key is None:
            self.get_anchors(self.config.IMAGE_SHAPE)
        return self._anchor_cache[self._anchors_shape][0]

    # --- The inside of the network -------------------------------------------------------------

    def run_graph(
        self,
        images: Sequence[np.ndarray],
        outputs: Sequence[Any],
        image_metas: np.ndarray | None = None,
    ) -> "OrderedDict[str, np.ndarray]":
        """Run images through the network and return any of its stages.

        Args:
            images: As for `detect`, all of one size after resizing; or, with `image_metas`,
                molded images.
            outputs: Names, or pairs (key of the result, what). What: a name such as "ROI",
                "mrcnn_class", "P3", "res4a_out" (see `nn.stages.STAGES`, and the names of the
                network's layers), `keras_model.get_layer(name).output`, or None for the key.
            image_metas: [B, IMAGE_META_SIZE] of molded images.

        Returns:
            Arrays [B, ...] by key, in the order asked for. Boxes are normalised.

        Raises:
            RegistryError: There is no such stage; the message lists them.
        """
        if image_metas is None:
            images, image_metas, _ = self.mold_inputs(images)
        images = np.asarray(images, np.float32)
        window_px = parse_image_meta(image_metas)["window"]
        windows = norm_boxes(window_px, images.shape[1:3])
        forward = Forward(self.keras_model, ops.convert_to_tensor(images), windows)
        results: OrderedDict[str, np.ndarray] = OrderedDict()
        for wanted in outputs:
            key, what = (wanted, None) if isinstance(wanted, str) else wanted
            value = compute_stage(forward, stage_name(key if what is None else what))
            value = ops.convert_to_numpy(value)
            results[key] = value if value.dtype.kind in "iub" else value.astype(np.float32)
        for key, value in results.items():
            log(key, value)
        return results

    def ancestor(self, tensor: Any, name: str, checked: Any = None) -> Stage:
        """Return the stage that a tensor of matterport's graph had the name of, for `run_graph`.

        Args:
            tensor: Accepted for matterport's signature; there is no graph to walk back.
            name: Such as "ROI/refined_anchors:0" or "ROI/rpn_non_max_suppression:0".
            checked: As `tensor`.

        Raises:
            RegistryError: There is no such stage; the message lists them.
        """
        stage = Stage(stage_name(name))
        if stage.name not in STAGES:
            raise RegistryError(
                f"ancestor finds the stages of the network. Received: {name!r}. "
                f"Use one of {', '.join(STAGES)}."
            )
        return stage

    def find_trainable_layer(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        """Return the layer itself, or the one that a wrapper such as TimeDistributed holds."""
        while isinstance(layer, keras.layers.Wrapper):
            layer = layer.layer
        return layer

    def get_trainable_layers(self) -> list[keras.layers.Layer]:
        """Return every layer with weights of its own, from input to output."""
        return list(self.keras_model.leaf_layers().values())

    def set_trainable(
        self,
        layer_regex: str,
        keras_model: keras.Model | None = None,
        indent: int = 0,
        verbose: int = 1,
    ) -> list[str]:
        """Let some layers train and freeze the rest; `train` does it by its `layers`.

        Args:
            layer_regex: A key or an expression; see `training.set_trainable`.
            keras_model: None, or this model's own network.
            indent: Spaces before each line printed.
            verbose: 1 prints the layers that train.

        Returns:
            Their names.

        Raises:
            ConfigError: The expression is none or names no layer, or `keras_model` is another.
        """
        if keras_model not in (None, self.keras_model):
            raise ConfigError(
                "set_trainable works on the model's own network. Received: keras_model="
                f"{getattr(keras_model, 'name', keras_model)!r}. Leave it out."
            )
        names = set_trainable(self.keras_model, layer_regex)
        if verbose:
            for name in names:
                layer = self.keras_model.get_layer(name)
                print(f"{' ' * indent}{name:25} ({type(layer).__name__})")
        return names
