"""Labels in a table: a file name and its class, one column per class, or one box per row."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from fruitvision.data.read.layouts.labels import MAX_LABEL_BYTES, Box, Labels, Pictures, clean_label, label_text
from fruitvision.data.read.layouts.names import split_of
from fruitvision.errors import DataError

SUFFIXES = (".csv", ".tsv")
MAX_COLUMNS = 10_000
"""A table with more columns does not hold labels; nor does a cell hold more of them."""
MAX_MEMORY = 3 * 2**29
"""Bytes that the rows of a table may take in memory, which are up to 50 times its size; those of ordinary tables take 5 to 15 times."""
_LINE_END = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")  # as str.splitlines
_ROW_BYTES, _CELL_BYTES = 100, 60
csv.field_size_limit(max(csv.field_size_limit(), MAX_LABEL_BYTES))  # a table may hold masks as text
_COLUMNS_TRIED, _ROWS_TRIED = 500, 200
"""The number of columns, the likeliest first, and of rows that are searched for names of pictures."""
_FILE = (
    "filename",
    "file_name",
    "file",
    "image",
    "image_name",
    "image_path",
    "path",
    "filepath",
    "file_path",
    "img",
    "picture",
    "image_id",
    "id",
)
_CLASS = (
    "label",
    "labels",
    "class",
    "class_name",
    "classname",
    "choice",
    "category",
    "target",
    "kind",
    "species",
    "breed",
    "variety",
    "fruit",
    "name",
)
_SPLIT = ("split", "set", "subset", "partition")
_SIDES = (
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("x1", "y1", "x2", "y2"),
    ("left", "top", "right", "bottom"),
)
_SIZE = ("width", "height")


def read_table(path: Path, name: str, pictures: Pictures) -> Labels | None:
    """The labels in a CSV or TSV file; None if the table does not hold labels.

    Args:
        name: the file's path relative to the dataset's folder.

    Raises:
        DataError: "labels-damaged", "labels-too-large".
    """
    rows = _rows(path)
    if not rows or len(rows[0]) > MAX_COLUMNS:
        return None
    near, split = PurePosixPath(name).parent.as_posix(), split_of(PurePosixPath(name).stem)
    near = "" if near == "." else near
    head = [cell.strip().lower().replace(" ", "_") for cell in rows[0]]
    file = _file_column(head, rows, pictures, near, split)
    if file is None:
        return None
    has_head = pictures.find(rows[0][file], near, split) is None
    body = [row for row in (rows[1:] if has_head else rows) if len(row) > file and row[file].strip()]
    head = head if has_head else [""] * len(head)
    found = Labels("CSV", name)
    sides = next((columns for columns in _SIDES if set(columns) <= set(head)), None)
    label = _label_column(head, body, file)
    columns = () if label is not None and head[label] in _CLASS else _one_hot(head, body, file)
    hot = {column: clean_label(rows[0][column]) for column in columns}
    place = next((head.index(column) for column in _SPLIT if column in head), None)
    places = {column: head.index(column) for column in (*(sides or ()), *_SIZE) if column in head}
    for row in body:
        picture = pictures.find(row[file], near, split)
        if picture is None:
            continue
        cells = dict(zip(range(len(row)), (cell.strip() for cell in row), strict=False))
        if place is not None and (named := split_of(cells.get(place, ""))):
            found.splits[picture] = named
        if hot:
            for column, name in hot.items():
                if _is_one(cells.get(column, "")):
                    found.add_kind(picture, name)
        elif sides and label is not None:
            if box := _box(cells, places, sides, cells.get(label, "")):
                found.add_box(picture, box)
        elif label is not None:
            for one in cells.get(label, "").split("|", MAX_COLUMNS)[:MAX_COLUMNS]:
                found.add_kind(picture, one)
    if sides and found.boxes:
        found.form = "CSV boxes"
    return found if found.kinds or found.boxes else None


def _rows(path: Path) -> list[list[str]]:
    text = label_text(path)
    rows, left = [], MAX_MEMORY
    try:
        first = text.split("\n", 1)[0]
        delimiter = max(",;\t|", key=first.count)
        for row in csv.reader(_lines(text), delimiter=delimiter, skipinitialspace=True):
            if any(cell.strip() for cell in row):
                rows.append(row[: MAX_COLUMNS + 1])
                left -= _ROW_BYTES + _CELL_BYTES * len(rows[-1])
                if left < 0:
                    raise DataError("labels-too-large", file=str(path), limit=MAX_LABEL_BYTES >> 20)
    except csv.Error as error:
        raise DataError("labels-damaged", file=str(path), reason=str(error)) from error
    return rows


def _lines(text: str) -> Iterator[str]:
    """The lines of a text, one at a time: a list of them could take fifty times its size."""
    at = 0
    for found in _LINE_END.finditer(text):
        yield text[at : found.start()]
        at = found.end()
    if at < len(text):
        yield text[at:]


def _file_column(head: Sequence[str], rows: Sequence[Sequence[str]], pictures: Pictures, near: str, split: str | None) -> int | None:
    """The index of the column with file names: one with a usual name is preferred; it must name at least one picture."""
    order = sorted(range(len(head)), key=lambda n: _FILE.index(head[n]) if head[n] in _FILE else len(_FILE))
    for column in order[:_COLUMNS_TRIED]:
        if any(len(row) > column and pictures.find(row[column], near, split) for row in rows[:_ROWS_TRIED]):
            return column
    return None


def _label_column(head: Sequence[str], body: Sequence[Sequence[str]], file: int) -> int | None:
    """The index of the column with classes: the one with a usual name, or the only other column."""
    named = [head.index(name) for name in _CLASS if name in head and head.index(name) != file]
    if named:
        return named[0]
    filled = {n for row in body for n, cell in enumerate(row[: len(head)]) if cell.strip()}
    others = [n for n, name in enumerate(head) if n != file and name not in (*_SPLIT, *_FILE) and n in filled]
    return others[0] if len(others) == 1 else None


def _one_hot(head: Sequence[str], body: Sequence[Sequence[str]], file: int) -> tuple[int, ...]:
    """The columns of a one-hot table, which hold only 0 and 1; none if there are fewer than two."""
    columns = [n for n in range(len(head)) if n != file and head[n] and head[n] not in (*_SPLIT, *_FILE)]
    hot = tuple(n for n in columns if all(len(row) > n and row[n].strip() in ("0", "1", "0.0", "1.0", "") for row in body))
    return hot if len(hot) >= 2 and len(hot) == len(columns) else ()


def _is_one(cell: str) -> bool:
    return cell in ("1", "1.0")


def _box(cells: Mapping[int, str], places: Mapping[str, int], sides: Sequence[str], name: str) -> Box | None:
    """The box of a row; its values are in pixels if the table has the pictures' width and height, else relative to them."""
    try:
        left, top, right, bottom = (float(cells[places[side]]) for side in sides)
        width, height = (float(cells[places[side]]) if side in places else 1.0 for side in _SIZE)
        return Box(left / width, top / height, right / width, bottom / height, name)
    except (KeyError, ValueError, ZeroDivisionError):
        return None
