"""Weight files in and out: everything becomes arrays by layer name, and a report says what fitted.

    name or path -> public.py (fetching.py) -> a file
    file -> reading.py: keras_files.py, torch_files.py (pickles.py) -> names.py
         -> {layer name: arrays, not yet read} -> assigning.py (conventions.py) -> report.py

Our own files have a card (card.py), and so have several that predict together (ensembles.py). No
file is ever unpickled or run.
"""

from landslide_rcnn.weights.arrays import NamedWeights
from landslide_rcnn.weights.assigning import CLASS_LAYERS, assign
from landslide_rcnn.weights.card import Card, card_path, read_card, save_weights
from landslide_rcnn.weights.conventions import pixel_scale_note
from landslide_rcnn.weights.ensembles import (
    ENSEMBLE_NAME,
    EnsembleCard,
    ensemble_path,
    read_any_card,
    read_ensemble,
    write_ensemble,
)
from landslide_rcnn.weights.public import COCO_URL, download_trained_weights, find_weights
from landslide_rcnn.weights.reading import READERS, read_weights
from landslide_rcnn.weights.report import LoadReport

__all__ = [
    "CLASS_LAYERS",
    "COCO_URL",
    "ENSEMBLE_NAME",
    "Card",
    "EnsembleCard",
    "LoadReport",
    "NamedWeights",
    "READERS",
    "assign",
    "card_path",
    "download_trained_weights",
    "ensemble_path",
    "find_weights",
    "pixel_scale_note",
    "read_any_card",
    "read_card",
    "read_ensemble",
    "read_weights",
    "save_weights",
    "write_ensemble",
]
