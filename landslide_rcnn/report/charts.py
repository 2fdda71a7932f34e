"""Numbers -> charts as inline SVG, each with its numbers as a table for who cannot see it.

Drawn without matplotlib: text stays text, colours follow the page (also in the dark and on
paper), and a chart takes kilobytes. Colours are classes of `page.css`.

Units: of the drawing, SVG's; the data's as their labels say.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from landslide_rcnn.report.markup import Markup, tag

WIDTH, HEIGHT = 420, 280
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 44
MAX_TABLE_ROWS = 40  # of a text alternative


class Axis(NamedTuple):
    """One axis.

    Attributes:
        label: What it shows, with the unit.
        low, high: Its range.
        ticks: Where a number stands.
        text: Writes a tick.
    """

    label: str
    low: float
    high: float
    ticks: Sequence[float]
    text: Callable[[float], str] = "{:g}".format

    def place(self, value: float, start: float, end: float) -> float:
        """Return where a value lies between two ends of the drawing."""
        share = (value - self.low) / ((self.high - self.low) or 1)
        return round(start + min(max(share, 0), 1) * (end - start), 2)


UNIT_TICKS = (0, 0.2, 0.4, 0.6, 0.8, 1)


def unit_axis(label: str) -> Axis:
    """Return an axis from 0 to 1."""
    return Axis(label, 0, 1, UNIT_TICKS)


def count_axis(label: str, highest: float) -> Axis:
    """Return an axis from 0 that holds `highest`, with whole numbers at round steps."""
    step = max(round_up(highest / 4), 1)
    ticks = [step * index for index in range(math.ceil(highest / step) + 1)]
    return Axis(label, 0, max(ticks[-1], step), ticks, "{:,.0f}".format)


def round_up(number: float) -> float:
    """Return the smallest of 1, 2, 5 x 10^n that is at least `number`."""
    if number <= 0:
        return 0
    power = 10.0 ** math.floor(math.log10(number))
    return next(f * power for f in (1, 2, 5, 10) if f * power >= number * (1 - 1e-9))


class Line(NamedTuple):
    """A line of a chart; points where x or y is None are gaps."""

    label: str
    style: str
    x: Sequence[float | None]
    y: Sequence[float | None]
    dots: bool = False


class Bar(NamedTuple):
    """A bar from `start` to `end` on the x axis."""

    start: float
    end: float
    height: float
    style: str = "bar"
    label: str = ""


class Table(NamedTuple):
    """A chart in numbers."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def figure(
    title: str,
    said: str,
    drawing: Markup,
    table: Table,
    chart_id: str,
    legend: Sequence[tuple[str, str]] = (),
) -> Markup:
    """Return a chart with its heading, what it says in words, and its numbers.

    Args:
        title: Heading.
        said: One or two sentences; read aloud instead of the drawing, too.
        drawing: The content of the SVG.
        table: The numbers; thinned to `MAX_TABLE_ROWS`.
        chart_id: Of this page.
        legend: (what, style) of lines or bars.
    """
    picture = tag(
        "svg", drawing, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", class_="chart",
        aria_labelledby=f"{chart_id}-title", aria_describedby=f"{chart_id}-said",
    )  # fmt: skip
    step = -(-len(table.rows) // MAX_TABLE_ROWS) or 1
    rows = list(table.rows[::step])
    numbers = tag(
        "details",
        tag("summary", "Numbers", tag("span", f" of: {title}", class_="unseen")),
        data_table(Table(table.header, rows), title),
        class_="numbers",
    )
    return tag(
        "figure",
        tag("h3", title, id=f"{chart_id}-title"),
        picture,
        _legend(legend) if legend else None,
        tag("figcaption", said, id=f"{chart_id}-said"),
        numbers,
    )


def _legend(entries: Sequence[tuple[str, str]]) -> Markup:
    """Name lines and bars below the chart, where they hide nothing."""
    return tag(
        "ul",
        [
            tag(
                "li",
                tag(
                    "svg", tag("line", x1=0, x2=24, y1=6, y2=6, class_=f"key {style}"),
                    viewBox="0 0 24 12", class_="chart", aria_hidden="true",
                ),
                label,
            )
            for label, style in entries
        ],
        class_="chart-legend",
    )  # fmt: skip


def data_table(table: Table, caption: str) -> Markup:
    """Return a small table whose first column heads its rows."""
    return tag(
        "table",
        tag("caption", caption, class_="unseen"),
        tag("thead", tag("tr", [tag("th", each, scope="col") for each in table.header])),
        tag(
            "tbody",
            [
                tag("tr", tag("th", row[0], scope="row"), [tag("td", each) for each in row[1:]])
                for row in table.rows
            ],
        ),
    )


def line_chart(x: Axis, y: Axis, lines: Sequence[Line]) -> Markup:
    """Return the drawing of lines over two axes."""
    parts = [_axes(x, y)]
    for line in lines:
        pieces = _pieces(x, y, line)
        parts += [
            tag("polyline", points=" ".join(f"{a},{b}" for a, b in piece), class_=line.style)
            for piece in pieces
            if len(piece) > 1
        ]
        if line.dots:
            dots = [point for piece in pieces for point in piece]
            parts += [tag("circle", cx=a, cy=b, r=3.5, class_=f"dot {line.style}") for a, b in dots]
    return Markup("".join(parts))


def _pieces(x: Axis, y: Axis, line: Line) -> list[list[tuple[float, float]]]:
    pieces: list[list[tuple[float, float]]] = [[]]
    for a, b in zip(line.x, line.y, strict=True):
        if a is None or b is None:
            pieces.append([])
        else:
            pieces[-1].append((x.place(a, LEFT, WIDTH - RIGHT), y.place(b, HEIGHT - BOTTOM, TOP)))
    return pieces


def bar_chart(x: Axis, y: Axis, bars: Sequence[Bar]) -> Markup:
    """Return the drawing of bars over two axes; later ones lie on top."""
    parts = [_axes(x, y)]
    for bar in bars:
        left, right = (x.place(each, LEFT, WIDTH - RIGHT) for each in (bar.start, bar.end))
        top = y.place(bar.height, HEIGHT - BOTTOM, TOP)
        parts.append(
            tag(
                "rect", x=left + 0.75, y=top, width=max(round(right - left - 1.5, 2), 1),
                height=round(HEIGHT - BOTTOM - top, 2), class_=bar.style,
            )
        )  # fmt: skip
        if bar.label:
            middle = (left + right) / 2
            parts.append(tag("text", bar.label, x=middle, y=top - 4, class_="value"))
    return Markup("".join(parts))


def _axes(x: Axis, y: Axis) -> Markup:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for value in y.ticks:
        place = y.place(value, bottom, TOP)
        parts.append(tag("line", x1=LEFT, x2=right, y1=place, y2=place, class_="grid"))
        parts.append(tag("text", y.text(value), x=LEFT - 6, y=place + 4, class_="tick y"))
    for value in x.ticks:
        place = x.place(value, LEFT, right)
        parts.append(tag("line", x1=place, x2=place, y1=bottom, y2=bottom + 4, class_="axis"))
        parts.append(tag("text", x.text(value), x=place, y=bottom + 17, class_="tick"))
    parts.append(tag("line", x1=LEFT, x2=right, y1=bottom, y2=bottom, class_="axis"))
    parts.append(tag("text", x.label, x=(LEFT + right) / 2, y=HEIGHT - 6, class_="label"))
    middle = (TOP + bottom) / 2
    parts.append(
        tag(
            "text", y.label, x=12, y=middle, class_="label", transform=f"rotate(-90 12 {middle})"
        )
    )  # fmt: skip
    return Markup("".join(parts))
