import base64
import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, features

from mnistlib import pictures

GREY = np.linspace(0, 255, 20 * 30).reshape(20, 30).astype(np.uint8)


def file(image, kind, **options):
    written = io.BytesIO()
    image.save(written, kind, **options)
    return written.getvalue()


def opened(picture):
    return np.asarray(pictures.read(picture).convert("L"))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF"])
def test_files_bytes_images_and_arrays_give_the_same_picture(kind, tmp_path):
    image = Image.fromarray(GREY)
    path = tmp_path / f"picture.{kind.lower()}"
    image.save(path, kind)
    for picture in (path, str(path), path.read_bytes(), image, GREY, GREY[:, :, None]):
        assert np.array_equal(opened(picture), GREY)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "I;16", "F"])
def test_every_mode_becomes_grey_or_rgb(mode):
    black_and_white = np.where(GREY > 127, 255, 0).astype(np.uint8)
    if mode == "I;16":
        image = Image.fromarray(black_and_white.astype(np.uint16) * 257)
    elif mode == "F":
        image = Image.fromarray(black_and_white.astype(np.float32) / 255)
    else:
        image = Image.fromarray(black_and_white).convert("RGB").convert(mode)
    read = pictures.read(image)
    assert read.mode in ("L", "RGB")
    assert np.abs(np.asarray(read.convert("L")).astype(int) - black_and_white).max() <= 2


@pytest.mark.parametrize(
    "array",
    [GREY > 127, GREY.astype(np.uint16) * 257, GREY.astype(int), GREY / 255, GREY / 255 * 16],
    ids=["bool", "uint16", "int", "float 0-1", "float 0-16"],
)
def test_arrays_of_other_types_are_scaled_to_bytes(array):
    expected = np.where(GREY > 127, 255, 0) if array.dtype == bool else GREY
    assert np.abs(opened(array).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_by_its_exif_data(orientation):
    # What Pillow's own transposition undoes, by its documentation of the eight orientations.
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    image = Image.fromarray(GREY)
    if orientation > 1:
        image = image.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(opened(file(image, "PNG", exif=exif)), GREY)


def test_transparent_ground_is_what_the_visible_strokes_stand_out_from():
    layer = np.zeros((20, 20, 4), np.uint8)
    layer[5:8, 5:15] = (10, 10, 10, 255)
    assert opened(layer)[0, 0] == 255
    layer[5:8, 5:15] = (250, 250, 250, 255)
    assert opened(layer)[0, 0] == 0


def test_few_transparent_places_take_the_colour_of_the_paper():
    cut_out = np.full((20, 20, 4), (200, 190, 180, 255), np.uint8)
    cut_out[:4, :4, 3] = 0
    assert np.ptp(opened(cut_out)) == 0


def bomb(width, height):
    """A PNG file of a few bytes that promises so many pixels."""

    def chunk(kind, content):
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1_000))
    chunks = (chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("side", [7_100, 30_000, 1_000_000])
def test_too_large_is_refused_before_it_is_decoded(side):
    with pytest.raises(pictures.PictureError, match=r"pixels"):
        pictures.read(bomb(side, side))


def test_a_large_array_is_refused():
    wide = np.broadcast_to(np.uint8(0), (8_000, 8_000))
    with pytest.raises(pictures.PictureError, match="at most 50,000,000"):
        pictures.read(wide)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_a_truncated_file_is_refused(kind, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3)).astype(np.uint8)
    whole = file(Image.fromarray(noise), kind)
    path = tmp_path / "photo"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(pictures.PictureError, match=str(path)):
        pictures.read(path)


@pytest.mark.parametrize("content", [b"", b"not a picture", b"<svg xmlns='x'/>", b"\x89PNG\r\n"])
def test_what_is_no_picture_is_refused(content):
    with pytest.raises(pictures.PictureError, match=r"no picture|cannot be read"):
        pictures.read(content)


def test_postscript_which_would_start_a_program_is_refused():
    with pytest.raises(pictures.PictureError, match="no picture"):
        pictures.read(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        pictures.read(tmp_path / "none.png")
    with pytest.raises(FileNotFoundError, match="a folder"):
        pictures.read(tmp_path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(5), "must be"),
        (np.zeros((5, 5, 5)), "must be"),
        (np.zeros((0, 5)), "no pixels"),
        (np.full((5, 5), np.nan), "values from 0"),
        (np.full((5, 5), np.inf), "values from 0"),
        (np.full((5, 5), -1), "values from 0"),
        (np.full((5, 5), 70_000), "65,535"),
        (np.full((5, 5), "x"), "numbers"),
        (12, "a path, bytes"),
    ],
)
def test_what_is_no_picture_array_is_refused(array, message):
    with pytest.raises(pictures.PictureError, match=message):
        pictures.read(array)


needs_avif = pytest.mark.skipif(
    "avif" not in features.modules or not features.check("avif"), reason="Pillow has no AVIF here"
)
# The first box of a HEIC file as an iPhone writes it, and nothing after it.
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)


def striped():
    image = np.full((40, 60), 255, np.uint8)
    image[10:30, 20:30] = 0
    return image


@needs_avif
def test_avif_is_read():
    image = striped()
    found = np.asarray(
        pictures.read(file(Image.fromarray(image), "AVIF", quality=100)).convert("L")
    )
    assert np.abs(found.astype(int) - image).max() < 10


@needs_avif
def test_damaged_avif_and_avif_without_a_decoder_are_told_apart_from_other_files():
    whole = file(Image.fromarray(striped()), "AVIF")
    with pytest.raises(pictures.PictureError, match=r"damaged|AVIF"):
        pictures.read(whole[:60])
    # In another process, as Pillow before 11.3: it knows no AVIF at all.
    code = (
        "import sys, PIL.features as known; known.modules.pop('avif'); "
        "from mnistlib import pictures; pictures.read(sys.stdin.buffer)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=whole, capture_output=True)
    assert b"PictureError" in done.stderr
    assert b"'pillow>=11.3'" in done.stderr


def test_heic_is_refused_with_the_way_out():
    code = (
        "import sys; sys.modules['pillow_heif'] = None; "
        "from mnistlib import pictures; pictures.read(sys.stdin.buffer)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=HEIC, capture_output=True)
    assert b"HEIC picture" in done.stderr
    assert b"export it as JPEG" in done.stderr


def test_heic_is_read_where_its_reader_is_installed():
    pillow_heif = pytest.importorskip("pillow_heif")
    content = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(striped()).convert("RGB")).save(content, quality=100)
    found = np.asarray(pictures.read(content).convert("L"))
    assert np.abs(found.astype(int) - striped()).max() < 10


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"%PDF-1.7\n", "PDF: export it"),
        (b"<svg xmlns='x'/>", "SVG"),
        (b"\n<?xml version='1.0'?><svg/>", "SVG"),
        (b"\xff\x0a" + bytes(30), "JPEG XL"),
        (b"8BPS\0\1", "Photoshop"),
    ],
)
def test_files_taken_for_pictures_are_named(content, said):
    with pytest.raises(pictures.PictureError, match=said):
        pictures.read(content)


def test_files_opened_in_binary_mode_are_read_from_their_beginning(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(file(Image.fromarray(striped()), "PNG"))
    with path.open("rb") as opened:
        opened.read(100)
        assert np.array_equal(pictures.read(opened), striped())
        assert not opened.closed
    written = io.BytesIO()
    Image.fromarray(striped()).save(written, "PNG")
    assert np.array_equal(pictures.read(written), striped())
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as pipe:
        assert np.array_equal(pictures.read(pipe.stdout), striped())
    with pytest.raises(pictures.PictureError, match="closed"):
        pictures.read(opened)
    with path.open(encoding="latin-1") as text, pytest.raises(pictures.PictureError, match="'rb'"):
        pictures.read(text)


def test_data_urls_are_read():
    packed = base64.b64encode(file(Image.fromarray(striped()), "PNG")).decode()
    quoted = packed.replace("+", "%2B").replace("/", "%2F")
    wrapped = "\n".join(packed[at : at + 76] for at in range(0, len(packed), 76))
    for body in (packed, quoted, wrapped):
        assert np.array_equal(pictures.read(f"data:image/png;base64,{body}"), striped())
    assert np.array_equal(pictures.read(f"DATA:image/png;charset=x;base64,{packed}"), striped())
    for damaged in (packed[:101], "ü" + packed, packed[:100], ""):
        with pytest.raises(pictures.PictureError):
            pictures.read(f"data:image/png;base64,{damaged}")
    with pytest.raises(pictures.PictureError, match="comma"):
        pictures.read("data:image/png")


def test_text_that_is_no_path_is_refused():
    with pytest.raises(FileNotFoundError, match="is none"):
        pictures.read("A" * 10_000)
    with pytest.raises(FileNotFoundError, match="download the picture first"):
        pictures.read("https://example.org/7.png")


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60), np.uint8))


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "WEBP"])
def test_blank_first_pages_are_passed_over(kind):
    blank = Image.new("L", NOISE.size, 255)
    options = {"lossless": True} if kind == "WEBP" else {}
    content = file(blank, kind, save_all=True, append_images=[blank, NOISE.copy()], **options)
    assert np.array_equal(pictures.read(content).convert("L"), NOISE)


def test_of_blank_pages_alone_the_first_is_taken():
    blank = Image.new("L", NOISE.size, 255)
    content = file(blank, "TIFF", save_all=True, append_images=[blank])
    assert np.asarray(pictures.read(content)).min() == 255
