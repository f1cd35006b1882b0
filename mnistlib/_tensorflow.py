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
_BACKEND = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
if _BACKEND != "tensorflow":
    # Before Keras is imported, whose error would name a module that is missing, not the reason.
    raise ImportError(
        f"mnistlib runs on Keras's TensorFlow backend; received KERAS_BACKEND={_BACKEND!r}. Unset "
        "it, or set KERAS_BACKEND=tensorflow, before Python starts."
    )
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

    has_gpu = bool(_gpus := tf.config.list_physical_devices("GPU"))
    for _gpu in _gpus:
        # TensorFlow otherwise takes all of its memory at once, and a second notebook finds none.
        # RuntimeError: the GPU is in use already, by whoever imported TensorFlow first.
        with contextlib.suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(_gpu, True)
    if tf.__version__.startswith("2.20."):
        # This version says once in a process, whatever the level of its log, that XLA compiled
        # something: better here, where nobody reads it.
        tf.function(lambda x: tf.matmul(x, x), jit_compile=True)(tf.ones((2, 2)))

# Python-side warnings go to standard error too; the one that comes up says that training several
# models compiles several functions, which is what a series of seeds is meant to do.
tf.get_logger().setLevel("ERROR")

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        "mnistlib runs on Keras's TensorFlow backend, and Keras was imported with "
        f"{keras.backend.backend()!r} before. Restart Python, and import mnistlib first or set "
        "KERAS_BACKEND=tensorflow."
    )


@contextlib.contextmanager
def standard_settings(precision: str = "float32") -> Iterator[None]:
    """Within, Keras builds and computes by its own defaults, whatever was set before.

    A ``keras.json`` in the user's home folder, or a line elsewhere in the program, may say
    ``float16`` or ``channels_first``; neither may bend what this library builds, loads or trains.

    Args:
        precision: The dtype policy, ``"float32"`` or ``"mixed_bfloat16"``.
    """
    config = keras.config
    before = (config.floatx(), config.image_data_format(), config.dtype_policy())
    config.set_floatx("float32")
    config.set_image_data_format("channels_last")
    config.set_dtype_policy(precision)
    try:
        yield
    finally:
        config.set_floatx(before[0])
        config.set_image_data_format(before[1])
        config.set_dtype_policy(before[2])


__all__ = ["has_gpu", "keras", "standard_settings", "tf"]
