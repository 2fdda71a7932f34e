"""Yang et al. 2022, Ludian: `python -m samples.ludian`."""
