"""A visitor's own picture: read exactly, or refused in words, at little cost; and the control that takes it."""

import re
import subprocess
import sys
import time
import tomllib
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays
from pictures_corpus import COLOURS, GREY, RGB, RGBA, chunk, corpus, good, png, ramp, refused, saved, turned
from PIL import Image, ImageOps
from streamlit.testing.v1 import AppTest

from poolsearch.app.controls.plain import as_text
from poolsearch.app.controls.upload import HELP
from poolsearch.data.pictures import LONGEST, MEGABYTES, POSSIBLE, fitted, read
from poolsearch.errors import PictureError

ROOT = Path(__file__).parents[2]
GOOD, REFUSED = good(), refused()

UPPER, WHITE, FIRST = (
    "Of 16 bits a value the upper 8 are kept.",
    "Transparency laid over white.",
    "The first of 3 frames.",
)


def greys(*values):
    """Return one row of grey pixels."""
    return [[[value] * 3 for value in values]]


RED, LIME, BLUE, BLANK = [255, 0, 0], [0, 255, 0], [0, 0, 255], [255] * 3

# a fifth of a colour (alpha 51 of 255) over white: 255 - (255 - value) / 5
EXACT = {
    "colours.png": (COLOURS, ""),
    "colours.webp": (COLOURS, ""),
    "one-pixel.png": ([[[1, 2, 3]]], ""),
    "bilevel.png": (np.asarray(Image.fromarray(COLOURS).convert("1").convert("RGB")), ""),
    "grey.png": (greys(7, 255)[:1], ""),
    "grey-2-bits.png": (greys(0, 85, 170, 255), ""),
    "grey-2-bits-clear.png": (greys(0, 255, 170, 255), WHITE),
    "grey-16-bits.png": (greys(0, 1, 0x12, 0xFF), UPPER),  # the upper byte of 255, 256, 0x12FF, 0xFF34
    "grey-16-bits-clear.png": (greys(255, 0x12), f"{UPPER} {WHITE}"),  # 0x1200 is clear, 0x1201 is not
    "grey-alpha.png": (greys(100, 224), WHITE),
    "rgb-16-bits.png": ([[[0, 0x7F, 0x80]]], UPPER),
    "rgb-16-bits-clear.png": ([[[0, 0, 0]]], f"{UPPER} Its transparent colour is drawn as any other."),
    "rgb-clear.png": ([[BLANK, [4, 5, 6]]], WHITE),
    "rgba.png": ([[[200, 100, 0], [244, 224, 204], BLANK]], WHITE),
    "rgba-opaque.png": ([[[200, 100, 0]]], ""),
    "rgba-16-bits.png": ([[[244, 224, 204]]], f"{UPPER} {WHITE}"),
    "palette.png": ([[BLUE, RED, LIME]], ""),
    "palette-clear.png": ([[BLUE, BLANK, LIME]], WHITE),
    "palette-alpha.png": ([[BLANK, [255, 204, 204], LIME]], WHITE),
    "moving.png": (np.full((4, 5, 3), 10), FIRST),
    "moving.webp": (np.full((4, 5, 3), 10), FIRST),
}
EXACT["grey.png"] = (greys(0, 7, 255), "")


@pytest.mark.parametrize("name", EXACT)
def test_a_file_without_loss_is_read_exactly(name):
    pixels, words = EXACT[name]
    picture = read(GOOD[name])
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.tolist() == np.asarray(pixels).tolist()
    assert picture.words == words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ramp.jpg", ""),
        ("progressive.jpg", ""),
        ("grey.jpg", ""),
        ("cmyk.jpg", "Converted from CMYK."),
        ("ramp.webp", ""),
    ],
)
def test_a_file_with_loss_is_read_as_pillow_reads_it(name, words):
    picture = read(GOOD[name])
    assert (picture.pixels == np.asarray(Image.open(BytesIO(GOOD[name])).convert("RGB"))).all()
    assert picture.words == words


def test_cmyk_is_not_read_upside_down():
    """Adobe's JPEGs store ink inverted; read the other way round, paper would be black."""
    paper = saved(Image.new("CMYK", (16, 16), (0, 0, 0, 0)), "JPEG", quality=100)
    assert read(paper).pixels.min() >= 253


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_a_picture_is_turned_upright(kind, orientation):
    data = saved(ramp(), kind, exif=turned(orientation), **({"lossless": True} if kind == "WEBP" else {}))
    picture = read(data)
    assert (picture.pixels == np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(data))))).all()
    assert picture.words == ("" if orientation == 1 else "Turned upright as the camera noted.")


def test_broken_exif_is_no_reason_to_refuse():
    data = saved(COLOURS, "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert (read(data).pixels == COLOURS).all()


def test_an_animation_whose_still_stands_apart_counts_it():
    still = Image.fromarray(COLOURS)
    data = saved(still, "PNG", save_all=True, append_images=[still.rotate(180), still], default_image=True)
    assert read(data).words == "The first of 3 frames."


def test_a_large_picture_is_averaged_by_whole_pixels():
    picture = read(GOOD["wide.png"])  # 2,050 × 4: columns 0 to 9 are 0, 10 to 19 are 1, and so on
    assert picture.pixels.shape == (2, 684, 3)
    assert picture.pixels[0, :4, 0].tolist() == [0, 0, 0, 1]  # 9, 10 and 11: the mean of 0, 1, 1 is 0.67
    assert picture.words == "Shrunk by averaging 3 × 3 pixels."
    whole = read(GOOD["wide.png"], longest=2050)
    assert (whole.pixels.shape, whole.words) == ((4, 2050, 3), "")


@pytest.mark.parametrize("longest", [1, 7, 64, 700])
def test_pieces_fit_together(longest):
    """1,500 × 1,300 pixels are worked on in four pieces or more; the answer is the average over every square."""
    values = np.random.default_rng(0).integers(0, 256, (1300, 1500, 3), np.uint8)
    factor = -(-1500 // longest)
    rows, columns = np.arange(0, 1300, factor), np.arange(0, 1500, factor)
    sums = np.add.reduceat(np.add.reduceat(values.astype(float), rows, 0), columns, 1)
    counts = np.diff([*rows, 1300])[:, None, None] * np.diff([*columns, 1500])[None, :, None]
    assert abs(read(saved(values, "PNG", compress_level=1), longest).pixels - sums / counts).max() <= 0.5


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([3, 4]))))
def test_any_pixels_come_back(values):
    colour, alpha = values[..., :3].astype(float), values[..., 3:] / 255 if values.shape[2] == 4 else 1.0
    expected = np.floor(colour * alpha + 255 * (1 - alpha) + 0.5)
    for data in (saved(values, "PNG"), saved(values, "WEBP", lossless=True, exact=True)):
        assert read(data).pixels.tolist() == expected.tolist()


def test_the_picture_names_its_file_and_cant_be_changed():
    picture = read(GOOD["colours.png"])
    assert re.fullmatch("[0-9a-f]{12}", picture.sha)
    assert picture.sha != read(GOOD["colours.webp"]).sha
    with pytest.raises(ValueError, match="read-only"):
        picture.pixels[0, 0] = 0


# ---------------------------------------------------------------------------------------------------------- refusals

SHORT = "The file ends before the picture does."
REASONS = {
    "empty.png": "The file is empty.",
    "text.png": "Inside, the file is no picture of a known kind.",
    "bitmap.png": "Inside, the file is BMP.",
    "gif.jpg": "Inside, the file is GIF.",
    "sound.webp": "Inside, the file is no picture of a known kind.",
    "phone.jpg": "Inside, the file is HEIC, AVIF or a video.",
    "cut.png": SHORT,
    "cut.jpg": SHORT,
    "cut.webp": SHORT,
    "broken.png": "The PNG data is broken: a checksum in it is wrong.",
    "no-palette.png": "The PNG data can't be decoded: broken, or a rare variant.",
    "two-headers.png": "The PNG data can't be decoded: broken, or a rare variant.",
    "crumbs.png": "The PNG data is in more than 50,000 chunks.",
    "scans.jpg": "The JPEG data is in 102 scans, and at most 100 are read.",
    "169-megapixels.png": "The picture has 13000 × 13000 pixels, that is 169 megapixels.",
    "169-megapixels.jpg": "The picture has 13000 × 13000 pixels, that is 169 megapixels.",
    "169-megapixels.webp": "The picture has 13000 × 13000 pixels, that is 169 megapixels.",
    "large.png": "The file has 20.0 MB.",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cant_be_read_is_refused_in_words(name):
    with pytest.raises(PictureError) as error:
        read(REFUSED[name])
    assert str(error.value) == f"{REASONS[name]} Possible: PNG, JPEG or WebP, up to 20 megapixels and 20 MB."


def test_the_limit_itself_is_within():
    assert read(png(5000, 4000, 1, GREY, bytes(626 * 4000))).pixels.shape == (800, 1000, 3)
    with pytest.raises(PictureError, match="5001 × 4000 pixels, that is 20.004 megapixels"):
        read(png(5001, 4000, 1, GREY, bytes(627 * 4000)))


@pytest.mark.parametrize("name", ["colours.png", "ramp.jpg", "progressive.jpg", "colours.webp", "ramp.webp"])
def test_every_beginning_of_a_file_is_refused_as_one(name):
    for length in range(12, len(GOOD[name])):
        with pytest.raises(PictureError, match=SHORT):
            read(GOOD[name][:length])


@pytest.mark.parametrize("position", range(8, len(GOOD["colours.png"])))
def test_no_wrong_bit_of_a_png_passes(position):
    data = bytearray(GOOD["colours.png"])
    data[position] ^= 0x10
    with pytest.raises(PictureError):
        read(bytes(data))


def attempt(data):
    try:
        picture = read(data)
    except PictureError as error:
        assert str(error).endswith(POSSIBLE)
    else:
        assert picture.pixels.dtype == np.uint8
        assert picture.pixels.ndim == 3
        assert max(picture.pixels.shape) <= LONGEST


STARTS = [b"", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff", b"RIFF\x40\0\0\0WEBPVP8 "]


@given(st.sampled_from(STARTS), st.binary(max_size=200))
def test_random_bytes_raise_nothing_else(start, rest):
    attempt(start + rest)


def resealed(data):
    """Return a PNG with every checksum made right again, so that what was changed reaches the decoder."""
    sealed, at = data[:8], 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        sealed += chunk(data[at + 4 : at + 8], data[at + 8 : end - 4])
        at = end
    return sealed


@given(
    st.sampled_from(sorted(GOOD)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=3)), min_size=1, max_size=4),
    st.booleans(),
)
def test_changed_files_raise_nothing_else(name, changes, reseal):
    data = GOOD[name]
    for place, new in changes:
        at = int(place * len(data))
        data = data[:at] + new + data[at + 1 :]
    attempt(resealed(data) if reseal and name.endswith("png") else data)


# -------------------------------------------------------------------------------------------------------------- cost


@pytest.mark.parametrize("name", GOOD | REFUSED)
def test_an_answer_takes_less_than_a_second(name):
    data = (GOOD | REFUSED)[name]
    start = time.thread_time()
    attempt(data)
    assert time.thread_time() - start < 1


def test_many_threads_read_at_once():
    names = [*EXACT] * 8
    with ThreadPoolExecutor(8) as threads:
        pictures = list(threads.map(lambda name: read(GOOD[name]), names))
    for name, picture in zip(names, pictures, strict=True):
        assert picture.pixels.tolist() == np.asarray(EXACT[name][0]).tolist()


# ru_maxrss begins at what the parent process had (exec keeps it); VmHWM begins anew
MEASURE = """
import re, sys, time
from pathlib import Path
from poolsearch.errors import PictureError
from poolsearch.data.pictures import read
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
data = Path(sys.argv[1]).read_bytes()
before, start = peak(), time.process_time()
try:
    answer = {code}
except PictureError as error:
    answer = error
print(peak() - before, time.process_time() - start, answer)
"""


def cost(tmp_path, data, code="read(data).pixels.shape"):
    """Return the memory (MB) and the CPU time (s) that a fresh process needs to read a file, and its answer."""
    file = tmp_path / "file"
    file.write_bytes(data)
    command = [sys.executable, "-c", MEASURE.format(code=code), str(file)]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    memory, seconds, answer = out.strip().split(" ", 2)
    return float(memory), float(seconds), answer


LARGE = {  # 20 megapixels each, black: Pillow's memory does not depend on what is drawn
    "8-bit RGB PNG": lambda: png(5000, 4000, 8, RGB, bytes(15_001 * 4000)),
    "16-bit grey PNG": lambda: png(5000, 4000, 16, GREY, bytes(10_001 * 4000)),
    "8-bit RGBA PNG": lambda: png(5000, 4000, 8, RGBA, bytes(20_001 * 4000)),
    "RGBA PNG in one row": lambda: png(20_000_000, 1, 8, RGBA, bytes(80_000_001)),
    "CMYK JPEG": lambda: saved(Image.new("CMYK", (5000, 4000)), "JPEG", progressive=True, subsampling=0),
    "WebP": lambda: saved(Image.new("RGBA", (5000, 4000)), "WEBP", lossless=True, quality=0, method=0),
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", LARGE)
def test_twenty_megapixels_take_less_than_300_megabytes(name, tmp_path):
    memory, _, answer = cost(tmp_path, LARGE[name]())
    assert 30 < memory < 300
    assert answer in ("(800, 1000, 3)", "(1, 1024, 3)")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_oversized_picture_costs_nothing(tmp_path):
    for kind in ("png", "jpg", "webp"):
        memory, seconds, answer = cost(tmp_path, REFUSED[f"169-megapixels.{kind}"])
        assert memory < 5
        assert seconds < 0.5
        assert "169 megapixels" in answer


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_measure_sees_what_is_used(tmp_path):
    memory, _, _ = cost(tmp_path, b"", 'len(b"x" * 310 * 2**20)')
    assert 309 < memory < 320


# -------------------------------------------------------------------------------------------------------------- tiles


def test_a_tile_is_the_middle_scaled_by_area():
    row = np.array([[[0] * 3, [10] * 3, [20] * 3, [30] * 3, [40] * 3, [255] * 3]] * 2, np.uint8)  # 2 × 6
    tile = fitted(row, 1, 2)  # the middle 2 × 4: 10 20 | 30 40
    assert (tile.shape, tile.dtype) == ((3, 1, 2), np.float32)
    assert (tile[0] * 255).round(3).tolist() == [[15, 35]]


def test_a_small_picture_is_enlarged_by_repeating_its_pixels():
    tile = fitted(COLOURS[:, :2], 4, 4)
    assert (tile * 255).round(3).transpose(1, 2, 0).tolist() == COLOURS[:, :2].repeat(2, 0).repeat(2, 1).tolist()


# ------------------------------------------------------------------------------------------------------------ control


@pytest.fixture
def at(tmp_path):
    """Return an app of two pages that both take the visitor's own picture."""
    page = """
import streamlit as st
from poolsearch.app.controls.upload import own_picture, tile
picture = own_picture()
st.text("none" if picture is None else f"{picture.sha} {tile(picture, 8, 6).shape}")
"""
    (tmp_path / "first.py").write_text(page)
    (tmp_path / "second.py").write_text(page)
    (tmp_path / "app.py").write_text('import streamlit as st\nst.navigation(["first.py", "second.py"]).run()\n')
    return AppTest.from_file(str(tmp_path / "app.py"), default_timeout=30).run()


def upload(at, name):
    at.sidebar.file_uploader[0].set_value((name, corpus()[name], "image/png")).run()
    assert not at.exception


def shown(at):
    return at.text[0].value


def test_a_picture_is_shared_by_the_pages_until_it_is_forgotten(at):
    assert shown(at) == "none"
    upload(at, "rgba.png")
    expected = f"{read(GOOD['rgba.png']).sha} (3, 8, 6)"
    assert shown(at) == expected
    assert at.sidebar.caption[-1].value == "3 × 1 pixels. " + as_text("Transparency laid over white.")
    assert not at.sidebar.button
    at.switch_page("second.py").run()
    assert at.sidebar.file_uploader[0].value is None
    assert shown(at) == expected
    at.sidebar.button(key="own-forget").click().run()
    assert shown(at) == "none"
    assert [caption.value for caption in at.sidebar.caption] == [HELP]


def test_a_file_taken_away_is_forgotten(at):
    upload(at, "colours.png")
    assert shown(at) != "none"
    at.sidebar.file_uploader[0].clear().run()
    assert shown(at) == "none"


def test_an_upload_is_read_once(at, monkeypatch):
    from poolsearch.app.controls import upload as control

    reads = []
    monkeypatch.setattr(control, "read", lambda data: reads.append(len(data)) or read(data))
    upload(at, "colours.png")
    at.run()
    at.switch_page("second.py").run()
    assert shown(at) != "none"
    assert reads == [len(GOOD["colours.png"])]


def test_a_refused_file_is_refused_on_its_own_page_only(at):
    upload(at, "colours.png")
    upload(at, "169-megapixels.png")
    assert "169 megapixels" in at.sidebar.warning[0].value
    assert shown(at) == "none"  # and not the picture before it
    at.switch_page("second.py").run()
    assert not at.sidebar.warning
    assert shown(at) == "none"


def test_a_link_hides_the_control(at):
    upload(at, "colours.png")
    at.query_params["hide"] = "kernel,own"
    at.run()
    assert not at.sidebar.file_uploader
    assert shown(at) == "none"


def test_the_server_takes_files_as_large_as_the_reader():
    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    assert settings["server"]["maxUploadSize"] == MEGABYTES


def test_a_seal_is_what_a_png_has():
    assert resealed(GOOD["colours.png"]) == GOOD["colours.png"]
    assert zlib.crc32(b"IEND") == int.from_bytes(GOOD["colours.png"][-4:])
