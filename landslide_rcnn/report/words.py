"""How numbers and settings are written on the page, and small pieces that its parts share."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from landslide_rcnn.report.markup import Content, Markup, tag

UNDEFINED = "–"
NOT_MEASURED = "not measured"
MAX_LIST = 12  # entries of a list that are written out


def number(value: Any, digits: int = 3) -> str:
    """Return a number for people; a dash where it is undefined."""
    if value is None:
        return UNDEFINED
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.{digits}f}"


def area(value: float | None, unit: str = "m²") -> str:
    """Return an area, in square kilometres where it is large."""
    if value is None:
        return UNDEFINED
    if unit == "m²" and value >= 1e6:
        return f"{value / 1e6:,.2f} km²"
    return f"{value:,.0f} {unit}"


def title_of(name: str) -> str:
    """Return a name of JSON as words: "overall_accuracy" -> "Overall accuracy"."""
    text = SPELLED.get(name, name.replace("_", " "))
    return text[:1].upper() + text[1:]


SPELLED = {
    "f1": "F1",
    "iou": "IoU",
    "miou": "mean IoU",
    "ap": "AP (IoU 0.50 to 0.95)",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "AP, small",
    "ap_medium": "AP, medium",
    "ap_large": "AP, large",
    "macro_f1": "macro F1",
    "mean_matched_iou": "mean IoU of matches",
    "background_f1": "background F1",
    "background_iou": "background IoU",
    "tp": "correct pixels (tp)",
    "fp": "false pixels (fp)",
    "fn": "missed pixels (fn)",
    "tn": "correct background pixels (tn)",
    "sha256": "SHA-256",
}


def section(title: str, section_id: str, *content: Content) -> Markup:
    """Return a part of the page with its heading; a landmark."""
    heading = f"{section_id}-heading"
    return tag(
        "section", tag("h2", title, id=heading), *content, id=section_id, aria_labelledby=heading
    )


def unmeasured(why: str) -> Markup:
    """Return the sentence that stands where numbers would."""
    return tag("p", f"{NOT_MEASURED.capitalize()}: {why}", class_="unmeasured")


def scrolling(table: Markup, label: str, class_: str = "") -> Markup:
    """Return a table that scrolls by itself where the page is narrow; a keyboard reaches it."""
    classes = f"scroll {class_}".strip()
    return tag("div", table, class_=classes, tabindex="0", role="region", aria_label=label)


def facts_list(facts: Sequence[tuple[str, Content]], class_: str = "facts") -> Markup:
    """Return names and what they are."""
    return tag(
        "dl",
        [tag("div", tag("dt", name), tag("dd", value)) for name, value in facts],
        class_=class_,
    )


def nested(content: Any) -> Content:
    """Return settings, of any depth, as lists."""
    if isinstance(content, Mapping):
        return facts_list([(title_of(str(key)), nested(each)) for key, each in content.items()])
    if isinstance(content, list | tuple):
        shown = [nested(each) for each in content[:MAX_LIST]]
        more = len(content) - len(shown)
        tail: list[Content] = [f"and {more} more"] if more > 0 else []
        if not any(isinstance(each, Mapping | list | tuple) for each in content):
            return ", ".join(map(str, [*content[:MAX_LIST], *tail]))
        return tag("ul", [tag("li", each) for each in [*shown, *tail]])
    if content is None or content == "":
        return UNDEFINED
    return "yes" if content is True else "no" if content is False else str(content)


def command(words: Sequence[Any]) -> Markup:
    """Return a command line as it can be pasted into a shell."""
    return tag("pre", tag("code", shlex.join([str(each) for each in words])), tabindex="0")
