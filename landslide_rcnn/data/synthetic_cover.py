"""What covers the ground of a generated scene: forest, river, roads, fields, bare landslides.

Third step of `synthetic.py`: each function returns, or paints, colours before the light falls on
them. Roads, gravel and above all fields have colours like a landslide's, so that colour alone
does not find the landslides; where they lie, their outline and their texture do.

Shape letters: H, W pixels of the scene; h, w pixels of a landslide's window. Colours are RGB in
[0, 1].
"""

import cv2
import numpy as np

from landslide_rcnn.data.synthetic_landslides import Landslide
from landslide_rcnn.data.synthetic_terrain import Terrain, fractal_noise, hillshade

FIELD_CELL = 30  # pixels; one field is tried in each square of this side
MAX_FIELD_SLOPE_DEG = 13.0
ROAD_GRADE_SAMPLES = 3  # pixels between two points of a road's line
GREENS = np.array([[0.15, 0.23, 0.12], [0.23, 0.32, 0.16], [0.33, 0.38, 0.21]])
GRASS = np.array([0.40, 0.42, 0.22])
WATER = np.array([0.27, 0.36, 0.36])
GRAVEL = np.array([0.66, 0.64, 0.60])
ASPHALT = np.array([0.56, 0.56, 0.57])
FIELD_SOILS = np.array(
    [[0.54, 0.41, 0.28], [0.61, 0.49, 0.35], [0.49, 0.37, 0.27], [0.60, 0.52, 0.32]]
)
SLIDE_SOILS = np.array(
    [[0.57, 0.44, 0.31], [0.63, 0.52, 0.39], [0.52, 0.40, 0.30], [0.60, 0.53, 0.44]]
)


def mix(image: np.ndarray, colour: np.ndarray, share: np.ndarray) -> None:
    """Blend a colour [3] or [H, W, 3] into an image in place, by a share [H, W] in [0, 1]."""
    image += share[..., None] * (colour - image)


def make_forest(
    rng: np.random.Generator, terrain: Terrain, patches: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Make a canopy of tree crowns with meadows between.

    Args:
        rng: Source of randomness.
        terrain: The ground.
        patches: [H, W] float32 noise; where it is high there is meadow instead of forest.

    Returns:
        image: [H, W, 3] float32.
        canopy: [H, W] float32, the height of the trees, pixels; for light and shadow.
    """
    height, width = terrain.elevation.shape
    # A crown around each of some random points: the nearest point's distance gives its dome.
    points = (rng.random((height, width), dtype=np.float32) > 1 / 34).astype(np.uint8)
    points[0, 0] = 0
    distance, nearest = cv2.distanceTransformWithLabels(
        points, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    crown_size = rng.uniform(2.6, 5.2, nearest.max() + 1).astype(np.float32)[nearest]
    crown_tint = rng.normal(0, 1, nearest.max() + 1).astype(np.float32)[nearest]
    dome = np.sqrt(np.maximum(1 - (distance / crown_size) ** 2, 0))

    flatness = np.clip(1 - terrain.slope_deg / 16, 0, 1)
    meadow = np.clip((patches + 1.3 * flatness - 1.25) * 2.2, 0, 1)
    forest = 1 - meadow
    canopy = cv2.GaussianBlur(dome * crown_size * 0.75 * forest, (0, 0), 0.7)

    tone = np.clip(1 + 0.42 * fractal_noise(rng, height, width, 240, 1.6) + 0.3 * crown_tint, 0, 2)
    low = np.minimum(tone, 1)[..., None]
    high = np.maximum(tone - 1, 0)[..., None]
    image = GREENS[0] + low * (GREENS[1] - GREENS[0]) + high * (GREENS[2] - GREENS[1])
    image *= (0.55 + 0.45 * dome)[..., None]
    image = image.astype(np.float32)
    grass = GRASS * (1 + 0.10 * fractal_noise(rng, height, width, 12, 1.0))[..., None]
    grass *= (1 + 0.12 * patches)[..., None]
    mix(image, grass, meadow)
    return image, canopy


def paint_river(rng: np.random.Generator, image: np.ndarray, terrain: Terrain) -> np.ndarray:
    """Paint the river with its gravel bars.

    Returns:
        [H, W] bool, water and gravel.
    """
    height, width = terrain.elevation.shape
    sway = fractal_noise(rng, height, width, 150, 1.8)
    braids = fractal_noise(rng, height, width, 60, 2.0)
    bed = 1 - _smooth_step(terrain.river_distance, 18 + 6 * sway, 2)
    channel = 1 - _smooth_step(terrain.river_distance + 4 * braids, 9 + 3 * sway, 1.2)
    pebbles = fractal_noise(rng, height, width, 5, 0.7)
    mix(image, GRAVEL * (1 + 0.09 * pebbles + 0.05 * braids)[..., None], bed)
    mix(image, WATER * (1 + 0.04 * braids)[..., None], channel * bed)
    return bed > 0.5


def _smooth_step(values: np.ndarray, edge: np.ndarray | float, softness: float) -> np.ndarray:
    """Return 0 below an edge and 1 above it, with a linear ramp as wide as twice `softness`."""
    return np.clip((values - edge) / (2 * softness) + 0.5, 0, 1)


def paint_roads(rng: np.random.Generator, image: np.ndarray, terrain: Terrain) -> np.ndarray:
    """Paint an asphalt road along the valley and a track along the slope above it.

    Returns:
        [H, W] bool, where the roads are.
    """
    height, width = terrain.elevation.shape
    side = rng.choice([-1, 1])
    road = np.zeros((height, width), np.float32)
    for offset, half_width, colour in (
        (side * rng.uniform(58, 70), 2.8, ASPHALT),
        (-side * rng.uniform(100, 125), 1.6, SLIDE_SOILS[1] * 0.95),
    ):
        x = terrain.river[::ROAD_GRADE_SAMPLES, 0]
        bends = np.convolve(rng.normal(0, 9, len(x) + 10), np.ones(11) / 3.3, "valid")
        y = terrain.river[::ROAD_GRADE_SAMPLES, 1] + offset + bends
        # Smoothed like a planned line: a road does not follow every bend of the river.
        y = np.convolve(np.pad(y, 9, "edge"), np.ones(19) / 19, "valid")
        line = np.ones((height, width), np.uint8)
        curve = np.round(np.stack([x, y], axis=1) * 16).astype(np.int32)
        cv2.polylines(line, [curve], False, 0, 1, cv2.LINE_8, 4)
        distance = cv2.distanceTransform(line, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        share = 1 - _smooth_step(distance, half_width, 0.7)
        mix(image, colour * rng.uniform(0.95, 1.05), share)
        road = np.maximum(road, share)
    return road > 0.5


def paint_fields(
    rng: np.random.Generator, image: np.ndarray, terrain: Terrain, forbidden: np.ndarray
) -> np.ndarray:
    """Paint ploughed fields, rectangles on gentle slopes, in the colours of bare soil.

    Args:
        rng: Source of randomness.
        image: [H, W, 3], changed in place.
        terrain: The ground.
        forbidden: [H, W] bool, where no field may be.

    Returns:
        [H, W] bool, where the fields are.
    """
    height, width = forbidden.shape
    fields = np.zeros((height, width), bool)
    too_steep = terrain.slope_deg > MAX_FIELD_SLOPE_DEG
    taken = (forbidden | too_steep).astype(np.uint8)
    clods = fractal_noise(rng, height, width, 4, 0.6)
    for top in range(0, height, FIELD_CELL):
        for left in range(0, width, FIELD_CELL):
            centre = rng.uniform(0, FIELD_CELL, 2) + (left, top)
            size = rng.uniform(26, 84), rng.uniform(17, 44)
            # Along the nearest stretch of the river, as strips of a valley floor are.
            index = np.abs(terrain.river[:-1, 0] - centre[0]).argmin()
            step_x, step_y = terrain.river[index + 1] - terrain.river[index]
            angle = np.degrees(np.arctan2(step_y, step_x)) + rng.normal(0, 5)
            corners = cv2.boxPoints((tuple(map(float, centre)), size, float(angle)))
            left_px, top_px, width_px, height_px = cv2.boundingRect(np.round(corners).astype(int))
            is_whole = left_px + width_px <= width and top_px + height_px <= height
            if min(left_px, top_px) < 0 or not is_whole:
                continue
            near = (slice(top_px, top_px + height_px), slice(left_px, left_px + width_px))
            area = np.zeros(taken[near].shape, np.uint8)
            cv2.fillConvexPoly(area, np.round(corners - (left_px, top_px)).astype(np.int32), 1)
            inside = area.view(bool)
            if not inside.any() or taken[near][inside].any():
                continue
            taken[near] |= cv2.dilate(area, np.ones((5, 5), np.uint8))
            _paint_field(rng, image[near], inside, np.radians(angle), clods[near])
            fields[near] |= inside
    return fields


def _paint_field(
    rng: np.random.Generator,
    image: np.ndarray,
    inside: np.ndarray,
    angle: float,
    clods: np.ndarray,
) -> None:
    """Paint one field with furrows along its longer side."""
    rows, columns = np.nonzero(inside)
    depth = columns * -np.sin(angle) + rows * np.cos(angle)
    furrows = np.sin(2 * np.pi * depth / rng.uniform(3.2, 5.5))
    shade = 1 + 0.07 * furrows + 0.05 * clods[inside]
    colour = FIELD_SOILS[rng.integers(len(FIELD_SOILS))] * rng.uniform(0.9, 1.12)
    image[inside] = colour * shade[:, None]


def paint_landslide(
    rng: np.random.Generator, image: np.ndarray, landslide: Landslide, streaks: np.ndarray
) -> None:
    """Paint bare soil with streaks along the flow, a dark scarp at the top, and a pale toe.

    Args:
        rng: Source of randomness.
        image: [H, W, 3], changed in place.
        landslide: What to paint.
        streaks: [H, W] float32 noise, stretched along the flow.
    """
    soil = SLIDE_SOILS[rng.integers(len(SLIDE_SOILS))] * rng.uniform(0.88, 1.12)
    along, across = landslide.along, landslide.across
    # Noise looked up by place along and across the flow, so that its grain follows the bends.
    shift_y, shift_x = rng.uniform(0, 400, 2)
    map_x = (shift_x + across * landslide.half_width.max() * 1.3) % (streaks.shape[1] - 1)
    map_y = (shift_y + along * 9) % (streaks.shape[0] - 1)
    grain = cv2.remap(streaks, map_x.astype(np.float32), map_y.astype(np.float32), cv2.INTER_LINEAR)
    shade = 1 + 0.12 * grain + 0.10 * (along - 0.5)
    # The scarp casts a shadow at the top; along the sides the trees do, a little.
    from_edge = cv2.distanceTransform(np.pad(landslide.mask, 1).view(np.uint8), cv2.DIST_L2, 3)
    at_edge = np.exp(-from_edge[1:-1, 1:-1] / 2.5)
    shade -= at_edge * np.interp(along, [0, 0.08, 0.25, 1], [0.5, 0.4, 0.12, 0.06])
    target = image[landslide.window]
    colour = soil * shade[..., None]
    target[landslide.mask] = colour[landslide.mask]


def landslide_relief(
    rng: np.random.Generator, landslide: Landslide, lumps: np.ndarray
) -> np.ndarray:
    """Return how a landslide changes the ground, [h, w] float32, pixels of height.

    The bed is cut in, the toe piled up, and boulders lie on the lower half.
    """
    along, across = landslide.along, landslide.across
    bed = np.clip(1 - across**2, 0, 1)
    relief = np.interp(along, [0, 0.25, 0.6, 0.9, 1], [-1.2, -2.4, -1.2, 1.2, 0.3]) * bed
    relief += 0.5 * lumps[landslide.window]
    height, width = along.shape
    boulders = np.zeros((height, width), np.float32)
    for _ in range(int(landslide.mask.sum() / 170)):
        row, column = rng.integers(height), rng.integers(width)
        if landslide.mask[row, column] and along[row, column] > 0.4:
            cv2.circle(boulders, (int(column), int(row)), int(rng.integers(1, 3)), 1.6, -1)
    return (relief + cv2.GaussianBlur(boulders, (0, 0), 0.6)) * landslide.mask


def light(elevation: np.ndarray, canopy: np.ndarray) -> np.ndarray:
    """Return the light on ground and trees, [H, W] float32, 1 on flat open ground."""
    flat = np.sin(np.radians(45.0))
    ground = hillshade(cv2.GaussianBlur(elevation, (0, 0), 1.2)) / flat
    surface = hillshade(cv2.GaussianBlur(elevation, (0, 0), 0.6) + canopy) / flat
    return 0.40 + 0.32 * ground + 0.28 * surface
