"""How QGIS shall draw a result: QML documents.

Those of the polygons are written into the GeoPackage by `geopackage.py`: QGIS loads the style that
the table `layer_styles` calls the default one, without a question. Those of the rasters lie beside
them, `mask.qml` for `mask.tif`, where QGIS finds them too: a TIFF's own colour table cannot make
the background transparent, and would be shown as a legend of 256 classes.

Colours are those of the figures; sizes are in millimetres on the screen.
"""

from pathlib import Path
from xml.sax.saxutils import quoteattr

from landslide_rcnn.files import atomic_path
from landslide_rcnn.palette import INK_COLOR, PROBABILITY_RAMP, rgb_of

QGIS_VERSION = "3.22.16"  # the release whose QML this is; later ones read it

RED, GREY, INK = (215, 48, 39), (120, 120, 120), rgb_of(INK_COLOR)

# From pale to red by score: upper limit of a class, and the opacity of its fill (0 to 255).
SCORE_CLASSES = ((0.6, 30), (0.7, 60), (0.8, 90), (0.9, 120), (1.0, 150))

# Probability, colour, opacity: those of the figures, and nothing where there is no landslide.
PROBABILITY_STOPS = (
    (0.0, PROBABILITY_RAMP[0], 0),
    (0.1, PROBABILITY_RAMP[0], 60),
    (0.33, PROBABILITY_RAMP[1], 160),
    (0.67, PROBABILITY_RAMP[2], 200),
    (1.0, PROBABILITY_RAMP[3], 230),
)


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


def _raster(renderer: str) -> str:
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
        f'<qgis version="{QGIS_VERSION}" styleCategories="Symbology"><pipe>{renderer}</pipe>'
        "</qgis>\n"
    )


def _mask() -> str:
    """Landslide is red; what has no class here, as the background, is not drawn."""
    color = "#{:02x}{:02x}{:02x}".format(*RED)
    return _raster(
        '<rasterrenderer type="paletted" band="1" opacity="0.7" alphaBand="-1" '
        'nodataColor=""><colorPalette>'
        f'<paletteEntry value="1" color="{color}" alpha="255" label="landslide"/>'
        "</colorPalette></rasterrenderer>"
    )


def _probability() -> str:
    """From transparent through violet and orange to pale yellow; values as QGIS scales them."""
    items = "".join(
        f'<item value="{value:g}" color="{color}" alpha="{alpha}" label="{value:.0%}"/>'
        for value, color, alpha in PROBABILITY_STOPS
    )
    return _raster(
        '<rasterrenderer type="singlebandpseudocolor" band="1" opacity="1" alphaBand="-1" '
        'classificationMin="0" classificationMax="1" nodataColor=""><rastershader>'
        '<colorrampshader colorRampType="INTERPOLATED" classificationMode="1" clip="0" '
        f'minimumValue="0" maximumValue="1">{items}</colorrampshader>'
        "</rastershader></rasterrenderer>"
    )


def write_raster_style(raster_path: str | Path, kind: str) -> Path:
    """Write the style of a raster beside it, atomically; return its path.

    Args:
        raster_path: Such as `mask.tif`.
        kind: "mask" or "probability".
    """
    path = Path(raster_path).with_suffix(".qml")
    with atomic_path(path) as partial:
        partial.write_text(RASTER_STYLES[kind], encoding="utf-8")
    return path


# Layer -> QML of its default style.
STYLES = {"landslides": _landslides(), "tiles": _tiles(), "aoi": _aoi()}

# Kind of raster -> QML.
RASTER_STYLES = {"mask": _mask(), "probability": _probability()}
