"""Scaling down, decoding in part, JPEGs that lack a little."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from fruitvision.data.read.formats.structure import read_structure
from fruitvision.data.read.picture import load_capped, load_pixels, load_with_note, open_picture, to_array
from fruitvision.data.read.rgb import cap_short_side
from fruitvision.errors import PictureError
from tests.data.read.pictures.conftest import BLUE, RED, WHITE, encoded, halves, near, refused, smooth


@pytest.mark.parametrize(
    ("size", "capped"),
    [
        ((100, 100), (100, 100)),
        ((256, 900), (256, 900)),
        ((512, 1024), (256, 512)),
        ((1024, 512), (512, 256)),
        ((322, 348), (256, 276)),
        ((4000, 500), (1024, 256)),
        ((1, 5000), (1, 1024)),
        ((3000, 1), (1024, 1)),
    ],
)
def test_the_short_side_is_capped_and_the_long_one_bounded(size, capped):
    assert cap_short_side(Image.new("RGB", size), 256).size == capped


@pytest.mark.parametrize(("size", "capped"), [((348, 464), (256, 341)), ((700, 500), (358, 256))])
def test_scaling_down_is_the_textbooks(size, capped):
    image = smooth(*size)
    expected = image.resize(capped, Image.Resampling.BILINEAR)  # torchvision's Resize(256) of a Pillow image
    assert (to_array(cap_short_side(image)) == np.asarray(expected)).all()


def test_scaling_down_keeps_the_middle_of_a_strip():
    strip = Image.new("RGB", (6000, 500), WHITE)
    strip.paste(RED, (2900, 0, 3100, 500))
    capped = cap_short_side(strip, 256)
    assert near(capped.getpixel((capped.width // 2, 128)), RED)


def test_fine_stripes_are_averaged_not_sampled():
    stripes = np.zeros((800, 800, 3), np.uint8)
    stripes[:, ::2] = 255
    capped = to_array(cap_short_side(Image.fromarray(stripes), 100))
    assert np.abs(capped[5:-5, 5:-5].astype(int) - 127).max() < 20


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"progressive": True}, {"quality": 30}])
@pytest.mark.parametrize("size", [(100, 100), (37, 211), (8, 1)])
def test_small_jpegs_decode_as_pillow_decodes_them(size, options):
    data = encoded(smooth(*size), "JPEG", **options)
    with Image.open(io.BytesIO(data)) as image:
        assert (load_pixels(data) == np.asarray(image.convert("RGB"))).all()


def test_a_jpeg_gives_the_same_pixels_from_a_file_and_from_bytes_at_every_size(tmp_path):
    for size in ((300, 260), (460, 447), (460, 448), (500, 480), (600, 512)):
        data = encoded(smooth(*size), "JPEG")
        (tmp_path / "a.jpg").write_bytes(data)
        assert np.array_equal(load_pixels(tmp_path / "a.jpg"), load_pixels(data)), size


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_file_bytes_and_image_give_the_same_pixels(kind, tmp_path):
    data = encoded(smooth(300, 260), kind)
    (tmp_path / "a b.pic").write_bytes(data)
    from_file = load_pixels(tmp_path / "a b.pic")
    assert from_file.dtype == np.uint8 and from_file.flags.writeable
    assert (from_file == load_pixels(data)).all()
    assert (from_file == load_pixels(str(tmp_path / "a b.pic"))).all()
    assert (from_file == load_pixels(Image.open(io.BytesIO(data)))).all()


def test_a_large_jpeg_decoded_in_part_looks_the_same():
    for size, kept in (((2400, 1800), (225, 300)), ((640, 480), (240, 320)), ((1000, 880), (256, 290))):
        image = smooth(*size)
        quick = load_pixels(encoded(image, "JPEG", quality=95))
        full = to_array(cap_short_side(image, kept[0]))
        assert quick.shape == full.shape == (*kept, 3)
        assert np.abs(quick.astype(int) - full).mean() < 1.5


@pytest.mark.parametrize(("size", "scaled"), [((12_000, 9000), (6000, 4500)), ((16_320, 12_240), (8160, 6120))])
def test_a_jpeg_of_a_phone_is_judged_by_what_is_decoded(size, scaled):
    data = encoded(halves((400, 300)).resize(size, Image.Resampling.NEAREST), "JPEG", quality=30)
    capped = load_capped(data)
    assert capped.size == (341, 256) and near(capped.getpixel((20, 20)), RED, 30) and near(capped.getpixel((320, 20)), BLUE, 30)
    if size[0] == 12_000:
        assert open_picture(data).size == scaled


def progressive(width: int, height: int, factors: tuple[int, ...]) -> bytes:
    """A progressive JPEG of that size and subsampling, by its header; its scans are those of a small picture, and many bytes."""
    data = bytearray(encoded(smooth(64, 64), "JPEG", progressive=True, subsampling=0))
    at = data.index(b"\xff\xc2")
    struct.pack_into(">HH", data, at + 5, height, width)
    for n, factor in enumerate(factors):
        data[at + 11 + 3 * n] = factor
    return bytes(data[:-2]) + b"\x55" * 700_000 + b"\xff\xd9"


def test_what_a_progressive_jpeg_holds_at_any_scale_is_counted():
    """Two bytes for each coefficient: 3 a pixel where color has half the resolution, 6 where it has not."""
    assert read_structure(progressive(16_000, 12_000, (0x22, 0x11, 0x11))).coefficients == 2 * 16_000 * 12_000 * 3 // 2
    with pytest.raises(PictureError) as caught:
        load_capped(progressive(16_000, 12_000, (0x11, 0x11, 0x11)))
    assert caught.value.code == "picture-too-large" and "MB" in caught.value.facts["size"]


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}])
@pytest.mark.parametrize("size", [(300, 200), (900, 700)])
@pytest.mark.parametrize("lacking", [1, 2, 9, 40])
def test_a_jpeg_that_lacks_its_last_bytes_is_read_and_noted(size, lacking, options, tmp_path):
    data, path = encoded(smooth(*size), "JPEG", **options), tmp_path / "cut.jpg"
    path.write_bytes(data[:-lacking])
    whole = to_array(load_capped(data)).astype(int)
    for source in (data[:-lacking], path):
        found = load_with_note(source)
        assert found.note == "cut-off"
        assert np.abs(to_array(found.image) - whole)[: len(whole) * 3 // 4].mean() < 3


def test_a_jpeg_that_ends_within_a_table_between_its_scans_is_read():
    data = encoded(smooth(300, 300), "JPEG", progressive=True)
    at = data.rindex(b"\xff\xc4")
    assert load_with_note(data[: at + 8]).note == "cut-off"


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_jpeg_that_lacks_much_is_damaged(options):
    grey = Image.new("RGB", (400, 400), (128, 128, 128))
    assert load_with_note(encoded(grey, "JPEG", **options)).note == "", "a grey picture that is whole is no damaged one"
    data = encoded(smooth(800, 800), "JPEG", **options)
    start = data.index(b"\xff\xda")
    first = data.index(b"\xff\xc4", start) - start if options else len(data) - start
    assert refused(data[: start + first // 2]).code == "picture-damaged"


def test_nothing_incomplete_is_trained_on():
    data = encoded(smooth(300, 200), "JPEG")
    with pytest.raises(PictureError) as caught:
        load_with_note(data[:-9], whole=True)
    assert caught.value.code == "picture-damaged" and load_with_note(b"\n" + data, whole=True).note == "leading-bytes"


@pytest.mark.parametrize("before", [b"\n", b"\xef\xbb\xbf", b"\0" * 1024, b"HTTP/1.1 200 OK\r\n\r\n"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_bytes_before_a_picture_are_passed_over_and_noted(before, kind):
    data = encoded(halves((120, 60)), kind)
    found = load_with_note(before + data)
    assert found.note == "leading-bytes" and (to_array(found.image) == load_pixels(data)).all()


def test_a_picture_behind_much_else_is_none():
    assert refused(b"text " * 500 + encoded(halves(), "JPEG")).code == "picture-not-an-image"
