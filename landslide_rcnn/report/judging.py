"""What `evaluate_map` measured -> the parts of the page about trust: numbers, curves, borders.

Every part of `metrics.json` may be missing or null; then the page says that it was not measured.
"""

from collections.abc import Mapping
from typing import Any

from landslide_rcnn.report.charts import (
    Axis,
    Bar,
    Line,
    Table,
    bar_chart,
    count_axis,
    data_table,
    figure,
    line_chart,
    unit_axis,
)
from landslide_rcnn.report.collect import Facts
from landslide_rcnn.report.markup import Content, Markup, tag
from landslide_rcnn.report.words import (
    UNDEFINED,
    area,
    facts_list,
    number,
    scrolling,
    section,
    title_of,
    unmeasured,
)

NO_TRUTH = "no truth was given. Name it with --truth."
# In this order; whatever else was measured follows.
FIRST = (
    *("precision", "recall", "f1", "iou", "miou", "overall_accuracy", "kappa"),
    *("macro_precision", "macro_recall", "macro_f1"),
)
BORDERS = {
    "boundary_iou": "Boundary IoU",
    "mean_distance_px": "Mean distance",
    "p95_distance_px": "Distance that 95 % keep",
    "beyond_max_share": "Share farther than measured",
    "predicted_boundary_px": "Border of this map",
    "true_boundary_px": "True border",
}
COUNTS = ("tp", "fp", "fn", "tn")


def trust(facts: Facts) -> Markup:
    """Return the part about how far to trust the map."""
    if facts.metrics is None:
        return section("How far to trust it", "trust", unmeasured(NO_TRUTH))
    metrics = facts.metrics
    notes = [str(each) for each in metrics.get("notes") or []]
    return section(
        "How far to trust it",
        "trust",
        tag("p", _judged(facts, metrics.get("pixels") or {})),
        tag("ul", [tag("li", each) for each in notes], class_="notes") if notes else None,
        _pixel_table(metrics),
        tag("h3", "Landslides, one by one"),
        _landslides(metrics),
    )


LEFT_OUT = {
    "outside_area": "outside the area of interest",
    "without_prediction": "without prediction",
    "without_truth": "without truth",
}


def _judged(facts: Facts, pixels: Mapping[str, Any]) -> str:
    """Say which pixels the numbers stand on, and which were left out and why."""
    window = ((facts.metrics or {}).get("within") or {}).get("window")
    everything = {"col_off": 0, "row_off": 0}
    everything |= {"width": facts.grid.width, "height": facts.grid.height}
    part = ""
    if window and window != everything:
        part = (
            f" in a part of the map, its columns {window['col_off']} to "
            f"{window['col_off'] + window['width']} and rows {window['row_off']} to "
            f"{window['row_off'] + window['height']}"
        )
    left_out = [
        f"{number(pixels[name])} {why}" for name, why in LEFT_OUT.items() if pixels.get(name)
    ]
    return (
        f"Judged on {number(pixels.get('evaluated'))} pixels{part}, of which "
        f"{number(pixels.get('true_landslide'))} are truly landslide. Left out: "
        f"{', '.join(left_out) or 'none'}."
    )


def _pixel_table(metrics: Mapping[str, Any]) -> Content:
    at_map = metrics.get("at_map_threshold") or {}
    at_best = metrics.get("at_best_threshold") or {}
    definition = metrics.get("definition") or {}
    names = [name for name in FIRST if name in at_map]
    names += [
        name
        for name, value in at_map.items()
        if name not in (*FIRST, *COUNTS, "threshold") and isinstance(value, int | float | None)
    ]
    head = tag(
        "tr",
        tag("th", "Pixels", scope="col"),
        tag("th", f"This map (threshold {number(at_map.get('threshold'), 2)})", scope="col"),
        tag("th", "95 % interval", scope="col"),
        tag("th", f"At best (threshold {number(at_best.get('threshold'), 2)})", scope="col"),
        tag("th", "What it is", scope="col"),
    )
    rows = [
        tag(
            "tr",
            tag("th", title_of(name), scope="row"),
            tag("td", tag("strong", number(at_map.get(name)))),
            tag("td", interval(metrics, name)),
            tag("td", number(at_best.get(name))),
            tag("td", str(definition.get(name, "")), class_="text"),
        )
        for name in names
    ]
    counts = [(title_of(name), number(at_map.get(name))) for name in COUNTS if name in at_map]
    method = (metrics.get("intervals") or {}).get("method")
    about = [str(definition.get(name, "")) for name in ("at_map_threshold", "at_best_threshold")]
    notes = [
        f"This map: {about[0]}." if about[0] else "",
        f"At best: {about[1]}." if about[1] else "",
        f"Intervals: {method}" if method else "",
    ]
    table = tag(
        "table",
        tag("caption", "Metrics over pixels", class_="unseen"),
        tag("thead", head),
        tag("tbody", rows),
        class_="metrics",
    )
    return [
        scrolling(table, "Metrics over pixels"),
        facts_list(counts, "facts inline"),
        tag("ul", [tag("li", each) for each in notes if each], class_="quiet"),
    ]


def interval(metrics: Mapping[str, Any], name: str) -> str:
    """Return an interval, or that there is none."""
    found = (metrics.get("intervals") or {}).get(name)
    if not isinstance(found, Mapping) or found.get("low") is None or found.get("high") is None:
        return UNDEFINED
    return f"{found['low']:.3f} to {found['high']:.3f}"


def _told_table(what: str, rows: list[tuple[str, ...]]) -> Markup:
    """Return a table of (name, value, interval, definition), without what no row has."""
    header = (what, "This map", "95 % interval", "What it is")
    kept = [
        index
        for index in range(4)
        if index < 2 or any(r[index] not in ("", UNDEFINED) for r in rows)
    ]
    table = Table([header[i] for i in kept], [[row[i] for i in kept] for row in rows])
    label = f"Metrics over {what.lower()}"
    return scrolling(data_table(table, label), label, "metrics" if 3 in kept else "")


def _landslides(metrics: Mapping[str, Any]) -> Content:
    counts = metrics.get("landslides")
    if not counts:
        return unmeasured("this evaluation does not count landslides.")
    definition = metrics.get("definition") or {}
    rows = []
    for name, value in _flat(counts):
        if not isinstance(value, int | float | None):
            continue
        shown = area(value) if name.startswith("area_") and name.endswith("_m2") else number(value)
        told = definition.get(name) or definition.get(f"landslides.{name}") or ""
        rows.append((title_of(name.removesuffix("_m2")), shown, interval(metrics, name), str(told)))
    table = _told_table("Landslides", rows)
    return [table, _by_iou(counts.get("by_iou") or []), _by_size(counts.get("by_size") or [])]


def _flat(counts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the entries, those of `ap` among them."""
    found = []
    for name, value in counts.items():
        found += list(value.items()) if isinstance(value, Mapping) else [(name, value)]
    return found


def _by_iou(matches: list[Mapping[str, Any]]) -> Content:
    """Return how many match where less, or more, overlap is asked of a match."""
    if not matches:
        return None
    keys = ("matched", "detection_rate", "false_alarms", "false_alarm_rate")
    rows = [
        (f"{each.get('iou', 0):g}", *(number(each.get(key)) for key in keys)) for each in matches
    ]
    table = Table(("Match from IoU", *(title_of(key) for key in keys)), rows)
    label = "Landslides at other overlaps"
    return scrolling(data_table(table, label), label, "narrow")


def _by_size(classes: list[Mapping[str, Any]]) -> Content:
    if not classes:
        return None
    rows = []
    for each in classes:
        low, high = each.get("from_m2"), each.get("to_m2")
        span = f"from {area(low or 0)}" + (f" to {area(high)}" if high else "")
        keys = ("true", "found", "predicted", "false_alarms", "detection_rate")
        rows.append((f"{each.get('name', '')} ({span})", *(number(each.get(key)) for key in keys)))
    header = ("Size", "True", "Found", "Predicted", "False alarms", "Detection rate")
    bars, highest = [], max([each.get("true") or 0 for each in classes] + [1])
    for index, each in enumerate(classes):
        true, found = each.get("true") or 0, each.get("found") or 0
        rate = each.get("detection_rate")
        label = UNDEFINED if rate is None else f"{rate:.0%}"
        bars.append(Bar(index + 0.15, index + 0.85, true, "bar missed", label))
        bars.append(Bar(index + 0.15, index + 0.85, found, "bar correct"))
    x = Axis(
        "Size class", 0, len(classes), [index + 0.5 for index in range(len(classes))],
        lambda place: str(classes[int(place)].get("name", "")),
    )  # fmt: skip
    drawing = bar_chart(x, count_axis("True landslides", highest * 1.1), bars)
    legend = (("found", "bar correct"), ("missed", "bar missed"))
    said = "Which true landslides were found, by their size; the share found stands on each bar."
    chart = figure("Found, by size", said, drawing, Table(header, rows), "chart-by-size", legend)
    return tag("div", chart, class_="charts")


def curves(facts: Facts) -> Markup:
    """Return the precision-recall curve and the calibration."""
    metrics = facts.metrics or {}
    charts = [each for each in (_recall(metrics), _calibration(metrics)) if each]
    if not charts:
        why = NO_TRUTH if facts.metrics is None else "this evaluation has no curves."
        return section("Curves", "curves", unmeasured(why))
    return section("Curves", "curves", tag("div", charts, class_="charts"))


def _recall(metrics: Mapping[str, Any]) -> Content:
    curve = metrics.get("curve") or {}
    recall, precision = curve.get("recall") or [], curve.get("precision") or []
    if not recall:
        return None
    lines = [Line("all thresholds", "line", recall, precision)]
    for name, label, style in (
        ("at_map_threshold", "this map", "accent"),
        ("at_best_threshold", "best F1", "second"),
    ):
        point = metrics.get(name) or {}
        if point.get("precision") is not None and point.get("recall") is not None:
            lines.append(Line(label, style, [point["recall"]], [point["precision"]], dots=True))
    said = (
        f"Precision against recall at {len(recall)} thresholds. Average precision, the area under "
        f"it: {number(curve.get('average_precision'))}."
    )
    thresholds = curve.get("threshold") or [None] * len(recall)
    rows = [tuple(number(each) for each in point) for point in zip(thresholds, precision, recall)]
    return figure(
        "Precision and recall", said,
        line_chart(unit_axis("Recall"), unit_axis("Precision"), lines),
        Table(("Threshold", "Precision", "Recall"), rows), "chart-recall",
        [(each.label, each.style) for each in lines],
    )  # fmt: skip


def _calibration(metrics: Mapping[str, Any]) -> Content:
    calibration = metrics.get("calibration") or {}
    bins = [each for each in calibration.get("bins") or [] if each.get("count")]
    if not bins:
        return None
    x = [each.get("mean_probability") for each in bins]
    y = [each.get("share_landslide") for each in bins]
    lines = [
        Line("perfect", "reference", [0, 1], [0, 1]),
        Line("this map", "accent", x, y, dots=True),
    ]
    said = (
        "Of the pixels that were given a probability, the share that is truly landslide: on the "
        "diagonal a probability means what it says. Expected calibration error: "
        f"{number(calibration.get('expected_calibration_error'))}{_bounds(calibration)}."
    )
    rows = [
        (
            f"{number(each.get('from'), 2)} to {number(each.get('to'), 2)}",
            *(number(each.get(key)) for key in ("count", "mean_probability", "share_landslide")),
        )
        for each in bins
    ]
    return figure(
        "Calibration", said,
        line_chart(unit_axis("Predicted probability"), unit_axis("Share truly landslide"), lines),
        Table(("Probability", "Pixels", "Mean probability", "Share landslide"), rows),
        "chart-calibration", [(each.label, each.style) for each in lines],
    )  # fmt: skip


def _bounds(calibration: Mapping[str, Any]) -> str:
    bounds = calibration.get("expected_calibration_error_bounds")
    if not bounds:
        return ""
    return f" (between {number(bounds.get('low'))} and {number(bounds.get('high'))})"


def borders(facts: Facts) -> Markup:
    """Return how well the borders fit."""
    metrics = facts.metrics or {}
    found = metrics.get("boundaries")
    if not found:
        why = NO_TRUTH if facts.metrics is None else "this evaluation does not judge borders."
        return section("Borders", "borders", unmeasured(why))
    definition = metrics.get("definition") or {}
    rows = []
    for name, label in BORDERS.items():
        if name not in found:
            continue
        metres = found.get(name.replace("_px", "_m")) if name.endswith("_px") else None
        unit = " px" if name.endswith("_px") and found[name] is not None else ""
        shown = number(found[name]) + unit + ("" if metres is None else f", {metres:,.3g} m")
        told = str(definition.get(name, ""))
        rows.append((label, shown, interval(metrics, name), told))
    return section(
        "Borders",
        "borders",
        _told_table("Borders", rows),
        _border_chart(found.get("f_score") or []),
    )  # fmt: skip


def _border_chart(scores: list[Mapping[str, Any]]) -> Content:
    scores = [each for each in scores if each.get("tolerance_px") is not None]
    if not scores:
        return None
    bars = [
        Bar(index + 0.2, index + 0.8, each.get("value") or 0, "bar", number(each.get("value"), 2))
        for index, each in enumerate(scores)
    ]
    x = Axis(
        "Tolerance, pixels", 0, len(scores), [index + 0.5 for index in range(len(scores))],
        lambda place: f"{scores[int(place)]['tolerance_px']:g}",
    )  # fmt: skip
    said = "Share of the borders that lie within a tolerance of each other (F-score)."
    rows = [
        (
            f"{each['tolerance_px']:g} px",
            "" if each.get("tolerance_m") is None else f"{each['tolerance_m']:.3g} m",
            number(each.get("value")),
        )
        for each in scores
    ]
    chart = figure(
        "Borders within a tolerance", said, bar_chart(x, unit_axis("Boundary F-score"), bars),
        Table(("Tolerance", "On the ground", "F-score"), rows), "chart-borders",
    )  # fmt: skip
    return tag("div", chart, class_="charts")
