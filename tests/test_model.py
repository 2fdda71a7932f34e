"""matterport's face: a script written for it trains and detects after changing its imports."""

from pathlib import Path

import keras
import numpy as np
import pytest

from landslide_rcnn import model as modellib
from landslide_rcnn import utils, visualize
from landslide_rcnn.config import Config
from landslide_rcnn.errors import ConfigError, DatasetError, ShapeError, WeightsError
from landslide_rcnn.training import TrainingDiverged, set_trainable
from landslide_rcnn.weights import card_path, public, read_card


class ShapesConfig(Config):
    """Written as for matterport's."""

    NAME = "shapes"
    GPU_COUNT = 1
    IMAGES_PER_GPU = 2
    NUM_CLASSES = 1 + 2
    BACKBONE = "resnet50"
    IMAGE_MIN_DIM = 64
    IMAGE_MAX_DIM = 64
    RPN_ANCHOR_SCALES = (8, 16, 32, 48, 64)
    TRAIN_ROIS_PER_IMAGE = 8
    STEPS_PER_EPOCH = 2
    VALIDATION_STEPS = 1
    POST_NMS_ROIS_TRAINING = 50
    POST_NMS_ROIS_INFERENCE = 20
    TOP_DOWN_PYRAMID_SIZE = 32
    FPN_CLASSIF_FC_LAYERS_SIZE = 32
    DETECTION_MIN_CONFIDENCE = 0
    DETECTION_MAX_INSTANCES = 5


class ShapesDataset(utils.Dataset):
    """Written as for matterport's: squares and bars, drawn on request."""

    def load_shapes(self, count):
        self.add_class("shapes", 1, "square")
        self.add_class("shapes", 2, "bar")
        for i in range(count):
            self.add_image("shapes", image_id=i, path=None, width=60, height=48)

    def load_image(self, image_id):
        masks, _ = self.load_mask(image_id)
        image = np.random.default_rng(image_id).integers(0, 60, (48, 60, 3), dtype=np.uint8)
        image[masks.any(axis=-1)] = (200, 180, 90)
        return image

    def load_mask(self, image_id):
        if image_id == 0:  # one image without instances
            return np.zeros((48, 60, 0), bool), np.zeros(0, np.int32)
        masks = np.zeros((48, 60, 2), bool)
        masks[5:20, 5:20, 0] = True
        masks[30:36, 10:50, 1] = True
        return masks, np.array([1, 2], dtype=np.int32)

    def image_reference(self, image_id):
        return f"shape {image_id}"


def shapes(count=5):
    dataset = ShapesDataset()
    dataset.load_shapes(count)
    dataset.prepare()
    return dataset


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The script: two trainings in a row, heads and then all."""
    config = ShapesConfig()
    folder = tmp_path_factory.mktemp("logs")
    model = modellib.MaskRCNN(mode="training", config=config, model_dir=str(folder))
    before = {n: [w.numpy().copy() for w in x.weights] for n, x in layers(model).items()}
    first = model.train(
        shapes(), shapes(2), learning_rate=config.LEARNING_RATE, epochs=1, layers="heads", verbose=0
    )
    middle = {n: [w.numpy().copy() for w in x.weights] for n, x in layers(model).items()}
    second = model.train(
        shapes(),
        shapes(2),
        learning_rate=config.LEARNING_RATE / 10,
        epochs=2,
        layers="all",
        verbose=0,
    )
    return model, first, second, before, middle


def layers(model):
    return model.keras_model.leaf_layers()


def changed(first, second):
    return {
        name for name in first if any((a != b).any() for a, b in zip(first[name], second[name]))
    }


@pytest.mark.slow
class TestTheScript:
    def test_heads_trains_what_follows_the_backbone_only(self, trained):
        _, _, _, before, middle = trained
        moved = changed(before, middle)
        assert "mrcnn_class_conv1" in moved and "rpn_conv_shared" in moved and "fpn_c5p5" in moved
        assert not [name for name in moved if name.startswith(("res", "bn", "conv1"))]

    def test_then_all_trains_the_backbone_too(self, trained):
        model, _, _, _, middle = trained
        after = {n: [w.numpy() for w in x.weights] for n, x in layers(model).items()}
        assert {"conv1", "res5c_branch2c"} <= changed(middle, after)

    def test_the_losses_of_a_second_training_are_not_doubled(self, trained):
        _, first, second, _, _ = trained
        for history in (first.history, second.history):
            parts = [v[0] for n, v in history.items() if n.startswith(("rpn_", "mrcnn_"))]
            assert len(parts) == 5  # the edge loss is off
            # What remains is the small L2 term.
            assert 0.98 < sum(parts) / history["loss"][0] <= 1.0001
            assert "val_mrcnn_mask_loss" in history

    def test_epochs_are_cumulative(self, trained, capsys):
        model, first, second, _, _ = trained
        assert first.epoch == [0] and second.epoch == [1] and model.epoch == 2
        assert model.train(shapes(), None, 0.001, epochs=2, layers="all", verbose=0) is None
        assert "2 are done" in capsys.readouterr().out

    def test_the_last_checkpoint_is_found_and_continues(self, trained):
        model, *_ = trained
        last = model.find_last()
        assert last.endswith("mask_rcnn_shapes_0002.weights.h5")
        again = modellib.MaskRCNN("training", ShapesConfig(), model.model_dir)
        report = again.load_weights(last)
        assert again.epoch == 2 and again.log_dir == model.log_dir
        assert not report.missing and not report.unused
        for name, layer in layers(model).items():
            for mine, theirs in zip(layer.weights, layers(again)[name].weights):
                np.testing.assert_array_equal(mine.numpy(), theirs.numpy())

    def test_detection_after_training_takes_images_of_any_number_and_size(self, trained):
        model, *_ = trained
        images = [
            shapes().load_image(1),
            np.zeros((130, 40, 3), np.uint8),
            np.ones((7, 9, 3), np.uint8),
        ]
        results = model.detect(images, verbose=0)
        assert len(results) == 3
        for image, result in zip(images, results):
            n = len(result["scores"])
            assert result["masks"].shape == (*image.shape[:2], n) and result["masks"].dtype == bool
            assert result["rois"].shape == (n, 4) and result["class_ids"].shape == (n,)
            y1, x1, y2, x2 = result["rois"].T
            assert (y1 >= 0).all() and (x1 >= 0).all()
            assert (y2 <= image.shape[0]).all() and (x2 <= image.shape[1]).all()
        assert model.detect([]) == []

    def test_an_image_has_one_answer_whatever_its_company(self, trained):
        model, *_ = trained
        image = shapes().load_image(1)
        alone = model.detect([image])[0]
        together = model.detect([np.zeros_like(image), image, image])
        for result in together[1:]:
            np.testing.assert_allclose(result["scores"], alone["scores"], atol=1e-3)

    def test_results_can_be_shown(self, trained):
        model, *_ = trained
        image = shapes().load_image(1)
        r = model.detect([image])[0]
        figure = visualize.display_instances(
            image, r["rois"], r["masks"], r["class_ids"], ["BG", "square", "bar"], r["scores"]
        )
        assert len(figure.axes) == 1

    def test_the_card_says_what_the_weights_are_for(self, trained):
        model, *_ = trained
        card = read_card(model.find_last())
        assert card.bands == ["red", "green", "blue"]
        assert card.class_names == ["BG", "square", "bar"]
        assert card.config["NUM_CLASSES"] == 3
        again, _ = modellib.MaskRCNN.from_weights(model.find_last())
        image = shapes().load_image(1)
        np.testing.assert_allclose(
            again.detect([image])[0]["scores"], model.detect([image])[0]["scores"], atol=1e-3
        )

    def test_tile_predictions_agree_with_detections(self, trained):
        model, *_ = trained
        tile = shapes().load_image(1)
        valid = np.ones(tile.shape[:2], bool)
        valid[:, 30:] = False
        [prediction] = model.predict_tiles(tile[None], valid[None])
        assert prediction.probability.shape == (48, 60)
        assert not prediction.probability[:, 30:].any()
        assert 0 <= prediction.probability.min() <= prediction.probability.max() <= 1

    def test_the_identity_is_that_of_the_weights(self, trained):
        model, *_ = trained
        again, _ = modellib.MaskRCNN.from_weights(model.find_last())
        assert again.identity() == model.identity()
        bias = again.keras_model.get_layer("mrcnn_mask").weights[-1]
        bias.assign(bias + 1e-3)
        changed = again.identity()
        assert changed["config_sha256"] == model.identity()["config_sha256"]
        assert changed["weights_sha256"] != model.identity()["weights_sha256"]

    def test_a_checkpoint_of_another_network_is_refused_by_name(self, trained):
        model, *_ = trained

        class Other(ShapesConfig):
            NUM_CLASSES = 4

        other = modellib.MaskRCNN("inference", Other(), model.model_dir)
        with pytest.raises(WeightsError, match="layers are missing or differ.*mrcnn_"):
            other.load_weights(model.find_last())
        report = other.load_weights(model.find_last(), by_name=True)
        assert {m.split()[0] for m in report.mismatched} == {
            "mrcnn_class_logits",
            "mrcnn_bbox_fc",
            "mrcnn_mask",
        }
        report = other.load_weights(
            model.find_last(), by_name=True, exclude=["mrcnn_mask", "mrcnn_bbox_fc"]
        )
        assert report.excluded == ["mrcnn_bbox_fc", "mrcnn_mask"]


class TestDoors:
    @pytest.fixture(scope="class")
    def model(self, tmp_path_factory):
        logs = tmp_path_factory.mktemp("doors") / "logs"
        return modellib.MaskRCNN("training", ShapesConfig(BACKBONE="resnet26"), logs)

    def test_none_is_no_weights(self, model):
        with pytest.raises(WeightsError, match="needs weights"):
            model.load_weights("none")

    def test_public_weights_are_fetched_and_need_no_by_name(self, model, tmp_path, monkeypatch):
        class Other(ShapesConfig):
            BACKBONE = "resnet26"
            NUM_CLASSES = 4

        other = modellib.MaskRCNN("training", Other(), tmp_path)
        other.save_weights(tmp_path / "coco.weights.h5")
        monkeypatch.setattr(public, "fetch", lambda file, progress: tmp_path / "coco.weights.h5")
        report = model.load_weights("coco")
        assert set(report.mismatched) == {"mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_mask"}
        assert set(report.mismatched.values()) == {"4 classes in the file, 3 here"}
        with pytest.raises(WeightsError, match="imagenet|ImageNet"):
            model.load_weights("imagenet")  # there are none for this small backbone

    def test_a_refused_file_leaves_the_model_as_it_was(self, model, tmp_path):
        class Other(ShapesConfig):
            BACKBONE = "resnet26"
            NUM_CLASSES = 4

        modellib.MaskRCNN("training", Other(), tmp_path).save_weights(tmp_path / "x.weights.h5")
        before = {n: [w.numpy().copy() for w in x.weights] for n, x in layers(model).items()}
        epoch, log_dir = model.epoch, model.log_dir
        with pytest.raises(WeightsError, match="4 classes in the file, 3 here"):
            model.load_weights(tmp_path / "x.weights.h5")
        after = {n: [w.numpy() for w in x.weights] for n, x in layers(model).items()}
        assert not changed(before, after) and (model.epoch, model.log_dir) == (epoch, log_dir)

    def test_our_weights_without_a_card_and_last(self, model, tmp_path):
        folder = model.model_dir / "shapes20260102T0304"
        path = folder / "mask_rcnn_shapes_0007.weights.h5"
        model.save_weights(path)
        card_path(path).unlink()
        expected = layers(model)["fpn_p2"].kernel.numpy()
        layers(model)["fpn_p2"].kernel.assign(np.zeros_like(expected))
        report = model.load_weights("last")
        assert not report.left() and "does not tell" in str(report)
        np.testing.assert_array_equal(layers(model)["fpn_p2"].kernel.numpy(), expected)
        assert model.epoch == 7 and model.log_dir == str(folder)

    def test_a_damaged_file_does_not_fit_its_card(self, model, tmp_path):
        path = tmp_path / "w.weights.h5"
        model.save_weights(path)
        with open(path, "r+b") as file:
            file.seek(path.stat().st_size // 2)
            file.write(b"damage")
        with pytest.raises(WeightsError, match="sha256 is another"):
            model.load_weights(path)

    def test_find_last_says_what_is_missing(self, tmp_path):
        model = modellib.MaskRCNN("training", ShapesConfig(BACKBONE="resnet26"), tmp_path / "logs")
        with pytest.raises(
            FileNotFoundError, match="logs without a log folder of 'shapes'"
        ) as error:
            model.find_last()
        assert str(error.value).startswith("The last checkpoint is looked for in")
        (tmp_path / "logs" / "shapes20260101T0000").mkdir(parents=True)
        with pytest.raises(FileNotFoundError, match="0000 without weight files of mask_rcnn"):
            model.find_last()


class TestLayers:
    @pytest.fixture(scope="class")
    def network(self):
        return modellib.build_network(ShapesConfig(BACKBONE="resnet26", BOTTOM_UP_PATH=True))

    @pytest.mark.parametrize(
        "key,first_stage", [("heads", 6), ("5+", 5), ("4+", 4), ("3+", 3), ("all", 1)]
    )
    def test_keys(self, network, key, first_stage):
        names = set(set_trainable(network, key))
        for stage in range(2, 6):
            assert (f"res{stage}a_branch2a" in names) == (stage >= first_stage)
        assert ("conv1" in names) == ("bn_conv1" in names) == (key == "all")
        assert {"fpn_n3_down", "fpn_n6", "fpn_p2", "rpn_class_raw", "mrcnn_mask"} <= names
        trained = {w.path for w in network.trainable_weights}
        assert bool([p for p in trained if "conv1/kernel" in p and "mrcnn" not in p]) == (
            key == "all"
        )

    def test_an_expression(self, network):
        assert set(set_trainable(network, r"(rpn_conv_.*)|(mrcnn_bbox_fc)")) == {
            "rpn_conv_shared",
            "mrcnn_bbox_fc",
        }

    @pytest.mark.parametrize("layers", ["nothing", "(unclosed", "conv"])
    def test_an_expression_that_names_none_is_an_error(self, network, layers):
        with pytest.raises(ConfigError, match="layers must"):
            set_trainable(network, layers)


class TestMistakes:
    def test_mode(self, tmp_path):
        with pytest.raises(ConfigError, match='"training" or "inference"'):
            modellib.MaskRCNN("train", ShapesConfig(BACKBONE="resnet26"), tmp_path)

    def test_training_and_bad_data_and_bad_images(self, tmp_path):
        model = modellib.MaskRCNN("inference", ShapesConfig(BACKBONE="resnet26"), tmp_path)
        with pytest.raises(ConfigError, match="mode"):
            model.train(shapes(), None, 0.1, 1, "all")
        with pytest.raises(ShapeError, match=r"\[H, W, C\]"):
            model.detect([np.zeros((8, 8), np.uint8)])
        with pytest.raises(DatasetError, match="IMAGE_CHANNEL_COUNT"):
            model.detect([np.zeros((8, 8, 5), np.uint8)])
        model.mode = "training"

        class Broken(ShapesDataset):
            def load_image(self, image_id):
                if image_id == 3:
                    raise DatasetError("An image must be readable. Received: broken.png.")
                return super().load_image(image_id)

        broken = Broken()
        broken.load_shapes(5)
        broken.prepare()
        with pytest.raises(DatasetError, match="broken.png"):
            model.train(broken, None, 0.1, 1, "all", verbose=0)
        assert not Path(model.log_dir).exists()  # stopped before the first epoch

    @pytest.mark.slow
    def test_a_loss_that_is_not_finite_stops_the_training(self, tmp_path):
        model = modellib.MaskRCNN("training", ShapesConfig(BACKBONE="resnet26"), tmp_path)
        layers(model)["mrcnn_class_logits"].kernel.assign(np.full((32, 3), np.nan, np.float32))
        with pytest.raises(TrainingDiverged, match="LEARNING_RATE"):
            model.train(shapes(), None, 0.1, 1, "all", verbose=0, checkpoints=False)


@pytest.mark.slow
def test_minutes_stop_the_training_in_the_middle_of_an_epoch(tmp_path):
    seen = []
    counter = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(batch)
    )
    model = modellib.MaskRCNN(
        "training", ShapesConfig(BACKBONE="resnet26", STEPS_PER_EPOCH=1000), tmp_path
    )
    model.train(
        shapes(),
        None,
        0.001,
        epochs=5,
        layers="heads",
        minutes=0.02,
        custom_callbacks=[counter],
        checkpoints=False,
        verbose=0,
    )
    assert 1 <= len(seen) < 1000 and model.epoch == 1
