"""One picture goes to the network of every norm."""

from __future__ import annotations

import pytest

from fruitvision.comparison.runner import run_study
from fruitvision.comparison.same_picture import answers, pairs
from fruitvision.comparison.study import StudyFolder, StudyPlan
from fruitvision.errors import PictureError


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
    assert [answer.cell.id for answer in found] == ["batch-b4-s0", "group-b4-s0"]
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
