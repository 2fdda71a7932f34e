"""The networks: tensors in, tensors out. Keras only; knows no files, no Config, no NumPy data.

Shape letters, here and in every module below: B batch; H, W pixels; C channels; L pyramid
levels; A anchors; R proposals; T training rois; M mask rois (the first of the T); N ground-truth
instances; D detections; K classes with background 0; S sampling points.

Boxes are [..., (y1, x1, y2, x2)]. Inside a network they are normalised as matterport's:
y1 / (H - 1) and (y2 - 1) / (H - 1) for a half-open pixel box, so that 0 and 1 are the centres of
the first and the last pixel.
"""
