"""One picture goes to the network of every norm."""

from __future__ import annotations

import pytest

from fruitvision.comparison.results import shipped_study
from fruitvision.comparison.runner import run_study
from fruitvision.comparison.same_picture import answers, pairs
from fruitvision.comparison.study import StudyFolder, StudyPlan
from fruitvision.errors import PictureError
from fruitvision.models.checkpoint import Thresholds, read_config
from fruitvision.ui.compare.same_picture import _card


@pytest.fixture(scope="module")
def study(tmp_path_factory, sample_set) -> StudyFolder:
    path = tmp_path_factory.mktemp("together") / "study"
    settings = {"width": 8, "image_size": 40, "epochs": 1}
    plan = StudyPlan.parse({"data": str(sample_set), "norms": ("batch", "group"), "batch_sizes": (8, 4), "training": settings})
    run_study(plan, path)
    return StudyFolder(path)


def test_every_norm_answers_with_its_own_network_and_heatmap(study, sample_set):
    picture = next(sample_set.rglob("*.jpg"))
    assert pairs(study) == [(8, 0), (4, 0)]
    found = answers(study, picture, 4, 0)
    assert [answer.trial.id for answer in found] == ["batch-b4-s0", "group-b4-s0"]
    for answer in found:
        assert answer.prediction.fruit_type in ("Apple", "Banana", "Orange", "Kiwi") and 0 <= answer.accuracy <= 1
        assert answer.heatmap.size == (64, 64)
    assert found[0].prediction.probabilities.tolist() != found[1].prediction.probabilities.tolist()


def test_no_such_pair_has_no_answers_and_a_damaged_picture_is_said(study):
    assert answers(study, b"\xff\xd8\xff", 99, 0) == []
    with pytest.raises(PictureError):
        answers(study, b"\xff\xd8\xff broken", 8, 0)


def test_a_study_that_was_only_planned_has_no_networks(tmp_path, sample_set):
    plan = StudyPlan.parse({"data": str(sample_set), "norms": ("batch", "group")})
    assert pairs(StudyFolder(tmp_path / "study").create(plan)) == []


def test_the_accuracy_is_that_of_the_weights_that_answer(study, sample_set):
    for answer in answers(study, next(sample_set.rglob("*.jpg")), 8, 0):
        config = read_config(study.run(answer.trial).best)
        assert answer.accuracy == config.metrics["test"]["top1"] and 0 <= config.metrics["validation"]["answered"] <= 1


def test_a_network_whose_thresholds_were_not_fitted_to_its_own_pictures_is_never_sure(study, sample_set, monkeypatch):
    from fruitvision.comparison import same_picture

    picture, run = next(sample_set.rglob("*.jpg")), study.run(study.plan().trials()[0])
    classifier = same_picture._classifier(run.best, 0)
    fitted, bold = classifier.config.metrics, Thresholds(unsure=0.0)
    verdicts = []
    assert answers(study, picture, 8, 0)[0].split == "test"
    for measured in (fitted["validation"], {"top1": 0.1}):
        classifier.config = classifier.config.model_copy(update={"thresholds": bold, "metrics": {"validation": measured}})
        monkeypatch.setattr(same_picture, "_classifier", lambda path, changed: classifier)
        answer = answers(study, picture, 8, 0)[0]
        verdicts.append(answer.prediction.verdict)
        assert (answer.split, answer.accuracy) == ("validation", measured["top1"])
        assert f"{answer.accuracy:.1%} of the validation pictures" in _card(answer, "en")
    assert verdicts == ["sure", "unsure"]


def test_the_networks_that_come_with_the_program_have_thresholds_of_their_own():
    shipped = shipped_study()
    for trial in shipped.plan().trials():
        config = read_config(shipped.run(trial).best)
        validation = config.metrics["validation"]
        assert validation["answered"] < validation["top1"] and validation.get("answered_top1", 1) > 0.94, trial.id
        assert config.thresholds.unsure == 1 or validation["answered"] > 0
