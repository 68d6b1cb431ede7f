"""One picture: every mode and format as upright RGB on white; all else refused before it is decoded."""

from __future__ import annotations

import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from fruitvision.data.read import rgb
from fruitvision.data.read.formats.structure import read_structure
from fruitvision.data.read.picture import (
    MAX_BYTES,
    cap_short_side,
    load_capped,
    load_noted,
    load_pixels,
    open_picture,
    to_array,
)
from fruitvision.errors import PictureError

RED, BLUE, WHITE = (200, 30, 40), (20, 40, 210), (255, 255, 255)


def halves(size=(40, 20), left=RED, right=BLUE) -> Image.Image:
    """A picture whose left half is red and whose right half is blue."""
    image = Image.new("RGB", size, right)
    image.paste(left, (0, 0, size[0] // 2, size[1]))
    return image


def smooth(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([np.sin(x / 17) + np.cos(y / 23), np.sin((x + y) / 31), np.cos(x / 29) * np.sin(y / 13)], axis=-1)
    return Image.fromarray(np.uint8(127 + 60 * waves.clip(-2, 2)))


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def near(pixel, colour, tolerance=12) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(pixel, colour, strict=True))


def refused(source, **options) -> PictureError:
    with pytest.raises(PictureError) as caught:
        open_picture(source, **options)
    return caught.value


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_every_format_is_read(kind):
    image = open_picture(encoded(halves(), kind))
    assert image.mode == "RGB" and image.size == (40, 20)
    assert near(image.getpixel((5, 10)), RED, 30) and near(image.getpixel((35, 10)), BLUE, 30)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("CMYK", "JPEG"),
        ("CMYK", "TIFF"),
        ("P", "PNG"),
        ("P", "GIF"),
        ("YCbCr", "JPEG"),
        ("RGBA", "PNG"),
        ("RGBA", "WEBP"),
    ],
)
def test_every_colour_mode_keeps_its_colours(mode, kind):
    image = open_picture(encoded(halves().convert(mode), kind))
    assert near(image.getpixel((5, 10)), RED, 30) and near(image.getpixel((35, 10)), BLUE, 30)


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_grey_pictures_become_grey_rgb(mode):
    image = open_picture(encoded(halves(left=(0, 0, 0), right=WHITE).convert(mode), "PNG"))
    assert image.mode == "RGB"
    assert image.getpixel((5, 10)) == (0, 0, 0) and image.getpixel((35, 10)) == WHITE


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_greys_are_scaled_not_cut_off(kind):
    deep = np.full((8, 8), 32768, dtype=np.uint16)
    deep[:, 4:] = 65535
    image = open_picture(encoded(Image.fromarray(deep), kind))
    assert near(image.getpixel((1, 1)), (128, 128, 128), 1)
    assert image.getpixel((6, 1)) == WHITE


@pytest.mark.parametrize("mode", ["I;16", "I", "F", "RGBA", "LA", "P"])
def test_a_picture_worked_on_some_rows_at_a_time_is_the_same(mode, monkeypatch):
    ramp = np.linspace(0, 40_000, 300 * 200).reshape(300, 200)
    deep = {"I;16": np.uint16, "I": np.int32, "F": np.float32}
    image = Image.fromarray(ramp.astype(deep[mode])) if mode in deep else smooth(200, 300).convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    whole = to_array(open_picture(image))
    monkeypatch.setattr(rgb, "_PIXELS_A_PIECE", 999)
    assert (to_array(open_picture(image)) == whole).all()
    if mode in deep:
        assert (to_array(open_picture(np.asarray(image))) == whole).all()
        assert (whole[..., 0] == np.uint8(np.asarray(image) * (255.0 / 65535.0) + 0.5)).all()


def test_16_bit_colour_is_read():
    rows = b"".join(b"\0" + struct.pack(">HHH", 51400, 7710, 10280) * 4 for _ in range(4))
    image = open_picture(png_of(4, 4, depth=16, data=zlib.compress(rows)))
    assert near(image.getpixel((1, 1)), RED, 1)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa"])
def test_transparent_parts_become_white(mode):
    image = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 10, 20))
    if mode == "PA":
        alpha = image.getchannel("A")
        image = image.convert("RGB").convert("P")
        image.putalpha(alpha)
    seen = open_picture(image.convert(mode))
    assert seen.getpixel((5, 5)) == (0, 0, 0)
    assert seen.getpixel((15, 5)) == WHITE


def test_one_colour_of_a_palette_can_be_transparent():
    for kind in ("PNG", "GIF"):
        image = halves().quantize(2)
        data = encoded(image, kind, transparency=image.getpixel((35, 10)))
        seen = open_picture(data)
        assert near(seen.getpixel((5, 10)), RED) and seen.getpixel((35, 10)) == WHITE


def test_half_transparent_is_half_white():
    image = open_picture(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), "PNG"))
    assert near(image.getpixel((1, 1)), (127, 127, 127), 1)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_is_its_first_frame(kind):
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE, (0, 255, 0))]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    image = open_picture(data)
    assert near(image.getpixel((8, 8)), RED) and image.size == (16, 16)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("load", [open_picture, load_capped])
def test_a_picture_turned_by_the_camera_is_upright(kind, load):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: the left of the file is the top of the picture
    image = load(encoded(halves(), kind, exif=exif))
    assert image.size == (20, 40)
    assert near(image.getpixel((10, 5)), RED, 30) and near(image.getpixel((10, 35)), BLUE, 30)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_picture_with_damaged_camera_notes_is_still_read():
    image = open_picture(encoded(halves(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff rubbish"))
    assert near(image.getpixel((5, 10)), RED, 30)


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


def png_of(width: int, height: int, *, depth: int = 8, data: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


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


@pytest.mark.parametrize(
    "array",
    [
        np.full((6, 9, 3), 128, np.uint8),
        np.full((6, 9, 4), 255, np.uint8) // np.array([2, 2, 2, 1], np.uint8),
        np.full((6, 9), 128, np.uint8),
        np.full((6, 9, 1), 128, np.uint8),
        np.full((6, 9, 3), 0.5, np.float32),
        np.full((6, 9), 32896, np.uint16),
        np.full((6, 9), 32896, ">u2"),
        np.full((6, 9, 3), 128, np.uint8)[:, ::-1],
    ],
)
def test_arrays_are_pictures(array):
    image = open_picture(array)
    assert image.size == (9, 6)
    assert near(image.getpixel((4, 3)), (128, 128, 128), 1)


def test_an_array_of_truth_is_black_and_white():
    assert open_picture(np.eye(3, dtype=bool)).getpixel((1, 1)) == WHITE


@pytest.mark.parametrize("shape", [(5,), (5, 5, 2), (1, 5, 5, 3)])
def test_other_arrays_are_no_pictures(shape):
    assert refused(np.zeros(shape, np.uint8)).code == "picture-array-shape"


def test_an_array_without_pixels_is_too_small():
    assert refused(np.zeros((0, 5, 3), np.uint8)).code == "picture-too-small"


def test_the_callers_image_is_left_as_it_was():
    stream = io.BytesIO(encoded(smooth(1200, 900), "JPEG"))
    image = Image.open(stream)
    assert load_pixels(image, 64).shape == (64, 85, 3)
    assert image.size == (1200, 900) and np.asarray(image).shape == (900, 1200, 3)


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
    image = smooth(2400, 1800)
    quick = load_pixels(encoded(image, "JPEG", quality=95))
    full = to_array(cap_short_side(image))
    assert quick.shape == full.shape == (256, 341, 3)
    assert np.abs(quick.astype(int) - full).mean() < 1.5


# Large JPEGs, and those that lack a little -------------------------------------------------------------------------


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
        found = load_noted(source)
        assert found.note == "cut-off"
        assert np.abs(to_array(found.image) - whole)[: len(whole) * 3 // 4].mean() < 3


def test_a_jpeg_that_ends_within_a_table_between_its_scans_is_read():
    data = encoded(smooth(300, 300), "JPEG", progressive=True)
    at = data.rindex(b"\xff\xc4")
    assert load_noted(data[: at + 8]).note == "cut-off"


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_jpeg_that_lacks_much_is_damaged(options):
    grey = Image.new("RGB", (400, 400), (128, 128, 128))
    assert load_noted(encoded(grey, "JPEG", **options)).note == "", "a grey picture that is whole is no damaged one"
    data = encoded(smooth(800, 800), "JPEG", **options)
    start = data.index(b"\xff\xda")
    first = data.index(b"\xff\xc4", start) - start if options else len(data) - start
    assert refused(data[: start + first // 2]).code == "picture-damaged"


def test_nothing_incomplete_is_trained_on():
    data = encoded(smooth(300, 200), "JPEG")
    with pytest.raises(PictureError) as caught:
        load_noted(data[:-9], whole=True)
    assert caught.value.code == "picture-damaged" and load_noted(b"\n" + data, whole=True).note == "leading-bytes"


@pytest.mark.parametrize("before", [b"\n", b"\xef\xbb\xbf", b"\0" * 1024, b"HTTP/1.1 200 OK\r\n\r\n"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_bytes_before_a_picture_are_passed_over_and_noted(before, kind):
    data = encoded(halves((120, 60)), kind)
    found = load_noted(before + data)
    assert found.note == "leading-bytes" and (to_array(found.image) == load_pixels(data)).all()


def test_a_picture_behind_much_else_is_none():
    assert refused(b"text " * 500 + encoded(halves(), "JPEG")).code == "picture-not-an-image"
