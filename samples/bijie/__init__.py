"""The Bijie landslide dataset (Ji et al. 2020): `python -m samples.bijie`."""
