"""What a person's eyes and thumb need of a page, measured on it as it is displayed."""

from __future__ import annotations

LETTERS = """panel => [...document.querySelectorAll(`${panel} svg text`)].filter((text) => text.getClientRects().length).flatMap((text) => {
  const drawing = text.ownerSVGElement, scale = drawing.getBoundingClientRect().width / drawing.viewBox.baseVal.width;
  const size = parseFloat(getComputedStyle(text).fontSize) * scale;
  return size > 0 && size < 11 ? [`${text.textContent}: ${size.toFixed(1)}`] : [];
})"""
TARGETS = """panel => [...document.querySelectorAll(panel)].flatMap((root) =>
  [...root.querySelectorAll("button, summary, select, input:not([type=file], [type=radio], [type=checkbox])")]
    .filter((one) => !one.closest(".visually-hidden") && one.checkVisibility({ checkVisibilityCSS: true }))
    .map((one) => [one, one.getBoundingClientRect()])
    .filter(([, { width, height }]) => width && height && (width < 24 || height < 24))
    .map(([one, { width, height }]) => `${one.className} ${one.textContent.trim()}: ${Math.round(width)} × ${Math.round(height)}`))"""
UNNAMED = """panel => [...document.querySelectorAll(`${panel} *`)]
  .filter((one) => one.querySelector("table, math") && one.offsetParent && one.scrollWidth > one.clientWidth + 1)
  .filter((one) => ["auto", "scroll"].includes(getComputedStyle(one).overflowX))
  .filter((one) => one.tabIndex < 0 || !one.ariaLabel || one.role !== "region"
    || !getComputedStyle(one).backgroundImage.includes("gradient"))
  .map((one) => one.outerHTML.slice(0, 120))"""
CONTRAST = """selector => {
  const parts = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
  const light = (colour) => parts(colour).slice(0, 3).map((n) => n / 255)
    .map((n) => n <= 0.03928 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4)
    .reduce((sum, n, place) => sum + n * [0.2126, 0.7152, 0.0722][place], 0);
  return Math.min(...[...document.querySelectorAll(selector)].map((one) => {
    let ground = one;
    while (ground && (parts(getComputedStyle(ground).backgroundColor)[3] ?? 1) === 0) ground = ground.parentElement;
    const both = [light(getComputedStyle(one).color), light(getComputedStyle(ground).backgroundColor)].sort((a, b) => b - a);
    return (both[0] + 0.05) / (both[1] + 0.05);
  }));
}"""


def small_letters(page, panel: str) -> list[str]:
    """Letters of drawings that are displayed smaller than 11 px."""
    return page.evaluate(LETTERS, panel)


def small_targets(page, panel: str) -> list[str]:
    """What is pressed and measures less than 24 × 24 CSS px (WCAG 2.2, 2.5.8)."""
    return page.evaluate(TARGETS, panel)


def hidden_scrolls(page, panel: str) -> list[str]:
    """Tables and formulas that scroll sideways without a shadow at the edge, a name, or a place for the keyboard."""
    return page.evaluate(UNNAMED, panel)


def contrast(page, selector: str) -> float:
    """The lowest contrast of these icons against what is behind them."""
    return page.evaluate(CONTRAST, selector)
