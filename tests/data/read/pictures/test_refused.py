"""All else is refused before it is decoded."""

from __future__ import annotations

import struct
import time
import zlib

import pytest
from PIL import Image

from fruitvision.data.read.picture import (
    MAX_BYTES,
    load_pixels,
    open_picture,
)
from fruitvision.errors import PictureError
from tests.data.read.pictures.conftest import RED, encoded, halves, png_of, refused, smooth


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("size", [(90, 90), (700, 700)])
def test_a_truncated_picture_is_damaged(kind, size):
    data = encoded(smooth(*size), kind)
    for load in (open_picture, load_pixels):
        with pytest.raises(PictureError) as caught:
            load(data[: len(data) * 6 // 10])
        assert caught.value.code == "picture-damaged"


@pytest.mark.parametrize("start", [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\x10\0\0\0WEBP", b"GIF89a", b"BM", b"II*\0"])
@pytest.mark.parametrize("rest", [b"", b"\0" * 40, bytes(range(256)) * 4])
def test_rubbish_behind_a_right_signature_is_damaged(start, rest):
    assert refused(start + rest).code in ("picture-damaged", "picture-too-large", "picture-too-small")


@pytest.mark.parametrize("size", [(65_536, 1), (1, 65_536)])
def test_a_side_longer_than_any_is_too_large(size):
    error = refused(encoded(Image.new("L", size), "PNG"))
    assert error.code == "picture-too-large" and error.facts["limit"] == "65535 px"


def test_one_pixel_is_enough():
    pixels = load_pixels(encoded(Image.new("RGB", (1, 1), RED), "PNG"))
    assert pixels.shape == (1, 1, 3) and tuple(pixels[0, 0]) == RED


def test_a_picture_too_large_is_refused_by_its_header():
    before = time.perf_counter()
    error = refused(png_of(30_000, 30_000, data=zlib.compress(bytes(1000))))
    assert time.perf_counter() - before < 1
    assert error.code == "picture-too-large"
    assert error.facts == {"picture": "", "size": "30000×30000 px", "limit": "50 MP"}


@pytest.mark.parametrize(("side", "code"), [(8000, "picture-damaged"), (20_000, "picture-damaged"), (65_535, "picture-too-large")])
def test_a_large_jpeg_header_is_refused_without_a_warning(side, code):
    data = bytearray(encoded(Image.new("RGB", (16, 16)), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", side, side)
    before = time.perf_counter()
    assert refused(bytes(data)).code == code
    assert time.perf_counter() - before < 1


def test_the_limit_can_be_lowered():
    assert refused(encoded(halves(), "PNG"), max_pixels=799).code == "picture-too-large"
    assert open_picture(encoded(halves(), "PNG"), max_pixels=800).size == (40, 20)


def test_a_text_file_called_jpg_is_no_picture(tmp_path):
    path = tmp_path / "苹果 one.jpg"
    path.write_text("This is a shopping list.", encoding="utf-8")
    error = refused(path)
    assert error.code == "picture-not-an-image"
    assert "苹果 one.jpg" in str(error) and "JPEG" in str(error)


@pytest.mark.parametrize("data", [b"%!PS-Adobe-3.0 EPSF-3.0", b"P6 1 1 255 abc", b"<svg></svg>", b"PK\x03\x04", b"\0" * 64])
def test_other_formats_are_not_tried(data):
    assert refused(data).code == "picture-not-an-image"


def test_nothing_is_empty(tmp_path):
    (tmp_path / "a.png").touch()
    assert refused(tmp_path / "a.png").code == "picture-empty"
    assert refused(b"").code == "picture-empty"


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "none.jpg", tmp_path):
        error = refused(path)
        assert error.code == "picture-missing" and str(path) in str(error)


def test_a_file_of_many_megabytes_is_not_read(tmp_path):
    path = tmp_path / "film.jpg"
    with path.open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    error = refused(path)
    assert error.code == "picture-too-large" and error.facts["limit"] == "50 MB"


def test_an_error_is_one_sentence_without_a_name_where_there_is_none():
    assert str(refused(b"")).startswith("The picture is empty")
