"""Small files of every kind that a visitor may upload, made on the spot: good ones, odd ones, and ones to refuse."""

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6  # a PNG's colour types

COLOURS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[0, 0, 0], [10, 20, 30], [255, 255, 255]]], np.uint8)


def chunk(kind, content=b""):
    """Return one chunk of a PNG, with its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, depth, colour, rows, *before, interlaced=0):
    """Return a PNG whose rows are given as bytes, each beginning with its filter (0: none)."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    return SIGNATURE + header + b"".join(before) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND")


def shorts(*values):
    return struct.pack(f">{len(values)}H", *values)


def saved(image, kind, **options):
    """Return a Pillow image, or an array, as a file."""
    file = BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def turned(orientation):
    """Return the EXIF data of a camera that was held in that way."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def ramp():
    """Return 16 × 24 pixels of smooth colour, (16, 24, 3)."""
    across, down = np.meshgrid(np.arange(24), np.arange(16))
    return np.stack([across * 10, down * 15, across * 5 + down * 5], -1).astype(np.uint8)


def good():
    """Return the files that are read, by name."""
    black_white, three = Image.fromarray(COLOURS).convert("1"), chunk(b"PLTE", bytes([255, 0, 0, 0, 255, 0, 0, 0, 255]))
    frames = [Image.fromarray(np.full((4, 5, 3), value, np.uint8)) for value in (10, 120, 250)]
    moving = {"save_all": True, "append_images": frames[1:]}
    return {
        "colours.png": saved(COLOURS, "PNG"),
        "one-pixel.png": png(1, 1, 8, RGB, bytes([0, 1, 2, 3])),
        "bilevel.png": saved(black_white, "PNG"),
        "grey.png": png(3, 1, 8, GREY, bytes([0, 0, 7, 255])),
        "grey-2-bits.png": png(4, 1, 2, GREY, bytes([0, 0b00_01_10_11])),
        "grey-2-bits-clear.png": png(4, 1, 2, GREY, bytes([0, 0b00_01_10_11]), chunk(b"tRNS", shorts(1))),
        "grey-16-bits.png": png(4, 1, 16, GREY, b"\0" + shorts(255, 256, 0x12FF, 0xFF34)),
        "grey-16-bits-clear.png": png(2, 1, 16, GREY, b"\0" + shorts(0x1200, 0x1201), chunk(b"tRNS", shorts(0x1200))),
        "grey-alpha.png": png(2, 1, 8, GREY_ALPHA, bytes([0, 100, 255, 100, 51])),
        "rgb-16-bits.png": png(1, 1, 16, RGB, b"\0" + shorts(0x00FF, 0x7FFF, 0x80FF)),
        "rgb-16-bits-clear.png": png(1, 1, 16, RGB, b"\0" + shorts(0, 1, 2), chunk(b"tRNS", shorts(0, 0, 0))),
        "rgb-clear.png": png(2, 1, 8, RGB, bytes([0, 1, 2, 3, 4, 5, 6]), chunk(b"tRNS", shorts(1, 2, 3))),
        "rgba.png": png(3, 1, 8, RGBA, bytes([0, 200, 100, 0, 255, 200, 100, 0, 51, 200, 100, 0, 0])),
        "rgba-opaque.png": png(1, 1, 8, RGBA, bytes([0, 200, 100, 0, 255])),
        "rgba-16-bits.png": png(1, 1, 16, RGBA, b"\0" + shorts(0xC8FF, 0x64FF, 0x00FF, 0x33FF)),
        "palette.png": png(3, 1, 8, PALETTE, bytes([0, 2, 0, 1]), three),
        "palette-clear.png": png(3, 1, 8, PALETTE, bytes([0, 2, 0, 1]), three, chunk(b"tRNS", bytes([0]))),
        "palette-alpha.png": png(3, 1, 8, PALETTE, bytes([0, 2, 0, 1]), three, chunk(b"tRNS", bytes([51, 255, 0]))),
        "moving.png": saved(frames[0], "PNG", **moving),
        "colours.webp": saved(COLOURS, "WEBP", lossless=True),
        "moving.webp": saved(frames[0], "WEBP", lossless=True, **moving),
        "ramp.webp": saved(ramp(), "WEBP", quality=90),
        "ramp.jpg": saved(ramp(), "JPEG", quality=90),
        "progressive.jpg": saved(ramp(), "JPEG", quality=90, progressive=True),
        "grey.jpg": saved(ramp()[..., 0], "JPEG"),
        "cmyk.jpg": saved(Image.fromarray(ramp()).convert("CMYK"), "JPEG", quality=95),
        "turned.jpg": saved(ramp(), "JPEG", quality=90, exif=turned(6)),
        "wide.png": saved(
            np.repeat(np.arange(205, dtype=np.uint8), 10)[None, :, None].repeat(4, 0).repeat(3, 2), "PNG"
        ),
    }


def refused():
    """Return the files that are refused, by name."""
    whole = good()
    broken = bytearray(whole["colours.png"])
    broken[-20] ^= 1  # within the pixels
    return {
        "empty.png": b"",
        "text.png": b"This is no picture.",
        "bitmap.png": saved(COLOURS, "BMP"),
        "gif.jpg": saved(COLOURS, "GIF"),
        "sound.webp": b"RIFF\x24\0\0\0WAVEfmt ",
        "phone.jpg": b"\0\0\0\x18ftypheic" + bytes(12),
        "cut.png": whole["colours.png"][:-30],
        "cut.jpg": whole["ramp.jpg"][:-100],
        "cut.webp": whole["ramp.webp"][:-20],
        "broken.png": bytes(broken),
        "no-palette.png": png(3, 1, 8, PALETTE, bytes([0, 2, 0, 1])),
        "two-headers.png": png(1, 1, 16, GREY, bytes(2), chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))),
        "crumbs.png": png(1, 1, 8, GREY, bytes(2), chunk(b"prVt") * 50_001),
        "scans.jpg": whole["ramp.jpg"][:-2] + b"\xff\xda" * 101,
        "169-megapixels.png": png(13_000, 13_000, 1, GREY, bytes(13_000 * 1626)),
        "169-megapixels.jpg": b"\xff\xd8\xff\xc0\0\x0b\x08"
        + shorts(13_000, 13_000)
        + b"\1\1\x11\0\xff\xda\0\2\xff\xd9",
        "169-megapixels.webp": b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + struct.pack("<I", 12_999)[:3] * 2,
        "large.png": bytes(20 * 2**20 + 1),
    }


def corpus():
    """Return every file by name: those that are read first, then those that are refused."""
    return good() | refused()
