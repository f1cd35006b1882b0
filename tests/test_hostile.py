"""Pictures of strangers: bounded time and memory, documented errors, nothing on the console."""

import dataclasses
import io
import json
import subprocess
import sys
import textwrap
import zlib

import hostile
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from mnistlib import drawing, pages, pictures, preprocess, recognizer, strokes

# For each file that is named on the standard input: what came, the seconds of processor time of
# reading and hint, and the peak of memory until then, MB.
READ = """
    import json, sys, time
    from pathlib import Path
    from mnistlib import pictures, preprocess, recognizer

    def peak():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

    reader = recognizer.shipped()
    for line in sys.stdin:
        start, found, said = time.process_time(), [], ""
        try:
            found = reader.read(line.strip())
            reader.hint(line.strip(), found)
        except (pictures.PictureError, preprocess.NoDigitFound) as error:
            said = str(error)
        print(json.dumps([len(found), said, time.process_time() - start, peak()]), flush=True)
"""


@pytest.fixture(scope="module")
def came(tmp_path_factory):
    """What came of each hostile picture: digits, words, seconds, and megabytes so far."""
    folder = tmp_path_factory.mktemp("hostile")
    for number, make in enumerate(hostile.PICTURES.values()):
        (folder / f"{number}.png").write_bytes(make())
    names = "\n".join(str(folder / f"{number}.png") for number in range(len(hostile.PICTURES)))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(READ)],
        input=names,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.stderr == ""
    rows = map(json.loads, done.stdout.splitlines())
    return dict(zip(hostile.PICTURES, rows, strict=True))


@pytest.mark.parametrize("name", hostile.PICTURES)
def test_no_picture_takes_long(came, name):
    _, _, seconds, megabytes = came[name]
    print(f"{name}: {came[name]}")
    assert seconds < 8
    assert megabytes < 1_200


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("2,700 bars", r"holds 2,\d{3} strokes or specks; of at most 2,000,.*cut out the part"),
        ("1,900 dashes", r"holds 1,\d{3} digits or what looks like digits; at most 500.*cut it"),
        ("noise", r"strokes or specks; of at most 2,000"),
        ("100 million pixels", r"10,000 × 10,000 pixels; at most 50,000,000.*smaller"),
    ],
)
def test_what_is_beyond_the_bounds_is_refused_by_its_numbers(came, name, said):
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(came[name][1])


def test_parts_of_digits_that_touch_are_counted(monkeypatch):
    page = Image.new("L", (300, 200), 255)
    pen = ImageDraw.Draw(page)
    for left in (60, 133):
        pen.ellipse([left, 50, left + 79, 150], outline=0, width=10)
    assert len(preprocess.segment(page)[0].parts) == 2
    monkeypatch.setattr(strokes, "MOST_DIGITS", 1)
    with pytest.raises(pictures.PictureError, match=r"at most 2 digits and parts.*cut it"):
        preprocess.segment(page)


def test_a_page_of_four_hundred_digits_is_read(sample):
    cells = np.pad(sample.x_test[:400], ((0, 0), (4, 4), (4, 4))).reshape(20, 20, 36, 36)
    found = preprocess.segment(255 - cells.transpose(0, 2, 1, 3).reshape(720, 720))
    assert 380 <= len(found) <= 420


def test_arrays_compare_strokes_as_pairs_of_them_were_compared():
    """The rules that say what belongs together, against the same rules in plain Python."""

    def frames(a, b):
        inside = a[0] < b[0] and b[2] < a[2] and a[1] < b[1] and b[3] < a[3]
        return inside and size(b) >= 0.35 * size(a)

    def size(a):
        return max(a[3] - a[1], a[2] - a[0])

    def belongs(a, b):
        across = min(a[2], b[2]) - max(a[0], b[0])
        apart = max(a[1], b[1]) - min(a[3], b[3])
        taller = max(size(a), size(b))
        if across >= 0.4 * min(a[2] - a[0], b[2] - b[0]):
            return apart <= 0.4 * taller
        return -across <= 0.1 * taller and apart <= 0 and min(size(a), size(b)) < 0.6 * taller

    def tops(a, b):
        height = b[3] - b[1]
        return (
            a[3] - a[1] < 0.45 * height
            and a[3] < b[1] + 0.5 * height
            and max(a[0], b[0]) - min(a[2], b[2]) <= 0.12 * height
            and b[1] - a[3] <= 0.3 * height
        )

    draw = np.random.default_rng(0)
    corners = draw.integers(0, 100, (60, 2))
    boxes = np.hstack([corners, corners + draw.integers(1, 60, (60, 2))])
    table = strokes._Strokes.at(boxes)
    for place, one in enumerate(boxes.tolist()):
        for rule, name in ((frames, "frames"), (belongs, "belongs_to"), (tops, "tops")):
            found = getattr(table[place], name)(table)
            assert found.tolist() == [rule(one, other) for other in boxes.tolist()], name


def test_filters_give_what_those_of_pillow_give():
    values = hostile.noise(60)
    for window in (3, 5, 11):
        for choose, kind in (
            (np.minimum, ImageFilter.MinFilter),
            (np.maximum, ImageFilter.MaxFilter),
        ):
            rows = preprocess._extreme(values, window, 0, choose)
            found = preprocess._extreme(rows, window, 1, choose)
            assert np.array_equal(found, Image.fromarray(values).filter(kind(window)))
    for rank, found in enumerate(preprocess._ranked(values)):
        by_pillow = Image.fromarray(values).filter(ImageFilter.RankFilter(3, rank))
        assert np.array_equal(found, by_pillow), rank


def test_a_hint_of_a_picture_that_cannot_be_read_from_the_side_is_none(monkeypatch):
    reader = recognizer.shipped()
    picture = drawing.sheet("AAA", seed=1)
    found = reader.read(picture) * 2
    unsure = [
        (digit, recognizer.Answer(answer.digit, False, answer.top)) for digit, answer in found
    ]

    def refuse(_):
        raise pictures.PictureError("too many strokes")

    monkeypatch.setattr(preprocess, "segment", refuse)
    hint = reader.hint(picture, unsure)
    assert hint is None or "lie" not in hint


@pytest.mark.parametrize(("count", "parts"), [(101, 0), (100, 3)])
def test_of_hundreds_of_digits_it_is_not_tried_whether_they_lie_on_their_side(
    monkeypatch, count, parts
):
    reader = recognizer.shipped()
    picture = drawing.sheet([7, 2, 0], seed=3)
    digit, answer = reader.read(picture)[0]
    digit = dataclasses.replace(digit, parts=(digit,) * parts)
    unsure = [(digit, dataclasses.replace(answer, sure=False))] * count
    monkeypatch.setattr(pictures, "read", lambda _: pytest.fail("it was looked at again"))
    assert reader.hint(picture, unsure) is None


def test_metadata_of_megabytes_change_nothing():
    whole = hostile.file(drawing.sheet([7, 2, 0], seed=3))
    notes = [hostile.chunk(b"tEXt", b"note\0" + b"x" * 1_000) for _ in range(10_000)]
    found = preprocess.segment(hostile.with_chunks(whole, *notes))
    assert [one.box for one in found] == [one.box for one in preprocess.segment(whole)]


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_metadata_that_grow_when_unpacked_are_refused(kind):
    whole = hostile.file(drawing.sheet([7], seed=3))
    packed = hostile.chunk(kind, b"k\0\0" + zlib.compress(bytes(10_000_000), 1))
    with pytest.raises(pictures.PictureError, match="too large"):
        pictures.read(hostile.with_chunks(whole, packed))


def test_of_hundreds_of_frames_few_are_looked_at(monkeypatch):
    blank = [Image.new("L", (60, 60), 250 + number % 2) for number in range(300)]
    content = hostile.file(blank[0], "GIF", save_all=True, append_images=blank[1:])
    looked = []
    extrema = Image.Image.getextrema
    monkeypatch.setattr(Image.Image, "getextrema", lambda image: looked.append(1) or extrema(image))
    pictures.read(content)
    assert len(looked) == 20


def test_of_large_pages_few_are_looked_at(monkeypatch):
    monkeypatch.setattr(pictures, "_PAGES_PIXELS", 3 * 60 * 60)
    page = Image.new("L", (60, 60), 255)
    marked = page.copy()
    marked.paste(0, (20, 20, 40, 40))
    third = hostile.file(page, "TIFF", save_all=True, append_images=[page, marked])
    assert np.asarray(pictures.read(third)).min() == 0
    fourth = hostile.file(page, "TIFF", save_all=True, append_images=[page, page, marked])
    assert np.asarray(pictures.read(fourth)).min() == 255


def test_a_file_of_gigabytes_is_refused_unread(scratch):
    path = scratch / "huge.png"
    with path.open("wb") as written:
        written.write(b"\x89PNG\r\n\x1a\n")
        written.truncate(pictures.MOST_BYTES + 1)  # A hole: it takes no room on the disk.
    with pytest.raises(pictures.PictureError, match="has 400,000,001 bytes; at most 400,000,000"):
        pictures.read(path)


def damaged_tiffs(count=40):
    draw = np.random.default_rng(1)
    noise = draw.integers(0, 256, (60, 60, 3)).astype(np.uint8)
    for kind in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
        whole = hostile.file(noise, "TIFF", compression=kind)
        for _ in range(count):
            content = bytearray(whole)
            for place in draw.integers(8, len(content), 30):
                content[place] = draw.integers(0, 256)
            yield bytes(content)


# Photographs whose EXIF data, palette or size Pillow warns of.
def warned_of():
    seven = Image.fromarray(drawing.sheet([7], seed=3))
    yield hostile.file(seven, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0\x01")
    grey = seven.convert("P")
    frames = {"save_all": True, "append_images": [grey], "transparency": bytes(range(256))}
    yield hostile.file(grey, "PNG", **frames)
    yield hostile.file(np.zeros((9_800, 9_800), np.uint8))


def read_quietly(content):
    try:
        pictures.read(content)
    except pictures.PictureError:
        return


def test_pillow_and_libtiff_say_nothing(tmp_path):
    """In a process of its own: neither warnings nor logging nor libtiff write to its console."""
    for number, content in enumerate((*damaged_tiffs(), *warned_of())):
        (tmp_path / str(number)).write_bytes(content)
    code = """
        import sys
        from pathlib import Path
        from mnistlib import pictures
        for path in sorted(Path(sys.argv[1]).iterdir()):
            try:
                pictures.read(path)
            except pictures.PictureError:
                print("refused")
    """
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", textwrap.dedent(code), str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("refused") > 50
    assert done.stderr == ""


def test_who_reads_tiff_otherwise_is_told_as_before(capfd):
    """What is silenced while a picture is read here, is so no longer afterwards."""
    content = next(iter(damaged_tiffs()))
    read_quietly(content)
    capfd.readouterr()
    with pytest.raises(OSError, match="decoder error"):
        Image.open(io.BytesIO(content)).load()
    assert capfd.readouterr().err != ""


def test_real_pages_keep_far_from_the_bounds(sample):
    most = 0
    for kind in (*pages.PLAIN, *pages.FORMS):
        page = pages.draw(kind, sample.x_test, sample.y_test, seed=0)
        most = max(most, len(preprocess.segment(page.picture)))
    assert 5 < most < strokes.MOST_DIGITS / 5
