"""torchvision's Mask R-CNN: training steps or detection, timed.

Everything trains; the batch normalisation is frozen, as torchvision's own COCO training has it.
`--precision` is float32, or bfloat16 (torch.autocast); "_last" behind it puts the channels last.
"""

import contextlib

import numpy as np
import torch
import torchvision
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops.misc import FrozenBatchNorm2d

from benchmarks.workload import make_images, make_masks, parse_options, time_steps


def main() -> None:
    options = parse_options(__doc__)
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    backbone = resnet_fpn_backbone(
        backbone_name=options.backbone,
        weights=None,
        trainable_layers=5,
        norm_layer=FrozenBatchNorm2d,
    )
    model = MaskRCNN(
        backbone,
        num_classes=2,
        min_size=options.size,
        max_size=options.size,
        box_batch_size_per_image=options.rois,
        box_positive_fraction=0.33,
        box_score_thresh=0.0,
        box_detections_per_img=options.detections,
    ).to(device)
    for name, buffer in model.backbone.named_buffers():
        if name.endswith("bn3.weight"):
            buffer.mul_(0.2)  # stored statistics and random weights: keeps activations bounded
    precision = options.precision.replace("auto", "float32")
    if precision.endswith("_last"):
        model = model.to(memory_format=torch.channels_last)
    autocast = contextlib.nullcontext
    if precision.startswith("bfloat16"):
        autocast = lambda: torch.autocast(device, dtype=torch.bfloat16)  # noqa: E731
    images = [
        torch.from_numpy(image).permute(2, 0, 1).float().div(255).to(device)
        for image in make_images(options.batch, options.size)
    ]
    run = {"train": training_step, "detect": detection}[options.mode]
    step, facts = run(model, images, autocast, options)
    clock = time_steps(step, options)
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    clock.report(options.warmup, precision=precision, versions=versions, **facts)


def training_step(model, images, autocast, options):
    targets = []
    for i, image in enumerate(images):
        masks = make_masks(options.size, seed=i)
        boxes = [
            [np.flatnonzero(m.any(0))[0], np.flatnonzero(m.any(1))[0],
             np.flatnonzero(m.any(0))[-1] + 1, np.flatnonzero(m.any(1))[-1] + 1]
            for m in masks
        ]  # fmt: skip
        targets.append(
            {
                "boxes": torch.tensor(boxes, dtype=torch.float32, device=image.device),
                "labels": torch.ones(len(masks), dtype=torch.int64, device=image.device),
                "masks": torch.from_numpy(masks.astype(np.uint8)).to(image.device),
            }
        )
    # Random deltas could move a proposal onto an instance: see `workload.INSTANCES`.
    torch.nn.init.zeros_(model.rpn.head.bbox_pred.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    model.train()
    facts = {}
    model.roi_heads.mask_head.register_forward_pre_hook(
        lambda head, inputs: facts.update(mask_rois=len(inputs[0]))
    )

    def step():
        with autocast():
            losses = model(images, targets)
            loss = sum(losses.values())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        return loss.item()

    return step, facts


def detection(model, images, autocast, options):
    model.eval()

    def step():
        with torch.inference_mode(), autocast():
            return [
                {name: value.float().cpu().numpy() for name, value in found.items()}
                for found in model(images)
            ]

    return step, {"detections": [len(found["scores"]) for found in step()]}


if __name__ == "__main__":
    main()
