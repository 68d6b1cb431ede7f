"""The report stands alone, says the figures that were measured, and what people wrote cannot break out of it."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.data.synthetic.sample import draw_fruit, draw_sample
from fruitvision.models.checkpoint import CheckpointConfig, Thresholds
from fruitvision.models.networks import build_network
from fruitvision.models.onnx.export import export_onnx
from fruitvision.recognition.classifier import Classifier
from fruitvision.recognition.evaluate.evaluation import Evaluation, evaluate_in_detail
from fruitvision.report.page import FILE, report_page, write_report
from fruitvision.report.results import read_results, write_results
from fruitvision.wording.text import sentences

VOID = {"meta", "img", "br"}
HOSTILE = "Apple <img src=x onerror=alert(1)> & \"quoted\" 'too'"


class Page(HTMLParser):
    """Its elements, and whether every one that is opened is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))


def classifier(*classes: str) -> Classifier:
    """A network that has learned nothing, of these classes, and answers all the same."""
    config = CheckpointConfig(
        classes=classes,
        fruit_types=tuple(name.split()[0] for name in classes),
        transform=EvalTransform(resize=40, crop=32),
        width=8,
        thresholds=Thresholds(unsure=0.1),
    )
    return Classifier(build_network(num_classes=len(classes), width=8, seed=2), config)


@pytest.fixture(scope="module")
def examined(sample_set) -> Evaluation:
    return evaluate_in_detail(classifier("Apple", "Banana", "Kiwi", "Orange"), sample_set, split="test")


def test_one_file_holds_everything_and_asks_nobody(examined, tmp_path):
    path = write_report(tmp_path, examined)
    assert [p.name for p in tmp_path.iterdir()] == [FILE]
    page = Page(path.read_text(encoding="utf-8"))
    assert not page.open
    sources = [a["src"] for tag, a in page.elements if tag in ("img", "script", "iframe") and "src" in a]
    assert len(sources) > 10 and all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert base64.b64decode(sources[0].partition(",")[2])[:3] == b"\xff\xd8\xff"
    links = {a["href"] for tag, a in page.elements if "href" in a}
    assert links and all(link.startswith("#") for link in links)
    assert "url(" not in path.read_text(encoding="utf-8") and "@import" not in path.read_text(encoding="utf-8")
    assert all(a.get("alt") for tag, a in page.elements if tag == "img")


def test_its_figures_are_those_of_evaluate(examined):
    page = report_page(examined)
    summary = examined.summary
    right = round(summary["top1"] * summary["images"])
    assert f"named {right} of 16 pictures right" in page
    assert f"{summary['ece']:.3f}" in page
    for name in summary["per_class"]:
        assert f'data-value="{name}' in page
    assert {link[1:] for link in re.findall(r'href="(#kind-\d+)"', page)} == set(re.findall(r'id="(kind-\d+)"', page))


def test_mistakes_within_a_kind_are_counted_beside_the_matrix_of_kinds_that_does_not_show_them(tmp_path):
    data = draw_sample(tmp_path / "sample", train_per_class=4, test_per_class=4, size=32, classes=("Apple", "Kiwi"))
    for split in ("Training", "Test"):
        (data / split / "Kiwi").rename(data / split / "Apple Green")
        (data / split / "Apple").rename(data / split / "Apple Red")
    found = evaluate_in_detail(classifier("Apple Green", "Apple Red"), data, split="test")
    wrong = int(found.wrong.sum())
    assert 0 < wrong < 8 and f"Of the {wrong} mistakes {wrong} stay within a kind" in report_page(found)
    assert "No kind of fruit was taken for another one." in report_page(found)


def test_both_languages_are_in_it_and_the_wanted_one_is_shown_first(examined):
    for language, words in (("en", "How well the network knows its fruit"), ("zh", "网络识别水果的水平")):
        page = report_page(examined, language)
        assert f'<html lang="{language}">' in page and words in page
    spans = {lang: page.count(f'<span lang="{lang}">') for lang in ("en", "zh")}
    assert spans["en"] == spans["zh"] > 50
    assert "苹果" in page and "香蕉" in page


def test_an_onnx_file_has_a_report_without_heatmaps(examined, sample_set, tmp_path):
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name)
    network = examined.classifier
    export_onnx(network.network, network.config, [draw_fruit("Apple", np.random.default_rng(0))], tmp_path / "model.onnx")
    found = evaluate_in_detail(Classifier.from_checkpoint(tmp_path / "model.onnx"), sample_set, split="test")
    assert "heatmap: " in report_page(examined) and "heatmap: " not in report_page(found)
    write_results(tmp_path, found)
    assert read_results(tmp_path).hardest and not read_results(tmp_path).hardest[0].heatmap


def test_every_sentence_of_the_report_is_used():
    folder = Path(sys.modules["fruitvision.report.page"].__file__).parent
    names = ("page.py", "results.py", "figures.py", "table.py", "charts.py", "report.html")
    code = "".join((folder / name).read_text(encoding="utf-8") for name in names)
    for key in (key.removeprefix("report.") for key in sentences() if key.startswith("report.")):
        stem = re.sub(r"(figure|duplicates|origin|column|confidence|axis)_.*", r"\1_", key).removesuffix("_meaning")
        assert f"report.{stem}" in code or f'"{stem}"' in code, key


@pytest.mark.skipif(os.name == "nt", reason="Windows allows no such folder names")
def test_names_that_people_wrote_cannot_become_markup(tmp_path):
    data = draw_sample(tmp_path / "sample", train_per_class=4, test_per_class=3, size=32, classes=("Apple", "Kiwi"))
    for split in ("Training", "Test"):
        (data / split / "Apple").rename(data / split / HOSTILE)
        for number, file in enumerate(sorted((data / split / HOSTILE).iterdir())):
            file.rename(file.with_name(f"<script>alert({number})<.jpg"))
    (data / "Test" / "<b>stranger").mkdir()
    page = Page(report_page(evaluate_in_detail(classifier(HOSTILE, "Kiwi"), data)))
    assert not page.open
    assert sum(tag == "script" for tag, _ in page.elements) == 1
    assert all(attributes.get("src", "data:").startswith("data:") for _, attributes in page.elements)
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_a_perfect_network_and_a_folder_without_fruit_have_their_words_too(examined, sample_set, tmp_path):
    kiwi = draw_sample(tmp_path / "sample", train_per_class=3, test_per_class=3, size=32, classes=("Kiwi", "Banana"))
    (kiwi / "Training" / "Kiwi").rename(tmp_path / "nothing")
    known = classifier("Kiwi", "Banana")
    answer = known.predict(next((kiwi / "Test" / "Kiwi").iterdir())).label
    folder = tmp_path / "one" / answer
    folder.parent.mkdir()
    (kiwi / "Test" / "Kiwi").rename(folder)
    page = report_page(evaluate_in_detail(known, folder.parent, not_fruit=tmp_path / "nothing"))
    Page(page)
    assert "No kind of fruit was taken for another one." in page
    assert 'id="nothing"' in page and "pictures without fruit" in page


def test_it_is_made_without_gradio():
    code = "import sys, fruitvision.report.page; print([name for name in sys.modules if name.startswith('gradio')])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert result.stdout.strip() == "[]", result.stderr
