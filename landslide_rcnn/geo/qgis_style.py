"""How QGIS shall draw the layers of a result: QML documents, written into the GeoPackage.

Used by `geopackage.py`. QGIS loads the style that a GeoPackage's `layer_styles` table calls the
default one, without a question. Colours are those of `mask.tif` and of the figures; sizes are in
millimetres on the screen.
"""

from xml.sax.saxutils import quoteattr

QGIS_VERSION = "3.34.0"  # the long-term release whose QML this is; later ones read it

RED, GREY, INK = (215, 48, 39), (120, 120, 120), (34, 38, 43)

# From pale to red by score: upper limit of a class, and the opacity of its fill (0 to 255).
SCORE_CLASSES = ((0.6, 30), (0.7, 60), (0.8, 90), (0.9, 120), (1.0, 150))


def _color(rgb: tuple[int, int, int], alpha: int = 255) -> str:
    return ",".join(map(str, (*rgb, alpha)))


def _symbol(
    name: str,
    outline: tuple[int, int, int],
    *,
    width_mm: float,
    fill_alpha: int | None = None,
    line: str = "solid",
) -> str:
    """Return a polygon symbol; without `fill_alpha` it is an outline only."""
    options = {
        "color": _color(outline, fill_alpha or 0),
        "style": "no" if fill_alpha is None else "solid",
        "outline_color": _color(outline),
        "outline_style": line,
        "outline_width": f"{width_mm:g}",
        "outline_width_unit": "MM",
        "joinstyle": "miter",
    }
    properties = "".join(
        f"<Option type={quoteattr('QString')} name={quoteattr(key)} value={quoteattr(value)}/>"
        for key, value in options.items()
    )
    return (
        f'<symbol type="fill" name={quoteattr(name)} alpha="1" clip_to_extent="1" '
        'force_rhr="0"><layer class="SimpleFill" enabled="1" locked="0" pass="0">'
        f'<Option type="Map">{properties}</Option></layer></symbol>'
    )


def _document(renderer: str) -> str:
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
        f'<qgis version="{QGIS_VERSION}" styleCategories="Symbology">'
        f"{renderer}<layerGeometryType>2</layerGeometryType></qgis>\n"
    )


def _single(symbol: str) -> str:
    return (
        '<renderer-v2 type="singleSymbol" symbollevels="0" enableorderby="0" forceraster="0">'
        f"<symbols>{symbol}</symbols></renderer-v2>"
    )


def _landslides() -> str:
    """Red outlines; the surer a landslide, the stronger its half-transparent fill."""
    ranges, symbols, lower = [], [], 0.0
    for index, (upper, alpha) in enumerate(SCORE_CLASSES):
        label = f"score to {upper:g}" if index == 0 else f"score {lower:g} to {upper:g}"
        ranges.append(
            f'<range lower="{lower:.6f}" upper="{upper:.6f}" symbol="{index}" render="true" '
            f"label={quoteattr(label)}/>"
        )
        symbols.append(_symbol(str(index), RED, width_mm=0.46, fill_alpha=alpha))
        lower = upper
    renderer = (
        '<renderer-v2 type="graduatedSymbol" attr="score" graduatedMethod="GraduatedColor" '
        'symbollevels="0" enableorderby="0" forceraster="0">'
        f"<ranges>{''.join(ranges)}</ranges><symbols>{''.join(symbols)}</symbols></renderer-v2>"
    )
    return _document(renderer)


def _tiles() -> str:
    """Thin grey frames."""
    return _document(_single(_symbol("0", GREY, width_mm=0.15)))


def _aoi() -> str:
    """One dashed line around what could be mapped."""
    return _document(_single(_symbol("0", INK, width_mm=0.4, line="dash")))


# Layer -> QML of its default style.
STYLES = {"landslides": _landslides(), "tiles": _tiles(), "aoi": _aoi()}
