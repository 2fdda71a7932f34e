"""Fixtures for all tests: seeded randomness, small rasters and scenes."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import settings

# The same examples in every run, and no complaint about a busy machine.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

TRANSFORM = Affine(2, 0, 500_000, 0, -2, 4_000_000)


@pytest.fixture
def rng() -> np.random.Generator:
    """A source of randomness with a fixed seed."""
    return np.random.default_rng(20_240_229)


@pytest.fixture
def write_raster(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes pixels [H, W] or [H, W, C] to a GeoTIFF of 2 m pixels."""

    def write(pixels: np.ndarray, name: str = "scene.tif", **profile) -> Path:
        bands = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
        count, height, width = bands.shape
        options = {"driver": "GTiff", "crs": "EPSG:32648", "transform": TRANSFORM, **profile}
        colours = options.pop("colorinterp", None)
        with rasterio.open(
            tmp_path / name,
            "w",
            height=height,
            width=width,
            count=count,
            dtype=bands.dtype,
            **options,
        ) as file:
            if colours is not None:
                file.colorinterp = colours
            file.write(bands)
        return tmp_path / name

    return write
