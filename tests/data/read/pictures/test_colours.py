"""Every mode and format as upright RGB on white."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fruitvision.data.read import rgb
from fruitvision.data.read.picture import (
    load_capped,
    load_pixels,
    open_picture,
    to_array,
)
from tests.data.read.pictures.conftest import BLUE, RED, WHITE, encoded, halves, near, png_of, refused, smooth


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
    monkeypatch.setattr(rgb, "_PIXELS_PER_CHUNK", 999)
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
