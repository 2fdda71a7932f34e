"""The semantic models' face, with a thin network: it learns, detects, is saved and found again."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from landslide_rcnn import building
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.errors import ConfigError
from landslide_rcnn.evaluation.datasets import sweep_dataset
from landslide_rcnn.experiments import SemanticConfig
from landslide_rcnn.loading import load_model, make_model
from landslide_rcnn.model import MaskRCNN
from landslide_rcnn.nn.semantic.unet import build_unet
from landslide_rcnn.segmenter import Segmenter

BANDS = 7


class TinyConfig(SemanticConfig):
    NAME = "tiny"
    IMAGES_PER_GPU = 2
    NUM_CLASSES = 3
    IMAGE_CHANNEL_COUNT = BANDS
    IMAGE_MIN_DIM = 64
    IMAGE_MAX_DIM = 64
    MEAN_PIXEL = np.full(BANDS, 100.0)
    STD_PIXEL = np.full(BANDS, 50.0)
    PRECISION = "float32"
    LEARNING_RATE = 0.01


class Marks(Dataset):
    """Squares bright in the last band, bars in the last but one; the first image has neither."""

    def __init__(self, count=4):
        super().__init__()
        self.add_class("marks", 1, "square")
        self.add_class("marks", 2, "bar")
        for i in range(count):
            self.add_image("marks", i, None)
        self.prepare()

    def load_image(self, image_id):
        image = np.random.default_rng(image_id).integers(0, 60, (48, 60, BANDS), np.uint8)
        masks, _ = self.load_mask(image_id)
        for index in range(masks.shape[-1]):
            image[masks[..., index], BANDS - 1 - index] = 220
        return image

    def load_mask(self, image_id):
        if image_id == 0:
            return np.zeros((48, 60, 0), bool), np.zeros(0, np.int32)
        masks = np.zeros((48, 60, 2), bool)
        masks[4:20, 4 + image_id : 20 + image_id, 0] = True
        masks[30:38, 10:50, 1] = True
        return masks, np.array([1, 2], np.int32)


@pytest.fixture(scope="module", autouse=True)
def thin():
    """Every architecture is a U-Net of 4 channels here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "build_semantic", lambda *_, **sizes: build_unet(width=4, **sizes))
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    keras.utils.set_random_seed(0)  # the initial weights, whatever ran before
    model = Segmenter("unet", config=TinyConfig(STEPS_PER_EPOCH=100), model_dir=folder)
    history = model.train(Marks(), Marks(2), 0.01, epochs=2, layers="all", verbose=0)
    return model, history


@pytest.mark.slow
class TestTrained:
    def test_the_losses_are_named_and_fall(self, trained):
        model, history = trained
        assert set(history.history) >= {"loss", "bce", "val_loss", "val_bce"}
        assert history.history["bce"][-1] < 0.2 * history.history["bce"][0]
        assert model.epoch == 2 and model.class_names == ["BG", "square", "bar"]

    def test_it_detects_each_kind(self, trained):
        model, _ = trained
        data = Marks()
        blank, marked = model.detect([data.load_image(0), data.load_image(2)])
        assert blank["masks"].shape == (48, 60, 0) and blank["rois"].shape == (0, 4)
        assert sorted(marked["class_ids"]) == [1, 2] and marked["masks"].shape == (48, 60, 2)
        masks, class_ids = data.load_mask(2)
        for class_id, mask in zip(class_ids, masks.transpose(2, 0, 1)):
            [own] = np.flatnonzero(marked["class_ids"] == class_id)
            found = marked["masks"][..., own]
            assert (found & mask).sum() / (found | mask).sum() > 0.9
            assert marked["rois"].dtype == np.int32 and 0.8 < marked["scores"][own] <= 1
            y1, x1, y2, x2 = marked["rois"][own]
            assert found[y1:y2, x1:x2].sum() == found.sum()

    def test_the_probability_is_that_of_no_background(self, trained):
        model, _ = trained
        image = np.zeros((64, 64, BANDS), np.uint8)
        image[:48, :60] = Marks().load_image(1)
        [prediction] = model.predict_tiles(image[None])
        logits = model.keras_model(ops.convert_to_tensor((image[None] - 100.0) / 50.0))
        background = np.asarray(ops.softmax(logits, axis=-1))[0, ..., 0]
        np.testing.assert_allclose(prediction.probability, 1 - background, atol=1e-5)
        assert prediction.probability.dtype == np.float32 and len(prediction.instances) == 0

    def test_tiles_of_any_size_and_what_is_not_valid(self, trained):
        model, _ = trained
        images = [Marks().load_image(1), np.full((30, 90, BANDS), 9, np.uint8)]
        valid = [np.ones((48, 60), bool), np.ones((30, 90), bool)]
        valid[0][:, :30] = False
        first, second = model.predict_tiles(images, valid)
        assert second.probability.shape == (30, 90)
        assert (first.probability[:, :30] == 0).all() and first.probability.max() > 0.9

    def test_a_dataset_is_judged(self, trained):
        model, _ = trained
        assert sweep_dataset(model, Marks(), progress=False).confusion_at(0.5).f1 > 0.9

    def test_weights_and_card_make_the_same_model(self, trained, tmp_path):
        model, _ = trained
        last = model.find_last()
        assert Path(last).name == "unet_tiny_0002.weights.h5"
        again, card = load_model(last)
        assert isinstance(again, Segmenter) and card.architecture == "unet"
        assert again.epoch == 2 and again.class_names == ["BG", "square", "bar"]
        assert again.bands == [f"band {i + 1}" for i in range(BANDS)]
        images = [Marks().load_image(i) for i in range(3)]
        for one, other in zip(model.predict_tiles(images), again.predict_tiles(images)):
            np.testing.assert_array_equal(one.probability, other.probability)
        assert again.identity() == model.identity()
        path = tmp_path / "chosen.weights.h5"
        model.save_weights(path, threshold=0.999999)
        strict = load_model(path)[0]
        assert strict.threshold == 0.999999
        total = [sum(r["masks"].sum() for r in m.detect(images)) for m in (strict, again)]
        assert 0 <= total[0] < total[1]
        strict.keras_model.get_layer("logits").bias.assign_add([1.0, 0, 0])
        assert strict.identity() != model.identity()
        with pytest.raises(ConfigError, match="ARCHITECTURE='unet'.*loading.load_model"):
            MaskRCNN.from_weights(last)

    def test_the_smallest_landslide(self, trained):
        model, _ = trained
        config = model.config.replaced(DETECTION_MIN_PIXELS=300)
        larger = Segmenter(config=config)
        larger.keras_model.set_weights(model.keras_model.get_weights())
        [found] = larger.detect([Marks().load_image(2)])
        assert found["class_ids"].tolist() == [2]  # the square has 256 pixels, the bar 320


class TestWhatIsBuilt:
    @pytest.fixture
    def asked(self, monkeypatch):
        calls = []

        def build(*names, **sizes):
            calls.append((*names, *sizes.values()))
            return build_unet(width=4, **sizes)

        monkeypatch.setattr(building, "build_semantic", build)
        return calls

    def test_the_arguments_reach_the_network(self, asked):
        Segmenter()
        Segmenter("pspnet")
        Segmenter("deeplab", "mobilenet", TinyConfig())
        model = Segmenter("unet", "resnet50", TinyConfig(NUM_CLASSES=2))
        assert asked == [
            ("unet", "plain", 3, 1),
            ("pspnet", "resnet50", 3, 1),
            ("deeplab", "mobilenet", BANDS, 3),
            ("unet", "resnet50", BANDS, 1),
        ]
        assert (model.config.NAME, model.config.BACKBONE) == ("tiny", "resnet50")
        assert model.keras_model.output_shape[-1] == 1

    def test_a_configuration_says_which_family(self, asked):
        config = TinyConfig(ARCHITECTURE="drs_unet")
        assert type(make_model(config)) is Segmenter and asked[0][0] == "drs_unet"
        with pytest.raises(ConfigError, match="ARCHITECTURE='drs_unet'. Use segmenter.Segmenter"):
            MaskRCNN("training", config, "logs")
        with pytest.raises(ConfigError, match="needs a semantic architecture"):
            Segmenter("mask_rcnn", "resnet50")
        with pytest.raises(ConfigError, match="needs a semantic architecture"):
            Segmenter("mask_rcnn")  # without a backbone that would do for one
        with pytest.raises(ConfigError, match="BACKBONE must be one of ARCHITECTURE's: resnet50"):
            Segmenter("pspnet", "vgg16")

    def test_a_model_for_detection_does_not_train(self, asked):
        model = Segmenter(config=TinyConfig(), mode="inference")
        with pytest.raises(ConfigError, match='mode="training"'):
            model.train(Marks(), None, 0.01, epochs=1, layers="all")

    def test_the_losses_that_the_configuration_names(self, asked):
        config = TinyConfig(SEMANTIC_LOSS={"focal": 2.0, "dice": 0.5}, CLASS_WEIGHTS=[1, 2, 3])
        trainer = Segmenter(config=config).make_trainer()
        assert trainer.loss_weights == {"focal": 2.0, "dice": 0.5}
        assert trainer.components["focal"].keywords == {"class_weights": [1, 2, 3]}
