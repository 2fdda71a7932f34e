"""Where the time of a semantic network's training step goes.

    python -m benchmarks.semantic_profile --only deeplab drs_unet

Each operation that could dominate a step without need is replaced by the cheapest one of the same
shapes (soft thresholding by nothing, unpooling by repetition, dilated convolutions by plain
ones, ..), and the step is timed again: the difference is what the operation costs, its gradient
and what it keeps others from fusing included. A network is built anew for each variant. Times
are the processor's, of all threads together, so that other work on the machine disturbs little.
"""

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable
from unittest import mock

import keras
import numpy as np
from keras import layers, ops

from landslide_rcnn.nn.semantic import drs_unet, segnet
from landslide_rcnn.nn.semantic.registry import build_semantic

NETWORKS = (
    ("fcn", "vgg16"),
    ("fcn_fl", "vgg16"),
    ("unet", "plain"),
    ("segnet", "vgg16"),
    ("pspnet", "resnet50"),
    ("pspnet", "mobilenet"),
    ("deeplab", "xception"),
    ("deeplab", "mobilenet"),
    ("drs_unet", "plain"),
)


def _undilated(*kinds: type) -> Callable:
    """Build convolutions of these kinds without their dilation."""

    def replace(stack: contextlib.ExitStack) -> None:
        for kind in kinds:
            original = kind.__init__

            def init(self, *args, original=original, dilation_rate=(1, 1), **kwargs):
                original(self, *args, **kwargs)

            stack.enter_context(mock.patch.object(kind, "__init__", init))

    return replace


def _methods(functions: dict[type, Callable]) -> Callable:
    """Let layers of these kinds do these functions instead."""

    def replace(stack: contextlib.ExitStack) -> None:
        for kind, function in functions.items():
            stack.enter_context(mock.patch.object(kind, "call", function))

    return replace


def _repeat(self, x, corners):
    return ops.repeat(ops.repeat(x, 2, axis=1), 2, axis=2)


def _pool_alone(self, x):
    largest = ops.max_pool(x, 2, 2)
    return largest, ops.zeros(ops.shape(largest), "uint8")


# The operation with what it needs beforehand, and how a network is built or run without it.
REPLACEMENTS = {
    "soft threshold": _methods(
        {
            drs_unet.SoftThreshold: lambda self, x, tau: x,
            drs_unet.AbsoluteMean: lambda self, x: ops.cast(x[:, :1, :1], "float32"),
        }
    ),
    "unpooling": _methods({segnet.MaxUnpool: _repeat, segnet.MaxPoolWithCorner: _pool_alone}),
    "dilation": _undilated(layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D),
}
USES = {
    "drs_unet": "soft threshold",
    "segnet": "unpooling",
    "pspnet": "dilation",
    "deeplab": "dilation",
}


def time_step(
    name: str, backbone: str, dtype: str, without: str | None, *, size: int, batch: int, steps: int
) -> float:
    """Return the median processor seconds of a training step.

    Args:
        name: Of the architecture.
        backbone: Of it.
        dtype: "float32" or "bfloat16".
        without: A key of `REPLACEMENTS`, or None for the network as it is.
        size: Pixels a side of a tile.
        batch: Tiles.
        steps: That are timed, after three others.
    """
    with contextlib.ExitStack() as stack:
        if without is not None:
            REPLACEMENTS[without](stack)
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_bfloat16" if dtype == "bfloat16" else dtype)
        stack.callback(keras.config.set_dtype_policy, policy)
        keras.utils.set_random_seed(0)
        model = build_semantic(name, backbone)
        model.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True))
        rng = np.random.default_rng(0)
        x = rng.normal(size=(batch, size, size, 3)).astype("float32")
        y = rng.integers(0, 2, (batch, size, size, 1)).astype("float32")
        times = []
        for _ in range(steps + 1):
            start = time.process_time()
            model.train_on_batch(x, y)
            times.append(time.process_time() - start)
    return statistics.median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=128, help="of a tile, pixels (default 128)")
    parser.add_argument("--batch", type=int, default=4, help="tiles (default 4)")
    parser.add_argument("--steps", type=int, default=3, help="that are timed (default 3)")
    parser.add_argument("--only", nargs="*", help="architectures (default all)")
    arguments = parser.parse_args()
    settings = dict(size=arguments.size, batch=arguments.batch, steps=arguments.steps)
    print(f"{'network':22}{'precision':11}{'CPU ms':>10}   of it (ms)", flush=True)
    for name, backbone in NETWORKS:
        if arguments.only and name not in arguments.only:
            continue
        for dtype in ("float32", "bfloat16"):
            whole = time_step(name, backbone, dtype, None, **settings)
            row = f"{name + ' ' + backbone:22}{dtype:11}{1000 * whole:10.0f}"
            if name in USES:
                cost = whole - time_step(name, backbone, dtype, USES[name], **settings)
                row += f"   {USES[name]} {1000 * cost:.0f} ({cost / whole:.0%})"
            print(row, flush=True)


if __name__ == "__main__":
    main()
