"""Labels beside pictures, in every form that they are published in, are read or named for what they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from fruitvision.data.read.dataset import refuse_classes
from fruitvision.data.read.layouts.found import Listing
from fruitvision.data.read.listing import list_pictures
from fruitvision.errors import DataError


def make(root: Path, *pictures: str, **texts: str) -> Path:
    """Files called like pictures; texts by their path with ``__`` for a slash and ``_dot_`` for a point."""
    for name in pictures:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"not looked at")
    for name, text in texts.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def kinds(root: Path) -> dict[str, tuple[str, str]]:
    """{path: (split, class)}"""
    return {file.path: (file.split, file.folder) for file in list_pictures(root).files}


def codes(listing: Listing) -> list[str]:
    return [note.code for note in listing.notes]


def refused(root: Path, **options) -> DataError:
    with pytest.raises(DataError) as caught:
        list_pictures(root, **options)
    return caught.value


@pytest.mark.parametrize(
    "table",
    [
        "filename,label\na.jpg,Apple\nb.jpg,Pear\n",
        "id;breed\na;Apple\nb;Pear\n",  # Kaggle, without the suffix
        "\ufefflabel,image_path,number\nApple,images/a.jpg,3\nPear,images\\b.jpg,4\n",
        "a.jpg\tApple\nb.jpg\tPear\n",  # without a head
        "filename, Apple, Pear\na.jpg, 1, 0\nb.jpg, 0, 1\n",
        "image,id,choice,annotator\n/data/upload/1/1a2b3c4d-a.jpg,7,Apple,1\n/data/local-files/?d=x/b.jpg,8,Pear,1\n",
    ],
    ids=["head", "stem", "bom", "headless", "one-hot", "label-studio"],
)
def test_a_table_names_the_class_of_each_picture(tmp_path, table):
    make(tmp_path, "images/a.jpg", "images/b.jpg", labels_dot_csv=table)
    listing = list_pictures(tmp_path)
    assert listing.layout == "labelled-pictures" and codes(listing) == ["labels-read"]
    assert kinds(tmp_path) == {"images/a.jpg": ("train", "Apple"), "images/b.jpg": ("train", "Pear")}


def test_a_table_in_each_split_is_of_its_own_pictures(tmp_path):
    heads = {"train": "1, 0", "valid": "0, 1", "test": "0, 0"}
    for split, ones in heads.items():
        make(tmp_path, f"{split}/a.jpg", f"{split}/b.jpg")
        (tmp_path / split / "_classes.csv").write_text(f"filename, Apple, Pear\na.jpg, {ones}\nb.jpg, 0, 1\n", encoding="utf-8")
    assert kinds(tmp_path) == {
        "train/a.jpg": ("train", "Apple"),
        "train/b.jpg": ("train", "Pear"),
        "valid/a.jpg": ("val", "Pear"),
        "valid/b.jpg": ("val", "Pear"),
        "test/b.jpg": ("test", "Pear"),
    }
    assert codes(list_pictures(tmp_path)) == ["labels-read", "unlabelled"]


def test_a_column_may_name_the_split_and_pictures_of_several_kinds_are_counted(tmp_path):
    table = "file,class,split\na.jpg,Apple,train\nb.jpg,Pear,test\nc.jpg,Apple|Pear,train\n"
    make(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg", list_dot_csv=table)
    assert kinds(tmp_path) == {"a.jpg": ("train", "Apple"), "b.jpg": ("test", "Pear")}
    assert codes(list_pictures(tmp_path)) == ["labels-read", "several-kinds", "unlabelled"]


def test_a_sample_of_a_submission_labels_nothing(tmp_path):
    table = "id,label\na,Apple\nb,Pear\nc,Unlabeled\n"
    make(
        tmp_path,
        "train/a.jpg",
        "train/b.jpg",
        "train/c.jpg",
        "test/d.jpg",
        train_dot_csv=table,
        sample_submission_dot_csv="id,label\nd,Apple\n",
    )
    assert kinds(tmp_path) == {"train/a.jpg": ("train", "Apple"), "train/b.jpg": ("train", "Pear")}


def test_a_table_of_something_else_beside_class_folders_changes_nothing(tmp_path):
    make(tmp_path, "Apple/a.jpg", "Pear/b.jpg", labels_dot_csv="filename,label\na.jpg,X\nb.jpg,Y\n")
    assert {own for _, own in kinds(tmp_path).values()} == {"Apple", "Pear"} and not list_pictures(tmp_path).notes


def test_labels_of_one_class_are_refused_by_the_name_of_their_file(tmp_path):
    make(tmp_path, "a.jpg", "b.jpg", labels_dot_csv="filename,label\na.jpg,Apple\nb.jpg,Apple\n")
    with pytest.raises(DataError) as caught:
        refuse_classes(list_pictures(tmp_path))
    assert caught.value.code == "one-label" and "labels.csv" in str(caught.value)


def test_label_studios_json_and_a_teachable_machine_project(tmp_path):
    tasks = [
        {"data": {"image": f"/data/upload/2/0f1e2d3c-{name}.jpg"}, "annotations": [{"result": [{"value": {"choices": [own]}}]}]}
        for name, own in (("a", "Apple"), ("b", "Pear"))
    ]
    make(tmp_path / "full", "images/a.jpg", "images/b.jpg", export_dot_json=json.dumps(tasks))
    short = [{"image": "x/a.jpg", "choice": "Apple"}, {"image": "x/b.jpg", "choice": "Pear"}]
    make(tmp_path / "min", "a.jpg", "b.jpg", export_dot_json=json.dumps(short))
    for name in ("full", "min"):
        assert {own for _, own in kinds(tmp_path / name).values()} == {"Apple", "Pear"}
    manifest = json.dumps({"type": "image", "classes": ["Apple", "Apple 2"]})
    make(tmp_path / "tm", "Apple-0.jpg", "Apple-12.jpg", "Apple 2-0.jpg", manifest_dot_json=manifest)
    assert [own for _, own in kinds(tmp_path / "tm").values()] == ["Apple 2", "Apple", "Apple"]
    make(tmp_path / "sound", "a.jpg", manifest_dot_json=json.dumps({"type": "audio", "classes": ["a"]}))
    assert refused(tmp_path / "sound").code == "tm-other-project"


VOC = (
    "<annotation><size><width>40</width><height>20</height></size><object><name>{}</name><bndbox>"
    "<xmin>0</xmin><ymin>0</ymin><xmax>20</xmax><ymax>20</ymax></bndbox></object></annotation>"
)


def drawn(path: Path) -> None:
    """40×20: red on the left, green on the right."""
    image = Image.new("RGB", (40, 20), "red")
    image.paste("green", (20, 0, 40, 20))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def detection(root: Path, form: str) -> Path:
    """Two pictures in a training and a validation split: a red Apple on the left of one, a green Pear on the right of the other."""
    pictures = {"COCO": "{}/{}.png", "YOLO": "{}/images/{}.png", "YOLO apart": "images/{}/{}.png", "CSV boxes": "{}/{}.png"}
    for split in ("train", "valid"):
        for name in "ab":
            drawn(root / pictures.get(form, "{}_zip/{}.png").format(split, name))
        if form == "COCO":
            boxes = [{"image_id": 0, "category_id": 1, "bbox": [0, 0, 20, 20]}, {"image_id": 1, "category_id": 2, "bbox": [20, 0, 20, 20]}]
            images = [{"id": n, "file_name": f"{name}.png", "width": 40, "height": 20} for n, name in enumerate("ab")]
            kinds = [{"id": 1, "name": "Apple"}, {"id": 2, "name": "Pear"}]
            text = json.dumps({"images": images, "annotations": boxes, "categories": kinds})
            (root / split / "_annotations.coco.json").write_text(text, encoding="utf-8")
        elif form.startswith("YOLO"):
            labels = root / (f"{split}/labels" if form == "YOLO" else f"labels/{split}")
            labels.mkdir(parents=True)
            (labels / "a.txt").write_text("0 0.25 0.5 0.5 1\n", encoding="utf-8")
            (labels / "b.txt").write_text("1 0.5 0 1 0 1 1 0.5 1\n", encoding="utf-8")  # a polygon
            (root / "data.yaml").write_text("nc: 2\nnames: [Apple, Pear]\n", encoding="utf-8")
        elif form == "CSV boxes":
            rows = "filename,width,height,class,xmin,ymin,xmax,ymax\na.png,40,20,Apple,0,0,20,20\nb.png,40,20,Pear,20,0,40,20\n"
            (root / split / "_annotations.csv").write_text(rows, encoding="utf-8")
        else:
            (root / f"{split}_zip" / "a.xml").write_text(VOC.format("Apple"), encoding="utf-8")
            right = VOC.format("Pear").replace("<xmin>0", "<xmin>20").replace("<xmax>20", "<xmax>40")
            (root / f"{split}_zip" / "b.xml").write_text(right, encoding="utf-8")
    return root


@pytest.mark.parametrize("form", ["COCO", "Pascal VOC", "YOLO", "YOLO apart", "CSV boxes"])
def test_boxes_are_named_for_what_they_are_and_cut_out_when_asked(tmp_path, form):
    detection(tmp_path, form)
    error = refused(tmp_path)
    assert error.code == "boxes-not-classes" and error.facts["form"] == form.split(" apart")[0] and error.facts["boxes"] == 4
    assert "--boxes" in str(error) and "Apple, Pear" in str(error)
    listing = list_pictures(tmp_path, boxes=0.0)
    assert listing.layout == "cut-boxes" and codes(listing) == ["boxes-cut"]
    assert sorted((file.split, file.folder) for file in listing.files) == [(s, k) for s in ("train", "val") for k in ("Apple", "Pear")]
    for file in listing.files:
        with Image.open(listing.root / file.path) as cut:
            assert cut.size == (20, 20) and cut.getpixel((10, 10)) == ((255, 0, 0) if file.folder == "Apple" else (0, 128, 0))


def test_the_folders_of_pascal_voc_are_no_classes_and_its_masks_no_pictures(tmp_path):
    home = tmp_path / "VOCdevkit" / "VOC2012"
    for name, kind in (("a", "Apple"), ("b", "Pear")):
        for folder in ("JPEGImages", "SegmentationClass", "SegmentationObject"):
            drawn(home / folder / f"{name}.png")
        make(home, **{f"Annotations__{name}_dot_xml": VOC.format(kind), "ImageSets__Main__train_dot_txt": "a\nb\n"})
    assert refused(tmp_path).code == "boxes-not-classes"
    listing = list_pictures(tmp_path, boxes=0.0)
    assert sorted(file.folder for file in listing.files) == ["Apple", "Pear"] and codes(listing) == ["boxes-cut"]


@pytest.mark.parametrize("size", ["", "<size><width>0</width><height>0</height></size>"])
def test_pascal_voc_without_the_size_of_a_picture_is_read_as_with_it(tmp_path, size):
    detection(tmp_path, "Pascal VOC")
    with_size = list_pictures(tmp_path, boxes=0.0)
    for path in tmp_path.rglob("*.xml"):
        path.write_text(
            path.read_text(encoding="utf-8").replace("<size><width>40</width><height>20</height></size>", size), encoding="utf-8"
        )
    without = list_pictures(tmp_path, boxes=0.0)
    assert [(file.path, file.folder) for file in without.files] == [(file.path, file.folder) for file in with_size.files]


def test_boxes_are_cut_once_with_the_margin_and_again_when_a_label_changes(tmp_path):
    detection(tmp_path, "Pascal VOC")
    first = list_pictures(tmp_path, boxes=0.1)
    with Image.open(first.root / first.files[0].path) as cut:
        assert cut.size == (22, 20), "the picture ends above and below"
    calls: list[int] = []
    assert list_pictures(tmp_path, boxes=0.1, progress=lambda done, of: calls.append(done)) == first and not calls
    (tmp_path / "train_zip" / "a.xml").write_text(VOC.format("Quince"), encoding="utf-8")
    again = list_pictures(tmp_path, boxes=0.1)
    assert {file.folder for file in again.files} == {"Apple", "Pear", "Quince"} and not first.root.exists()


@pytest.mark.parametrize(
    "box", ["<xmin>0</xmin><ymin>0</ymin><xmax>20</xmax><ymax>20</ymax>", "<xmin>0</xmin><ymin>0</ymin><xmax>1</xmax><ymax>1</ymax>"]
)
def test_boxes_without_end_in_one_picture_are_not_cut_out(tmp_path, box):
    """A picture with a million boxes of its own size was a million pictures on the disk."""
    detection(tmp_path, "Pascal VOC")
    many = f"<object><name>Apple</name><bndbox>{box}</bndbox></object>" * 5001
    text = f"<annotation><size><width>20</width><height>20</height></size>{many}</annotation>"
    (tmp_path / "train_zip" / "a.xml").write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        list_pictures(tmp_path, boxes=0.1)
    assert caught.value.code == "too-many-boxes"


def test_empty_and_damaged_labels_have_their_sentences(tmp_path):
    make(tmp_path / "coco", "train2017/a.jpg", annotations__instances_train2017_dot_json="{}")
    error = refused(tmp_path / "coco")
    assert error.code == "boxes-empty" and error.facts["form"] == "COCO"
    make(tmp_path / "voc", "train/a.jpg", train__a_dot_xml="<annotation/>")
    assert refused(tmp_path / "voc", boxes=0.1).code == "boxes-empty"
    make(tmp_path / "cut", "train/a.jpg", annotations__a_dot_json="{")
    assert refused(tmp_path / "cut").code == "labels-damaged"
    make(tmp_path / "none", "Apple/a.jpg", "Pear/b.jpg")
    assert refused(tmp_path / "none", boxes=0.1).code == "no-boxes"


def test_a_label_file_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("fruitvision.data.read.layouts.labels.MAX_LABEL_BYTES", 10)
    make(tmp_path, "a.jpg", labels_dot_csv="filename,label\na.jpg,Apple\n")
    assert refused(tmp_path).code == "labels-too-large"
