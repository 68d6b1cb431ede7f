"""The colours of the theme: what stands on a button is legible, also under the pointer."""

from __future__ import annotations

import pytest

from fruitvision.ui.theme import theme

NAMES = {"white": "#ffffff", "black": "#000000"}


def colour(name: str, dark: bool) -> str:
    """A variable of the theme as #rrggbb."""
    made, value = theme(), f"*{name}"
    while value.startswith("*"):
        name = value.removeprefix("*")
        value = (getattr(made, f"{name}_dark", None) if dark else None) or getattr(made, name)
    return NAMES.get(value, value)


def luminance(value: str) -> float:
    """The relative luminance of WCAG 2.2."""
    parts = [int(value[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("hover", ["", "_hover"])
@pytest.mark.parametrize("kind", ["button_primary", "button_secondary", "button_cancel", "checkbox_label"])
def test_the_words_of_a_button_have_a_contrast_of_at_least_four_and_a_half(kind, hover, dark):
    words = f"{kind}_text_color{hover if kind.startswith('button') else ''}"
    low, high = sorted(luminance(colour(name, dark)) for name in (words, f"{kind}_background_fill{hover}"))
    assert (high + 0.05) / (low + 0.05) >= 4.5
