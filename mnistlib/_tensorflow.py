"""TensorFlow and Keras, set up and imported without TensorFlow's C++ log lines; the one place.

Those lines (CUDA not found, CPU features, "before absl::InitializeLog()") go straight to the
process's standard error, which a notebook shows as a red block. ``TF_CPP_MIN_LOG_LEVEL`` silences
the ones written after start-up; the ones written while the library loads ignore it, so file
descriptor 2 points nowhere for as long as the import takes. A failing import still raises.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# XLA's default level spends about twice as long compiling networks of this size, and the code it
# makes for them on a CPU is no faster.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


with _quiet_stderr():
    import keras
    import tensorflow as tf

# Python-side warnings go to standard error too; the one that comes up says that training several
# models compiles several functions, which is what a series of seeds is meant to do.
tf.get_logger().setLevel("ERROR")

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        "mnistlib runs on Keras's TensorFlow backend; received "
        f"{keras.backend.backend()!r}. Set KERAS_BACKEND=tensorflow before Python starts."
    )

__all__ = ["keras", "tf"]
