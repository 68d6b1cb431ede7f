"""A picture sent as base64 is bounded before it is decoded."""

from __future__ import annotations

import base64

import pytest

from fruitvision.data.read.base64_picture import decode_picture
from fruitvision.errors import PictureError


def test_the_bytes_come_back_as_they_were_sent():
    content = bytes(range(256)) * 4
    assert decode_picture(base64.b64encode(content).decode(), len(content)) == content


@pytest.mark.parametrize(("encoded", "code"), [("A" * 1400, "picture-too-large"), ("no base64", "picture-damaged")])
def test_what_is_too_large_or_no_base64_is_refused(encoded, code):
    with pytest.raises(PictureError) as caught:
        decode_picture(encoded, 1000)
    assert caught.value.code == code
