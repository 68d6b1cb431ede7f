"""What the page shows of a run's evaluation: kept as data, and nothing in it becomes markup."""

from __future__ import annotations

import json
import re

import pytest

from fruitvision.recognition.evaluate.evaluation import evaluate_in_detail
from fruitvision.report.results import FILE, read_results, results_html, write_results
from tests.report.test_report import HOSTILE, classifier


@pytest.fixture(scope="module")
def folder(tmp_path_factory, sample_set):
    path = tmp_path_factory.mktemp("results")
    write_results(path, evaluate_in_detail(classifier("Apple", "Banana", "Kiwi", "Orange"), sample_set, split="test"))
    return path


def test_the_matrix_the_pairs_and_the_hardest_pictures_are_kept_and_shown(folder):
    found = read_results(folder)
    assert found.images == 16 and sum(map(sum, found.counts)) == 16
    wrong = sum(count for i, row in enumerate(found.counts) for j, count in enumerate(row) if found.rows[i] != found.columns[j])
    assert wrong == found.wrong > 0 and found.pairs and found.hardest[0].heatmap
    html = results_html(found, "zh")
    assert 'data-language="zh"' in html and "混淆矩阵" in html and "Confusion matrix" in html
    assert "95% 置信区间" in html and "95% confidence interval" in html  # of 16 pictures
    many = results_html(found.model_copy(update={"images": 200}), "en")
    assert "95%" not in many
    assert "heatmap" in html and "越亮" in html and "ONNX" not in html
    assert 'title="苹果 → ' in html and "Apple 苹果" not in html  # tooltips in the page's language alone
    for attributes in re.findall("<img([^>]*)>", html):
        assert re.search(r' width="\d+" height="\d+"', attributes)
    assert html.count("<img") == html.count("data:image/jpeg;base64,") >= 2 * len(found.hardest)


def test_only_a_picture_that_was_recognized_is_shown_as_recognized_best(folder):
    found = read_results(folder)
    wrong = found.hardest[0].model_copy(update={"label": "Apple", "answer": "Kiwi"})
    right = wrong.model_copy(update={"answer": "Apple"})
    pair = found.pairs[0].model_copy(update={"typical": (wrong, right)})
    html = results_html(found.model_copy(update={"pairs": (pair,)}), "en")
    assert html.count('class="fv-results-typical"') == 1


def test_without_class_activation_maps_they_are_not_explained_and_no_jpeg_has_no_size(folder):
    found = read_results(folder)
    plain = [one.model_copy(update={"heatmap": "", "picture": "AAAA"}) for one in found.hardest]
    html = results_html(found.model_copy(update={"hardest": tuple(plain), "pairs": ()}), "en")
    assert "An ONNX file" not in html and "an ONNX file, gives no class activation maps" in html and "the brighter" not in html
    assert "<img" in html and "width=" not in html


def test_what_somebody_elses_run_holds_stays_text_and_what_is_no_result_is_not_shown(folder, tmp_path):
    values = json.loads((folder / FILE).read_text(encoding="utf-8"))
    values["rows"][0] = values["hardest"][0]["label"] = values["hardest"][0]["file"] = HOSTILE
    (tmp_path / FILE).write_text(json.dumps(values), encoding="utf-8")
    html = results_html(read_results(tmp_path), "en")
    assert "<img src=x" not in html and not re.search(r"<[^>]*\sonerror=", re.sub(r'"[^"]*"', '""', html))
    for wrong in ({"picture": 'x" onerror="alert(1)'}, {"right": 7}, {"label": "x" * 5000}):
        hurt = {**values, "hardest": [{**values["hardest"][0], **wrong}]}
        (tmp_path / FILE).write_text(json.dumps(hurt), encoding="utf-8")
        assert read_results(tmp_path) is None, wrong
    (tmp_path / FILE).write_text(json.dumps({**values, "counts": [[1]]}), encoding="utf-8")
    assert read_results(tmp_path) is None and read_results(tmp_path / "nothing") is None


def test_a_matrix_whose_names_would_fill_memory_is_not_read(folder, tmp_path):
    values = json.loads((folder / FILE).read_text(encoding="utf-8"))
    for letters, read in ((20, True), (4000, False)):
        names = [f"{number} ".ljust(letters, "x") for number in range(100)]
        many = {**values, "rows": names, "columns": names, "counts": [[1] * 100] * 100}
        (tmp_path / FILE).write_text(json.dumps(many), encoding="utf-8")
        assert (read_results(tmp_path) is not None) == read, letters
