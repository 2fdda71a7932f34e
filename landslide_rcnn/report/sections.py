"""Facts about a map -> the parts of the page that are text: what was done, with what, and how.

The parts about trust in the map are in `judging.py`.
"""

from pathlib import Path
from typing import Any

import numpy as np

from landslide_rcnn.report.charts import Axis, Bar, Table, bar_chart, count_axis, figure
from landslide_rcnn.report.collect import Facts
from landslide_rcnn.report.markup import Content, Markup, tag
from landslide_rcnn.report.words import (
    UNDEFINED,
    area,
    command,
    facts_list,
    nested,
    number,
    scrolling,
    section,
    title_of,
    unmeasured,
)
from landslide_rcnn.versions import software_versions

# What each step of post-processing took away, in its order.
STEPS = {
    "elevation": "outside the limits of elevation",
    "sieve": "in parts too small (sieve)",
    "small": "in landslides too small",
    "holes_filled": "added: holes that were filled",
    "slope": "in landslides outside the limits of slope",
}
# Setting of a map -> option of `landslide-rcnn detect`.
OPTIONS = {
    "threshold": "--threshold",
    "overlap": "--overlap",
    "batch_size": "--batch-size",
    "probability": "--probability",
    "date": "--date",
}
# Limit of post-processing -> what it is, and its unit.
LIMITS = {
    "min_area_m2": ("Smallest landslide", "m²"),
    "min_pixels": ("Smallest landslide", "pixels"),
    "fill_holes_m2": ("Holes filled up to", "m²"),
    "sieve_pixels": ("Smallest part", "pixels"),
    "simplify_m": ("Outlines simplified by up to", "m"),
    "smooth": ("Corners cut", ""),
    "min_elevation_m": ("Lowest elevation", "m"),
    "max_elevation_m": ("Highest elevation", "m"),
    "min_slope_deg": ("Gentlest mean slope", "°"),
    "max_slope_deg": ("Steepest mean slope", "°"),
}
CLEANING_OPTIONS = {
    "min_area_m2": "--min-area",
    "min_pixels": "--min-pixels",
    "fill_holes_m2": "--fill-holes",
    "sieve_pixels": "--sieve",
    "simplify_m": "--simplify",
    "min_elevation_m": "--min-elevation",
    "max_elevation_m": "--max-elevation",
    "min_slope_deg": "--min-slope",
    "max_slope_deg": "--max-slope",
}
# A map remembers what came out of these, such as its bands and its grid, and not their words.
HOW_IT_WAS_READ = (
    "Where the scene was read with --bands, --resolution, --companion, --companion-fill or --crs, "
    "they belong to this command too."
)


def heading(facts: Facts) -> Markup:
    """Return the title and the numbers that everyone asks for first."""
    summary, polygons = facts.summary, facts.polygons
    unit = "m²" if "area_m2" in polygons else "px"
    areas = polygons.get("area_m2", polygons.get("area_px", np.zeros(0)))
    at_map = (facts.metrics or {}).get("at_map_threshold") or {}
    keys: list[tuple[str, Content]] = [
        ("Landslides", f"{len(polygons):,}"),
        ("Total area", area(float(np.sum(areas)), unit)),
        ("Largest", area(float(np.max(areas)), unit) if len(areas) else UNDEFINED),
        ("Threshold", number(summary.get("threshold"), 2)),
    ]
    if facts.metrics is None:
        keys.append(("F1", tag("span", "not measured", class_="quiet")))
    else:
        keys.append(("F1", number(at_map.get("f1"), 3)))
    size = facts.pixel_size_m
    about = [
        f"{facts.grid.width:,} × {facts.grid.height:,} pixels",
        f"of {size:.3g} m" if size else "without a ground size",
        str(summary.get("coordinates", "")),
        date_of(facts) or "date unknown",
    ]
    return tag(
        "header",
        tag("p", "Landslide inventory", class_="kind"),
        tag("h1", facts.scene_name),
        tag("p", " · ".join(each for each in about if each), class_="about"),
        facts_list(keys, "keys"),
        class_="sheet-head",
    )


def date_of(facts: Facts) -> str:
    """Return when the scene was taken; "" where that is unknown."""
    settings = facts.summary.get("fingerprint", {}).get("settings", {})
    return str(settings.get("date") or facts.summary.get("scene", {}).get("acquired") or "")


def sizes(facts: Facts) -> Markup:
    """Return the histogram of the landslides' areas."""
    name = "area_m2" if "area_m2" in facts.polygons else "area_px"
    unit = "m²" if name == "area_m2" else "px"
    areas = np.asarray(facts.polygons.get(name, []), float)
    areas = areas[areas > 0]
    if not len(areas):
        return section("Sizes", "sizes", unmeasured("the map has no landslide."))
    low, high = np.floor(np.log10(areas.min())), np.ceil(np.log10(areas.max() * 1.0001))
    high = max(high, low + 1)
    edges = np.linspace(low, high, int(high - low) * 4 + 1)
    counts, _ = np.histogram(np.log10(areas), edges)
    x = Axis(
        f"Area, {unit} (each step ten times the last)", low, high,
        list(np.arange(low, high + 1)), _power,
    )  # fmt: skip
    bars = [Bar(a, b, n) for a, b, n in zip(edges[:-1], edges[1:], counts) if n]
    rows = [
        (f"{_plain(10**a)} to {_plain(10**b)} {unit}", f"{n:,}")
        for a, b, n in zip(edges[:-1], edges[1:], counts)
        if n
    ]
    said = (
        f"Of {len(areas):,} landslides, half are smaller than {area(float(np.median(areas)), unit)}"
        f"; the largest tenth holds {_share_of_largest(areas):.0%} of the area."
    )
    chart = figure(
        "How large they are", said, bar_chart(x, count_axis("Landslides", counts.max()), bars),
        Table(("Area", "Landslides"), rows), "chart-sizes",
    )  # fmt: skip
    return section("Sizes", "sizes", tag("div", chart, class_="charts"))


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _power(power: float) -> str:
    value = 10.0**power
    for factor, letter in ((1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:,.0f}{letter}"
    return f"{value:g}"


def _share_of_largest(areas: np.ndarray) -> float:
    largest = np.sort(areas)[::-1]
    return float(largest[: max(len(areas) // 10, 1)].sum() / areas.sum())


def filtered(facts: Facts) -> Markup:
    """Return what was left out of the map, and why."""
    summary = facts.summary
    done = summary.get("post_processing", {})
    removed, settings = done.get("removed", {}), done.get("settings", {})
    rows = [
        tag(
            "tr",
            tag("th", why, scope="row"),
            *(
                tag("td", number(removed.get(step, {}).get(name), 0))
                for name in ("landslides", "pixels", "area_m2")
            ),
        )
        for step, why in STEPS.items()
        if step in removed
    ]
    head = tag(
        "tr",
        [tag("th", each, scope="col") for each in ("What", "Landslides", "Pixels", "Area, m²")],
    )
    table = tag(
        "table",
        tag("caption", "Left out after predicting, step by step"),
        tag("thead", head),
        tag("tbody", rows),
    )
    tiles = summary.get("tiles", {})
    sentences = [
        f"{number(tiles.get('predicted'))} of {number(tiles.get('total'))} tiles were predicted; "
        f"{number(tiles.get('skipped_without_valid_pixels'))} hold no usable pixel.",
        f"{number(summary.get('dissolved_by_blending'))} landslides of single tiles left no pixel "
        "where tiles were blended.",
        f"Pixels count as landslide from a probability of {number(summary.get('threshold'), 2)}.",
    ]
    simplified = done.get("simplified", {})
    if settings.get("simplify_m") or settings.get("smooth"):
        sentences.append(
            "Outlines were simplified or smoothed, which changed the total area by "
            f"{100 * simplified.get('area_change', 0):+.2f} %; "
            f"{number(simplified.get('kept_exact'))} kept the outline of their pixels."
        )
    return section(
        "What was left out, and why",
        "filtered",
        tag("ul", [tag("li", each) for each in sentences]),
        tag("h3", "Limits that were set"),
        facts_list([_limit(name, value) for name, value in settings.items()])
        if settings else tag("p", "None: the map is as the model gave it."),
        scrolling(table, "What was left out") if rows else None,
    )  # fmt: skip


def _limit(name: str, value: Any) -> tuple[str, str]:
    label, unit = LIMITS.get(name, (title_of(name), ""))
    return label, f"{nested(value)} {unit}".strip()


def model_card(facts: Facts) -> Markup:
    """Return what is known of the model."""
    model = facts.summary.get("model")
    known = nested(model) if isinstance(model, dict) else facts_list([("Model", str(model))])
    scene = facts.summary.get("scene", {})
    return section(
        "Model and scene",
        "model",
        tag(
            "div",
            tag("div", tag("h3", "The model's card"), known),
            tag("div", tag("h3", "What it was shown"), _shown(scene)),
            class_="columns",
        ),
    )


def _shown(scene: dict[str, Any]) -> Markup:
    """Return what is known of the scene, but for its folders: a page is passed on."""
    size, outside = scene.get("pixel_size_m"), scene.get("outside_companions") or {}
    found = [
        ("Size", f"{number(scene.get('width'))} × {number(scene.get('height'))} pixels"),
        ("Pixel on the ground", f"{size:.3g} m" if size else "unknown"),
        ("Usable pixels", number(scene.get("valid_pixels"))),
        ("Bands", nested(scene.get("bands") or [])),
        ("Taken", str(scene.get("acquired") or UNDEFINED)),
    ]
    found += [(f"Outside {Path(path).name}", f"{share:.1%}") for path, share in outside.items()]
    return facts_list(found)


def reproduce(facts: Facts) -> Markup:
    """Return the command, the versions and the checksums."""
    made = facts.summary.get("versions", {})
    own_version = software_versions().get("landslide_rcnn")  # None: run from its source
    mapped = facts.summary.get("fingerprint", {}).get("scene", {})
    files = [*mapped.get("files", []), *mapped.get("companions", [])]
    inputs = [(str(each.get("name", "scene")), str(each.get("sha256", ""))) for each in files]
    return section(
        "How to make it again",
        "reproduce",
        tag("p", "The map, with the weights of the model's card:"),
        command(_detect_command(facts)),
        tag("p", HOW_IT_WAS_READ, class_="quiet"),
        tag("p", "This page:"),
        command(_report_command(facts)),
        tag("h3", "Versions"),
        facts_list([(name, str(version)) for name, version in made.items()], "facts inline"),
        tag("p", f"Page made with landslide_rcnn {own_version}.") if own_version else None,
        _hashes("Checksums of what was mapped (SHA-256)", inputs),
        _hashes("Checksums of the map (SHA-256)", list(facts.checksums.items())),
        _cost(facts),
    )  # fmt: skip


def _hashes(title: str, found: list[tuple[str, str]]) -> Content:
    if not found:
        return None
    entries = [(name, tag("code", digest or UNDEFINED)) for name, digest in found]
    return [tag("h3", title), facts_list(entries, "facts hashes")]


def _cost(facts: Facts) -> Markup:
    summary = facts.summary
    memory = summary.get("peak_memory_mb")
    return tag(
        "p",
        f"Mapping took {number(summary.get('seconds'), 1)} s"
        + (f" and {memory:,.0f} MB of memory." if memory else "."),
        class_="quiet",
    )


def _detect_command(facts: Facts) -> list[str]:
    settings = facts.summary.get("fingerprint", {}).get("settings", {})
    model = facts.summary.get("model")
    weights = model.get("weights") if isinstance(model, dict) else None
    words = ["landslide-rcnn", "detect", *(path.name for path in facts.scene_paths)]
    words += ["--weights", str(weights or "WEIGHTS"), "--output", facts.directory.name or "map"]
    cleaning = settings.get("processing", {})
    for known, given in ((OPTIONS, settings), (CLEANING_OPTIONS, cleaning)):
        for name, option in known.items():
            if given.get(name) is not None:
                words += [option, str(given[name])]
    if cleaning.get("smooth"):
        words.append("--smooth")
    if settings.get("dem_sha256"):
        words += ["--dem", "DEM"]
    for each in settings.get("formats", []):
        words += ["--format", str(each)]
    return words


def _report_command(facts: Facts) -> list[str]:
    words = ["landslide-rcnn", "report", facts.directory.name or "map"]
    if facts.truth is not None:
        words += ["--truth", facts.truth.name]
    return [*words, "-o", "report.html"]
