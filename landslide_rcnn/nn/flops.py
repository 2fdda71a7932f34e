"""Count the multiply-adds of a network, layer by layer. What `FLOPs` means in model tables.

One multiplication and the addition that follows it are one. Convolutions and dense layers are
counted; normalisation, activations, pooling and resizing are not, as in the tables of the papers:
together they are well below 1 %. Shape letters: `landslide_rcnn.nn`.
"""

import math

import keras
from keras import layers

from landslide_rcnn.errors import ShapeError
from landslide_rcnn.nn.conv_norm import ConvNorm
from landslide_rcnn.nn.mask_rcnn import MaskRCNNNetwork


def count_multiply_adds(model: keras.Model, *, size: tuple[int, int] = (256, 256)) -> int:
    """Return the multiply-adds of one image of `size`.

    Args:
        model: A functional model of one input [B, H, W, C]; it may hold others.
        size: (H, W), pixels.

    Raises:
        ShapeError: A layer has a kernel, and there is no rule how often it is used.
    """
    return _walk(model, keras.KerasTensor((1, *size, model.input_shape[-1])))[0]


def count_detector(network: MaskRCNNNetwork, *, size: tuple[int, int] = (256, 256)) -> int:
    """Return the multiply-adds of detecting in one image of `size`.

    The box head works on as many rois as there are proposals at the most, the mask head on as
    many as there are detections.

    Args:
        network: The detector.
        size: (H, W), pixels, multiples of 64.
    """
    settings, bands = network.settings, network.backbone.input_shape[-1]
    maps, total = keras.KerasTensor((1, *size, bands)), 0
    for stage in (network.backbone, network.fpn, network.bottom_up_path):
        if stage is not None:
            count, maps = _walk(stage, maps)
            total += count
    total += sum(_walk(network.rpn, level)[0] for level in maps.values())
    for head, rois in (
        (network.box_head, settings.post_nms_rois_inference),
        (network.mask_head, settings.detection_max_instances),
    ):
        total += rois * _walk(head, keras.KerasTensor((1, *head.input_shape[1:])))[0]
    return total


def _walk(model: keras.Model, inputs):
    """Walk through the graph of `model` with symbolic inputs shaped as `inputs`.

    Returns:
        Its multiply-adds, and its symbolic outputs.
    """
    total = 0

    def call(operation, *args, **kwargs):
        nonlocal total
        outputs = operation(*args, **kwargs)
        if isinstance(operation, keras.Model):
            total += _walk(operation, args[0])[0]
        else:
            total += _of_layer(operation, args, outputs)
        return outputs

    def keep(operation):
        return operation

    if isinstance(inputs, dict):  # Keras wants their names to be the keys
        inputs = {key: keras.Input(batch_shape=x.shape, name=key) for key, x in inputs.items()}
    else:
        inputs = keras.Input(batch_shape=inputs.shape)
    walked = keras.models.clone_model(
        model, input_tensors=inputs, clone_function=keep, call_function=call
    )
    return total, walked.output


def _of_layer(operation, args, outputs) -> int:
    layer = operation.convolution if isinstance(operation, ConvNorm) else operation
    for kind, rule in RULES.items():
        if isinstance(layer, kind):
            return rule(layer, args[0].shape, outputs.shape)
    kernels = [w.path for w in getattr(layer, "weights", ()) if len(w.shape) > 1]
    if kernels:
        raise ShapeError(
            "Every layer with a kernel needs a rule by which its multiply-adds are counted. "
            f"Received: {type(layer).__name__} with {', '.join(kernels)}. Add one to "
            "landslide_rcnn.nn.flops.RULES."
        )
    return 0


def _once_an_output(layer, inputs, outputs) -> int:
    return math.prod(layer.kernel.shape) * math.prod(outputs[1:-1])


def _once_an_input(layer, inputs, outputs) -> int:
    return math.prod(layer.kernel.shape) * math.prod(inputs[1:-1])


def _separable(layer, inputs, outputs) -> int:
    kernels = (layer.depthwise_kernel, layer.pointwise_kernel)
    return sum(math.prod(kernel.shape) for kernel in kernels) * math.prod(outputs[1:-1])


# How often the kernel of a layer is applied. A grouped kernel is smaller by itself.
RULES = {
    layers.Conv2DTranspose: _once_an_input,
    layers.Conv2D: _once_an_output,
    layers.DepthwiseConv2D: _once_an_output,
    layers.SeparableConv2D: _separable,
    layers.Dense: _once_an_output,
}
