"""A configuration is a value: validated once, every fault reported together."""

from __future__ import annotations

import pytest

from fruitvision.errors import ConfigError
from fruitvision.training.config import PRESETS, TrainConfig, parse_settings, preset_settings
from fruitvision.training.settings import GROUPS


def test_plain_is_the_textbook_recipe_to_the_letter():
    plain = TrainConfig.from_preset("plain")
    expected = {
        "architecture": "resnet18",
        "norm": "batch",
        "width": 64,
        "start": "imagenet",
        "image_size": 224,
        "eval_resize": 256,
        "augmentation": "torchvision",
        "crop_scale_min": 0.08,
        "flip": 0.5,
        "rotation": 20,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "weight_decay": 1e-5,
        "decay": "all",
        "clip_norm": 5,
        "schedule": "step",
        "step_size": 7,
        "gamma": 0.1,
        "batch_size": 32,
        "epochs": 10,
        "label_smoothing": 0,
        "accumulate": 1,
        "precision": "float32",
    }
    assert {name: getattr(plain, name) for name in expected} == expected


def test_settings_are_flat_by_name_and_each_is_in_one_group():
    grouped = [name for names in GROUPS.values() for name in names]
    assert ["preset", *grouped] == list(TrainConfig.model_fields) == list(TrainConfig.from_preset("fast").model_dump())


@pytest.mark.parametrize("preset", PRESETS)
def test_a_presets_values_are_its_configuration_and_nothing_is_derived_from_complete_values(preset):
    values = preset_settings(preset)
    assert TrainConfig.parse(values) == TrainConfig.from_preset(preset)
    assert TrainConfig.parse({**values, "image_size": 64, "first_image_size": 32}).eval_resize == values["eval_resize"]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_survives_json(preset):
    config = TrainConfig.from_preset(preset, epochs=3)
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config


def test_every_fault_is_named_at_once():
    with pytest.raises(ConfigError) as caught:
        TrainConfig.from_preset("fast", epochs=0, learning_rate=-1, norm="bach", optimizer="sgd", speed=3, batch_size="many")
    for word in ("epochs", "learning_rate", "norm", "optimizer", "speed", "batch_size"):
        assert word in str(caught.value)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"image_size": 224, "eval_resize": 200},
        {"first_image_size": 128, "image_size": 96},
        {"image_size": 50},
        {"epochs": float("nan")},
        {"learning_rate": float("inf")},
        {"batch_size": 2.5},
        {"label_smoothing": 0.5},
    ],
)
def test_what_does_not_fit_is_refused(settings):
    with pytest.raises(ConfigError):
        TrainConfig.from_preset("fast", **settings)


def test_a_picture_size_alone_takes_the_other_sizes_with_it():
    config = TrainConfig.from_preset("plain", image_size=112)
    assert (config.image_size, config.eval_resize) == (112, 128)
    small = TrainConfig.from_preset("fast", image_size="48")
    assert (small.image_size, small.first_image_size, small.eval_resize) == (48, 48, 48)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_every_picture_size_that_may_be_set_takes_the_others_with_it(preset):
    """From 416 on, ``robust`` was refused for an eval_size that nobody had set."""
    for size in range(64, 513, 8):
        config = TrainConfig.from_preset(preset, image_size=size)
        assert config.image_size == size <= config.eval_resize


def test_words_of_the_command_line_become_settings():
    assert parse_settings(["learning-rate=0.1", "norm = group"]) == {"learning_rate": "0.1", "norm": "group"}
    with pytest.raises(ConfigError) as caught:
        parse_settings(["lerning_rate=1", "epochs", "preset=plain"])
    for part in ("did you mean 'learning_rate'", "'epochs' is not of the form", "--preset"):
        assert part in str(caught.value)


def test_differences_are_named_with_both_values():
    changed = TrainConfig.from_preset("fast").differences(TrainConfig.from_preset("fast", epochs=99))
    assert changed == {"epochs": (PRESETS["fast"]["epochs"], 99)}


@pytest.mark.parametrize(
    ("settings", "sizes"),
    [
        ({"image_size": 64}, (64, 80, 80)),
        ({"image_size": 64, "eval_resize": 80}, (64, 80, 80)),
        ({"image_size": 64, "eval_resize": 72}, (64, 72, 72)),
        ({"image_size": 64, "eval_size": "96"}, (64, 96, 96)),
        ({"image_size": 64, "eval_size": 64}, (64, 80, 64)),
    ],
)
def test_of_the_sizes_of_evaluation_those_that_are_not_given_follow(settings, sizes):
    config = TrainConfig.from_preset("robust", **settings)
    assert (config.image_size, config.eval_resize, config.eval_size) == sizes


@pytest.mark.parametrize("views", ["one", "mirror", "middle"])
def test_the_largest_pictures_that_may_be_set_are_those_of_a_checkpoint(views):
    """Whose views are bounded: a run must not end in one that cannot be read."""
    from fruitvision.data.augment.transforms import EvalTransform
    from fruitvision.runs.prepare.transforms import evaluation_transform

    largest = TrainConfig.parse({"image_size": 512, "eval_size": 512, "eval_resize": 640, "views": views})
    with pytest.raises(ConfigError):
        TrainConfig.parse({"image_size": 520, "eval_resize": 640})
    transform = evaluation_transform(largest)
    assert EvalTransform.model_validate(transform.model_dump()) == transform
