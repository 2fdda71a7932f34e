"""Which epoch is best by a named metric, and when to stop because none was better for long."""

import math
from collections.abc import Collection, Mapping
from typing import Any

from landslide_rcnn.errors import ConfigError
from landslide_rcnn.nn.semantic_losses import SEMANTIC_LOSSES

# Metrics of the validation data at their best threshold, by their names in the logs: the more,
# the better. Of losses ("loss", "val_loss", "val_..._loss", "val_dice") less is better.
VALIDATION_METRICS = ("f1", "iou", "miou", "precision", "recall", "overall_accuracy")
HIGHER_IS_BETTER = frozenset(f"val_{name}" for name in VALIDATION_METRICS)


class Monitor:
    """Follows one metric.

    Args:
        name: Of the metric, as the logs of an epoch call it.
        patience: Epochs without a better one after which `is_exhausted`; None: never.

    Attributes:
        best: {"value", "epoch" (from 1), and what else was noted of it}; None before the first
            epoch with a value.
        waited: Epochs since then, or since `restart`.

    Raises:
        ConfigError: It is not known whether more or less of the metric is better, or `patience`
            is below 1.
    """

    def __init__(self, name: str = "val_f1", patience: int | None = None) -> None:
        is_loss = name.endswith("loss") or name.removeprefix("val_") in SEMANTIC_LOSSES
        if name not in HIGHER_IS_BETTER and not is_loss:
            raise ConfigError(
                f"The best epoch is chosen by one of {', '.join(sorted(HIGHER_IS_BETTER))}, or by "
                f"a loss. Received: {name!r}. Use val_f1, or val_loss."
            )
        if patience is not None and patience < 1:
            raise ConfigError(
                f"patience is a number of epochs. Received: {patience}. Use 1 or more, or none."
            )
        self.name, self.patience = name, patience
        self.best: dict[str, Any] | None = None
        self.waited = 0

    @property
    def needs_validation_loss(self) -> bool:
        """Whether Keras must compute the losses of the validation data."""
        return self.name.startswith("val_") and self.name not in HIGHER_IS_BETTER

    @property
    def is_exhausted(self) -> bool:
        """Whether `patience` epochs have passed without a better one."""
        return self.patience is not None and self.waited >= self.patience

    def expect(self, losses: Collection[str]) -> None:
        """Refuse, before the first epoch, a loss that none will log.

        Args:
            losses: Names of those that are added up.

        Raises:
            ConfigError: The metric is a loss, and not one of them.
        """
        if self.name not in HIGHER_IS_BETTER:
            self._check_logged([f"{of}{name}" for name in ("loss", *losses) for of in ("", "val_")])

    def update(self, epoch: int, logs: Mapping[str, float], **notes: Any) -> bool:
        """Look at the epoch that is done, from 1; return whether it is the best so far.

        An epoch whose metric is undefined (no precision without a prediction) is not better than
        any, but it is the best as long as there is no other.

        Raises:
            ConfigError: The logs of no epoch have the metric.
        """
        if self.name not in HIGHER_IS_BETTER:
            self._check_logged(logs)
        value = logs.get(self.name)
        if value is not None and math.isnan(value):  # nothing compares with it
            value = None
        is_better = self.best is None or self._is_better(value, self.best["value"])
        if is_better:
            self.best = {"value": value, "epoch": epoch, **notes}
        self.waited = 0 if is_better else self.waited + 1
        return is_better

    def restart(self) -> None:
        """Have patience anew: another stage begins. The best so far stays."""
        self.waited = 0

    def state(self) -> dict[str, Any]:
        """Return what `restore` takes, in JSON's types."""
        return {"best": self.best, "waited": self.waited}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where another monitor was."""
        self.best, self.waited = state["best"], state["waited"]

    def _check_logged(self, names: Collection[str]) -> None:
        if self.name not in names:
            raise ConfigError(
                f"The metric to choose the best epoch by must be logged. Received: {self.name!r}. "
                f"Use one of {', '.join(sorted({*names, *HIGHER_IS_BETTER}))}."
            )

    def _is_better(self, value: float | None, best: float | None) -> bool:
        if value is None or best is None:
            return value is not None
        return value > best if self.name in HIGHER_IS_BETTER else value < best
