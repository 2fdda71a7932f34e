"""The training loop on two layers: losses, schedules, stopping in time."""

import itertools

import keras
import numpy as np
import pytest

from landslide_rcnn.config import Config
from landslide_rcnn.errors import ConfigError
from landslide_rcnn.training import OPTIMIZERS, SCHEDULES, TrainingDiverged, fit
from tests.training.helpers import (
    RandomBatches,
    Seen,
    forward,
    make_config,
    make_network,
    make_trainer,
    weights_of,
)


def train(network, config, *, seen=(), trainer=None, val=None, **options):
    options = {"learning_rate": 0.01, "epochs": 2, "verbose": 0, **options}
    trainer = trainer or make_trainer(network)
    return fit(trainer, config, RandomBatches(), val, callbacks=list(seen), **options)


class TestTheLoop:
    def test_it_learns_and_says_every_loss(self):
        network = make_network()
        trainer = make_trainer(network, squared_loss=1.0, absolute_loss=0.5)
        history = train(network, make_config(), trainer=trainer, epochs=30, val=RandomBatches())
        last = {name: values[-1] for name, values in history.history.items()}
        assert last["val_loss"] < 0.2 * history.history["val_loss"][0]
        for kind in ("", "val_"):
            expected = last[f"{kind}squared_loss"] + 0.5 * last[f"{kind}absolute_loss"]
            assert last[f"{kind}loss"] == pytest.approx(expected, rel=1e-5)

    def test_a_loss_of_weight_zero_is_not_computed(self):
        network = make_network()
        trainer = make_trainer(network, squared_loss=1.0, absolute_loss=0.0)
        trainer.components["absolute_loss"] = None  # calling it would fail
        assert set(train(network, make_config(), trainer=trainer).history) == {
            "loss",
            "squared_loss",
        }

    def test_the_first_step_is_the_optimizers(self):
        """Loss and gradient of one step by hand: SGD without momentum or penalty."""
        network = make_network()
        network.layers[2].rate = 0.0  # the dropout
        before = weights_of(network)
        config = make_config(
            OPTIMIZER="sgd", LEARNING_MOMENTUM=0.0, WEIGHT_DECAY=0.0, STEPS_PER_EPOCH=1,
            GRADIENT_CLIP_NORM=1e6,
        )  # fmt: skip
        batch = RandomBatches()[0]
        inner = np.tanh(batch["x"] @ before[0] + before[1])
        error = inner @ before[2] + before[3] - batch["y"]
        history = train(network, config, epochs=1, learning_rate=0.5)
        assert history.history["loss"][0] == pytest.approx(float((error**2).mean()), rel=1e-5)
        expected = before[2] - 0.5 * inner.T @ (2 * error / 8)
        np.testing.assert_allclose(weights_of(network)[2], expected, rtol=1e-4, atol=1e-6)

    def test_a_loss_that_is_no_number_stops_it(self):
        network = make_network()
        network.get_layer("outer").kernel.assign(np.full((4, 1), np.nan, np.float32))
        with pytest.raises(TrainingDiverged, match="Received: loss=nan at step 1"):
            train(network, make_config())


class TestSchedules:
    def test_step_halves_every_ten_epochs(self):
        config = make_config(LEARNING_RATE_SCHEDULE="step")
        rate = SCHEDULES["step"](config, 1e-3)
        assert [rate(0.5, epoch) for epoch in (0, 9, 10, 19, 20, 79)] == pytest.approx(
            [1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4, 1e-3 / 128]
        )
        thirds = make_config(LEARNING_RATE_STEP_EPOCHS=2, LEARNING_RATE_STEP_FACTOR=1 / 3)
        assert SCHEDULES["step"](thirds, 0.9)(0, 5) == pytest.approx(0.1)

    def test_cosine_is_keras_own(self):
        rate = SCHEDULES["cosine"](make_config(), 0.2)
        keras_own = keras.optimizers.schedules.CosineDecay(0.2, decay_steps=100, alpha=0.01)
        for percent in (0, 1, 37, 50, 99, 100):
            assert rate(percent / 100, 3) == pytest.approx(float(keras_own(percent)), rel=1e-5)

    def test_every_step_gets_its_rate(self):
        seen = Seen()
        config = make_config(
            LEARNING_RATE_SCHEDULE="step", LEARNING_RATE_STEP_EPOCHS=1, WARMUP_STEPS=2
        )
        train(make_network(), config, seen=[seen], epochs=3, learning_rate=0.8)
        expected = [0.4, 0.8, 0.8, 0.8] + [0.4] * 4 + [0.2] * 4
        assert seen.rates == pytest.approx(expected)

    def test_a_continued_training_goes_on_in_its_schedule(self):
        whole, rest = Seen(), Seen()
        config = make_config(LEARNING_RATE_SCHEDULE="cosine", WARMUP_STEPS=6)
        train(make_network(), config, seen=[whole], initial_epoch=3, epochs=7)
        train(make_network(), config, seen=[rest], initial_epoch=4, first_epoch=3, epochs=7)
        assert len(set(whole.rates)) == 16
        assert rest.rates == whole.rates[4:]

    def test_settings_are_checked(self):
        with pytest.raises(ConfigError, match="LEARNING_RATE_STEP_FACTOR.*Received.*=0"):
            Config(LEARNING_RATE_STEP_FACTOR=0)
        with pytest.raises(ConfigError, match="LEARNING_RATE_STEP_EPOCHS must be a whole number"):
            Config(LEARNING_RATE_STEP_EPOCHS=0.5)
        with pytest.raises(ConfigError, match="one of constant, cosine, step"):
            Config(LEARNING_RATE_SCHEDULE="steps")


class TestTime:
    def test_the_clock_decides_when_time_is_up(self):
        """Every look at the clock takes a second: 0.2 minutes are 12 of them."""
        for done in (0.0, 6.0):
            seen = Seen()
            train(
                make_network(), make_config(), seen=[seen], epochs=100, minutes=0.2,
                clock=itertools.count().__next__, seconds_done=done,
            )  # fmt: skip
            # Two looks a step: before it, for the rate, and after it.
            assert len(seen.rates) == (12 - done) / 2

    def test_progress_follows_the_clock(self):
        now, seen = [0.0], Seen()

        class Tick(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                now[0] += 15

        config = make_config(LEARNING_RATE_SCHEDULE="cosine")
        train(
            make_network(), config, seen=[seen, Tick()], epochs=100, minutes=1, learning_rate=1.0,
            clock=lambda: now[0],
        )  # fmt: skip
        expected = [0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * t)) for t in (0, 0.25, 0.5, 0.75)]
        # The step that ends the time is followed by one more, which finds it out.
        assert seen.rates[:4] == pytest.approx(expected, rel=1e-5) and len(seen.rates) == 5


def test_adam_is_keras_own_with_the_clipping():
    adam = OPTIMIZERS["adam"](make_config(GRADIENT_CLIP_NORM=3.0), 0.25)
    assert type(adam) is keras.optimizers.Adam
    assert float(adam.learning_rate) == 0.25 and adam.global_clipnorm == 3.0


def test_forward_is_told_whether_it_trains():
    network, seen = make_network(), []

    def spy(network, batch, training):
        seen.append(training)
        return forward(network, batch, training)

    trainer = make_trainer(network)
    trainer.forward = spy
    train(network, make_config(), trainer=trainer, epochs=1, val=RandomBatches(1))
    assert set(seen) == {True, False}
