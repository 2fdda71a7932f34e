"""Loading TensorFlow without its start-up notes. Used by the commands."""

import os
import tempfile


def import_keras_quietly() -> None:
    """Import Keras and its backend; what their C++ code writes to stderr meanwhile is dropped.

    TensorFlow says which instructions it found and that there is no GPU, before any log level
    counts; a one-line error of ours would drown in it. An import that fails still raises.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # for what it writes later
    stderr = os.dup(2)
    try:
        with tempfile.TemporaryFile() as notes:
            os.dup2(notes.fileno(), 2)
            import keras  # noqa: F401
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
