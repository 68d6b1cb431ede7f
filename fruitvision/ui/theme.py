"""How the page looks: colours, radii and fonts. The rest is in the panels' style sheets."""

from __future__ import annotations

from gradio import themes


def theme() -> themes.Base:
    """Calm and roomy, in the system's own letters: nothing is fetched from elsewhere."""
    letters = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Noto Sans CJK SC", "Microsoft YaHei", "sans-serif"]
    return themes.Soft(
        primary_hue=themes.colors.emerald,
        secondary_hue=themes.colors.emerald,
        neutral_hue=themes.colors.stone,
        radius_size=themes.sizes.radius_lg,
        font=letters,
        font_mono=["ui-monospace", "Consolas", "monospace"],
    ).set(
        body_background_fill="*neutral_50",
        block_title_background_fill="none",
        block_title_background_fill_dark="none",
        block_title_padding="0",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        block_label_background_fill="none",
        block_label_background_fill_dark="none",
        block_label_text_color="*body_text_color_subdued",
        block_label_text_color_dark="*body_text_color_subdued",
    )
