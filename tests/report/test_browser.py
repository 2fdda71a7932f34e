"""The page in a real browser: nothing wrong on the console, and everything does what it says."""

import base64
import time

import geopandas as gpd
import numpy as np
import pyproj
import pytest

from landslide_rcnn.palette import (
    CORRECT_COLOR,
    FALSE_COLOR,
    MISSED_COLOR,
    PROBABILITY_RAMP,
    rgb_of,
)
from landslide_rcnn.workflows.report import make_report
from tests.helpers.map_files import TRANSFORM, write_map, write_raster
from tests.report.conftest import EVIL, EVIL_NAME, SIDE, places

pytestmark = pytest.mark.slow


@pytest.fixture
def page(browser, small_map):
    """The page, freshly opened at the size of a desk; at the end, the console must be empty."""
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    browser.get(small_map.page.as_uri())
    yield browser
    assert browser.get_log("browser") == []
    assert browser.execute_script("return window.harmed") is None


def find(page, selector):
    return page.find_elements("css selector", selector)


def wait(page, script, *arguments):
    """Return the first true answer of a script."""
    for _ in range(100):
        answer = page.execute_script(f"return {script}", *arguments)
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"never true: {script}")


def point_of(page, number):
    """Where the middle of a landslide is, pixels of the window."""
    top, left = places()[number]
    return page.execute_script(
        """const p = Report.view.map.latLngToContainerPoint([-arguments[0], arguments[1]]);
        document.getElementById("map").scrollIntoView({block: "center"});
        const box = document.getElementById("map").getBoundingClientRect();
        return [box.x + p.x, box.y + p.y];""",
        top + SIDE / 2,
        left + SIDE / 2,
    )


def mouse(page, kind, x, y):
    page.execute_cdp_cmd(
        "Input.dispatchMouseEvent",
        {
            "type": kind, "x": x, "y": y, "button": "none" if kind == "mouseMoved" else "left",
            "clickCount": 0 if kind == "mouseMoved" else 1,
        },
    )  # fmt: skip


def click(page, x, y):
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        mouse(page, kind, x, y)


def press(page, key):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    ActionChains(page).send_keys(getattr(Keys, key)).perform()


def first_column(page, index=0):
    return [row.find_elements("css selector", "th, td")[index].text for row in rows(page)]


def rows(page):
    return find(page, "#landslide-table tbody tr")


def test_nothing_is_fetched(page):
    names = page.execute_script(
        "return performance.getEntriesByType('resource').map((each) => each.name.slice(0, 5))"
    )
    assert set(names) <= {"data:"}


def test_hover_tells_of_the_landslide(page, small_map):
    mouse(page, "mouseMoved", *point_of(page, 14))
    tip = wait(page, "document.querySelector('.leaflet-tooltip')?.innerText")
    row = small_map.table.iloc[14]
    assert tip.splitlines() == [
        "Landslide 15",
        f"Score {row.score:.2f}",
        f"Area {row.area_m2:,.0f} m²",
        f"Slope {row.slope_mean_deg:.1f} °",
    ]
    x, y = point_of(page, 14)
    mouse(page, "mouseMoved", x, y + 60 if y < 500 else y - 60)
    wait(page, "document.querySelector('.leaflet-tooltip') === null")


def test_the_table_sorts_and_says_how(page, small_map):
    area = find(page, "th[data-name=area_m2]")[0]
    assert area.get_attribute("aria-sort") == "none"
    area.find_element("css selector", "button").click()
    assert area.get_attribute("aria-sort") == "descending"
    largest = small_map.table.sort_values("area_m2", ascending=False, kind="stable")
    assert first_column(page) == [str(n) for n in largest.id[:25]]
    assert first_column(page, 1) == [f"{n:,.0f}" for n in largest.area_m2[:25]]
    area.find_element("css selector", "button").click()
    assert area.get_attribute("aria-sort") == "ascending"
    assert first_column(page)[0] == str(small_map.table.id[small_map.table.area_m2.idxmin()])
    # What is unknown comes last, whichever way.
    for _ in range(2):
        find(page, "th[data-name=slope_mean_deg] button")[0].click()
        assert find(page, "th[aria-sort=none][data-name=area_m2]")
        find(page, "#page-on")[0].click()
        assert rows(page)[-1].text.startswith("4 ") and "–" in rows(page)[-1].text
    assert find(page, "#page-said")[0].text == "26 to 40 of 40"


def test_text_sorts_as_text(page):
    find(page, "th[data-name=remark] button")[0].click()
    assert first_column(page)[:3] == ["3", "1", "2"]  # "<" before "place 0", "place 1"


def test_a_row_jumps_to_the_map(page):
    rows(page)[7].find_element("css selector", ".jump").click()
    top, left = places()[7]
    script = "(({lat, lng}) => Math.hypot(-lat - arguments[0], lng - arguments[1]) < 1)"
    wait(page, f"{script}(Report.view.map.getCenter())", top + SIDE / 2, left + SIDE / 2)
    told = find(page, "#chosen")[0].text
    assert told.startswith("Number\n8\nArea\n") and "Score\n0.57" in told
    assert [row.get_attribute("aria-current") for row in rows(page)].index("true") == 7
    find(page, "#next")[0].click()
    assert find(page, "#chosen")[0].text.startswith("Number\n9\n")
    find(page, "#whole")[0].click()
    wait(page, "Report.view.map.getZoom() === 0")


def test_a_click_on_the_map_finds_the_row(page):
    click(page, *point_of(page, 31))
    wait(page, "document.querySelector('#landslide-table [aria-current]')")
    current = find(page, "#landslide-table [aria-current]")
    assert [row.text.split()[0] for row in current] == ["32"]
    assert find(page, "#page-said")[0].text == "26 to 40 of 40"
    assert find(page, "#chosen")[0].text.startswith("Number\n32\n")


def test_layers_are_switched(page):
    def shown(name):
        return page.execute_script(f"return Report.view.map.hasLayer(Report.view.layers.{name})")

    names = ["scene", "probability", "errors", "truth", "landslides"]
    boxes = {name: find(page, f"#layer-{name}")[0] for name in names}
    assert [name for name in names if shown(name)] == ["scene", "landslides"]
    assert [name for name in names if boxes[name].is_selected()] == ["scene", "landslides"]
    for name in names:
        boxes[name].click()
    assert [name for name in names if shown(name)] == ["probability", "errors", "truth"]
    pictures = find(page, ".leaflet-pictures-pane img")
    assert len(pictures) == 2
    assert all(each.get_attribute("src").startswith("data:image/webp") for each in pictures)
    sizes = page.execute_script(
        "return [...document.querySelectorAll('.leaflet-pictures-pane img')]"
        ".map((each) => each.naturalWidth)"
    )
    assert sizes == [160, 160]
    # Where landslides are hidden none is pointed at.
    mouse(page, "mouseMoved", *point_of(page, 14))
    assert not find(page, ".leaflet-tooltip")


def test_the_legend_has_the_colours_of_the_map(page):
    """Correct, missed and false of the error map's picture are those of legend and chart."""
    script = """const color = (selector, name) =>
          getComputedStyle(document.querySelector(selector))[name];
        return [...["correct", "missed", "false"].map((kind) =>
          color(".swatch." + kind, "backgroundColor")),
          color(".bar.correct", "fill"), color(".bar.missed", "fill"),
          color(".swatch.ramp", "backgroundImage")]"""
    *found, ramp = page.execute_script(script)
    correct, missed, false = (
        f"rgb{rgb_of(color)}" for color in (CORRECT_COLOR, MISSED_COLOR, FALSE_COLOR)
    )
    assert found == [correct, missed, false, correct, missed]
    stops = ", ".join(f"rgb{rgb_of(color)}" for color in PROBABILITY_RAMP)
    assert ramp == f"linear-gradient(90deg, {stops})"


def test_polygons_are_painted_where_they_are(page):
    boxes = wait(
        page,
        """(() => {
          const tiles = [...document.querySelectorAll(".leaflet-polygons-pane canvas")];
          if (!tiles.length) return null;
          const map = Report.view.map, scale = map.options.crs.scale(0);
          const painted = tiles.reduce((sum, tile) => {
            const data = tile.getContext("2d").getImageData(0, 0, tile.width, tile.height).data;
            let count = 0;
            for (let k = 3; k < data.length; k += 4) count += data[k] > 20;
            return sum + count / (tile.width / 256) ** 2;
          }, 0);
          return painted ? [painted, scale] : null;
        })()""",
    )
    painted, scale = boxes
    # 40 squares of 8 pixels, with half of their border's width around them.
    assert painted == pytest.approx(40 * (SIDE * scale + 3.5) ** 2, rel=0.1)


def test_coordinates_are_told(page):
    x, y = point_of(page, 20)
    mouse(page, "mouseMoved", x, y)
    top, left = places()[20]
    east, north = TRANSFORM * (left + SIDE / 2, top + SIDE / 2)
    lon, lat = pyproj.Transformer.from_crs("EPSG:32648", "EPSG:4326", always_xy=True).transform(
        east, north
    )
    said = find(page, "#readout")[0].text.replace(",", "").split()
    assert said[2:4] == ["(EPSG:32648)", "·"] and said[5] == "N" and said[7] == "E"
    assert np.allclose([float(said[0]), float(said[1])], [east, north], atol=6)
    found = [float(said[6].rstrip("°")), float(said[4].rstrip("°"))]
    assert np.allclose(found, [lon, lat], atol=6e-5)


def test_the_keyboard_is_enough(page):
    # Without flights over the map, as people who cannot bear them have it: each key finds it still.
    calm = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": calm})
    page.refresh()
    press(page, "TAB")
    assert page.switch_to.active_element.text == "Skip to the table of landslides"
    press(page, "ENTER")
    press(page, "TAB")
    press(page, "TAB")
    assert page.switch_to.active_element.text.startswith("Number")
    page.execute_script("document.querySelectorAll('.jump')[3].focus()")
    press(page, "ENTER")
    assert find(page, "#chosen")[0].text.startswith("Number\n4\n")
    page.execute_script("document.getElementById('layer-errors').focus()")
    press(page, "SPACE")
    assert page.execute_script("return Report.view.map.hasLayer(Report.view.layers.errors)")
    page.execute_script("document.getElementById('map').focus()")
    before = page.execute_script("return Report.view.map.getCenter().lng")
    press(page, "ARROW_RIGHT")
    wait(page, "Report.view.map.getCenter().lng > arguments[0]", before)


def test_what_others_wrote_is_shown_as_text(page):
    assert find(page, "h1")[0].text == EVIL_NAME
    rows(page)[2].find_element("css selector", ".jump").click()
    assert EVIL in find(page, "#chosen")[0].text
    mouse(page, "mouseMoved", *point_of(page, 2))
    assert page.execute_script("return document.querySelectorAll('img[src=x]').length") == 0


def test_a_screen_reader_finds_its_way(page):
    nodes = page.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    named = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"]
    ]
    assert [role for role, _ in named].count("main") == 1
    regions = {name for role, name in named if role == "region"}
    assert {"Map", "Landslides", "How far to trust it", "How to make it again"} <= regions
    for needs_name in ("button", "checkbox", "image", "region", "table", "application"):
        assert all(name for role, name in named if role == needs_name), needs_name
    assert ("group", "Layers") in named
    levels = [int(each.tag_name[1]) for each in find(page, "h1, h2, h3")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))


def test_a_phone_shows_it_without_scrolling_sideways(page):
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    page.refresh()
    width, box = page.execute_script(
        "return [document.documentElement.scrollWidth, "
        "document.getElementById('map').getBoundingClientRect().toJSON()]"
    )
    assert width == 390 and 300 < box["width"] <= 390 and box["height"] < 0.7 * 844


def test_it_prints(page):
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    shown = page.execute_script(
        "return ['.printed', '.map-sheet', '#landslide-table', '.pager'].map("
        "(each) => getComputedStyle(document.querySelector(each)).display)"
    )
    pictures = page.execute_script(
        "return [...document.querySelectorAll('.printed img')].map((each) => each.naturalWidth)"
    )
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert shown == ["flex", "none", "table", "none"] and pictures == [160, 160]
    pdf = base64.b64decode(page.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert pdf.startswith(b"%PDF") and pdf.count(b"/Type /Page\n") >= 3


def test_without_scripts_the_map_is_a_picture(page, small_map):
    page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.get(small_map.page.as_uri())
        assert find(page, ".printed img")[0].is_displayed()
        assert not find(page, "#map")[0].is_displayed()
        assert "The table needs JavaScript" in find(page, "#table")[0].text
    finally:
        page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
        page.get(small_map.page.as_uri())


def test_an_empty_map_without_crs_opens_too(page, tmp_path):
    folder = write_map(tmp_path / "map", np.zeros((40, 50)))
    write_raster(folder / "mask.tif", np.zeros((40, 50), np.uint8), crs=None, transform=None)
    gpd.GeoDataFrame({"id": [], "area_px": []}, geometry=[]).to_file(
        folder / "landslides.gpkg", layer="landslides", driver="GPKG", geometry_type="Polygon"
    )
    page.get(make_report(folder, tmp_path / "r.html", progress=False).as_uri())
    assert find(page, "#page-said")[0].text == "The map has no landslide."
    assert find(page, "#readout")[0].text == "column 25, row 20"
    assert find(page, ".scale-bar")[0].text.endswith(" px")
    find(page, "#next")[0].click()
    find(page, "th button")[0].click()
