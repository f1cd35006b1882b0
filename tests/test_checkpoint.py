"""A training that was ended by kill -9 goes on to the same bits as one that was not."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from children import start

from mnistlib import checkpoint, models, training
from mnistlib._tensorflow import keras

# Four epochs, so that the hardest digits are asked for twice; the third is interrupted.
EPOCHS, INTERRUPTED = 4, 2

COMMON = """
import hashlib, json, os, signal, sys
import numpy as np
from pathlib import Path
from mnistlib import checkpoint, models, training
from mnistlib._tensorflow import keras

with np.load(sys.argv[1]) as held:
    x, y = held["x"], held["y"]

def train(trainer, resume, callbacks=()):
    model = trainer.model
    history = trainer.fit(seed=3, resume=resume, callbacks=callbacks)
    held = checkpoint._values(model) + checkpoint._values(model.optimizer)
    digest = hashlib.sha256(b"".join(value.tobytes() for value in held)).hexdigest()
    return [digest, history.history, history.epoch]
"""

# As ``training.fit`` makes one and calls it once.
MADE = "training._Trainer(models.build(name, seed=1), x, y, recipe=name, epochs=4)"

# A process that only imported TensorFlow can be forked, which spares the import for each network.
# ``mnistlib`` is imported thereafter: for TensorFlow 2.20, it compiles something.
KILLED = (
    """
import os, signal, sys
import keras, tensorflow

for name in sys.argv[3:]:
    told, pipe = os.pipe()
    child = os.fork()
    if not child:
        break
    os.close(pipe)
    while (epoch := os.read(told, 1)) and epoch[0] < 2:
        pass
    os.kill(child, signal.SIGKILL)
    print(name, epoch[0], os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()
"""
    + COMMON
    + """
class Say(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        os.write(pipe, bytes([epoch]))
        # The kill comes at any moment of an epoch, but on a busy machine not after the last one.
        if epoch == 3:
            signal.pause()

os.close(told)
train(MADE, f"{sys.argv[2]}/{name}.npz", [Say()])
os._exit(0)
"""
)

COMPARED = """
for name in models.NAMES:
    trainer = MADE
    held = [*checkpoint.variables(trainer.model), *checkpoint.variables(trainer.model.optimizer)]
    initial = [checkpoint.variable_value(variable) for variable in held]
    goes_on = train(trainer, f"{sys.argv[2]}/{name}.npz")
    # The same compiled function from the beginning, which spares a third of the time.
    for variable, value in zip(held, initial, strict=True):
        variable.assign(value)
    print(json.dumps([name, goes_on, train(trainer, None)]), flush=True)
"""
KILLED, COMPARED = KILLED.replace("MADE", MADE), COMPARED.replace("MADE", MADE)


@pytest.fixture(scope="module")
def few(digits, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("few") / "few.npz"
    np.savez(path, x=digits.x_train[:300], y=digits.y_train[:300])
    return path


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 is a thing of Unix")
def test_every_network_goes_on_after_kill_9_to_the_same_bits(few, tmp_path):
    out, err = start(KILLED, few, tmp_path, *models.NAMES).communicate(timeout=600)
    ended = [line.split() for line in out.splitlines()]
    assert ended == [[name, str(INTERRUPTED), str(-signal.SIGKILL)] for name in models.NAMES], err
    for name in models.NAMES:
        done = checkpoint.load(tmp_path / f"{name}.npz").epochs
        assert INTERRUPTED <= done < EPOCHS
    out, err = start(COMMON + COMPARED, few, tmp_path).communicate(timeout=600)
    compared = [json.loads(line) for line in out.splitlines()]
    assert [name for name, *_ in compared] == list(models.NAMES), err
    for name, goes_on, undisturbed in compared:
        assert goes_on[0] == undisturbed[0], name
        assert goes_on[1:] == undisturbed[1:], name
        assert goes_on[2] == list(range(EPOCHS))


# --- one network, in this process ----------------------------------------------------------------


class Interrupted(Exception):
    pass


class Interrupt(keras.callbacks.Callback):
    def __init__(self, at: int):
        super().__init__()
        self.at = at

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.at:
            raise Interrupted


def small(seed: int = 1) -> keras.Model:
    return models.dense([4], dropout=0.2, seed=seed)


RECIPE = training.Recipe(epochs=4, batch_size=50, one_cycle=True, hard_example_mining=0.5)


def fit(few, path, *, model=None, at=None, **options):
    with np.load(few) as held:
        x, y = held["x"], held["y"]
    model = model or small()
    given = {"recipe": RECIPE, "seed": 3, "jit_compile": False, **options}
    callbacks = [*given.pop("callbacks", ()), *([Interrupt(at)] if at else [])]
    given.setdefault("validation", (x[:50], y[:50]))
    history = training.fit(model, x, y, resume=path, callbacks=callbacks, **given)
    return digest(model), history


def digest(model) -> str:
    held = checkpoint._values(model) + checkpoint._values(model.optimizer)
    return hashlib.sha256(b"".join(value.tobytes() for value in held)).hexdigest()


@pytest.fixture(scope="module")
def interrupted_once(few, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("interrupted") / "training.npz"
    with pytest.raises(Interrupted):
        fit(few, path, at=2)
    return path


@pytest.fixture
def interrupted(interrupted_once, tmp_path) -> Path:
    """A training of which two epochs are done, with whatever was left beside its file."""
    shutil.copytree(interrupted_once.parent, tmp_path / "copy")
    return tmp_path / "copy" / interrupted_once.name


def test_a_finished_training_is_not_done_again(few, interrupted):
    ended, history = fit(few, interrupted)
    before = interrupted.read_bytes()
    again, same = fit(few, interrupted, at=3)
    assert (again, same.history, same.epoch) == (ended, history.history, history.epoch)
    assert "val_loss" in history.history
    undisturbed = fit(few, None)
    assert (undisturbed[0], undisturbed[1].history) == (ended, history.history)
    assert checkpoint.load(interrupted).arrays[0].tobytes() in before


def test_what_callbacks_did_to_the_model_is_kept(few, tmp_path):
    def stopping():
        return [
            keras.callbacks.EarlyStopping(
                monitor="loss", mode="max", patience=1, restore_best_weights=True
            )
        ]

    path = tmp_path / "training.npz"
    stopped, history = fit(few, path, callbacks=stopping())
    assert len(history.epoch) < RECIPE.epochs
    again, same = fit(few, path, callbacks=stopping())
    assert (again, same.history, same.epoch) == (stopped, history.history, history.epoch)


def test_several_interruptions_make_no_difference(few, interrupted):
    with pytest.raises(Interrupted):
        fit(few, interrupted, at=3)
    assert fit(few, interrupted)[0] == fit(few, None)[0]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"seed": 4}, "seed"),
        ({"epochs": 5}, "epochs"),
        ({"batch_size": 60}, "batch_size"),
        ({"augment": training.distort}, "augment"),
        ({"hard_example_mining": 0.4}, "hard_example_mining"),
        ({"class_weight": {0: 2.0}}, "digits"),
        ({"model": "other seed"}, "initial weights"),
        ({"model": "other rate"}, "network"),
    ],
)
def test_another_training_is_not_taken_for_this_one(few, interrupted, options, named):
    others = {"other seed": small(2), "other rate": models.dense([4], dropout=0.3, seed=1)}
    if "model" in options:
        options = {"model": others[options["model"]]}
    with pytest.raises(ValueError, match=rf"resume must name .* another .*{named}.*begin anew"):
        fit(few, interrupted, **options)


def test_any_damage_to_the_file_is_found(few, interrupted):
    content = interrupted.read_bytes()
    for at in np.linspace(0, len(content) - 1, 25).astype(int):
        interrupted.write_bytes(content[:at] + bytes([content[at] ^ 0x41]) + content[at + 1 :])
        try:
            found = checkpoint.load(interrupted)
        except ValueError as error:
            assert "Remove it to begin anew" in str(error)  # noqa: PT017
        else:
            # A byte that says nothing, such as the date of a member.
            interrupted.write_bytes(content)
            whole = checkpoint.load(interrupted)
            pairs = zip(found.arrays, whole.arrays, strict=True)
            assert all(np.array_equal(one, other) for one, other in pairs)
            assert (found.identity, found.logs) == (whole.identity, whole.logs)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\3\4"])
def test_a_file_that_is_no_checkpoint_is_refused(few, tmp_path, content):
    (tmp_path / "training.npz").write_bytes(content)
    with pytest.raises(ValueError, match="resume must name a file that an earlier call wrote"):
        fit(few, tmp_path / "training.npz")


def test_a_path_of_another_kind_is_refused(few, tmp_path):
    with pytest.raises(ValueError, match=r"resume must end in \.npz; received"):
        fit(few, tmp_path / "training.keras")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(ValueError, match="resume must name a file"):
        fit(few, tmp_path / "folder.npz")


def test_the_usual_loop_cannot_go_on_and_says_so(few, tmp_path):
    model = small()
    model.compile("adam", "sparse_categorical_crossentropy", run_eagerly=True)
    with pytest.raises(ValueError, match="resume works in the compiled loop only"):
        fit(few, tmp_path / "training.npz", model=model, recipe=None)


def test_nothing_is_left_beside_the_file(interrupted):
    assert [path.name for path in interrupted.parent.iterdir()] == ["training.npz"]


def test_keras_own_backup_would_not_do(few, tmp_path):
    """Why there is a file of our own: the order of the digits begins anew."""
    kept = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(Interrupted):
        fit(few, None, callbacks=[kept], at=2)
    assert (
        fit(few, None, callbacks=[keras.callbacks.BackupAndRestore(tmp_path / "backup")])[0]
        != (fit(few, None)[0])
    )
