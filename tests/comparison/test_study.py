"""A study trains all of its trials the same way, stops, goes on, and reports what diverged."""

from __future__ import annotations

import time

import pandas as pd
import pytest

from fruitvision.comparison.results import read_results, results, save_results, table
from fruitvision.comparison.runner import run_study
from fruitvision.comparison.study import BUDGETS, StudyFolder, StudyPlan, list_studies
from fruitvision.errors import ConfigError, RunError
from fruitvision.runs.job import finish
from fruitvision.runs.lock import hold_lock
from fruitvision.training.engine import StepDone

TINY = {"width": 8, "image_size": 40, "epochs": 2}


def plan(sample_set, **changes) -> StudyPlan:
    values = {"data": str(sample_set), "norms": ("batch", "group"), "batch_sizes": (8,), "training": TINY}
    return StudyPlan.parse({**values, **changes})


def test_a_study_ends_in_one_row_a_cell_that_differ_in_the_norm_alone(tmp_path, sample_set):
    study = plan(sample_set, seeds=(0, 1))
    assert run_study(study, tmp_path / "study").state == "finished"
    rows = table(tmp_path / "study")
    assert rows[["norm", "seed"]].values.tolist() == [["batch", 0], ["group", 0], ["batch", 1], ["group", 1]]
    assert (rows["state"] == "finished").all() and rows["final_accuracy"].between(0, 1).all()
    assert rows["parameters"].nunique() == 1 and (rows["seconds_per_epoch"] > 0).all()
    first, second = study.trials()[:2]
    assert set(first.training.differences(second.training)) == {"norm"}
    assert (rows["peak_memory_mb"] > 50).all() and (rows["grad_norm"] > 0).all() and (rows["best_accuracy"] >= rows["final_accuracy"]).all()
    csv = pd.read_csv(save_results(tmp_path / "study")[0])
    assert csv["norm"].tolist() == rows["norm"].tolist()


def test_the_learning_rate_follows_the_batch_size_where_that_is_asked_for(sample_set, tmp_path):
    rates = {}
    for rule in ("same", "sqrt", "linear"):
        study = plan(sample_set, batch_sizes=(2, 8, 32), norms=("batch",), rate_rule=rule)
        rates[rule] = [trial.training.learning_rate for trial in study.trials()]
    base = rates["same"][2]
    assert rates["same"] == [base] * 3
    assert rates["linear"] == pytest.approx([base / 16, base / 4, base]) and rates["sqrt"] == pytest.approx([base / 4, base / 2, base])
    with pytest.raises(ConfigError):
        plan(sample_set, rate_rule="quadratic")
    StudyFolder(tmp_path / "study").create(plan(sample_set))
    with pytest.raises(RunError):
        StudyFolder(tmp_path / "study").create(plan(sample_set, rate_rule="sqrt"))


def test_a_studys_files_are_all_that_is_needed_to_show_it(tmp_path, sample_set):
    run_study(plan(sample_set), tmp_path / "study")
    save_results(tmp_path / "study")
    for name in ("table.csv", "epochs.csv", "about.json"):
        (tmp_path / "shown").mkdir(exist_ok=True)
        (tmp_path / "shown" / name).write_bytes((tmp_path / "study" / name).read_bytes())
    shown, first = read_results(tmp_path / "shown"), results(StudyFolder(tmp_path / "study"))
    assert shown.about == first.about and len(shown.epochs) == 4 and (shown.done["norm"].tolist() == ["batch", "group"])
    pd.testing.assert_frame_equal(shown.table, first.table, check_dtype=False, rtol=1e-4)
    about = shown.about
    assert about["measured_on"] == "test" and about["measured_images"] == 16 and about["train_images"] == 32
    assert "--norms batch,group --batch-sizes 8 --seeds 0 --set width=8" in about["command"]
    assert about["machine"] and about["date"][:2] == "20"
    (tmp_path / "shown" / "epochs.csv").write_text("no,table", encoding="utf-8")
    with pytest.raises(RunError) as caught:
        read_results(tmp_path / "shown")
    assert caught.value.code == "results-damaged"


def test_a_study_that_was_stopped_goes_on_without_training_anything_twice(tmp_path, sample_set):
    out = tmp_path / "study"
    steps = []

    def stop(event):
        steps.append(event)
        if sum(isinstance(one, StepDone) for one in steps) == 10:  # in the second trial
            StudyFolder(out).request_stop()

    assert run_study(plan(sample_set), out, on_event=stop).state == "stopped"
    assert StudyFolder(out).status().epoch == 1
    again = []
    assert run_study(None, out, on_event=again.append).state == "finished"
    assert sum(isinstance(one, StepDone) for one in again) == 16 - 10
    assert run_study(None, out, on_event=again.append).state == "finished"


def test_a_study_hears_a_stop_while_it_is_starting_and_says_that_another_training_goes_on(tmp_path, sample_set):
    study, seen = StudyFolder(tmp_path / "study").create(plan(sample_set)), []
    study.request_stop()
    assert run_study(None, study.path, on_event=seen.append).state == "stopped" and not seen
    with hold_lock(study.path, "the first"), pytest.raises(RunError):
        run_study(None, study.path)
    assert study.status().error["code"] == "busy"
    study.request_stop()  # of a process that is gone
    assert run_study(None, study.path).state == "finished"


def test_a_study_hears_a_stop_while_a_cell_is_measured(tmp_path, sample_set, monkeypatch):
    study, predict = StudyFolder(tmp_path / "study"), finish.predict_logits

    def asked_meanwhile(*given, **named):
        study.request_stop()
        return predict(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(finish, "predict_logits", asked_meanwhile)
        assert run_study(plan(sample_set), study.path).state == "stopped"
    assert not any(study.run(trial).status().state == "finished" for trial in study.plan().trials())


def test_a_finished_study_is_given_another_seed_and_only_that_is_trained(tmp_path, sample_set):
    out, again = tmp_path / "study", []
    assert run_study(plan(sample_set, seeds=(0,)), out).state == "finished"
    assert run_study(plan(sample_set, seeds=(0, 1)), out, on_event=again.append).state == "finished"
    assert len(table(out)) == 2 * len(plan(sample_set, seeds=(0,)).trials())
    assert sum(isinstance(event, StepDone) for event in again) == 16
    with pytest.raises(RunError):  # nothing that was measured is dropped
        run_study(plan(sample_set, seeds=(1,)), out)


def test_a_cell_that_diverges_is_a_row_and_the_others_are_trained(tmp_path, sample_set):
    wild = {"learning_rate": 1.0, "clip_norm": 0, "optimizer": "adam", "weight_decay": 1.0, "schedule": "constant", "epochs": 12}
    study = plan(sample_set, norms=("none", "batch"), training={**TINY, **wild})
    assert run_study(study, tmp_path / "study").state == "finished"
    rows = table(tmp_path / "study").set_index("norm")
    assert rows.loc["batch", "state"] == "finished" and not rows.loc["batch", "diverged"]
    assert rows.loc["none", "diverged"] or rows.loc["none", "state"] == "finished"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"norms": ("batch",)}, "two"),
        ({"norms": ("batch", "btach")}, "btach"),
        ({"batch_sizes": (1,)}, "batch of 1"),
        ({"seeds": ("x",)}, "seeds"),
        ({"training": {"epochs": 0}}, "epochs"),
        ({"norms": ("batch", "batch")}, "two"),
        ({"training": {"image_size": 32}, "norms": ("batch", "instance")}, "1×1"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_trained(sample_set, changes, word):
    with pytest.raises(ConfigError) as caught:
        plan(sample_set, **changes)
    assert word in str(caught.value)


def test_another_study_in_the_folder_is_left_as_it_is(tmp_path, sample_set):
    StudyFolder(tmp_path / "study").create(plan(sample_set))
    with pytest.raises(RunError) as caught:
        run_study(plan(sample_set, norms=("layer", "group")), tmp_path / "study")
    assert caught.value.code == "study-differs"
    with pytest.raises(RunError) as caught:
        run_study(None, tmp_path / "nothing")
    assert caught.value.code == "study-missing"


def test_a_study_and_a_training_do_not_go_on_at_once(tmp_path, sample_set):
    with hold_lock(tmp_path / "run", "a training"), pytest.raises(RunError) as caught:
        run_study(plan(sample_set), tmp_path / "study")
    assert caught.value.code == "busy" and caught.value.facts["run"] == "a training"


def test_studies_are_listed_newest_first(tmp_path, sample_set):
    for number, name in enumerate(("old", "new")):
        StudyFolder(tmp_path / name).create(plan(sample_set).model_copy(update={"created": time.time() + number}))
    (tmp_path / "neither").mkdir()
    assert [study.id for study in list_studies(tmp_path)] == ["new", "old"]


@pytest.mark.parametrize("budget", BUDGETS)
def test_every_budget_is_a_study_under_every_norm(sample_set, budget):
    from fruitvision.models.norms import NORMS

    spent = BUDGETS[budget]
    study = StudyPlan.parse(
        {
            "data": str(sample_set),
            "norms": tuple(NORMS),
            "batch_sizes": spent.batch_sizes,
            "seeds": spent.seeds,
            "training": spent.settings,
        }
    )
    assert len(study.trials()) == len(NORMS) * len(spent.batch_sizes) * len(spent.seeds)
