"""Liu et al. 2021, Jiuzhaigou: `python -m samples.jiuzhaigou`."""
