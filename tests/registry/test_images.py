"""What a picture is, told by its bytes alone."""

import struct

import pytest

from registry.images import JPEG, PNG, BrokenPicture, NotAPicture, read
from tests.support.pictures import chunk, jpeg, png, segment

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


class TestIsTaken:
    def test_png(self) -> None:
        picture = read(png(3, 2))
        assert (picture.media_type, picture.width, picture.height) == (PNG, 3, 2)
        assert picture.content == png(3, 2)

    def test_png_with_other_chunks(self) -> None:
        assert read(png(between=chunk(b"tEXt", b"Title\x00Stemma"))).media_type == PNG

    def test_jpeg(self) -> None:
        picture = read(jpeg(640, 480))
        assert (picture.media_type, picture.width, picture.height) == (JPEG, 640, 480)

    def test_jpeg_in_several_scans(self) -> None:
        assert read(jpeg(scans=3)).media_type == JPEG

    def test_jpeg_with_fill_bytes(self) -> None:
        assert read(jpeg().replace(b"\xff\xc0", b"\xff\xff\xff\xc0")).media_type == JPEG

    @pytest.mark.parametrize("content", [png(9999, 9999), jpeg(65535, 65535)])
    def test_however_large_it_says_it_is(self, content: bytes) -> None:
        assert read(content).width > 9000


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG",
        b"GIF89a\x01\x00\x01\x00",
        b"RIFF\x00\x00\x00\x00WEBP",
        SVG,
        b"<!DOCTYPE html>",
        b"%PDF-1.7",
        b"MZ",
    ],
)
def test_nothing_else_is_a_picture(content: bytes) -> None:
    with pytest.raises(NotAPicture):
        read(content)


class TestIsBroken:
    @pytest.mark.parametrize("whole", [png(3, 2), jpeg(3, 2)], ids=["png", "jpeg"])
    def test_cut_anywhere(self, whole: bytes) -> None:
        for length in range(8, len(whole)):
            with pytest.raises(BrokenPicture):
                read(whole[:length])

    @pytest.mark.parametrize("after", [b"\x00", b"<script>alert(1)</script>", png()])
    def test_followed_by_anything(self, after: bytes) -> None:
        for content in (png(after=after), jpeg(after=after)):
            with pytest.raises(BrokenPicture):
                read(content)

    def test_png_with_a_wrong_checksum(self) -> None:
        content = png()
        with pytest.raises(BrokenPicture):
            read(content.replace(b"IEND\xae", b"IEND\xaf"))

    @pytest.mark.parametrize(
        "chunks",
        [
            chunk(b"IDAT", b"x") + chunk(b"IEND"),
            chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)) + chunk(b"IEND"),
            chunk(b"IHDR", b"\x00" * 12) + chunk(b"IDAT", b"x") + chunk(b"IEND"),
            chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 1, 8, 0, 0, 0, 0)) + chunk(b"IDAT", b"x") + chunk(b"IEND"),
            2 * chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)) + chunk(b"IDAT", b"x") + chunk(b"IEND"),
        ],
        ids=["no header", "no pixels", "short header", "no width", "two headers"],
    )
    def test_png_whose_parts_are_not_those_of_one(self, chunks: bytes) -> None:
        with pytest.raises(BrokenPicture):
            read(b"\x89PNG\r\n\x1a\n" + chunks)

    @pytest.mark.parametrize(
        "content",
        [
            b"\xff\xd8\xff\xd9",
            b"\xff\xd8" + segment(0xE0, b"JFIF") + b"\xff\xd9",
            b"\xff\xd8" + segment(0xC0, b"\x08\x00\x01\x00\x01\x01") + b"\xff\xd9",
            b"\xff\xd8" + segment(0xDA, b"\x00" * 6) + b"\x12\xff\xd9",
            b"\xff\xd8" + segment(0xC0, b"\x08") + b"\xff\xd9",
            jpeg(height=0),
            b"\xff\xd8\xff\xe0\x00\x01\xff\xd9",
        ],
        ids=["empty", "no frame", "no scan", "scan first", "short frame", "no height", "impossible length"],
    )
    def test_jpeg_whose_parts_are_not_those_of_one(self, content: bytes) -> None:
        with pytest.raises(BrokenPicture):
            read(content)
