"""HEIC and AVIF whose container stands for far more than its bytes: it is counted before anything is decoded."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from PIL import Image

from fruitvision.data.read.formats import heif_codecs as codecs
from fruitvision.data.read.formats.heif import MAX_PROPERTY_BYTES, MAX_TURNS
from fruitvision.data.read.formats.heif_boxes import Items, Property, box, file_of
from fruitvision.data.read.formats.heif_codecs import MAX_HEADERS
from fruitvision.data.read.formats.picture_file import MAX_PARTS
from fruitvision.data.read.formats.structure import read_structure
from tests.data.read.test_heif import KINDS, Taken, code_of, encoded, halves

TURNED = Property(b"irot", b"\1")


@pytest.fixture(scope="module", params=KINDS)
def taken(request) -> Taken:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    return Taken(encoded(noise, request.param))


def container(
    taken: Taken,
    *,
    uses: Sequence[Sequence[int]] = (),
    more: Sequence[Property] = (),
    again: int = 0,
    boxes_of_uses: Sequence[bytes] = (),
    references: Sequence[bytes] = (),
) -> bytes:
    """The one picture that was taken, in a file of one's own making.

    Args:
        uses: the properties of items 2, 3 … by their numbers.
        more: properties beside the picture's own, numbered from 101 on.
        again: how often the picture names number 101 besides.
        boxes_of_uses: boxes ``ipma`` behind the first.
        references: boxes in ``iref``.
    """
    own = [*taken.own, *[Property(b"free", b"")] * (100 - len(taken.own)), *more]
    uses = [[*range(1, len(taken.own) + 1), *(n | (one.kind == b"irot") << 7 for n, one in enumerate(more, 101)), *[101] * again], *uses]
    used = b"".join(struct.pack(f">HB{len(one)}B", number, len(one), *one) for number, one in enumerate(uses, 1))
    head = box(b"ftyp", taken.brand, bytes(4), b"mif1", taken.brand)

    def meta(start: int) -> bytes:
        return box(
            b"meta",
            bytes(4),
            box(b"hdlr", bytes(8), b"pict", bytes(13)),
            box(b"pitm", bytes(4), struct.pack(">H", 1)),
            box(b"iloc", bytes(4), struct.pack(">HHHHHII", 0x4400, 1, 1, 0, 1, start, len(taken.bytes))),
            box(b"iinf", bytes(4), struct.pack(">H", 1), box(b"infe", struct.pack(">IHH4sB", 2 << 24, 1, 0, taken.kind, 0))),
            box(b"iref", bytes(4), *references),
            box(
                b"iprp",
                box(b"ipco", *(box(one.kind, one.body) for one in own)),
                box(b"ipma", struct.pack(">II", 0, len(uses)), used),
                *boxes_of_uses,
            ),
        )

    return head + meta(len(head) + len(meta(0)) + 8) + box(b"mdat", taken.bytes)


def grid_of_one_tile(taken: Taken, side: int, extents: int) -> bytes:
    """A grid whose tiles are all the same item, of many extents without a byte; in the file none of them takes a byte either."""
    wide = side * 64
    whole = file_of(taken.brand, [taken.item()], {})
    config = [p for p in Items(whole, "").properties(1) if p.kind in (b"hvcC", b"av1C")]
    own = [Property(b"ispe", struct.pack(">4xII", wide, wide)), Property(b"ispe", struct.pack(">4xII", 64, 64)), *config]
    content = struct.pack(">BBBBII", 0, 1, side - 1, side - 1, wide, wide)
    head = box(b"ftyp", taken.brand, bytes(4), b"mif1", taken.brand)
    kinds = [box(b"infe", struct.pack(">IHH4sB", 2 << 24, n, 0, kind, 0)) for n, kind in ((1, b"grid"), (2, taken.kind))]

    def meta(start: int) -> bytes:
        rows = struct.pack(">HHIH", 1, 0, start, 1) + struct.pack(">HHIH", 2, 0, start + len(content), extents)
        return box(
            b"meta",
            bytes(4),
            box(b"pitm", bytes(4), struct.pack(">H", 1)),
            box(b"iloc", bytes(4), struct.pack(">HH", 0x0040, 2), rows),
            box(b"iinf", bytes(4), struct.pack(">H", 2), *kinds),
            box(b"iref", bytes(4), box(b"dimg", struct.pack(f">HH{side**2}H", 1, side**2, *[2] * side**2))),
            box(
                b"iprp",
                box(b"ipco", *(box(one.kind, one.body) for one in own)),
                box(b"ipma", struct.pack(">IIHBBHBBB", 0, 2, 1, 1, 1, 2, 2, 2, 3)),
            ),
        )

    return head + meta(len(head) + len(meta(0)) + 8) + box(b"mdat", content)


def test_a_file_of_ones_own_making_is_read(taken):
    assert code_of(container(taken)) == "answer"
    assert code_of(container(taken, uses=[[1, 2]] * 300, more=[Property(b"free", b"x")])) == "answer"


def test_a_property_is_taken_out_of_the_file_once(taken):
    """Of a megabyte that an item names 255 times there would be a quarter of a gigabyte, and ten of a file of 10 MB."""
    for kind in (b"free", b"colr"):
        data = container(taken, more=[Property(kind, bytes(2**20))], again=200)
        tracemalloc.start()
        file = read_structure(data)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < 4 * 2**20 and len(file.data) < 2**20


def test_a_box_of_properties_in_use_ends_where_it_ends(taken):
    """Else each of 100,000 boxes of 16 bytes reads all that stands behind it."""
    short = box(b"ipma", struct.pack(">II", 0, 100))
    assert code_of(container(taken, boxes_of_uses=[short, box(b"free", bytes(1000))])) == "picture-damaged"


def test_associations_references_and_extents_are_counted_together(taken):
    each = box(b"cdsc", struct.pack(">HH", 7, 50_000), bytes(100_000))
    half = [[1] * 250] * (MAX_PARTS // 500)
    assert code_of(container(taken, references=[each])) == code_of(container(taken, uses=half)) == "answer"
    assert code_of(container(taken, references=[each] * 2)) == "picture-too-many-parts"
    assert code_of(container(taken, uses=half * 2)) == "picture-too-many-parts"
    assert code_of(container(taken, references=[each], uses=half)) == "picture-too-many-parts"
    assert code_of(container(taken, boxes_of_uses=[box(b"ipma", struct.pack(">II", 0, MAX_PARTS), bytes(3 * MAX_PARTS))])) != "answer"


def test_the_extents_of_a_tile_are_gone_through_once(taken, monkeypatch):
    steps = 0

    class Counting(Items):
        def _extents(self, item: int) -> Iterator[tuple[int, int]]:
            nonlocal steps
            for extent in super()._extents(item):
                steps += 1
                yield extent

    monkeypatch.setattr("fruitvision.data.read.formats.heif.Items", Counting)
    code_of(grid_of_one_tile(taken, 7, 60_000))
    assert 0 < steps < 400_000  # twice, by each of two readers


def test_a_picture_is_not_turned_without_end(taken):
    """Each turn goes over all the pixels: 255 of them take half a minute."""
    assert code_of(container(taken, more=[TURNED])) == code_of(container(taken, more=[TURNED] * MAX_TURNS)) == "answer"
    assert code_of(container(taken, more=[TURNED] * (MAX_TURNS + 1))) == "picture-too-many-parts"


def test_the_decoder_gets_the_first_property_of_each_kind_and_none_too_large(taken):
    double = container(taken, more=[Property(p.kind, p.body + b"x") for p in taken.own])
    given = Items(read_structure(double).data, "").properties(1)
    assert [p.body for p in given] == [p.body for p in Items(read_structure(container(taken)).data, "").properties(1)]
    other = container(taken, more=[Property(b"auxC", bytes(MAX_PROPERTY_BYTES + 1))])
    assert code_of(other) == "picture-damaged"


def test_the_units_of_a_decoders_configuration_are_counted():
    """They are read for each tile anew."""
    taken = Taken(encoded(halves((64, 64)), "HEIF"))
    (at, config) = next((n, p.body) for n, p in enumerate(taken.own) if p.kind == b"hvcC")
    for times, code in ((2, "answer"), (MAX_HEADERS, "picture-too-many-parts")):
        taken.own[at] = Property(b"hvcC", config[:22] + bytes([config[22] * times]) + config[23:] * times)
        assert code_of(taken.alone()) == code


def test_the_units_of_all_tiles_are_counted_together(taken):
    empty = bytes(4) if taken.kind != b"av01" else b"\x12\0"  # an empty NAL unit, a mark between frames
    tile = taken.item(content=empty * 20_000 + taken.bytes)
    data = taken.grid(3, 2, (192, 128), [tile] * 6)
    assert len(data) < 10 * 2**20
    assert code_of(data) == "picture-too-many-parts"


def test_the_headers_of_coded_data_are_counted(taken):
    if taken.kind == b"av01":
        head, length = taken.bytes.index(b"\x0a"), 2 + taken.bytes[taken.bytes.index(b"\x0a") + 1]
        heads = taken.bytes[head : head + length]  # a sequence header, and its length behind the first byte
    else:
        config = next(p.body for p in taken.own if p.kind == b"hvcC")
        heads = b"".join(struct.pack(">I", len(unit)) + unit for unit in codecs._configured(config, ""))
    assert code_of(taken.alone(content=heads + taken.bytes)) == "answer"
    assert code_of(taken.alone(content=heads * MAX_HEADERS + taken.bytes)) == "picture-too-many-parts"
