"""Pictures for tests, made byte by byte: whole ones, and ones that only look like it."""

import struct
import zlib


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int = 1, height: int = 1, *, between: bytes = b"", after: bytes = b"") -> bytes:
    """Grey. `between` stands before the pixels, `after` behind the end."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress((b"\x00" + b"\x80" * width) * height if width * height < 1_000_000 else b"")
    whole = chunk(b"IHDR", header) + between + chunk(b"IDAT", pixels) + chunk(b"IEND")
    return b"\x89PNG\r\n\x1a\n" + whole + after


def segment(marker: int, data: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data


def jpeg(width: int = 1, height: int = 1, *, scans: int = 1, after: bytes = b"") -> bytes:
    """The structure of one: the coded data are arbitrary, with a stuffed zero and a restart among them."""
    frame = segment(0xC0, struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00")
    scan = segment(0xDA, b"\x01\x01\x00\x00\x3f\x00") + b"\x12\xff\x00\x34\xff\xd0\x56"
    start = b"\xff\xd8" + segment(0xE0, b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00")
    return start + frame + scan * scans + b"\xff\xd9" + after
