"""Whatever is given as settings becomes a configuration that can be kept, or one sentence that says what is wrong."""

from __future__ import annotations

import string

from hypothesis import example, given, settings
from hypothesis import strategies as st

from fruitvision.errors import ConfigError
from fruitvision.training.config import PRESETS, TrainConfig, parse_settings

FIELDS = sorted(TrainConfig.model_fields)
tried = settings(max_examples=120, deadline=None, derandomize=True, database=None)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_subnormal=False),
    st.text(max_size=12),
    st.binary(max_size=4),
    st.sampled_from(["²", "٣", "1e3", "-0", "nan", "0x10", "9" * 5000, "true", "batch", "group", "step", "scenes", "imagenet"]),
)
# Values near what is allowed are reached too: small sizes and shares.
shares = st.floats(0, 1, allow_subnormal=False)
likely = st.one_of(st.integers(0, 600).map(str), st.integers(0, 80).map(lambda n: 8 * n), shares, st.booleans())
values = st.one_of(likely, scalars, st.lists(scalars, max_size=2), st.dictionaries(st.text(max_size=3), scalars, max_size=2))
names = st.one_of(st.sampled_from(FIELDS), st.text(string.ascii_lowercase + "_", max_size=9))


def kept(make) -> TrainConfig | None:
    """The configuration, which comes back from its JSON as it was; None where the error says what to do."""
    try:
        config = make()
    except ConfigError as error:
        assert str(error).endswith(".") and len(str(error)) < 20_000
        return None
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config
    assert TrainConfig.parse(config.model_dump(mode="json")) == config
    return config


@tried
@given(st.dictionaries(names, values, max_size=5))
def test_any_values_are_a_configuration_or_an_error(given_values):
    kept(lambda: TrainConfig.parse(given_values))


@tried
@given(st.sampled_from(FIELDS), likely)
def test_each_single_setting_is_taken_or_refused_by_name(name, value):
    try:
        TrainConfig.parse({name: value})
    except ConfigError as error:
        assert name in str(error)


@tried
@given(
    st.one_of(st.sampled_from(sorted(PRESETS)), st.text(max_size=8)),
    st.dictionaries(names.filter(lambda n: n != "preset"), values, max_size=4),
)
@example("fast", {"image_size": "²"})
@example("robust", {"image_size": "9" * 5000})
@example("robust", {"image_size": 10**400})
@example("robust", {"image_size": 10**5000, "epochs": [10**5000]})
def test_any_settings_over_a_preset_are_a_configuration_or_an_error(preset, changed):
    config = kept(lambda: TrainConfig.from_preset(preset, **changed))
    assert config is None or config.preset == preset in PRESETS


@tried
@given(st.lists(st.one_of(st.text(max_size=20), st.builds("{}={}".format, names, st.text(max_size=9))), max_size=4))
def test_any_words_behind_set_are_settings_or_an_error(words):
    try:
        found = parse_settings(words)
    except ConfigError as error:
        assert str(error).endswith(".")
        return
    assert set(found) <= set(FIELDS) - {"preset"} and len(found) <= len(words)
    kept(lambda: TrainConfig.from_preset("plain", **found))
