"""A predictor and a scene -> probability and mask rasters, polygons, and a summary."""

from landslide_rcnn.inference.postprocess import PostProcessing
from landslide_rcnn.inference.result import MapResult
from landslide_rcnn.inference.settings import MapSettings
from landslide_rcnn.inference.tiled import predict_scene

__all__ = ["MapResult", "MapSettings", "PostProcessing", "predict_scene"]
