"""Facts about a map -> one HTML file that holds all it needs.

    collect -> Facts --+--> pictures, shapes, places -> data for map.js and table.js
                       +--> sections, judging, charts -> text
                       +--> page.html, page.css, the scripts and Leaflet -> report.html

The page asks nothing of a network: its own policy forbids it, and allows no other script than
those that were put in here.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import geopandas as gpd
import numpy as np
from tqdm import tqdm

from landslide_rcnn.errors import LandslideError
from landslide_rcnn.evaluation.truth import RASTER_SUFFIXES
from landslide_rcnn.files import atomic_path, refuse_to_overwrite
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.vector import align_crs, read_polygons
from landslide_rcnn.palette import (
    CORRECT_COLOR,
    FALSE_COLOR,
    MISSED_COLOR,
    PREDICTION_COLOR,
    PROBABILITY_RAMP,
    TRUTH_COLOR,
)
from landslide_rcnn.report import judging, pictures, sections
from landslide_rcnn.report.collect import Facts
from landslide_rcnn.report.markup import Content, Markup, escaped, json_script, tag
from landslide_rcnn.report.places import place_grid
from landslide_rcnn.report.shapes import MAX_LANDSLIDES, UNITS, columns, coordinate_digits, drawn
from landslide_rcnn.report.words import number

SCRIPTS = ("polygons.js", "map.js", "table.js", "page.js")
PARTS = (
    judging.trust, judging.curves, sections.sizes, judging.borders, sections.filtered,
    sections.model_card, sections.reproduce,
)  # fmt: skip
LANDSLIDE_STYLE = {
    "stroke": PREDICTION_COLOR,
    "casing": "#0b1a24b0",
    "fill": f"{PREDICTION_COLOR}1a",
    "width": 1.5,
}
TRUTH_STYLE = {"stroke": TRUTH_COLOR, "casing": "#1e1a00a0", "width": 1.5, "dash": [5, 3]}
# Names of page.css.
COLORS = {
    "correct": CORRECT_COLOR,
    "missed": MISSED_COLOR,
    "false": FALSE_COLOR,
    "truth": TRUTH_COLOR,
    "prediction": PREDICTION_COLOR,
    "ramp": ", ".join(PROBABILITY_RAMP),
}


def write_report(
    facts: Facts,
    path: str | Path,
    *,
    scene: str | Path | Sequence[str | Path] | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Write the page.

    Args:
        facts: Of the map.
        path: Of the HTML file.
        scene: The scene's file or files. None: where they lay when the map was made; if they
            are gone, the map has no background, and the page says so.
        overwrite: Replace an earlier page.
        progress: Show a bar on stderr.

    Raises:
        OutputExistsError: The page is there already and `overwrite` is False.
        RasterError, GeoReferenceError: The scene that was named, or the truth, cannot be used.
    """
    path = Path(path)
    refuse_to_overwrite(path, overwrite=overwrite)
    text = build_page(facts, scene=scene, progress=progress)
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def build_page(
    facts: Facts,
    *,
    scene: str | Path | Sequence[str | Path] | None = None,
    progress: bool = True,
) -> str:
    """Return the page as text; see `write_report`."""
    shown = _limited(facts)
    background = _background(facts, scene)
    errors = _errors(facts, progress)
    layers = _layers(facts, shown, background, errors)
    data = {
        "grid": _grid(facts),
        "places": place_grid(facts.grid),
        "units": UNITS,
        "layers": layers,
        "columns": columns(shown, facts.grid),
    }
    leaflet, styles = _vendored("leaflet.js"), _vendored("leaflet.css")
    script = "\n".join(_own(name) for name in SCRIPTS)
    return Template(_own("page.html")).substitute(
        policy=_policy(leaflet, script),
        title=escaped(f"Landslides: {facts.scene_name}"),
        styles=f"{styles}\n{_colors()}\n{_own('page.css')}",
        heading=sections.heading(facts),
        map_label=escaped(f"Map of {facts.scene_name} with {len(facts.polygons):,} landslides"),
        printed=_printed(facts, background, errors),
        notes=_notes(facts),
        sections="\n".join(part(facts) for part in PARTS),
        foot=escaped("Made by landslide_rcnn. The page holds all it shows and asks no network."),
        licence=escaped(_vendored("LICENSE.leaflet")),
        data=json_script(data, "data"),
        leaflet=leaflet,
        script=script,
    )


def _own(name: str) -> str:
    return files("landslide_rcnn.report").joinpath(name).read_text(encoding="utf-8")


def _vendored(name: str) -> str:
    """Return a file of the map library, without the files beside it that it would ask for."""
    text = _own(f"vendor/{name}")
    text = re.sub(r"url\((?:images/[^)]*|#default#VML)\)", "none", text)
    return re.sub(r"//# sourceMappingURL=\S+", "", text)


def _colors() -> str:
    return ":root { " + " ".join(f"--{name}: {color};" for name, color in COLORS.items()) + " }"


def _policy(*scripts: str) -> str:
    digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()) for each in scripts]
    allowed = " ".join(f"'sha256-{each.decode()}'" for each in digests)
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}; "
        "base-uri 'none'; form-action 'none'"
    )


def _limited(facts: Facts) -> gpd.GeoDataFrame:
    """Return the landslides that a browser can hold; say which are not shown."""
    count = len(facts.polygons)
    if count > MAX_LANDSLIDES:
        facts.notes.append(
            f"Map and table show the first {MAX_LANDSLIDES:,} of {count:,} landslides, the "
            "largest; the numbers are those of all, and all are in landslides.gpkg."
        )
    return facts.polygons.iloc[:MAX_LANDSLIDES]


def _background(facts: Facts, scene: str | Path | Sequence[str | Path] | None) -> np.ndarray | None:
    """Return the picture of the scene; None where it is gone."""
    if scene is not None:
        paths = [Path(scene)] if isinstance(scene, str | Path) else [Path(each) for each in scene]
        return pictures.scene_picture(paths, facts.grid)
    if not facts.scene_paths:
        facts.notes.append("The map's summary names no scene: the map has no background.")
        return None
    try:
        return pictures.scene_picture(facts.scene_paths, facts.grid)
    except LandslideError:
        facts.notes.append(
            f"{facts.scene_name} could not be read where it lay when it was mapped: the map has "
            "no background. Name it with --scene."
        )
        return None


def _errors(facts: Facts, progress: bool) -> pictures.Verdicts | None:
    """Return the comparison with the truth; None without one."""
    if facts.error_map is None:
        return None
    with tqdm(total=facts.grid.height, desc="Drawing", unit="row", disable=not progress) as bar:
        return pictures.verdicts(facts.error_map, tick=bar.update)


def _layers(
    facts: Facts,
    shown: gpd.GeoDataFrame,
    background: np.ndarray | None,
    errors: pictures.Verdicts | None,
) -> list[dict[str, Any]]:
    """Return what lies on the map, from below."""
    found = []

    def add(name: str, label: str, on: bool, legend: list, **content: Any) -> None:
        found.append({"id": name, "label": label, "on": on, "legend": legend, **content})

    if background is not None:
        add("scene", "Scene", True, [], picture=pictures.data_uri(background, "photograph"))
    probability = pictures.probability_picture(facts.probability_path)
    add(
        "probability", "Probability", False, [("0 to 1", "ramp")],
        picture=pictures.data_uri(probability, "classes"),
    )  # fmt: skip
    if errors is not None:
        verdicts = [("correct", "correct"), ("missed", "missed"), ("false", "false")]
        add(
            "errors", "Errors", False, verdicts,
            picture=pictures.data_uri(errors.error_picture(), "classes"),
        )  # fmt: skip
        is_mask = facts.truth is None or facts.truth.suffix.lower() in RASTER_SUFFIXES
        if is_mask:
            truth = pictures.data_uri(errors.truth_picture(), "classes")
            add("truth", "Truth", False, [("true landslide", "true-area")], picture=truth)
        else:
            shapes = _shapes(facts, _true_polygons(facts), "true landslides")
            legend = [("true landslide", "truth")]
            add("truth", "Truth", False, legend, shapes=shapes, style=TRUTH_STYLE)
    shapes = _shapes(facts, shown, "landslides")
    legend = [("as mapped", "landslide")]
    add("landslides", "Landslides", True, legend, shapes=shapes, style=LANDSLIDE_STYLE)
    return found


def _true_polygons(facts: Facts) -> gpd.GeoDataFrame:
    with Scene(facts.mask_path, allow_no_crs=True) as mask:
        return align_crs(read_polygons(facts.truth), mask)


def _shapes(facts: Facts, polygons: gpd.GeoDataFrame, what: str) -> list:
    """Return polygons for the map; say by how much they are simplified."""
    result = drawn(polygons, facts.grid)
    if result.tolerance_px:
        facts.notes.append(
            f"The outlines of the {what} are simplified on this page, by up to "
            f"{result.tolerance_px:g} pixels, to {result.corners:,} corners; numbers and files "
            "are those of the exact ones."
        )
    return result.shapes


def _grid(facts: Facts) -> dict[str, Any]:
    grid = facts.grid
    return {
        "width": grid.width,
        "height": grid.height,
        "transform": list(grid.transform)[:6],
        "crs": None if grid.crs is None else grid.crs.to_string(),
        "digits": coordinate_digits(grid),
        "pixel_size_m": facts.pixel_size_m,
    }


def _printed(
    facts: Facts, background: np.ndarray | None, errors: pictures.Verdicts | None
) -> Markup:
    """Return the map for paper, and for browsers without scripts."""
    picture = pictures.printed_map(
        background, np.asarray(facts.polygons.geometry.array, object), facts.grid
    )
    size = facts.pixel_size_m
    width = f"{number(facts.grid.width)} pixels"
    if size:
        metres = size * facts.grid.width
        width = f"{metres / 1000:.3g} km" if metres >= 1000 else f"{metres:.3g} m"
    caption = f"{facts.scene_name} with the outlines of {len(facts.polygons):,} landslides."
    shown = [_figure(picture, f"{caption} The map is {width} wide.")]
    if errors is not None:
        picture = pictures.printed_errors(background, errors.error_picture())
        shown.append(
            _figure(picture, "Compared with the truth. Green: correct. Red: missed. Blue: false.")
        )
    show = Markup(
        "<noscript><style>.printed{display:block}.map-sheet{display:none}</style></noscript>"
    )
    return Markup(tag("div", shown, class_="printed") + show)


def _figure(picture: np.ndarray, caption: str) -> Markup:
    uri = pictures.data_uri(picture, "printed")
    return tag("figure", tag("img", src=uri, alt=caption), tag("figcaption", caption))


def _notes(facts: Facts) -> Content:
    if not facts.notes:
        return ""
    return tag("ul", [tag("li", each) for each in facts.notes], class_="notes quiet")
