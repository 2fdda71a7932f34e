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
    calibration = metrics["calibration"] or {}
    lines += [
        "",
        f"average precision {number(metrics['curve']['average_precision'])}, expected calibration "
        f"error {number(calibration.get('expected_calibration_error'))}",
        f"landslides: {counts['true']} true, {counts['true_found']} of them found; "
        f"{counts['predicted']} predicted",
        f"pixels: {pixels['evaluated']:,} evaluated, {pixels['true_landslide']:,} of them true "
        f"landslide; {pixels['left_out']:,} left out",
        *(f"note: {note}" for note in metrics["notes"]),
    ]
    return "\n".join(lines)


def number(value: float | None) -> str:
    """Return a number with three digits."""
    return "-" if value is None else f"{value:.3f}"


def _interval(interval: dict[str, float] | None) -> str:
    return "" if interval is None else f"{interval['low']:.3f} to {interval['high']:.3f}"
