"""A study's results as they are shown: means and bands over seeds, findings that the seeds support, the shipped study."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fruitvision.comparison.results import CURVES, FIGURES, MEASURED, Results, save_results
from fruitvision.comparison.runner import run_study
from fruitvision.comparison.study import BUDGETS, StudyFolder, StudyPlan
from fruitvision.errors import RunError
from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.status import RunStatus
from fruitvision.ui.compare import study_panel, study_view
from fruitvision.ui.compare.same_picture import pair_choices, same_picture_view
from fruitvision.ui.compare.study_results import measured_before, study_charts, study_findings, study_table
from fruitvision.ui.compare.study_view import SHIPPED, StudyTimes
from fruitvision.ui.page.context import Context
from fruitvision.ui.page.datasets import SAMPLE
from fruitvision.ui.page.models import Models
from fruitvision.ui.server.access import Access
from fruitvision.wording.text import LANGUAGES, say, sentences


def made_up(seeds: int = 3, sizes: tuple[int, ...] = (2, 32), **about) -> Results:
    """Batch norm falls by 20 points, most of it by its running averages; group norm stays; instance norm diverges once."""
    rng, rows, epochs = np.random.default_rng(0), [], []
    for size in sizes:
        for norm in ("batch", "group", "instance"):
            for seed in range(seeds):
                final = {"batch": 0.9 if size == 32 else 0.7, "group": 0.85, "instance": 0.8}[norm] + rng.normal(0, 0.005)
                gone = norm == "instance" and seed == 0
                row = {"norm": norm, "batch_size": size, "seed": seed, "state": "failed" if gone else "finished", "diverged": gone}
                figures = {"final_accuracy": final, "best_accuracy": final, "parameters": 700_000}
                other = 0.88 + rng.normal(0, 0.005) if norm == "batch" else float("nan")
                figures |= {"batch_accuracy": other, "recomputed_accuracy": other}
                rows.append(row | dict.fromkeys(FIGURES, 1.5) | figures)
                cell = {"norm": norm, "batch_size": size, "seed": seed}
                epochs += [cell | {"epoch": epoch} | dict.fromkeys(CURVES, final * epoch / 3) for epoch in (1, 2, 3)]
    return Results(pd.DataFrame(rows), pd.DataFrame(epochs), {"measured_on": "test", "settings": {"epochs": 3}, **about})


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


@pytest.fixture
def context(tmp_path: Path) -> Context:
    runs = tmp_path / "runs"
    return Context(runs=runs, taught=tmp_path / "taught", access=Access(), models=Models(runs), data=tmp_path / "data")


def test_a_figure_that_was_not_measured_has_no_column_and_one_that_is_missing_once_has():
    found = made_up()
    assert "Memory is" in study_table(found, "en")
    found.table[["seconds_per_epoch", "peak_memory_mb"]] = float("nan")
    found.table.loc[found.table["norm"] == "group", "images_per_s"] = float("nan")
    shown = study_table(found, "en")
    assert "Seconds per epoch" not in shown and "emory" not in shown and "Pictures per second" in shown and "<td>–</td>" in shown
    assert shown.count("<th>") == 8 and shown.count("<td>") == 8 * 6


def test_what_small_batches_cost_is_said_norm_by_norm():
    words = text_of(study_findings(made_up(), "en"))
    assert re.search(r"Batch norm loses 1\d\.\d to 2\d\.\d points from batches of 32 to 2", words)
    assert "Group norm : no difference shown between batches of 32 and 2" in words
    assert "Instance norm: runs diverged" in words
    assert "Group norm is ahead of Batch norm" in words  # at batches of 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_was_found_stands_first_with_its_interval(language):
    first, second, third = re.findall(r"<p>(.*?)</p>", str(study_findings(made_up(), language)))[:3]
    lost, ahead, gained = (re.findall(r"\d+\.\d", sentence) for sentence in (first, second, third))
    assert 15 < float(lost[0]) < 20 < float(lost[1]) < 25
    assert 2 < float(ahead[0]) < 5 < float(ahead[1]) < 8 and 12 < float(ahead[2]) < 15 < float(ahead[3]) < 18
    assert 15 < float(gained[0]) < 18 < float(gained[1]) < 21
    assert 'class="fv-reply"' not in study_findings(made_up(seeds=1), language)


def test_one_seed_ranks_nothing():
    words = text_of(study_findings(made_up(seeds=1), "en"))
    assert "nothing is ranked" in words and "ahead" not in words and "loses" not in words


@pytest.mark.parametrize("language", LANGUAGES)
def test_charts_have_a_curve_a_norm_with_a_band_for_its_seeds(language):
    drawing = study_charts(made_up(), language)
    assert drawing.count("<figure") == 1 + 1 + 2 + 4  # by batch size; batch norm's statistics; accuracy of each; two losses of each
    assert drawing.count('class="fv-curve"') == 7 * 3 + 3 and drawing.count("fv-curve-band") == 7 * 3
    alone = study_charts(made_up(seeds=1, sizes=(32,)), language)
    assert alone.count("<figure") == 3 and "fv-curve-band" not in alone
    assert study_charts(None, language).count("<figure") == 1


def test_accuracies_at_each_batch_size_that_stand_together_have_one_scale():
    found = study_panel.shipped_results()
    assert found is not None
    first, second = re.findall(r"<figure.*?</figure>", study_charts(found, "en"), re.DOTALL)[:2]
    scales = [re.findall(r">(\d+%)</text>", drawing) for drawing in (first, second)]
    assert scales[0] == scales[1] and scales[0][0] == "0%"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_table_has_every_figure_and_says_what_was_measured(language):
    table = study_table(made_up(), language)
    assert table.count("<tr>") == 1 + 6 and table.count("<th>") == 10 and "nan" not in text_of(table)
    assert "±" in table and "700,000" in table and sentences()["compare.measured_on_test"][language] in table


def test_the_cores_of_the_machine_are_in_the_pages_language():
    found = study_panel.shipped_results()
    assert re.search(r"\d cores", measured_before(found, "en")) and "核" not in measured_before(found, "en")
    assert re.search(r"\d 核", measured_before(found, "zh")) and "cores" not in measured_before(found, "zh")


def test_the_programs_own_study_says_that_it_was_measured_before():
    about = {"shipped": True, "command": "python -m fruitvision compare <x>", "machine": "a laptop", "date": "2026-11-25", "data": "set"}
    words = study_findings(made_up(**about), "en")
    assert "Measured before" in words and "a laptop" in words and "compare &lt;x&gt;" in words
    assert "Measured before" not in study_findings(made_up(), "en")


def test_where_the_program_brings_a_study_the_panel_opens_with_it(monkeypatch, context):
    monkeypatch.setattr(study_panel, "shipped_results", lambda: made_up(shipped=True))
    monkeypatch.setattr(study_view, "shipped_results", lambda: made_up(shipped=True))
    assert [choice for _, choice in study_view.study_choices([], "en")] == [SHIPPED]
    shown = study_panel.study_updates(context, SHIPPED, None, "en", owner=True)
    assert "fv-curve" in shown["charts"] and "Measured before" in shown["findings"] and shown["csv"]["visible"]
    assert pd.read_csv(study_panel.csv_file(study_panel.load_results(context, SHIPPED), SHIPPED), encoding="utf-8-sig").shape[0] == 18
    with pytest.raises(RunError):
        study_panel.load_results(context, "gone")


def test_a_shipped_study_is_read_from_its_three_files(tmp_path, sample_set, monkeypatch):
    from fruitvision.comparison import results as module

    plan = StudyPlan.parse(
        {
            "data": str(sample_set),
            "norms": ("batch", "group"),
            "training": {"width": 8, "image_size": 40, "epochs": 1},
            "batch_sizes": (8,),
        }
    )
    run_study(plan, tmp_path / "study")
    save_results(tmp_path / "study")
    monkeypatch.setattr(module, "MEASURED", tmp_path / "nowhere")
    assert module.read_shipped() is None
    monkeypatch.setattr(module, "MEASURED", tmp_path / "study")
    assert len(module.read_shipped().table) == 2 and "compare" in module.read_shipped().about["command"]


def test_the_time_is_measured_in_the_background_for_the_owner_alone(monkeypatch, context, sample_set):
    monkeypatch.setattr("fruitvision.ui.compare.study_view.study_seconds", lambda plan, **how: 3000.0)
    monkeypatch.setattr("fruitvision.ui.page.datasets.sample_set", lambda: sample_set)
    times = StudyTimes()
    ask = (context, times, SAMPLE, ["batch", "group"], "batches", "en")
    assert study_panel.time_estimate(*ask, owner=False) == ""
    assert "18 runs; measuring" in study_panel.time_estimate(*ask, owner=True)
    times.task.join(10)
    assert study_panel.time_estimate(*ask, owner=True) == "18 runs, about 50 min here."
    assert study_panel.time_estimate(*ask, owner=False) == ""
    assert study_panel.time_estimate(*ask[:3], ["batch"], "quick", "en", owner=True) == ""  # no study at all


@pytest.mark.parametrize("language", LANGUAGES)
def test_same_picture_says_what_is_missing_and_then_shows_a_card_a_norm(context, sample_set, language, monkeypatch):
    monkeypatch.setattr("fruitvision.comparison.results.MEASURED", context.runs / "nothing")
    assert sentences()["same_picture.none"][language] in same_picture_view(context, None, None, None, language, owner=True)
    plan = StudyPlan.parse(
        {
            "data": str(sample_set),
            "norms": ("batch", "group"),
            "training": {"width": 8, "image_size": 40, "epochs": 1},
            "batch_sizes": (8,),
        }
    )
    run_study(plan, context.runs / "study")
    assert StudyFolder(context.runs / "study").exists
    drawn = same_picture_view(context, None, "study", None, language, owner=True)
    assert say("same_picture.drawn", language, picture=say("classify.picture", language)) in drawn and drawn.count("<section") == 2
    cards = same_picture_view(context, next(sample_set.rglob("*.jpg")), "study", "8/0", language, owner=True)
    assert cards.count("<section") == 2 and cards.count("data:image/jpeg") == 2
    assert 'role="alert"' in same_picture_view(context, b"\xff\xd8\xff broken", "study", "no/such", language, owner=True)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_networks_that_come_with_the_program_answer_at_once(context, language):
    shown = same_picture_view(context, None, SHIPPED, "32/0", language, owner=False)
    assert shown.count("<section") == 4 and shown.count("data:image/jpeg") == 4
    weak = shown.split("<section")[3]  # instance norm
    assert say("same_picture.accuracy_test", language, accuracy="14.0%") in weak, "beside its answer"
    assert say("classify.unsure", language) in weak and "fv-bar" not in weak
    sizes = [choice[1] for choice in pair_choices(context, SHIPPED, None, language, owner=False)["choices"]]
    assert sizes == ["2/0", "32/0"]
    assert sum(path.stat().st_size for path in (MEASURED / "runs").rglob("*") if path.is_file()) < 3_000_000


def test_every_budget_has_its_words():
    assert {f"compare.budget_{name}" for name in BUDGETS} <= set(sentences())


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_odd_study_of_somebody_else_ends_no_updates(context, language):
    """One record raised in what each page asks for every second."""
    for name, norms in (("odd", ["batch", "group"]), ("none", ["batch", "no such norm"])):
        folder = context.runs / name
        folder.mkdir(parents=True)
        (folder / "study.json").write_text(json.dumps({"data": "x", "norms": norms}), encoding="utf-8")
        (folder / "status.json").write_text(json.dumps({"state": "finished"}), encoding="utf-8")
        (folder / "about.json").write_text(json.dumps({"measured_on": "nowhere", "settings": [1], "shipped": True}), encoding="utf-8")
    study = StudyFolder(context.runs / "odd")
    for trial in study.plan().trials():
        run = RunFolder(study.run(trial).path).create(RunConfig(data="x"))
        run.write_status(RunStatus(state="finished"))
        run.metrics_file.write_text(
            '{"kind": "test"}\n{"kind": "memory", "peak_mb": [1]}\n{"kind": "epoch", "epoch": 1}\n', encoding="utf-8"
        )
    assert [study.id for study in study_view.visible_studies(context.runs, owner=False)] == ["odd"]
    for owner in (True, False):
        shown = study_panel.study_updates(context, "odd", None, language, owner=owner)
        assert "fv-chart" in shown["charts"] and sentences()["compare.measured_on_validation"][language] in shown["figures"]
        assert "fv-figures" not in study_panel.study_updates(context, "none", None, language, owner=owner)["figures"]
    assert study_panel.csv_file(study_panel.load_results(context, "odd"), "odd").is_file()


def test_a_study_that_is_removed_while_it_is_drawn_is_no_longer_shown(context, monkeypatch):
    StudyFolder(context.runs / "study").create(StudyPlan.parse({"data": "x", "norms": ("batch", "group")}))

    def removed(study: StudyFolder) -> Results:
        (study.path / "study.json").unlink()
        raise RunError("study-missing", path=str(study.path))

    monkeypatch.setattr(study_panel, "results", removed)
    shown = study_panel.study_updates(context, "study", None, "en", owner=True)
    assert shown["status"] == study_view.study_status(None, "en") and not shown["figures"]
