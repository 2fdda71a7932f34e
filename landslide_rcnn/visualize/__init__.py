"""Figures: matterport's drawing functions, maps of results, and charts of how good they are.

The last step: they are handed arrays, or what a training or an evaluation wrote, and run no model.
Every function returns its matplotlib figure (of a table a `Table`) and never shows it. A notebook
shows the figure that is the last value of a cell; for one in the middle, `display(figure)`. In a
script, `figure.savefig(...)`, or hand in axes of a window of your own:
`display_instances(..., ax=plt.subplots()[1])`, then `plt.show()`.
"""

from landslide_rcnn.palette import CORRECT_COLOR, FALSE_COLOR, MISSED_COLOR
from landslide_rcnn.visualize.bands import display_bands
from landslide_rcnn.visualize.comparison import ComparedArea, display_comparison
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
from landslide_rcnn.visualize.maps import map_figure
from landslide_rcnn.visualize.scores import plot_reliability, plot_threshold_curves
from landslide_rcnn.visualize.sheets import SheetTile, augmentation_sheet, contact_sheet
from landslide_rcnn.visualize.tables import Table, display_table, display_weight_stats
from landslide_rcnn.visualize.weights import display_weight_histograms

__all__ = [
    "CORRECT_COLOR",
    "ComparedArea",
    "FALSE_COLOR",
    "MISSED_COLOR",
    "SheetTile",
    "Table",
    "apply_mask",
    "augmentation_sheet",
    "contact_sheet",
    "display_bands",
    "display_comparison",
    "display_differences",
    "display_images",
    "display_instances",
    "display_table",
    "display_top_masks",
    "display_weight_histograms",
    "display_weight_stats",
    "draw_box",
    "draw_boxes",
    "draw_rois",
    "map_figure",
    "plot_overlaps",
    "plot_precision_recall",
    "plot_reliability",
    "plot_threshold_curves",
    "random_colors",
    "to_rgb",
    "training_curves",
]
