"""A visitor's own picture: a file's bytes as 8-bit RGB, or a refusal in words.

The file is not trusted: what it is is decided by its content, and how large from its header, before any pixel is
decoded. Pillow's own check against oversized pictures stands in a global and warns instead of refusing, so its readers
are called directly, behind limits of our own. Colour profiles are ignored: values are kept as stored. A JPEG carries no
checksum, so one with wrong bits in its middle is read as they stand.
"""

from __future__ import annotations

import hashlib
import itertools
import zlib
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from poolsearch.errors import PictureError
from poolsearch.records.network import Array

Pixels = NDArray[np.uint8]

MEGABYTES = 20  # of a file; in 1024 x 1024 bytes, as Streamlit counts
MEGAPIXELS = 20  # decoded 80 MB, as Pillow keeps 4 bytes a pixel
SCANS = 100  # of a JPEG: progressive ones have about 10; at 20 megapixels each takes 13 ms however few bytes it has
CHUNKS = 50_000  # of a PNG: 20 MB in the usual pieces of 8 KB are 2,500
LONGEST = 1024  # pixels of the longer side that are kept: more than any page shows

POSSIBLE = f"Possible: PNG, JPEG or WebP, up to {MEGAPIXELS} megapixels and {MEGABYTES} MB."
_ENDS_EARLY = f"The file ends before the picture does. {POSSIBLE}"

_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"RIFF": "WebP"}
_REFUSED = {b"GIF8": "GIF", b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"%PDF": "PDF", b"<svg": "SVG"}
_PNG_PARTS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf"}  # what says how the pixels look
_TURNS = {  # EXIF orientation -> what undoes it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class _OneFrame(WebPImageFile):
    """A WebP reader that drops its decoder, and the two frames it holds, before Pillow sets aside its own."""

    def load_prepare(self) -> None:
        self._decoder = None
        super().load_prepare()


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as a page takes it."""

    pixels: Pixels  # (H, W, 3), read-only
    words: str  # what was done to it; empty when nothing
    sha: str  # 12 hexadecimal digits of the SHA-256 of the file


def read(data: bytes, longest: int = LONGEST) -> Picture:
    """Return a file's picture with no side longer than `longest` pixels, and what was done to it in words.

    Raises PictureError for what is no PNG, JPEG or WebP, too large, cut short or broken.
    """
    kind = _kind(data)
    try:
        image, opened = _opened(kind, data)
        image.load()
        pixels, done = _pixels(image, longest)
    except PictureError:
        raise
    except Exception as error:  # on broken data Pillow raises whatever its readers run into
        if _cut_short(kind, data):
            raise PictureError(_ENDS_EARLY) from error
        raise PictureError(f"The {kind} data can't be decoded: broken, or a rare variant. {POSSIBLE}") from error
    return Picture(pixels, " ".join(opened + done), hashlib.sha256(data).hexdigest()[:12])


def fitted(pixels: Pixels, height: int, width: int) -> Array:
    """Return a picture's middle as (3, height, width) from 0 to 1, shrunk by area or enlarged by repeating pixels."""
    full_height, full_width = pixels.shape[:2]
    scale = min(full_width / width, full_height / height)
    left, top = (full_width - width * scale) / 2, (full_height - height * scale) / 2
    box = (left, top, left + width * scale, top + height * scale)
    small = Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX, box=box)
    return np.asarray(small, dtype=np.float32).transpose(2, 0, 1) / np.float32(255)


def _kind(data: bytes) -> str:
    """Return PNG, JPEG or WebP, by the file's first bytes."""
    if not data:
        raise PictureError(f"The file is empty. {POSSIBLE}")
    if len(data) > MEGABYTES * 2**20:
        raise PictureError(f"The file has {len(data) / 2**20:.1f} MB. {POSSIBLE}")
    kind = next((kind for start, kind in _SIGNATURES.items() if data.startswith(start)), None)
    if kind == "WebP" and data[8:12] not in (b"WEBP", b""):
        kind = None  # RIFF is also sound and video
    if kind is None:
        found = next((name for start, name in _REFUSED.items() if data.startswith(start)), None)
        found = "HEIC, AVIF or a video" if data[4:8] == b"ftyp" else found
        got = f"Inside, the file is {found}." if found else "Inside, the file is no picture of a known kind."
        raise PictureError(f"{got} {POSSIBLE}")
    return kind


def _opened(kind: str, data: bytes) -> tuple[ImageFile.ImageFile, list[str]]:
    """Return a picture of a checked size that is not decoded yet, and what of the file is left out."""
    if kind == "PNG":
        return _opened_png(data)
    if kind == "JPEG":
        if (scans := data.count(b"\xff\xda")) > SCANS:
            raise PictureError(f"The JPEG data is in {scans} scans, and at most {SCANS} are read. {POSSIBLE}")
        jpeg = JpegImageFile(BytesIO(data))
        _check_size(jpeg.size)
        return jpeg, ["Converted from CMYK."] if jpeg.mode == "CMYK" else []
    _check_size(_webp_size(data))  # before the reader, which sets aside whole frames when it is made
    webp = _OneFrame(BytesIO(data))
    return webp, _first_of(webp.n_frames)


def _opened_png(data: bytes) -> tuple[ImageFile.ImageFile, list[str]]:
    still, frames = _png_still(data)
    image = PngImageFile(BytesIO(still))
    _check_size(image.size)
    notes, depth, clear = _first_of(frames), data[24], image.info.get("transparency")
    if depth == 16:
        notes.append("Of 16 bits a value the upper 8 are kept.")
    if clear is not None and image.mode == "L":  # a value of 1, 2, 4 or 8 bits; Pillow scales the pixels only
        image.info["transparency"] = clear * (255 // (2**depth - 1))
    if clear is not None and image.mode == "RGB" and depth == 16:  # Pillow has cut the pixels before it compares
        del image.info["transparency"]
        notes.append("Its transparent colour is drawn as any other.")
    return image, notes


def _first_of(frames: int) -> list[str]:
    return [f"The first of {frames} frames."] if frames > 1 else []


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MEGAPIXELS * 10**6:
        got = f"The picture has {width} × {height} pixels, that is {width * height / 10**6:g} megapixels."
        raise PictureError(f"{got} {POSSIBLE}")


def _png_still(data: bytes) -> tuple[bytes, int]:
    """Return a PNG file of the first frame without texts and profiles, and how many frames there were.

    Pillow checks no checksum of pixel data, and inflates texts and profiles at a thousandfold.
    """
    view, at = memoryview(data), 8
    kinds: list[bytes] = []
    kept = [view[:8]]
    while not kinds or kinds[-1] != b"IEND":
        end = at + 12 + int.from_bytes(view[at : at + 4])
        if end > len(data):
            raise PictureError(_ENDS_EARLY)
        if zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            raise PictureError(f"The PNG data is broken: a checksum in it is wrong. {POSSIBLE}")
        kinds.append(bytes(view[at + 4 : at + 8]))
        if kinds[-1] in _PNG_PARTS:
            kept.append(view[at:end])
        at = end
        if len(kinds) > CHUNKS:
            raise PictureError(f"The PNG data is in more than {CHUNKS:,} chunks. {POSSIBLE}")
    if kinds[0] != b"IHDR" or kinds.count(b"IHDR") > 1:
        raise ValueError("a PNG has one header, and begins with it")
    before = kinds[: kinds.index(b"IDAT")]  # a frame's header here means that the still is the first frame
    if data[25] == 3 and b"PLTE" not in before:
        raise ValueError("a PNG of palette colours has a palette before its pixels")
    return b"".join(kept), kinds.count(b"fcTL") + (b"fcTL" not in before)


def _webp_size(data: bytes) -> tuple[int, int]:
    """Return (width, height) as the header of a WebP file has it (RFC 9649)."""

    def number(start: int, end: int) -> int:
        return int.from_bytes(data[start:end], "little")

    if len(data) < 30:
        raise PictureError(_ENDS_EARLY)
    match data[12:16]:
        case b"VP8X":
            return number(24, 27) + 1, number(27, 30) + 1
        case b"VP8L":
            return (number(21, 25) & 0x3FFF) + 1, (number(21, 25) >> 14 & 0x3FFF) + 1
        case _:  # a lossy frame; the reader refuses all else
            return number(26, 28) & 0x3FFF, number(28, 30) & 0x3FFF


def _cut_short(kind: str, data: bytes) -> bool:
    """Return whether a JPEG or WebP file that can't be decoded lacks its end."""
    if kind == "WebP":
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    return kind == "JPEG" and not data.rstrip(b"\0").endswith(b"\xff\xd9")


def _pixels(image: Image.Image, longest: int) -> tuple[Pixels, list[str]]:
    """Return the pixels of a decoded picture, and what was done to them."""
    width, height = image.size
    factor = -(-max(width, height) // longest)
    small = np.empty((-(-height // factor), -(-width // factor), 3), np.uint8)
    side = factor * max(1, LONGEST // factor)  # pixels: in pieces, a copy of the whole is never needed
    transparent = False
    for top, left in itertools.product(range(0, height, side), range(0, width, side)):
        box = (left, top, min(left + side, width), min(top + side, height))
        piece, seen_through = _over_white(_of_8_bits(image.crop(box)))
        transparent |= seen_through
        part = _averaged(piece, factor)
        small[top // factor :, left // factor :][: part.shape[0], : part.shape[1]] = part
    turn = _TURNS.get(_orientation(image))
    pixels = small if turn is None else np.array(Image.fromarray(small).transpose(turn))
    pixels.setflags(write=False)
    done = {
        "Transparency laid over white.": transparent,
        "Turned upright as the camera noted.": turn is not None,
        f"Shrunk by averaging {factor} × {factor} pixels.": factor > 1,
    }
    return pixels, [sentence for sentence, true in done.items() if true]


def _averaged(values: Pixels, factor: int) -> Pixels:
    """Return the rounded average of every factor × factor pixels, and of what is left of them at the ends.

    Not Pillow's reduce, which multiplies by a rounded reciprocal: over 1,500 × 1,500 pixels it makes 118 of 127.
    """
    if factor == 1:
        return values
    rows, columns = (np.arange(0, length, factor) for length in values.shape[:2])
    sums = np.add.reduceat(np.add.reduceat(values, rows, 0, np.uint64), columns, 1)
    counts = np.diff(rows, append=values.shape[0])[:, None] * np.diff(columns, append=values.shape[1])
    averages: Pixels = np.round(sums / counts[..., None]).astype(np.uint8)
    return averages


def _of_8_bits(piece: Image.Image) -> Image.Image:
    """Return a piece of 16-bit grey in 8 bits, any other as it is."""
    if piece.mode != "I;16":
        return piece
    values = np.asarray(piece)
    grey = Image.fromarray((values >> 8).astype(np.uint8))
    if "transparency" in piece.info:
        grey.putalpha(Image.fromarray(np.where(values == piece.info["transparency"], 0, 255).astype(np.uint8)))
    return grey


def _over_white(piece: Image.Image) -> tuple[Pixels, bool]:
    """Return a piece as RGB, and whether anything of it was transparent."""
    if not piece.has_transparency_data:
        return np.asarray(piece.convert("RGB")), False
    values = np.asarray(piece.convert("RGBA")).astype(np.uint16)
    colour, alpha = values[..., :3], values[..., 3:]
    mixed = (colour * alpha + 255 * (255 - alpha) + 127) // 255  # at most 65,152: fits 16 bits
    return mixed.astype(np.uint8), bool(alpha.min() < 255)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1, upright, where there is none or it can't be read."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken EXIF is no reason to refuse the pixels
        return 1
