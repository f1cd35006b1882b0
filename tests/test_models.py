from __future__ import annotations

import itertools
import math
import re
import resource
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import correlate2d
from scipy.special import expit, softmax
from sklearn.decomposition import PCA

from mnistlib import models, training
from mnistlib._tensorflow import keras
from mnistlib.augment import deslant

PARAMETERS = {
    "dense_128": 101_770,
    "dense_128_64_32_sigmoid": 111_146,
    "dense_32_16": 25_818,
    "dense_128_64": 109_386,
    "dense_best": 1_333_770,
}
WIDTHS = {
    "dense_128": [128],
    "dense_128_64_32_sigmoid": [128, 64, 32],
    "dense_32_16": [32, 16],
    "dense_128_64": [128, 64],
    "dense_best": [1024, 512],
}


@pytest.fixture(scope="module")
def images(digits) -> np.ndarray:
    return digits.x_test[:200]


@pytest.fixture(scope="module", params=models.NAMES)
def model(request) -> keras.Model:
    # The tolerances are those of float32, whatever this processor would choose.
    return models.build(request.param, seed=3, precision="float32")


# --- architectures ------------------------------------------------------------------------------


def test_names_are_the_series_networks():
    assert set(models.NAMES) == {*PARAMETERS, "cnn", "cnn_fast", "cnn_best"}


@pytest.mark.parametrize("name", models.NAMES)
def test_a_network_is_built_again_from_its_options(name):
    options = models.options(name)
    build = models.dense if "units" in options else models.convolutional
    again, named = build(**options, name=name, seed=5), models.build(name, seed=5)
    assert again.get_config() == named.get_config()
    for own, other in zip(again.get_weights(), named.get_weights(), strict=True):
        np.testing.assert_array_equal(own, other)


@pytest.mark.parametrize("name", PARAMETERS)
def test_dense_networks_have_the_parameters_counted_by_hand(name):
    widths = [28 * 28, *WIDTHS[name], 10]
    by_hand = sum((before + 1) * after for before, after in itertools.pairwise(widths))
    assert models.build(name).count_params() == by_hand == PARAMETERS[name]


def test_cnn_is_small_and_counted_by_hand():
    model = models.build("cnn")
    first, second = (model.get_layer(f"convolution_{number}") for number in (1, 2))
    pixels, maps = first.kernel_size[0] ** 2, second.kernel_size[0] ** 2 * first.filters
    features = math.prod(model.get_layer("pool").output.shape[1:])
    by_hand = (pixels + 1) * first.filters + (maps + 1) * second.filters + (features + 1) * 10
    assert model.count_params() == by_hand <= 50_000


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("cnn_fast", 37 * 16 + 145 * 32 + (4 * 4 * 32 + 1) * 128 + 1290),
        ("cnn_best", 37 * 32 + 289 * 64 + 577 * 128 + (2 * 2 * 128 + 1) * 128 + 1290),
    ],
)
def test_larger_convolutional_networks_have_the_parameters_counted_by_hand(name, by_hand):
    assert models.build(name).count_params() == by_hand


def test_cropped_network_does_not_see_the_edge_and_sees_all_else(images):
    model, whole = (models.convolutional(crop=crop, seed=0) for crop in (2, 0))
    edge = np.ones((28, 28), bool)
    edge[2:-2, 2:-2] = False
    noisy = np.where(edge, np.random.default_rng(0).integers(0, 256, images.shape), images)
    noisy = noisy.astype(np.uint8)
    before, after = (models.predict_proba(model, each) for each in (images, noisy))
    np.testing.assert_array_equal(before, after)
    assert (models.predict_proba(whole, images) != models.predict_proba(whole, noisy)).any()
    corner = images.copy()
    corner[:, [2, 2, -3, -3], [2, -3, 2, -3]] = 255
    assert (models.predict_proba(model, corner) != before).any(axis=1).all()


@pytest.mark.parametrize("filters", [(8,), (8, 8, 8, 8)])
def test_other_numbers_of_convolutions_are_refused(filters):
    with pytest.raises(ValueError, match=r"filters must hold two or three numbers; received .*8"):
        models.convolutional(filters)


def test_built_model_is_named_uncompiled_and_takes_raw_digits(model):
    assert model.name in models.NAMES
    assert not model.compiled
    assert model.input_shape == (None, 28, 28)
    assert model.inputs[0].dtype == "uint8"
    assert model.output_shape == (None, 10)


@pytest.mark.parametrize(
    ("name", "activations"),
    [("dense_128_64_32_sigmoid", ["relu", "sigmoid", "sigmoid"]), ("dense_32_16", ["relu"] * 2)],
)
def test_hidden_layers_have_their_activations(name, activations):
    model = models.build(name)
    hidden = [model.get_layer(f"hidden_{number + 1}") for number in range(len(activations))]
    assert [layer.activation.__name__ for layer in hidden] == activations


@pytest.mark.parametrize("jit_compile", [False, True])
def test_network_in_half_precision_learns_and_answers_in_float32(digits, jit_compile):
    model = models.build("cnn", seed=0, precision="mixed_bfloat16")
    assert model.get_layer("convolution_2").compute_dtype == "bfloat16"
    x, y = digits.x_train[:1_000], digits.y_train[:1_000]
    options = {"recipe": "cnn", "epochs": 3, "batch_size": 50, "jit_compile": jit_compile}
    losses = training.fit(model, x, y, **options).history["loss"]
    assert losses[-1] < losses[0] / 2
    probabilities = models.predict_proba(model, digits.x_test[:20])
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert models.features(model, digits.x_test[:2], "convolution_2").dtype == np.float32


@pytest.mark.parametrize("flags", [set(), {"avx2", "avx512_bf16"}, {"amx_bf16", "amx_tile"}])
def test_precision_follows_the_processor(monkeypatch, flags):
    monkeypatch.setattr(models, "cpu_flags", lambda: flags)
    with monkeypatch.context() as patch:
        patch.setattr(models, "has_gpu", True)
        assert models.choose_precision("cnn_best") == "float32"
    chosen = "mixed_bfloat16" if "amx_bf16" in flags else "float32"
    assert models.choose_precision("cnn_best") == chosen
    assert models.choose_precision("dense_best") == "float32"
    assert models.build("cnn_best").get_layer("hidden").dtype_policy.name == chosen
    given = models.build("cnn_best", precision="float32")
    assert given.get_layer("hidden").dtype_policy.name == "float32"
    assert keras.config.dtype_policy().name == "float32", "left as it was"


def policies(model):
    return {layer.dtype_policy.name for layer in model.layers if layer.weights}


def test_settings_of_the_user_do_not_change_what_is_built(images):
    expected = models.predict_proba(models.build("cnn", seed=1), images)
    config = keras.config
    before = config.floatx(), config.image_data_format(), config.dtype_policy()
    try:
        config.set_floatx("float16")
        config.set_image_data_format("channels_first")
        config.set_dtype_policy("mixed_float16")
        model = models.build("cnn", seed=1)
        assert policies(model) == {"float32"}
        np.testing.assert_array_equal(models.predict_proba(model, images), expected)
        assert config.dtype_policy().name == "mixed_float16"
    finally:
        config.set_floatx(before[0])
        config.set_image_data_format(before[1])
        config.set_dtype_policy(before[2])


def test_networks_hold_nothing_but_kerass_own_layers(model):
    for layer in model.layers:
        assert type(layer).__module__.startswith("keras.src.layers"), layer


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_whitened_convolution_answers_with_principal_components(digits, precision):
    network = models.convolutional((16, 32), crop=2, precision=precision)
    images = digits.x_train[:300]
    models.whiten(network, images)
    kernel, bias = network.get_layer("convolution_1").get_weights()
    np.testing.assert_array_equal(kernel[..., 8:], -kernel[..., :8])
    np.testing.assert_array_equal(bias, 0)

    windows = np.lib.stride_tricks.sliding_window_view(images[:, 2:-2, 2:-2], (6, 6), axis=(1, 2))
    patches = windows[:, ::2, ::2].reshape(-1, 36) / 255
    answers = (patches - patches.mean(axis=0)) @ kernel.reshape(36, 16)[:, :8]
    variances = PCA(8).fit(patches).explained_variance_
    expected = np.diag(variances / (variances + 0.01))
    # In bfloat16 the pixels have three significant digits.
    close = 1e-4 if precision == "float32" else 0.02
    np.testing.assert_allclose(np.cov(answers, rowvar=False), expected, atol=close)


def test_a_whitened_convolution_stays_as_it_is_while_the_others_learn(digits):
    network = models.build("cnn_fast")
    models.whiten(network, digits.x_train[:300])
    before = [weights.copy() for weights in network.get_weights()]
    training.fit(network, digits.x_train[:300], digits.y_train[:300], recipe="cnn_fast", epochs=1)
    same = [np.array_equal(*pair) for pair in zip(before, network.get_weights(), strict=True)]
    assert same[:2] == [True, True]
    assert not any(same[2:])


@pytest.mark.parametrize(
    ("network", "count", "said"),
    [
        (lambda: models.dense([32]), 100, "must have a convolution; received 'dense'"),
        (lambda: models.convolutional((15, 32)), 100, "even number of filters.*received 15"),
        (lambda: models.convolutional((74, 32)), 100, "at most 72.*received 74"),
        (lambda: models.convolutional((16, 32)), 0, "images must give more than 36 patches"),
    ],
)
def test_what_cannot_be_whitened_is_refused(images, network, count, said):
    with pytest.raises(ValueError, match=said):
        models.whiten(network(), images[:count])


def test_unknown_precision_is_refused():
    with pytest.raises(ValueError, match=r"precision must be one of float32.*received 'half'"):
        models.build("cnn_best", precision="half")


@pytest.mark.skipif(not shutil.which("lscpu"), reason="needs lscpu, which Linux has")
def test_flags_of_the_processor_are_those_that_lscpu_prints():
    printed = subprocess.run(["lscpu"], capture_output=True, text=True, check=True).stdout
    assert models.cpu_flags() >= set(re.findall(r"\b(?:avx2|avx512f|fma|amx_bf16)\b", printed))


def test_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"name must be one of dense_128, .*received 'dense_129'"):
        models.build("dense_129")


def test_activations_of_another_number_are_refused():
    with pytest.raises(ValueError, match=r"each of the 2 hidden layers; received \['relu'\]"):
        models.dense([8, 4], activation=["relu"])


def test_dense_without_hidden_layers_is_softmax_regression(images):
    model = models.dense([])
    kernel, bias = model.get_weights()
    expected = softmax(images.reshape(-1, 784) / 255 @ kernel + bias, axis=1)
    np.testing.assert_allclose(models.predict_proba(model, images), expected, atol=1e-6)


# --- seeds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", models.NAMES)
def test_seed_fixes_the_weights(name):
    first, again, other = (models.build(name, seed=seed) for seed in (1, 1, 2))
    for one, same, different in zip(
        first.get_weights(), again.get_weights(), other.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, same)
        if one.ndim > 1:  # biases begin at zero whatever the seed
            assert (one != different).any()


def test_layers_of_equal_shape_begin_with_different_weights():
    model = models.dense([10, 10, 10])
    kernels = [model.get_layer(name).kernel.numpy() for name in ("hidden_2", "hidden_3", "digit")]
    assert len({kernel.tobytes() for kernel in kernels}) == 3


def test_seed_fixes_the_dropout_masks():
    def mask(seed):
        dropout = models.dense([64], dropout=0.5, seed=seed).get_layer("dropout_1")
        return np.asarray(dropout(np.ones((4, 64), np.float32), training=True))

    np.testing.assert_array_equal(mask(1), mask(1))
    assert (mask(1) != mask(2)).any()


@pytest.mark.usefixtures("global_random_state")
def test_build_touches_no_global_random_state():
    for name in models.NAMES:
        models.build(name, seed=9)
    models.dense([4], dropout=0.5, batch_normalization=True, seed=9)


# --- predictions --------------------------------------------------------------------------------


def test_predictions_are_float32_rows_that_sum_to_one(model, images):
    probabilities = models.predict_proba(model, images)
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (200, 10)
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_predictions_are_those_of_kerass_predict(model, images):
    expected = model.predict(images, verbose=0)
    np.testing.assert_allclose(models.predict_proba(model, images), expected, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 7, 200, 1_000])
def test_batch_size_does_not_change_predictions(model, images, batch_size):
    # Matrix products of other sizes may add in another order: float32 rounding, 1e-7 of 1.
    some = images[:30]
    np.testing.assert_allclose(
        models.predict_proba(model, some, batch_size=batch_size),
        models.predict_proba(model, some),
        atol=1e-6,
    )


@pytest.mark.parametrize("batch_size", [0, -1])
def test_batch_size_below_one_is_refused(model, images, batch_size):
    with pytest.raises(ValueError, match=f"batch_size must be at least 1; received {batch_size}"):
        models.predict_proba(model, images, batch_size=batch_size)


def test_prediction_is_the_forward_pass_written_by_hand(images):
    model = models.build("dense_128_64_32_sigmoid", seed=4)
    weights = [weight.astype(np.float64) for weight in model.get_weights()]
    x = images.reshape(-1, 784) / 255
    for number, function in enumerate([lambda z: np.maximum(z, 0), expit, expit]):
        x = function(x @ weights[2 * number] + weights[2 * number + 1])
    expected = softmax(x @ weights[6] + weights[7], axis=1)
    np.testing.assert_allclose(models.predict_proba(model, images), expected, atol=1e-6)


def test_one_image_and_no_image(model, images):
    np.testing.assert_array_equal(
        models.predict_proba(model, images[0]), models.predict_proba(model, images[:1])
    )
    assert models.predict_proba(model, images[:0]).shape == (0, 10)


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1), (784,)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("given", [np.uint8, np.int64, np.float64])
def test_models_and_images_of_every_unambiguous_shape_fit_together(images, shape, dtype, given):
    model = keras.Sequential(
        [
            keras.Input(shape, dtype=dtype),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(10, "softmax"),
        ]
    )
    kernel, bias = model.get_weights()
    expected = softmax(images.reshape(-1, 784) / 255 @ kernel + bias, axis=1)
    for form in ((-1, 28, 28), (-1, 28, 28, 1), (-1, 784)):
        made = models.predict_proba(model, images.astype(given).reshape(form))
        np.testing.assert_allclose(made, expected, atol=1e-6)


def flat(*last):
    start = [keras.Input((28, 28)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    return keras.Sequential([*start, *last])


def test_logits_get_their_softmax(images):
    model = flat(keras.layers.Dense(10))
    made = models.predict_proba(model, images)
    expected = softmax(model.predict(images, verbose=0).astype(float), axis=1)
    np.testing.assert_allclose(made, expected, atol=1e-6)
    np.testing.assert_allclose(made.sum(axis=1), 1, atol=1e-5)


def test_half_precision_sums_to_one_all_the_same(images):
    model = flat(keras.layers.Dense(10, "softmax", dtype="mixed_bfloat16"))
    np.testing.assert_allclose(models.predict_proba(model, images).sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (flat(keras.layers.Dense(10, "sigmoid")), "softmax.*received one that ends in sigmoid"),
        (flat(keras.layers.Dense(10), keras.layers.Activation("relu")), "ends in relu"),
        (flat(keras.layers.Dense(9, "softmax")), r"give \(n, 10\); received .* \(200, 9\)"),
        (
            keras.Sequential(
                [keras.Input((32, 32)), keras.layers.Flatten(), keras.layers.Dense(10)]
            ),
            r"take digits as .*received one that takes \(None, 32, 32\)",
        ),
    ],
)
def test_model_whose_answers_cannot_be_read_is_refused(images, model, said):
    with pytest.raises(ValueError, match=f"model must .*{said}"):
        models.predict_proba(model, images)


class Hidden(keras.Model):
    """Does not tell what it gives."""

    def __init__(self, activation):
        super().__init__()
        self.flatten, self.dense = keras.layers.Flatten(), keras.layers.Dense(10, activation)

    def call(self, x):
        return self.dense(self.flatten(keras.ops.cast(x, "float32") / 255))


def test_subclassed_model_is_judged_by_its_answers(images):
    made = models.predict_proba(Hidden("softmax"), images)
    np.testing.assert_allclose(made.sum(axis=1), 1, atol=1e-5)
    with pytest.raises(ValueError, match="a layer that does not tell"):
        models.predict_proba(Hidden(None), images)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (models.dense([4]), "probabilities"),
        (flat(keras.layers.Dense(10)), "logits"),
        (flat(keras.layers.Dense(10), keras.layers.Softmax()), "probabilities"),
        (flat(keras.layers.Dense(10), keras.layers.Activation("softmax")), "probabilities"),
        (keras.Sequential([keras.Input((28, 28)), models.dense([4])]), "probabilities"),
        (flat(keras.layers.Dense(10, "tanh")), "tanh"),
        (flat(keras.layers.Dense(10, "softmax"), keras.layers.Dropout(0.1)), None),
        (Hidden("softmax"), None),
    ],
)
def test_what_a_model_ends_in(model, expected):
    assert models.ends_in(model) == expected


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.zeros((2, 28, 28), bool), "received true and false"),
        (np.full((2, 28, 28), 0.5), "divided by 255 already"),
        (np.zeros((28, 2, 28), np.uint8), r"received uint8 \(28, 2, 28\)"),
        (np.zeros(785, np.uint8), r"received uint8 \(785,\)"),
    ],
)
def test_images_of_another_shape_or_range_are_refused(model, bad, said):
    with pytest.raises(ValueError, match=f"images must .*{said}"):
        models.predict_proba(model, bad)


def test_features_are_the_convolution_written_by_hand(images):
    model = models.build("cnn", seed=1)
    maps = models.features(model, images[:5], "convolution_1")
    layer = model.get_layer("convolution_1")
    kernel, bias = (weight.astype(np.float64) for weight in layer.get_weights())
    step = layer.strides[0]
    assert maps.dtype == np.float32
    for image, made in zip(images[:5], maps, strict=True):
        for number in range(layer.filters):
            everywhere = correlate2d(image / 255, kernel[:, :, 0, number], mode="valid")
            expected = np.maximum(everywhere[::step, ::step] + bias[number], 0)
            np.testing.assert_allclose(made[..., number], expected, atol=1e-5)


def test_features_of_the_last_layer_are_the_predictions(model, images):
    np.testing.assert_allclose(
        models.features(model, images, "digit"), models.predict_proba(model, images), atol=1e-6
    )


def test_features_leave_dropout_out(images):
    model = models.dense([16], dropout=0.5)
    np.testing.assert_array_equal(
        models.features(model, images, "dropout_1"), models.features(model, images, "hidden_1")
    )


# --- files --------------------------------------------------------------------------------------


def test_saved_model_predicts_the_same_and_nothing_else_is_left(model, images, tmp_path):
    path = tmp_path / "model.keras"
    assert models.save(model, str(path)) == path
    loaded = models.load(str(path))
    assert list(tmp_path.iterdir()) == [path]
    assert loaded.name == model.name
    np.testing.assert_array_equal(
        models.predict_proba(loaded, images), models.predict_proba(model, images)
    )


def test_saving_again_replaces_the_file(images, tmp_path):
    for seed in (0, 1):
        model = models.build("dense_32_16", seed=seed)
        models.save(model, tmp_path / "model.keras")
    np.testing.assert_array_equal(
        models.predict_proba(models.load(tmp_path / "model.keras"), images),
        models.predict_proba(model, images),
    )


def test_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = models.save(models.build("dense_32_16"), tmp_path / "model.keras")
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As on a full disk: the system refuses to let any file grow beyond 20,000 bytes.
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            models.save(models.build("dense_128"), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["model.h5", "model.hdf5", "model", "model.keras.zip"])
def test_other_file_types_are_refused(tmp_path, name):
    model = models.build("dense_32_16")
    with pytest.raises(ValueError, match=f"must end in .keras; received '.*{name}'"):
        models.save(model, tmp_path / name)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match=f"must end in .keras; received '.*{name}'"):
        models.load(tmp_path / name)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"no file '{tmp_path / 'gone.keras'}'"):
        models.load(tmp_path / "gone.keras")


def test_hdf5_file_under_a_keras_name_is_refused(tmp_path):
    model = models.build("dense_32_16")
    model.save(tmp_path / "model.h5")
    disguised = (tmp_path / "model.h5").rename(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=str(disguised)):
        models.load(disguised)


def test_zip_that_holds_no_model_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("readme.txt", "no model")
    with pytest.raises(ValueError, match=r"other.keras is no model that Keras saved"):
        models.load(tmp_path / "other.keras")


def test_lambda_layer_in_a_file_is_refused_and_not_run(tmp_path, images):
    touched = tmp_path / "run"

    def trap(x, touched=str(touched)):
        Path(touched).touch()
        return x

    inputs = keras.Input((28, 28), dtype="uint8")
    outputs = keras.layers.Lambda(lambda x: trap(x))(inputs)
    keras.Model(inputs, outputs).save(tmp_path / "model.keras")
    touched.unlink()  # building the model ran the function
    with pytest.raises(ValueError, match="Lambda"):
        models.load(tmp_path / "model.keras")
    assert not touched.exists()


# --- test-time augmentation ---------------------------------------------------------------------


def test_shifted_predictions_are_averaged():
    rng = np.random.default_rng(0)
    model, digits = models.build("dense_32_16"), rng.integers(0, 256, (7, 28, 28)).astype(np.uint8)
    padded = np.pad(digits, ((0, 0), (1, 1), (1, 1)))
    views = [padded[:, i : i + 28, j : j + 28] for i in range(3) for j in range(3)]
    expected = np.mean([models.predict_proba(model, view) for view in views], axis=0)
    np.testing.assert_allclose(models.predict_tta(model, digits), expected, atol=1e-6)
    still = models.predict_tta(model, digits, shifts=0)
    np.testing.assert_allclose(still, models.predict_proba(model, digits), atol=1e-6)
    with pytest.raises(ValueError, match="shifts must be at least 0; received -1"):
        models.predict_tta(model, digits, shifts=-1)


def test_predictions_of_digits_as_written_and_deslanted_are_averaged(model, images):
    both = models.predict_tta(model, images, deslanted=True)
    each = [models.predict_tta(model, view) for view in (images, deslant(images))]
    np.testing.assert_allclose(both, np.mean(each, axis=0), atol=1e-6)
    assert not np.allclose(*each, atol=1e-3)
