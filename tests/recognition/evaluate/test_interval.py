"""The interval of an accuracy on few pictures: Wilson's, by published values."""

from __future__ import annotations

import pytest

from fruitvision.recognition.evaluate.interval import FEW_PICTURES, wilson_interval


@pytest.mark.parametrize(
    ("right", "images", "low", "high"),
    # 81 of 263 and 15 of 148 are the examples of Newcombe (1998), Statistics in Medicine 17, 857-872.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (29, 29, 0.8830, 1.0), (10, 15, 0.4171, 0.8482)],
)
def test_it_is_that_of_published_tables(right, images, low, high):
    assert wilson_interval(right / images, images) == pytest.approx((low, high), abs=5e-5)


def test_it_is_narrow_enough_with_many_pictures_and_there_is_none_of_nothing():
    low, high = wilson_interval(0.5, FEW_PICTURES)
    assert 0.13 < high - low < 0.14
    for wrong in ((0.5, 0), (1.2, 10), (float("nan"), 10)):
        with pytest.raises(ValueError):
            wilson_interval(*wrong)
