"""Figures: matterport's drawing functions for images and instances, and the map of a result.

The last step: they are handed plain arrays and run no model. Every function returns its
matplotlib figure and never shows it: call `plt.show()`, `figure.savefig(...)`, or leave it to
the notebook.
"""

from landslide_rcnn.visualize.curves import training_curves
from landslide_rcnn.visualize.detection import (
    display_differences,
    draw_rois,
    plot_overlaps,
    plot_precision_recall,
)
from landslide_rcnn.visualize.instances import (
    apply_mask,
    display_images,
    display_instances,
    display_top_masks,
    draw_box,
    draw_boxes,
    random_colors,
    to_rgb,
)
from landslide_rcnn.visualize.maps import (
    CORRECT_COLOR,
    FALSE_COLOR,
    MISSED_COLOR,
    map_figure,
)
from landslide_rcnn.visualize.tables import Table, display_table, display_weight_stats

__all__ = [
    "CORRECT_COLOR",
    "FALSE_COLOR",
    "MISSED_COLOR",
    "Table",
    "apply_mask",
    "display_differences",
    "display_images",
    "display_instances",
    "display_table",
    "display_top_masks",
    "display_weight_stats",
    "draw_box",
    "draw_boxes",
    "draw_rois",
    "map_figure",
    "plot_overlaps",
    "plot_precision_recall",
    "random_colors",
    "to_rgb",
    "training_curves",
]
