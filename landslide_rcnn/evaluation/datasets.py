"""A predictor + a labelled dataset -> a threshold sweep over all its pixels.

How a model is judged on tiles: while it trains (the best epoch, the threshold) and afterwards.
"""

from collections.abc import Iterator

from tqdm import tqdm

from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.evaluation.pixels import ThresholdSweep
from landslide_rcnn.prediction import Predictor


def sweep_dataset(
    predictor: Predictor,
    dataset: Dataset,
    *,
    sweep: ThresholdSweep | None = None,
    batch_size: int = 4,
    progress: bool = True,
) -> ThresholdSweep:
    """Predict every image of a dataset and compare it with its masks, in the image's own pixels.

    Args:
        predictor: A model that takes images of several sizes at once, as both families do.
        dataset: Prepared. An image without instances is background.
        sweep: Of other datasets, to go on with. None: a new one.
        batch_size: Images predicted together.
        progress: Show a progress bar on stderr.

    Returns:
        The counts of every threshold, all images' pixels together: `sweep`, where one was given.
    """
    sweep = ThresholdSweep() if sweep is None else sweep
    ids = list(dataset.image_ids)
    with tqdm(total=len(ids), desc="evaluate", unit="image", disable=not progress) as bar:
        for part in _batches(ids, batch_size):
            images = [dataset.load_image(i) for i in part]
            valid = [dataset.load_valid_mask(i) for i in part]
            predictions = predictor.predict_tiles(images, valid)
            for image_id, prediction, valid_mask in zip(part, predictions, valid, strict=True):
                masks, class_ids = dataset.load_mask(image_id)
                # A crowd (negative id) is no truth to compare with: its pixels are left out.
                truth = masks[..., class_ids > 0].any(axis=-1)
                crowd = masks[..., class_ids < 0].any(axis=-1)
                sweep.add(prediction.probability, truth, valid_mask & ~crowd)
            bar.update(len(part))
    return sweep


def _batches(items: list, size: int) -> Iterator[list]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
