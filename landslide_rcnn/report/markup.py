"""HTML in Python, escaped by construction: text is escaped unless it is `Markup` already.

Used by `sections.py`, `charts.py` and `page.py`. Names of files and attributes of polygons come
from others and may hold anything; nothing of them reaches the page but through here or as JSON.
"""

import html
import json
from collections.abc import Iterable
from typing import Any

VOID = {"br", "img"}
SHAPES = {"line", "rect", "circle", "polyline"}  # of SVG, which must be closed


class Markup(str):
    """HTML that is safe as it is."""


Content = str | int | float | None | Iterable["Content"]


def escaped(content: Content) -> Markup:
    """Return content as HTML: `Markup` as it is, text escaped, None as nothing."""
    if content is None:
        return Markup("")
    if isinstance(content, Markup):
        return content
    if isinstance(content, str | int | float):
        return Markup(html.escape(str(content)))
    return Markup("".join(escaped(each) for each in content))


def tag(name: str, *content: Content, **attributes: Any) -> Markup:
    """Return an element.

    Args:
        name: Of the element.
        *content: See `escaped`.
        **attributes: `class_` becomes class, `aria_label` aria-label. None and False leave the
            attribute out; True writes it without a value.
    """
    written = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        written.append(f" {key}" if value is True else f' {key}="{html.escape(str(value))}"')
    start = f"<{name}{''.join(written)}"
    if name in SHAPES:
        return Markup(f"{start}/>")
    return Markup(f"{start}>" if name in VOID else f"{start}>{escaped(content)}</{name}>")


def json_script(content: Any, element_id: str) -> Markup:
    """Return data for scripts. Nothing in it can end the element: `<` is written as `\\u003c`."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return Markup(f'<script type="application/json" id="{html.escape(element_id)}">{text}</script>')
