"""The colours that mean something, for every map, figure and page: each is defined here only.

The verdicts are the papers' (Liu et al. 2021, Figures 13 to 15): green correct, red missed, blue
false. They differ in lightness as well as in hue (CIE L* 77, 44 and 49), so that with the common
colour-vision deficiencies (simulated after Machado et al. 2009) any two are at least 20 CIEDE2000
apart.
"""

# Verdicts of pixels and landslides.
CORRECT_COLOR = "#52d681"
MISSED_COLOR = "#cf1020"
FALSE_COLOR = "#2f6fe4"

# Outlines that stay visible on rock, soil and forest.
TRUTH_COLOR = "#ffd83d"
PREDICTION_COLOR = "#3fe0ff"
CROWD_COLOR = "#d9a6ff"  # regions that are neither

# Paper, text, and what stands back: lesser text, pixels without data.
PAPER_COLOR, INK_COLOR, QUIET_COLOR, NODATA_COLOR = "#fbfaf7", "#22262b", "#6c737c", "#d6d3cc"

# Probability from 0 to 1.
PROBABILITY_RAMP = ("#3b0f6f", "#b5367a", "#fb8861", "#fcfdbf")

# Things compared with each other, such as models in one chart: Okabe and Ito 2008.
SERIES_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#22262b")


def rgb_of(color: str) -> tuple[int, int, int]:
    """Return "#rrggbb" as red, green and blue in 0 to 255."""
    return tuple(bytes.fromhex(color[1:]))
