"""What a picture really is: told by its bytes, never by its name or by what the sender says. Pure.

Only PNG and JPEG, walked from the first byte to the last without decoding a pixel: nothing may precede, follow or hide
between the parts, so that no browser ever takes such a file for a page or a program.
"""

import struct
import zlib
from dataclasses import dataclass

PNG = "image/png"
JPEG = "image/jpeg"
MEDIA_TYPES = (PNG, JPEG)
# A few bytes can unfold into a picture that fills the memory of whoever looks at it.
MAX_SIDE = 4096

_PNG_START = b"\x89PNG\r\n\x1a\n"
_JPEG_START = b"\xff\xd8\xff"
# JPEG: frames that tell the size of the picture (SOF0 to SOF15 without the tables that lie among them).
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _END = 0xDA, 0xD9
# Inside a scan these say nothing new: a stuffed zero, or a restart.
_WITHIN_SCAN = frozenset({0x00, *range(0xD0, 0xD8)})


class NotAPicture(Exception):
    """Neither PNG nor JPEG, whatever it says it is: SVG, a page, a text."""


class BrokenPicture(Exception):
    """It begins as a picture and does not go on as one: cut, altered, or followed by something else."""


@dataclass(frozen=True, slots=True)
class Picture:
    """`width` and `height` in pixels, at least 1."""

    media_type: str
    content: bytes
    width: int
    height: int


def read(content: bytes) -> Picture:
    """Raises NotAPicture, BrokenPicture. A picture may still be larger than `MAX_SIDE`."""
    if content.startswith(_PNG_START):
        width, height = _png_size(content)
        media_type = PNG
    elif content.startswith(_JPEG_START):
        width, height = _jpeg_size(content)
        media_type = JPEG
    else:
        raise NotAPicture
    if not width or not height:
        raise BrokenPicture
    return Picture(media_type, content, width, height)


def _png_size(content: bytes) -> tuple[int, int]:
    """PNG (third edition), chapter 5: chunks of length, type, data and checksum; IHDR is the first, IEND the last."""
    size: tuple[int, int] | None = None
    has_pixels = False
    position = len(_PNG_START)
    while position + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, position)
        end = position + 12 + length
        if end > len(content):
            break
        kind = content[position + 4 : position + 8]
        (checksum,) = struct.unpack_from(">I", content, end - 4)
        if zlib.crc32(content[position + 4 : end - 4]) != checksum or (size is None) != (kind == b"IHDR"):
            break
        if kind == b"IHDR":
            if length != 13:
                break
            size = struct.unpack_from(">II", content, position + 8)
        elif kind == b"IDAT":
            has_pixels = True
        elif kind == b"IEND":
            if size is None or not has_pixels or length or end != len(content):
                break
            return size
        position = end
    raise BrokenPicture


def _jpeg_size(content: bytes) -> tuple[int, int]:
    """ITU-T T.81, annex B: segments of marker and length, scans of coded data, and a last marker with nothing after it."""
    size: tuple[int, int] | None = None
    has_scan = False
    position = 2
    while position + 2 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker == _END:
            if size is None or not has_scan or position + 2 != len(content):
                break
            return size
        if position + 4 > len(content):
            break
        (length,) = struct.unpack_from(">H", content, position + 2)
        end = position + 2 + length
        if length < 2 or end > len(content):
            break
        if marker in _FRAMES:
            if length < 8 or size is not None:
                break
            height, width = struct.unpack_from(">HH", content, position + 5)
            size = width, height
        if marker == _SCAN:
            if size is None:
                break
            has_scan = True
            end = _end_of_scan(content, end)
        position = end
    raise BrokenPicture


def _end_of_scan(content: bytes, position: int) -> int:
    """Where the marker after the coded data is."""
    while (position := content.find(b"\xff", position)) != -1 and position + 1 < len(content):
        following = content[position + 1]
        if following == 0xFF:
            position += 1
        elif following in _WITHIN_SCAN:
            position += 2
        else:
            return position
    raise BrokenPicture
