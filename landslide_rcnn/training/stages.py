"""A training in stages: some layers first, at their own learning rate and batch size.

Which stage comes, from which epoch on, and with how much of the time, is all in `Position`, so
that an interrupted training knows where it stood.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from landslide_rcnn.errors import ConfigError

_TEXT = re.compile(r"(.+?):(\d+):([\d.]+(?:e[+-]?\d+)?)(?::(\d+))?", re.IGNORECASE)


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        layers: That train; see `set_trainable`.
        epochs: Of this stage alone.
        learning_rate: At the top of its schedule.
        batch_size: Images a step; None: the configuration's.

    Raises:
        ConfigError: A number is not positive.

    Source: Yang et al. 2022 (PSPNet) train in two: Stage("heads", 50, 1e-4, 8), then
    Stage("all", 100, 1e-5, 4).
    """

    layers: str
    epochs: int
    learning_rate: float
    batch_size: int | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.learning_rate <= 0 or (self.batch_size or 1) < 1:
            raise ConfigError(
                "A stage has at least one epoch, a positive learning rate and batch size. "
                f"Received: {self}. Use heads:50:1e-4:8, say."
            )

    @classmethod
    def parse(cls, text: str) -> "Stage":
        """Make one from the command line's `LAYERS:EPOCHS:LEARNING_RATE[:BATCH_SIZE]`.

        Raises:
            ConfigError: It is not written like that.
        """
        match = _TEXT.fullmatch(text.strip())
        if not match:
            raise ConfigError(
                "A stage is written LAYERS:EPOCHS:LEARNING_RATE or "
                f"LAYERS:EPOCHS:LEARNING_RATE:BATCH_SIZE. Received: {text!r}. "
                "Use heads:50:1e-4:8, say."
            )
        layers, epochs, rate, size = match.groups()
        return cls(layers, int(epochs), float(rate), int(size) if size else None)


@dataclass(frozen=True)
class Position:
    """How far a training has come.

    Attributes:
        stage: The current stage, from 0; as many as there are when all is done.
        first_epoch: Epochs that were done when it began.
        epoch: Epochs that are done.
        seconds_before: What the stages before it took.
        seconds: What it took so far.
    """

    stage: int = 0
    first_epoch: int = 0
    epoch: int = 0
    seconds_before: float = 0.0
    seconds: float = 0.0

    def after_epoch(self, epochs: int, seconds: float) -> "Position":
        """Return it when so many epochs are done and the stage took so many seconds."""
        return replace(self, epoch=epochs, seconds=seconds)

    def next_stage(self) -> "Position":
        """Return the beginning of the next stage, whether or not this one had all its epochs."""
        return Position(
            self.stage + 1, self.epoch, self.epoch, self.seconds_before + self.seconds, 0.0
        )

    def minutes_of_stage(self, stages: Sequence[Stage], minutes: float | None) -> float | None:
        """Return the current stage's part of the time that is left when it begins.

        Time is shared by epochs: one of 50 before one of 100 has a third of it. What a stage
        leaves, or takes too much, the next ones get, or lack; each does one step at least.
        """
        if minutes is None:
            return None
        to_come = sum(stage.epochs for stage in stages[self.stage :])
        left = minutes - self.seconds_before / 60
        return max(left * stages[self.stage].epochs / to_come, 1e-6)
