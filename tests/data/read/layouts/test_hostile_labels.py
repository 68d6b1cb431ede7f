"""Labels that somebody made to exhaust memory or time, or to bring the reader down: they are read as far as they are sound."""

from __future__ import annotations

import time
import tracemalloc

import pytest
import yaml

from fruitvision.data.read.layouts import boxes, labels, tables
from fruitvision.data.read.layouts.boxes import MAX_NAMES_LETTERS, MAX_YAML_LETTERS, read_coco, read_yolo, yolo_names
from fruitvision.data.read.layouts.find_labels import MAX_LISTS, find_labels
from fruitvision.data.read.layouts.label_studio import read_manifest, read_tasks
from fruitvision.data.read.layouts.labels import MAX_NAME, Pictures, clean_label, label_name
from fruitvision.data.read.layouts.tables import MAX_COLUMNS, _rows, read_table
from fruitvision.errors import DataError

DEEP: list = ["x"]
for _ in range(10):  # 2^10 times "x", were it written out
    DEEP = [DEEP, DEEP]
HUGE = 10**5000


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: [Apple, 'Pear, green', 7, 1.50, no, ~]", ["Apple", "Pear, green", "7", "1.50", "no", ""]),
        ("names:\n  0: Apple\n  2: Pear\n  x: Plum\n  [1]: Fig\n", ["Apple", "1", "Pear"]),
        ("train: images\nnames: {}\n", []),
        ("names: Apple\n", []),
        ("- names\n", []),
        ("", []),
        (f"names: [Apple, 0x{'f' * 9000}]", ["Apple", f"0x{'f' * 9000}"]),
        ("a: &a [x, x]\nnames: [Apple, *a, {b: c}]", ["Apple", "", ""]),
    ],
    ids=["list", "mapping", "none", "text", "no-mapping", "empty", "huge-number", "nested"],
)
def test_the_names_of_yolo_are_taken_as_they_stand(tmp_path, text, names):
    (tmp_path / "data.yaml").write_text(text, encoding="utf-8")
    assert yolo_names(tmp_path / "data.yaml") == names


@pytest.mark.parametrize("nested", ["[{}]", "{{<<: [{}]}}"], ids=["lists", "merged"])
def test_yaml_that_refers_to_itself_is_not_written_out(tmp_path, nested):
    """Ten levels of two are a thousand names, forty a million millions; merged mappings are as many while they are read."""
    lines = [f"a{n}: &a{n} " + nested.format(f"*a{n - 1}, *a{n - 1}") for n in range(1, 11)]
    text = "\n".join(["a0: &a0 {k: x}", *lines, "names: [*a10, *a10, Apple]"])
    (tmp_path / "data.yaml").write_text(text, encoding="utf-8")
    assert yolo_names(tmp_path / "data.yaml") == ["", "", "Apple"]


def test_a_list_of_classes_in_yaml_is_bounded(tmp_path, monkeypatch):
    (tmp_path / "data.yaml").write_text("names: [Apple]\n#" + " " * MAX_YAML_LETTERS, encoding="utf-8")
    monkeypatch.setattr(yaml, "compose", None)
    with pytest.raises(DataError) as caught:
        yolo_names(tmp_path / "data.yaml")
    assert caught.value.code == "labels-too-large" and "0.25 MB" in str(caught.value)


def test_few_lists_of_classes_are_read(tmp_path, monkeypatch):
    files = [f"{n}/data.yaml" for n in range(30)]
    read: list[str] = []
    monkeypatch.setattr("fruitvision.data.read.layouts.find_labels.yolo_names", lambda path: read.append(path) or [])
    find_labels(tmp_path, files, lambda name: False, lambda name: None)
    assert len(read) == MAX_LISTS


@pytest.mark.parametrize(
    ("value", "name"),
    [("Apple", "Apple"), (7, "7"), (1.5, "1.5"), (None, ""), ([], ""), ({"a": 1}, ""), (DEEP, ""), (HUGE, "")],
    ids=["text", "number", "fraction", "none", "list", "mapping", "deep", "huge"],
)
def test_a_name_is_text_or_a_number_in_every_form(value, name):
    assert label_name(value) == name
    pictures, kinds = Pictures(["a.jpg", "Apple-0.jpg"]), {name} - {""}
    coco = {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": value}],
        "categories": [{"id": 1, "name": value}, {"id": [1], "name": "x"}],
        "annotations": [{"image_id": n, "category_id": 1} for n in (1, 2)],
    }
    assert read_coco(coco, "a.json", "", None, pictures).kinds == ({"a.jpg": kinds} if kinds else {})
    values = [{"choices": [value]}, {"rectanglelabels": [value], "x": 0, "y": 0, "width": 9, "height": 9}]
    tasks = [{"data": {"image": "a.jpg"}, "annotations": [{"result": [{"value": one} for one in values]}]}]
    found = read_tasks([*tasks, {"image": "a.jpg", "choices": [value]}], "a.json", pictures)
    assert found.kinds == ({"a.jpg": kinds} if kinds else {}) and {box.name for box in found.boxes.get("a.jpg", ())} == kinds
    samples = read_manifest({"type": "image", "classes": ["Pear", value]}, "manifest.json", pictures)
    assert samples is not None and samples.kinds == ({"Apple-0.jpg": {"Apple"}} if name == "Apple" else {})


def test_a_box_of_numbers_beyond_any_is_none():
    value = {"rectanglelabels": ["Apple"], "x": 10**400, "y": 0, "width": 9, "height": 9}
    task = {"data": {"image": "a.jpg"}, "annotations": [{"result": [{"value": value}]}]}
    assert not read_tasks([task], "a.json", Pictures(["a.jpg"])).boxes


def test_a_name_of_megabytes_costs_no_more_than_a_long_one():
    """COCO's annotations refer to it by a number, a million of them."""
    pictures, huge = Pictures(["a.jpg"]), "x" * 4_000_000
    start = time.process_time()
    for _ in range(50):
        assert clean_label(huge) == "x" * MAX_NAME
        assert pictures.find(f"http://pictures/{huge}/a.jpg") is None
    assert time.process_time() - start < 1
    assert pictures.find("http://pictures/" + "x" * 2000 + "/a.jpg") == "a.jpg"


@pytest.mark.parametrize(
    ("name", "text"),
    [("data.yaml", "names: " + "[" * 50_000), ("labels.json", "[" * 50_000), ("labels.json", '[{"image": 1' + "0" * 5000 + "}]")],
    ids=["yaml", "json", "huge-number"],
)
def test_labels_that_cannot_be_read_are_damaged(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        find_labels(tmp_path, [name], lambda name: False, lambda name: None)
    assert caught.value.code == "labels-damaged"


class Counted(Pictures):
    """Pictures that count how often one is looked for."""

    looked = 0

    def find(self, called: str, near: str = "", split: str | None = None) -> str | None:
        self.looked += 1
        return super().find(called, near, split)


@pytest.mark.parametrize(
    "head",
    ["filename," + "," * 9000 + "kind of fruit", "filename,label" + "," * 9000 + "xmin,ymin,xmax,ymax"],
    ids=["empty-columns", "boxes"],
)
def test_each_row_of_a_wide_table_is_gone_through_once(tmp_path, head):
    """Each of 60,000 short rows asked for each column, or searched for each side of a box, takes half a minute."""
    (tmp_path / "labels.csv").write_text(head + "\n" + "a.jpg,Apple\n" * 60_000, encoding="utf-8")
    start = time.process_time()
    read_table(tmp_path / "labels.csv", "labels.csv", Pictures(["a.jpg"]))
    assert time.process_time() - start < 3


def test_a_table_of_too_many_columns_is_none_of_labels(tmp_path):
    path, pictures = tmp_path / "labels.csv", Counted(["a.jpg", "b.jpg"])
    for more, kinds in ((MAX_COLUMNS - 2, {"a.jpg": {"Apple"}}), (MAX_COLUMNS - 1, None)):
        path.write_text("filename,label" + ",x" * more + "\na.jpg,Apple\n", encoding="utf-8")
        found = read_table(path, "labels.csv", pictures)
        assert (found.kinds if found else None) == kinds
    path.write_text("filename,label\na.jpg,Apple\nb.jpg,Pear" + ",x" * 200_000 + "\n", encoding="utf-8")
    found = read_table(path, "labels.csv", pictures)
    assert found is not None and found.kinds == {"a.jpg": {"Apple"}, "b.jpg": {"Pear"}}
    assert max(map(len, _rows(path))) == MAX_COLUMNS + 1


def test_the_column_of_the_pictures_is_not_looked_for_without_end(tmp_path):
    path, pictures = tmp_path / "labels.csv", Counted(["a.jpg", "b.jpg"])
    path.write_text("x," * 3000 + "x\n" + ("y," * 3000 + "y\n") * 250, encoding="utf-8")
    assert read_table(path, "labels.csv", pictures) is None and 0 < pictures.looked <= 500 * 200
    path.write_text("x," * 3000 + "filename,label\n" + ("y," * 3000 + "a.jpg,Apple\n"), encoding="utf-8")
    found = read_table(path, "labels.csv", pictures)
    assert found is not None and found.kinds == {"a.jpg": {"Apple"}}


def test_thousands_of_pictures_of_one_name_are_told_apart_by_their_paths():
    """Each looked for among all the others takes minutes."""
    paths = [f"set/{number:05d}/Apple/image.jpg" for number in range(10_000)]
    pictures = Pictures([*paths, "image.png"])
    start = time.process_time()
    assert all(pictures.find(path[4:]) == pictures.find(path.removesuffix(".jpg")) == path for path in paths)
    assert time.process_time() - start < 3
    assert pictures.find("image.jpg") is None and pictures.find("Apple/image") is None
    assert pictures.find("image.jpg", "set/00007") == pictures.find("00007/Apple/image") == paths[7]
    deep = Pictures([f"{top}/b/c/d/e/image.jpg" for top in ("a", "z", "za")])
    assert deep.find("a/b/c/d/e/image.jpg") == deep.find("A/b/c/d/e/image") == "a/b/c/d/e/image.jpg"
    assert deep.find("b/c/d/e/image.jpg") is None


def test_labels_that_thousands_of_pictures_share_are_not_compared_with_each():
    pictures = Pictures(f"images/d{n}/1.jpg" for n in range(20_000))
    assert pictures.find("1.jpg", "", "train") is None and pictures.find("1.jpg", "images/d7", "train") == "images/d7/1.jpg"
    started = time.process_time()
    for _ in range(2000):
        pictures.find("1.jpg", "", "train")
    assert time.process_time() - started < 2


def test_labels_whose_paths_end_like_those_of_thousands_are_not_compared_with_each():
    """20,000 pictures in folders of the same names took 25 milliseconds for each row of a table."""
    pictures = Pictures([f"{n}/a/b/c/1.jpg" for n in range(20_000)])
    assert pictures.find("z/a/b/c/1.jpg") is None
    started = time.process_time()
    for _ in range(200):
        pictures.find("z/a/b/c/1.jpg")
    assert time.process_time() - started < 1
    assert Pictures([f"{n}/a/b/c/1.jpg" for n in range(900)]).find("old/7/a/b/c/1.jpg") is None
    assert Pictures([f"{n}/a/b/c/1.jpg" for n in range(900)]).find("7/a/b/c/1.jpg") == "7/a/b/c/1.jpg"


@pytest.mark.parametrize("path", ["1.jpg", "a/b/c/1.jpg", "z/y/a/b/c/1.jpg"])
def test_a_thousand_pictures_of_one_name_are_not_gone_through_for_each_row(path):
    """Their folders were looked at for each row of a table of a split: 23 milliseconds, and (days) for all rows that it may have."""
    pictures = Pictures([f"train/{n}/y/a/b/c/1.jpg" for n in range(900)] + ["test/z/y/a/b/c/1.jpg"])
    pictures.find(path, "", "train")
    start = time.process_time()
    for _ in range(2000):
        assert pictures.find(path, "", "test") == "test/z/y/a/b/c/1.jpg"
    for _ in range(2000):
        pictures.find(path, "", "train")
    assert time.process_time() - start < 1


def test_long_names_are_looked_at_once_and_not_for_each_annotation():
    """14 milliseconds for the name of a picture, 10 bytes of a file for each annotation or box that refers to it."""
    name = "\u1fb7" * 3990
    content = {"images": [{"id": 1, "file_name": f"{name}.jpg"}], "categories": [{"id": 1, "name": name}]}
    content["annotations"] = [{"image_id": 1, "category_id": 1}] * 2000
    start = time.process_time()
    found = read_coco(content, "a.json", "", None, Pictures([f"{name}.jpg"]))
    assert [len(one) for kinds in found.kinds.values() for one in kinds] == [MAX_NAME]
    for _ in range(2000):
        clean_label(name)
    assert time.process_time() - start < 1


def test_countless_labels_in_one_cell_are_not_read(tmp_path):
    """The list of them took 24 times the table's bytes, of which only the cells were counted."""
    text = "file,label\n1.jpg," + "".join(f"{n:05}|" for n in range(30_000))
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    found = read_table(tmp_path / "labels.csv", "labels.csv", Pictures(["1.jpg"]))
    assert found is not None and len(found.kinds["1.jpg"]) == MAX_COLUMNS


def test_countless_boxes_are_not_read(tmp_path, monkeypatch):
    """They take 23 times the bytes of their files in memory, of which a small zip holds any number."""
    monkeypatch.setattr(labels, "MAX_LABELS", 1000)
    for n in range(12):
        (tmp_path / f"{n}.txt").write_text("0 0.5 0.5 1 1\n" * 100, encoding="utf-8")
    files = [(tmp_path / f"{n}.txt", f"{n}.jpg") for n in range(12)]
    assert sum(map(len, read_yolo(files[:10], ["Apple"], "0.txt").boxes.values())) == 1000
    with pytest.raises(DataError) as caught:
        read_yolo(files, ["Apple"], "0.txt")
    assert caught.value.code == "labels-too-many"
    half = "file,label\n" + "".join(f"1.jpg,{{}}{n}\n" for n in range(600))
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text(half.replace("{}", name), encoding="utf-8")
    with pytest.raises(DataError) as caught:  # in several files
        find_labels(tmp_path, ["1.jpg", "a.csv", "b.csv"], lambda one: one.endswith(".jpg"), lambda one: None)
    assert caught.value.code == "labels-too-many"


def test_json_of_countless_values_is_not_read(tmp_path, monkeypatch):
    """It takes up to 27 times its bytes as objects, and few bytes in a zip."""
    monkeypatch.setattr(boxes, "MAX_JSON_MEMORY", 2**20)
    for text in ('[{"":0}' + ',{"":0}' * 10_000 + "]", "[0" + ",0" * 30_000 + "]"):
        (tmp_path / "labels.json").write_text(text, encoding="utf-8")
        with pytest.raises(DataError) as caught:
            boxes.read_json(tmp_path / "labels.json")
        assert caught.value.code == "labels-too-large"


@pytest.mark.parametrize("end", ["\n", "\r", "\x0b", "\r\n"])
def test_a_table_of_countless_rows_is_not_read(tmp_path, monkeypatch, end):
    """Rows of a few letters take up to 50 times their bytes, and few bytes in a zip."""
    monkeypatch.setattr(tables, "MAX_MEMORY", 2**20)
    path = tmp_path / "labels.csv"
    path.write_text(end.join(["file,label", "a.jpg,Apple", *["b,c"] * 2000]), encoding="utf-8", newline="")
    assert read_table(path, "labels.csv", Pictures(["a.jpg"])) is not None
    path.write_text(end.join(["file,label", "a.jpg,Apple", *["b,c"] * 20_000]), encoding="utf-8", newline="")
    with pytest.raises(DataError) as caught:
        read_table(path, "labels.csv", Pictures(["a.jpg"]))
    assert caught.value.code == "labels-too-large"


def test_a_table_is_read_a_line_at_a_time():
    text = "ab,cd\r" * 200_000
    tracemalloc.start()
    assert sum(1 for _ in tables._lines(text)) == 200_000
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()
    odd = "a\r\nb\n\rc\x0bd\x0c\x1c\x1d\x1ee\x85\u2028f\u2029\n"
    assert [list(tables._lines(one)) for one in (odd, odd + "g", "")] == [odd.splitlines(), (odd + "g").splitlines(), []]


def test_a_list_of_countless_classes_is_not_read(tmp_path):
    (tmp_path / "classes.txt").write_text("ab\n" * (MAX_NAMES_LETTERS // 3), encoding="utf-8")
    assert len(yolo_names(tmp_path / "classes.txt")) == MAX_NAMES_LETTERS // 3
    (tmp_path / "classes.txt").write_text("ab\n" * (MAX_NAMES_LETTERS // 3 + 1), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        yolo_names(tmp_path / "classes.txt")
    assert caught.value.code == "labels-too-large"


def test_a_table_may_hold_masks(tmp_path):
    (tmp_path / "labels.csv").write_text("file,label,mask\n1.jpg,Apple," + "1 " * 100_000 + "\n2.jpg,Pear,1\n", encoding="utf-8")
    found = read_table(tmp_path / "labels.csv", "labels.csv", Pictures(["1.jpg", "2.jpg"]))
    assert found is not None and found.kinds == {"1.jpg": {"Apple"}, "2.jpg": {"Pear"}}


def test_a_name_of_countless_marks_takes_no_time():
    """They are sorted one by one, while no other thread runs."""
    name, pictures, start = "a" + "\u0301" * 60_000 + "\u0316" * 60_000, Pictures(["a-0.jpg"]), time.process_time()
    read_manifest({"type": "image", "classes": [name]}, "manifest.json", pictures)
    for _ in range(200):
        pictures.find("a" + "\u0301" * 1900 + "\u0316" * 1900)
    assert time.process_time() - start < 2


def test_ids_of_one_hash_are_not_compared_with_each_other():
    """A million of them took (hours); Python's whole numbers have 2^61 hashes."""
    ids, start = [n * (2**61 - 1) for n in range(1, 30_001)], time.process_time()
    images = [{"id": one, "file_name": "a.jpg"} for one in ids]
    content = {"images": images, "categories": [{"id": ids[7], "name": "Apple"}]}
    content["annotations"] = [{"image_id": ids[9], "category_id": ids[7]}]
    assert read_coco(content, "a.json", "", None, Pictures(["a.jpg"])).kinds == {"a.jpg": {"Apple"}}
    assert time.process_time() - start < 2


def test_the_pictures_of_one_name_are_not_copied_for_each_row():
    pictures = Pictures([*(f"d/{n}/x.jpg" for n in range(100_000)), "e/x.jpg"])
    assert pictures.find("x.jpg", "e") == "e/x.jpg" and pictures.find("x.jpg", "d") is None
    start = time.process_time()
    for _ in range(5000):
        pictures.find("x.jpg", "d")
    assert time.process_time() - start < 1
