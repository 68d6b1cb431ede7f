"""Color profiles: pictures in other color spaces become sRGB; what is no profile changes nothing."""

from __future__ import annotations

import io
import struct
import time

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from fruitvision.data.read.picture import load_capped, load_pixels, open_picture
from fruitvision.data.read.rgb import to_srgb
from tests.color_profiles import ADOBE, P3, SRGB, cmyk_profile, profile, rgb_profile

COLOR = (90, 160, 70)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").from_pillow(image).save(stream, format=kind, **options)
    else:
        image.save(stream, kind, **options)
    return stream.getvalue()


def in_srgb(color, colorants, gamma=2.2) -> np.ndarray:
    """The definition: linear light, its X Y Z, the light of sRGB's colorants, sRGB's curve."""
    light = (np.array(color) / 255) ** gamma
    xyz = np.array(colorants).reshape(3, 3).T @ light
    light = (np.linalg.inv(np.array(SRGB).reshape(3, 3).T) @ xyz).clip(0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
@pytest.mark.parametrize("colorants", [P3, ADOBE], ids=["Display P3", "Adobe RGB"])
def test_every_format_is_converted_to_srgb(kind, colorants):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}.get(kind, {})
    data = encoded(Image.new("RGB", (640, 480), COLOR), kind, icc_profile=rgb_profile(colorants), **options)
    for image in (open_picture(data), load_capped(data), Image.fromarray(load_pixels(data, 64))):
        assert np.abs(np.array(image.getpixel((20, 20))) - in_srgb(COLOR, colorants)).max() < 5
    assert np.abs(in_srgb(COLOR, colorants) - COLOR).max() > 10


def test_a_small_jpeg_in_a_dataset_is_converted_too():
    data = encoded(Image.new("RGB", (100, 100), COLOR), "JPEG", quality=95, icc_profile=rgb_profile(ADOBE))
    assert np.abs(load_pixels(data)[50, 50] - in_srgb(COLOR, ADOBE)).max() < 5


def test_the_callers_own_picture_is_converted_and_left_as_it_was():
    image = Image.new("RGB", (64, 64), COLOR)
    image.info["icc_profile"] = rgb_profile(ADOBE)
    assert np.abs(load_pixels(image)[5, 5] - in_srgb(COLOR, ADOBE)).max() < 5
    assert image.getpixel((5, 5)) == COLOR


@pytest.mark.parametrize("made", [rgb_profile(SRGB), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()])
def test_srgb_is_left_as_it_is(made):
    image = Image.new("RGB", (64, 64), COLOR)
    assert to_srgb(image, made) is image and image.getpixel((5, 5)) == COLOR


def test_white_stays_white_and_greys_stay_grey():
    ramp = Image.linear_gradient("L").convert("RGB")
    seen = np.asarray(to_srgb(ramp.copy(), rgb_profile(P3))).astype(int)
    assert (seen.max(axis=-1) - seen.min(axis=-1)).max() <= 2 and seen[-1].min() >= 254


def test_inks_are_converted_by_their_presss_table():
    image = Image.new("CMYK", (640, 480), (255, 0, 0, 0))
    plain = open_picture(encoded(image, "JPEG", quality=95)).getpixel((20, 20))
    data = encoded(image, "JPEG", quality=95, icc_profile=cmyk_profile())
    for seen in (open_picture(data), load_capped(data, 64)):
        red, green, blue = seen.getpixel((20, 20))
        assert seen.mode == "RGB" and green > 100 > red and green > blue
    assert plain[2] > 150


def test_a_profile_of_another_kind_changes_nothing():
    inks = encoded(Image.new("RGB", (64, 64), COLOR), "PNG", icc_profile=cmyk_profile())
    screen = encoded(Image.new("CMYK", (64, 64), (255, 0, 0, 0)), "JPEG", icc_profile=rgb_profile(P3))
    assert open_picture(inks).getpixel((5, 5)) == COLOR
    assert open_picture(screen).mode == "RGB"


def broken() -> dict[str, bytes]:
    good = rgb_profile(P3)
    at = good.index(b"rXYZ")
    return {
        "nothing": b"",
        "no profile": b"profile" * 40,
        "its header alone": good[:128],
        "cut off": good[:200],
        "tags without end": good[:128] + struct.pack(">I", 2**32 - 1) + good[132:],
        "a tag behind the end": good[: at + 4] + struct.pack(">II", 2**32 - 9, 20) + good[at + 12 :],
        "zeros for a curve": good.replace(b"curv", b"\0\0\0\0"),
        "no such version": good[:8] + b"\x09" + good[9:],
        "a curve of countless points": good.replace(
            b"curv" + bytes(4) + struct.pack(">I", 1), b"curv" + bytes(4) + struct.pack(">I", 2**31)
        ),
        "an empty table": profile(b"CMYK", b"Lab ", {b"A2B0": b""}),
        "a table of 255 points a side": cmyk_profile().replace(bytes((4, 3, 2, 0)), bytes((4, 3, 255, 0))),
        "a table of 15 inks": cmyk_profile().replace(bytes((4, 3, 2, 0)), bytes((15, 3, 2, 0))),
    }


@pytest.mark.parametrize("name", broken())
@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_damaged_profile_changes_nothing_and_takes_no_time(name, mode):
    image = Image.new(mode, (64, 64), (90, 160, 70, 0)[: len(mode)])
    before = time.perf_counter()
    seen = open_picture(encoded(image, "TIFF", icc_profile=broken()[name]))
    assert time.perf_counter() - before < 1
    assert seen.getpixel((5, 5)) == open_picture(encoded(image, "TIFF")).getpixel((5, 5))


@pytest.mark.slow
def test_flipped_bits_of_a_profile_are_an_answer():
    chance = np.random.default_rng(5)
    image = Image.new("RGB", (16, 16), COLOR)
    for good, mode in ((rgb_profile(P3), "RGB"), (cmyk_profile(), "CMYK")):
        for _ in range(150):
            bad = bytearray(good)
            for at in chance.integers(0, min(len(good), 400), 3):
                bad[at] ^= 1 << int(chance.integers(8))
            assert to_srgb(image.convert(mode), bytes(bad)).size == (16, 16)


def test_only_what_gives_the_colors_reaches_the_color_engine(monkeypatch):
    """Not a megabyte of text, nor tables of other kinds, whose parsing is not needed."""
    given = []
    monkeypatch.setattr(ImageCms, "ImageCmsProfile", lambda stream: given.append(len(stream.getvalue())) or (_ for _ in ()).throw(OSError))
    large = rgb_profile(ADOBE, gamma=1.9, A2B0=b"mft2" + bytes(10**6), desc=b"desc" + bytes(10**6))
    to_srgb(Image.new("RGB", (4, 4)), large)
    assert given and max(given) < 1000


def test_the_cost_is_small():
    image, made = Image.new("RGB", (340, 256), COLOR), rgb_profile(P3)
    to_srgb(image, made)
    before = time.process_time()
    for _ in range(20):
        to_srgb(image, made)
    assert (time.process_time() - before) / 20 < 0.02
