"""Batches for training a semantic network: as `batches.py`, with a map of classes for labels.

Shape letters: B batch; H, W pixels; C channels; K classes with background 0.
"""

import numpy as np

from landslide_rcnn.data.batches import TrainingBatches
from landslide_rcnn.data.samples import Sample


class SemanticBatches(TrainingBatches):
    """A sequence of batches, the same length every epoch; see `TrainingBatches`.

    A batch is a dict of
        "image" [B, H, W, C] float32, normalised; 0 (the mean) where padded or not valid,
        "class_map" [B, H, W] int32 in 0..K-1: the class of the instance that covers the pixel,
            of the last one where several do; 0 = background,
        "valid_mask" [B, H, W] bool: False where padded, without data, or covered by a crowd.

    MAX_GT_INSTANCES does not limit what is painted.
    """

    def _labels(
        self, sample: Sample, source: str, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        with_pixels = sample.masks.any(axis=(0, 1))
        with self._lock:
            self.counts["instances_without_pixels"] += int(np.count_nonzero(~with_pixels))
        is_crowd = sample.class_ids < 0
        class_map = np.zeros(sample.valid.shape, np.int32)
        for index in np.flatnonzero(~is_crowd):
            class_map[sample.masks[..., index]] = sample.class_ids[index]
        crowds = sample.masks[..., is_crowd].any(axis=-1)
        return {"class_map": class_map, "valid_mask": sample.valid & ~crowds}
