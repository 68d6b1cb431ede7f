"""Train: every setting stands in the form, and what is wrong is named."""

from __future__ import annotations

import pytest

from fruitvision.errors import ConfigError
from fruitvision.training.config import PRESETS, TrainConfig
from fruitvision.ui.train.settings import CHOICES, FIELDS, configuration, preset_values
from fruitvision.wording.text import sentences

STATES = ("waiting", "preparing", "running", "finished", "stopped", "failed", "interrupted")


def test_every_setting_but_the_preset_is_a_field_once():
    assert sorted(FIELDS) == sorted(set(TrainConfig.model_fields) - {"preset"})


def test_every_setting_choice_and_preset_has_its_words_in_both_languages():
    known = sentences()
    properties = TrainConfig.model_json_schema()["properties"]
    keys = [f"settings.{name}.{part}" for name in FIELDS for part in ("name", "meaning")]
    for name in FIELDS:
        options = CHOICES.get(name) or properties[name].get("enum") or ()
        keys += [f"settings.{name}.choices.{option}" for option in options]
    keys += [f"train.preset_{preset}{part}" for preset in PRESETS for part in ("", "_meaning")]
    keys += [f"train.{kind}_{state}" for kind in ("status", "state") for state in STATES]
    assert not [key for key in keys if not {"en", "zh"} <= set(known.get(key, ()))]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_untouched_form_is_the_preset(preset):
    assert configuration(preset, preset_values(preset)) == TrainConfig.from_preset(preset)


def test_what_the_form_shows_is_what_is_trained():
    values = dict(zip(FIELDS, preset_values("fast"), strict=True)) | {"image_size": 64, "first_image_size": 32}
    config = configuration("fast", tuple(values.values()))
    assert (config.image_size, config.first_image_size, config.eval_resize) == (64, 32, values["eval_resize"])


def test_wrong_settings_are_all_named_in_one_sentence():
    values = dict(zip(FIELDS, preset_values("fast"), strict=True)) | {"epochs": 0, "batch_size": 10**6, "flip": 2.0}
    with pytest.raises(ConfigError) as caught:
        configuration("fast", tuple(values.values()))
    assert all(name in str(caught.value) for name in ("epochs", "batch_size", "flip"))


def test_fields_left_empty_are_named():
    values = dict(zip(FIELDS, preset_values("fast"), strict=True)) | {"epochs": None, "seed": None}
    with pytest.raises(ConfigError, match="epochs.*seed"):
        configuration("fast", tuple(values.values()))
