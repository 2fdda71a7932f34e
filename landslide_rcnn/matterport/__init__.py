"""What only scripts and notebooks written for matterport's Mask R-CNN call.

`model` and `utils` hand these names out. Nothing else in the package uses them: the way of the
data is `data/batches.py` -> `nn/` -> `molding.py`, and the functions here call into it.
"""
