"""The weights that have a name."""

import json
from pathlib import Path

import h5py
import pytest

from landslide_rcnn import utils
from landslide_rcnn.config import Config
from landslide_rcnn.errors import WeightsError
from landslide_rcnn.weights import COCO_URL, find_weights, public
from tests.helpers.goldens import golden_path

SHAPES = golden_path("matterport_resnet101_81.json")


def config(**settings):
    return Config(NAME="x", **settings)


def write_shapes(path, shapes):
    """An HDF5 file that declares arrays and holds none: enough for what looks at shapes."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in shapes]
        for name, members in shapes.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [b"%d" % i for i in range(len(members))]
            for i, shape in enumerate(members):
                group.create_dataset(str(i), shape, "f4")


class TestCoco:
    def test_its_shapes_add_up(self):
        shapes = public.coco_shapes()
        # 233 groups in the file: the RPN's three layers are one.
        assert len(shapes) == 233 + 2
        numbers = 0
        for members in shapes.values():
            for shape in members:
                count = 1
                for side in shape:
                    count *= side
                numbers += count
        assert numbers == 64_158_584
        assert shapes["res4w_branch2c"] == [(1, 1, 256, 1024), (1024,)]

    @pytest.mark.skipif(not SHAPES.is_file(), reason="the reference's shapes are not here")
    def test_its_shapes_are_the_references(self):
        names = json.loads(SHAPES.read_text())["arrays"]
        for layer, members in public.coco_shapes().items():
            found = [tuple(s) for name, s in names.items() if name.startswith(f"{layer}/")]
            if found:  # the reference lists some heads under their inner names only
                assert found == members, layer

    def test_a_wrong_file_is_told_by_size_and_by_shapes(self, tmp_path):
        path = tmp_path / "mask_rcnn_coco.h5"
        shapes = public.coco_shapes()
        write_shapes(path, shapes)
        size = path.stat().st_size
        public.check_coco(path, size)
        with pytest.raises(WeightsError, match=f"257557808 bytes.*{size}"):
            public.check_coco(path)
        shapes["mrcnn_mask"] = [(1, 1, 256, 2), (2,)]
        write_shapes(path, shapes)
        with pytest.raises(WeightsError, match="without mrcnn_mask as it should be, and 0 more"):
            public.check_coco(path, path.stat().st_size)
        path.write_text("<html>")
        with pytest.raises(WeightsError, match="must be an HDF5 file"):
            public.check_coco(path, 6)

    def test_it_is_fetched_to_where_a_script_wants_it(self, tmp_path, monkeypatch, capsys):
        def fetch(file, progress):
            assert file.url == utils.COCO_MODEL_URL == COCO_URL and not progress
            (tmp_path / "cache").write_bytes(b"weights")
            return tmp_path / "cache"

        monkeypatch.setattr(public, "fetch", fetch)
        utils.download_trained_weights(tmp_path / "logs" / "mask_rcnn_coco.h5", verbose=0)
        assert (tmp_path / "logs" / "mask_rcnn_coco.h5").read_bytes() == b"weights"
        assert capsys.readouterr().out == ""


class TestNames:
    @pytest.mark.parametrize(
        "style,backbone,file",
        [
            ("keras", "resnet101", "resnet101_weights_tf_dim_ordering_tf_kernels_notop.h5"),
            ("matterport", "resnet50", "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"),
            ("torchvision", "resnet50", "resnet50-0676ba61.pth"),
            ("torchvision", "resnext50", "resnext50_32x4d-7cdf4587.pth"),
        ],
    )
    def test_imagenet_is_the_file_of_the_backbone_and_its_style(
        self, monkeypatch, style, backbone, file
    ):
        monkeypatch.setattr(public, "fetch", lambda f, progress: Path(f.name))
        found = find_weights("imagenet", config(BACKBONE=backbone, BACKBONE_STYLE=style))
        assert found == Path(file)

    def test_what_is_not_published_is_told(self):
        with pytest.raises(WeightsError, match="exist for resnet50, resnet101, resnext50.*101'"):
            find_weights("imagenet", config(BACKBONE="resnext101", BACKBONE_STYLE="torchvision"))

    def test_none_and_paths(self):
        assert find_weights("none", config()) is None
        assert find_weights("a/b.h5", config()) == Path("a/b.h5")

    def test_digests_are_those_of_keras(self):
        from keras.src.applications.resnet import WEIGHTS_HASHES

        for name, file in public.IMAGENET["keras"].items():
            with pytest.raises(WeightsError, match=f"md5 .*, not {WEIGHTS_HASHES[name][1]}"):
                file.check(Path(__file__))
