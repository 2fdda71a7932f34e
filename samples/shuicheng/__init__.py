"""The FCN-FL paper's systems, Shuicheng: `python -m samples.shuicheng`."""
