"""A progress bar on stderr for Keras' training loop; Keras' own writes to stdout."""

import sys

import keras
from tqdm import tqdm


class ProgressBar(keras.callbacks.Callback):
    """One bar an epoch, with the loss; one line an epoch remains."""

    def __init__(self):
        super().__init__()
        self.bar: tqdm | None = None

    def on_epoch_begin(self, epoch, logs=None):
        self.bar = tqdm(
            total=self.params.get("steps"),
            desc=f"epoch {epoch + 1}",
            unit="step",
            file=sys.stderr,
            leave=False,
        )

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update(1)
        self.bar.set_postfix(loss=f"{(logs or {}).get('loss', float('nan')):.3f}")

    def on_epoch_end(self, epoch, logs=None):
        self.bar.close()
        figures = "  ".join(
            f"{name} {logs[name]:.3f}" for name in ("loss", "val_f1") if name in (logs or {})
        )
        tqdm.write(f"epoch {epoch + 1}: {figures}", file=sys.stderr)

    def on_train_end(self, logs=None):
        if self.bar is not None:
            self.bar.close()
