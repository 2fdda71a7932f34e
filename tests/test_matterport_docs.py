"""docs/matterport.md tells the truth about what is here and what is absent."""

import importlib
import re
from pathlib import Path

import pytest

from landslide_rcnn import config, model, utils, visualize
from landslide_rcnn.matterport.replaced import REPLACED_BY
from landslide_rcnn.nn.stages import STAGES
from tests.test_matterport_api import CONFIG, SIGNATURES

PAGE = (Path(__file__).parents[1] / "docs" / "matterport.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([\w.]+)` \| (\w+) \|(.*)\|$", PAGE, re.MULTILINE)
HOLDERS = {
    "utils": utils,
    "model": model,
    "MaskRCNN": model.MaskRCNN,
    "visualize": visualize,
    "Config": config.Config,
}
# Set when a model is made; no attributes of the class.
OF_INSTANCES = {"keras_model", "mode", "config", "model_dir", "epoch", "log_dir", "checkpoint_path"}


def resolve(dotted):
    """The object of a dotted name such as `landslide_rcnn.nn.heads.build_rpn`."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = getattr(found, part)
        return found
    raise AssertionError(dotted)


@pytest.mark.parametrize("name, here, how", ROWS, ids=[row[0] for row in ROWS])
def test_a_row_is_true(name, here, how):
    assert here in ("same", "changed", "absent")
    home, _, attribute = name.rpartition(".")
    if here == "absent":
        assert attribute in REPLACED_BY[home]
        hints = [h for h in re.findall(r"`([\w.]+)`", how) if "." in h]
        assert hints
        for hint in hints:
            first, _, rest = hint.partition(".")
            found = resolve(hint) if first == "landslide_rcnn" else getattr(HOLDERS[first], rest)
            assert found is not None
        assert home == "parallel_model" or attribute not in vars(HOLDERS[home])
    elif home:
        assert attribute in OF_INSTANCES or hasattr(HOLDERS[home], attribute)
    else:
        assert hasattr(config, name) or hasattr(model, name)
    if here == "changed":
        assert how.strip()


def test_no_name_is_left_out():
    listed = {name for name, _, _ in ROWS}
    homes = {model: "model", model.MaskRCNN: "MaskRCNN", utils: "utils", visualize: "visualize"}
    expected = {f"{homes[h]}.{n}" for h, names in SIGNATURES.items() if h in homes for n in names}
    expected |= {f"{home}.{name}" for home, names in REPLACED_BY.items() for name in names}
    expected |= {"utils.Dataset", "utils.COCO_MODEL_URL", "MaskRCNN.anchors", "model.BatchNorm"}
    assert expected <= listed and len(listed) == len(ROWS)
    assert all(hasattr(config.Config, name) for name in CONFIG)


def test_the_stages_are_listed():
    listed = PAGE[PAGE.index("Stages for `run_graph`") :]
    for name in STAGES:
        assert f"`{name}`" in listed or re.fullmatch(r"[CPN][3-6]", name), name


def test_the_hints_of_the_code_exist():
    for names in REPLACED_BY.values():
        for hint in names.values():
            for dotted in re.findall(r"landslide_rcnn(?:\.\w+)+", hint):
                assert resolve(dotted) is not None
