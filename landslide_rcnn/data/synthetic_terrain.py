"""The ground of a generated mountain scene: fractal noise, a river valley, slopes, light.

First step of `synthetic.py`. Horizontal lengths are in pixels here, and so are heights (one
pixel high = one pixel wide), so that a scene looks alike at every pixel size; `synthetic.py`
converts to metres when it writes.

Shape letters: H, W pixels of the scene.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import scipy.fft

VALLEY_TAN = 0.52  # of the flanks' mean inclination, about 27 degrees
VALLEY_REACH = 340.0  # pixels from the river over which the flanks rise, then level out;
VALLEY_REACH_SHARE = 0.33  # at least this share of the scene's height
FLOODPLAIN_SHARE = 0.15  # of the scene's height, on both sides of the river: nearly flat ground,
FLOODPLAIN_RANGE = (64.0, 88.0)  # within these, pixels: a river has one size in every scene
SUN_AZIMUTH_DEG, SUN_ALTITUDE_DEG = 315.0, 45.0  # the cartographer's light, from the north-west


@dataclass(frozen=True)
class Terrain:
    """The ground.

    Attributes:
        elevation: [H, W] float32, pixels.
        slope_deg: [H, W] float32, of the ground smoothed over some pixels.
        downhill: [H, W, (dy, dx)] float32, its steepest descent; the length is the tangent.
        river: [n, (x, y)] float, the river's centre line, pixels of the scene.
        river_distance: [H, W] float32, to the centre line, pixels.
    """

    elevation: np.ndarray
    slope_deg: np.ndarray
    downhill: np.ndarray
    river: np.ndarray
    river_distance: np.ndarray


def fractal_noise(
    rng: np.random.Generator, height: int, width: int, wavelength: float, roughness: float
) -> np.ndarray:
    """Make random noise whose amplitudes fall with frequency.

    Args:
        rng: Source of randomness.
        height, width: Pixels.
        wavelength: The longest waves, pixels; beyond it the spectrum is flat.
        roughness: Amplitude is frequency ** -roughness; 1.0 is rough, 2.5 smooth hills.

    Returns:
        [H, W] float32, mean 0, standard deviation 1.
    """
    # Padding hides that the noise is periodic, and keeps the transform's length a fast one.
    shape = [scipy.fft.next_fast_len(side + 32, real=True) for side in (height, width)]
    spectrum = scipy.fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    vertical = np.fft.fftfreq(shape[0]).astype(np.float32)[:, None]
    horizontal = np.fft.rfftfreq(shape[1]).astype(np.float32)[None]
    squared = vertical**2 + horizontal**2 + np.float32(1 / wavelength**2)
    spectrum *= squared ** np.float32(-roughness / 2)
    spectrum[0, 0] = 0
    noise = scipy.fft.irfft2(spectrum, s=shape)[:height, :width]
    return ((noise - noise.mean()) / noise.std()).astype(np.float32)


def make_terrain(rng: np.random.Generator, height: int, width: int) -> Terrain:
    """Make a valley that a river winds through from left to right, between rugged flanks."""
    river = _river_line(rng, height, width)
    canvas = np.ones((height, width), np.uint8)
    cv2.polylines(canvas, [np.round(river).astype(np.int32)], False, 0, 1)
    distance = cv2.distanceTransform(canvas, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)

    from_plain = np.maximum(distance - np.clip(FLOODPLAIN_SHARE * height, *FLOODPLAIN_RANGE), 0)
    reach = max(VALLEY_REACH, VALLEY_REACH_SHARE * height)
    flank = VALLEY_TAN * reach * np.tanh(from_plain / reach)
    ruggedness = 1 - np.exp(-from_plain / 60)
    # The zero lines of the noise become gullies: an absolute value is creased there.
    gullies = np.abs(fractal_noise(rng, height, width, 300, 2.2))
    hills = fractal_noise(rng, height, width, 420, 2.6)
    detail = fractal_noise(rng, height, width, 60, 1.9)
    elevation = 300 + flank + ruggedness * (20 * gullies + 16 * hills + 1.3 * detail)
    elevation += 1.0 * (1 - ruggedness) * hills
    elevation = elevation.astype(np.float32)

    smooth = cv2.GaussianBlur(elevation, (0, 0), 4)
    up_y, up_x = np.gradient(smooth)
    slope_deg = np.degrees(np.arctan(np.hypot(up_y, up_x)))
    return Terrain(elevation, slope_deg, np.stack([-up_y, -up_x], -1), river, distance)


def _river_line(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return the points (x, y) of a winding line that crosses the scene."""
    x = np.arange(-40, width + 41, 4, dtype=float)
    y = np.full(len(x), height * rng.uniform(0.45, 0.55))
    for wavelength, amplitude in ((1100, 0.10), (470, 0.04), (230, 0.022)):
        length = wavelength * rng.uniform(0.85, 1.15)
        phase = rng.uniform(0, 2 * np.pi)
        y += amplitude * min(height, 1024) * np.sin(2 * np.pi * x / length + phase)
    return np.stack([x, y], axis=1)


def hillshade(elevation: np.ndarray) -> np.ndarray:
    """Return the direct light on a surface, [H, W] in [0, 1]; heights in pixels."""
    up_y, up_x = np.gradient(elevation)
    azimuth, altitude = np.radians(SUN_AZIMUTH_DEG), np.radians(SUN_ALTITUDE_DEG)
    # Towards the sun: x to the east, y to the south (down the rows), z up.
    sun_x, sun_y = np.sin(azimuth) * np.cos(altitude), -np.cos(azimuth) * np.cos(altitude)
    light = np.sin(altitude) - up_x * sun_x - up_y * sun_y
    return np.clip(light / np.sqrt(1 + up_x**2 + up_y**2), 0, 1).astype(np.float32)
