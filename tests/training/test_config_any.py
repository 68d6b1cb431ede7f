"""Settings that nobody would think of: each is a configuration that can be written down, or a sentence."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some

from fruitvision.errors import ConfigError
from fruitvision.training.config import PRESETS, TrainConfig, parse_settings

ANYTHING = some.one_of(
    some.none(), some.booleans(), some.integers(), some.floats(), some.text(max_size=20), some.binary(max_size=4),
    some.lists(some.integers(), max_size=3), some.dictionaries(some.text(max_size=3), some.integers(), max_size=2),
)  # fmt: skip
NAMES = sorted(set(TrainConfig.model_fields) - {"preset", "architecture"})  # any architecture would have timm imported
LIKELY = some.sampled_from(["0", "1", "-1", "1e9", "nan", "inf", "true", "32", "0.5", "batch", "own", "auto", "1e400", "٣", "０", " 8 "])
BRIEFLY = settings(max_examples=100, deadline=None, derandomize=True, database=None)


def _sound(make: Any) -> None:
    try:
        config = make()
    except ConfigError as error:
        assert error.code and error.message.strip() and error.next_step
        assert len(error.message) < 10_000 and "Traceback" not in error.message
    else:
        assert TrainConfig.model_validate_json(config.model_dump_json()) == config


@BRIEFLY
@given(some.sampled_from(sorted(PRESETS)), some.dictionaries(some.sampled_from(NAMES), ANYTHING | LIKELY, max_size=4))
def test_any_values_are_a_configuration_or_a_sentence(preset: str, values: dict[str, Any]) -> None:
    _sound(lambda: TrainConfig.from_preset(preset, **values))


@BRIEFLY
@given(some.dictionaries(some.text(max_size=12), ANYTHING, max_size=3))
def test_any_names_are_refused_in_one_sentence(values: dict[str, Any]) -> None:
    _sound(lambda: TrainConfig.parse(values))


@BRIEFLY
@given(some.lists(some.text(max_size=16) | some.tuples(some.sampled_from(NAMES), LIKELY | some.text(max_size=8)).map("=".join), max_size=4))
def test_any_words_behind_set_are_settings_or_a_sentence(words: list[str]) -> None:
    _sound(lambda: TrainConfig.from_preset("fast", **parse_settings(words)))
