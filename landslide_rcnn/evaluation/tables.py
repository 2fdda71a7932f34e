"""What `evaluate_map` and `compare_maps` return, as tables for people; "-" where undefined."""

from typing import Any

from landslide_rcnn.evaluation.metrics import METRICS


def format_table(metrics: dict[str, Any]) -> str:
    """Return the result of `maps.evaluate_map` as a table."""
    at_map, at_best = metrics["at_map_threshold"], metrics["at_best_threshold"]
    lines = [f"{'':<22}{'map threshold':>15}{'95 % interval':>17}{'best threshold':>16}"]
    for name in ("threshold", *METRICS):
        label = name.replace("_", " ")
        interval = _interval(metrics["intervals"].get(name))
        lines.append(
            f"{label:<22}{number(at_map[name]):>15}{interval:>17}{number(at_best[name]):>16}"
        )
    counts, pixels = metrics["landslides"], metrics["pixels"]
    calibration, borders = metrics["calibration"] or {}, metrics["boundaries"]
    lines += [
        "",
        f"average precision {number(metrics['curve']['average_precision'])}, expected calibration "
        f"error {number(calibration.get('expected_calibration_error'))}",
        f"landslides: {counts['true']} true, {counts['matched']} of them matched, "
        f"{counts['true_found']} covered by half or more; {counts['predicted']} predicted, "
        f"{counts['false_alarms']} of them false alarms; AP50 {number(counts['ap']['ap50'])}",
        "borders: F-score "
        + ", ".join(
            f"{number(row['value'])} at {row['tolerance_px']} px" for row in borders["f_score"]
        )
        + f"; boundary IoU {number(borders['boundary_iou'])}; mean distance "
        f"{number(borders['mean_distance_px'])} px",
        f"pixels: {pixels['evaluated']:,} evaluated, {pixels['true_landslide']:,} of them true "
        f"landslide; {pixels['left_out']:,} left out",
        *(f"note: {note}" for note in metrics["notes"]),
    ]
    return "\n".join(lines)


def number(value: float | None) -> str:
    """Return a number with three digits."""
    return "-" if value is None else f"{value:.3f}"


def format_comparison(comparison: dict[str, Any]) -> str:
    """Return the result of `comparison.compare_maps` as a table."""
    lines = [f"{'':<22}{'first':>8}{'second':>8}{'difference':>12}{'95 % interval':>19}"]
    landslides = comparison["landslides"]
    rows = {
        **comparison["metrics"],
        "detection_rate": landslides["detection_rate"],
        **comparison["boundaries"],
    }
    for name, row in rows.items():
        label = name.replace("_", " ")
        difference = "-" if row["difference"] is None else f"{row['difference']:+.3f}"
        lines.append(
            f"{label:<22}{number(row['first']):>8}{number(row['second']):>8}{difference:>12}"
            f"{_interval(row['interval'], '+'):>19}"
        )
    pixels = comparison["pixels"]
    lines += [
        "",
        f"pixels: {_discordance(comparison['mcnemar']['pixels'])}",
        f"landslides: {landslides['true']} true, {landslides['matched_by_both']} matched by both, "
        f"{landslides['matched_by_neither']} by neither; {_discordance(landslides['mcnemar'])}",
        f"{comparison['mcnemar']['caveat']}",
        f"{pixels['evaluated']:,} pixels evaluated, {pixels['true_landslide']:,} of them true "
        f"landslide; {pixels['left_out']:,} left out",
        *(f"note: {note}" for note in comparison["notes"]),
    ]
    return "\n".join(lines)


def _discordance(test: dict[str, Any]) -> str:
    value = test["p_value"]
    p_value = "-" if value is None else "< 1e-9" if value < 1e-9 else f"= {value:.2g}"
    return (
        f"{test['only_first_right']:,} only the first has right, {test['only_second_right']:,} "
        f"only the second (McNemar p {p_value})"
    )


def _interval(interval: dict[str, float] | None, sign: str = "") -> str:
    if interval is None:
        return ""
    return f"{interval['low']:{sign}.3f} to {interval['high']:{sign}.3f}"
