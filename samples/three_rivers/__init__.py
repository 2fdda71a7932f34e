"""Chen et al. 2022, Three Rivers: `python -m samples.three_rivers`."""
