"""A network's results on a folder as one HTML file that stands alone: no server, no network, no other file.

Numbers first, then the pictures behind them: what is confused with what, what was hardest and where the network looked,
whether its confidence can be believed, and what in the folder itself looks wrong. Without gradio.
"""

from __future__ import annotations

import time
from collections import Counter
from html import escape
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fruitvision.data.fruits import fruit_type
from fruitvision.errors import quoted
from fruitvision.files import write_text
from fruitvision.models.checkpoint import versions
from fruitvision.recognition.evaluate.confusions import by_kind, by_variety, most_confused, within_kind
from fruitvision.recognition.evaluate.evaluation import Evaluation, Negatives
from fruitvision.recognition.evaluate.findings import hardest, label_issues, losses
from fruitvision.recognition.evaluate.near_duplicates import Duplicate, Duplicates, find_duplicates
from fruitvision.report.bilingual import Name, both, named
from fruitvision.report.figures import matrix, picture, reliability_chart
from fruitvision.report.table import class_table
from fruitvision.training.metrics import reliability

FILE = "report.html"
PAIRS, HARDEST, CONTRADICTED, TWINS, ACCEPTED = 12, 18, 18, 12, 12
"""How many of each are shown."""
PER_PAIR = 3
LEAK = 0.05
"""From this share of twins in other splits on, the figures are called flattering at the very top."""
HERE = Path(__file__).parent


def write_report(folder: Path, examination: Evaluation, language: str = "en") -> Path:
    """Write ``report.html`` into ``folder``, atomically; ``language`` is what it opens in. Raises DataError."""
    path = folder / FILE
    write_text(path, report_page(examination, language))
    return path


def report_page(examination: Evaluation, language: str = "en") -> str:
    """The whole page. Names of classes and files are escaped wherever they stand."""
    twins = find_duplicates(examination)
    parts = [
        _lead(examination, twins),
        _figures(examination),
        _matrices(examination),
        _pairs(examination),
        _hardest(examination),
        _reliability(examination),
        _without_fruit(examination),
        _contradicted(examination),
        _twins(examination, twins),
        _section("classes", class_table(examination)),
        _origin(examination),
    ]
    style, script = ((HERE / f"report.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    title = escape(f"{_checkpoint_name(examination)} · {Path(examination.summary['data']).name}")
    return (
        f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>{title} · FruitVision</title><style>{style}</style></head><body>"
        f"{_header(examination)}<main>{''.join(parts)}</main><script>{script}</script></body></html>\n"
    )


def _section(name: str, *content: str, **facts: object) -> str:
    """A heading, a sentence of what it means, and what there is to see."""
    words = both(f"report.{name}_meaning", **facts)
    return f'<section id="{name}"><h2>{both(f"report.{name}")}</h2><p class="meaning">{words}</p>{"".join(content)}</section>'


def _checkpoint_name(examination: Evaluation) -> str:
    path = examination.classifier.path
    if path is None:
        return examination.classifier.config.architecture
    path = path.absolute()
    return path.parent.name if path.name in ("best", "last") else path.name


def _header(examination: Evaluation) -> str:
    summary = examination.summary
    switch = "".join(
        f'<button type="button" data-language="{language}">{words}</button>' for language, words in (("en", "English"), ("zh", "中文"))
    )
    where = both("report.where", data=Path(summary["data"]).name, split=summary["split"])
    return (
        f"<header><div><h1>{both('report.title')}</h1><p>{escape(_checkpoint_name(examination))} · {where} · "
        f'{time.strftime("%Y-%m-%d")}</p></div><nav aria-label="Language 语言">{switch}</nav></header>'
    )


def _lead(examination: Evaluation, twins: Duplicates) -> str:
    """The result in a few sentences, what limits it among them."""
    summary, wrong = examination.summary, int(examination.wrong.sum())
    images = summary["images"]
    first = both("report.lead", right=f"{images - wrong:,}", images=f"{images:,}", top1=_share(summary["top1"]), wrong=f"{wrong:,}")
    more = [both("report.lead_top3", top3=_share(summary["top3"]))]
    if summary["answered_top1"] is not None:
        more.append(both("report.lead_sure", answered=_share(summary["answered"]), right=_share(summary["answered_top1"])))
    if summary["not_fruit_images"]:
        more.append(both("report.lead_nothing", images=f"{summary['not_fruit_images']:,}", share=_share(summary["not_fruit_accepted"])))
    notes = []
    if twins.measured >= LEAK * images:
        notes.append(both("report.warn_twins", count=f"{twins.measured:,}", share=_share(twins.measured / images)))
    if summary["unknown_folders"]:
        notes.append(both("report.warn_unknown", count=len(summary["unknown_folders"]), names=", ".join(summary["unknown_folders"][:8])))
    if summary["problems"]:
        notes.append(both("report.warn_problems", count=summary["problems"]))
    marks = "".join(f'<p class="warn">{note}</p>' for note in notes)
    return f'<section id="lead"><p class="lead">{first}</p><p>{" ".join(more)}</p>{marks}</section>'


def _figures(examination: Evaluation) -> str:
    summary = examination.summary
    cards = []
    for name in ("top1", "top3", "macro_recall", "answered", "answered_top1", "not_fruit_accepted", "ece"):
        if summary[name] is not None:
            value = f"{summary[name]:.3f}" if name == "ece" else _share(summary[name])
            cards.append(f'<div><b>{value}</b><span class="what">{both(f"report.figure_{name}")}</span></div>')
    return f'<section id="figures" class="figures">{"".join(cards)}</section>'


def _matrices(examination: Evaluation) -> str:
    mistaken, everything = by_kind(examination, mistaken_only=True), by_kind(examination)
    folders: dict[str, set[str]] = {}
    for i in range(len(examination.labels)):
        folders.setdefault(fruit_type(examination.folder(i)), set()).add(examination.folder(i))
    # A kind is worth opening where it has varieties, or was taken for something else.
    opened = [kind for kind in everything.rows if len(folders.get(kind, ())) > 1 or kind in mistaken.rows and kind in folders]
    wrong = Counter(fruit_type(examination.folder(i)) for i in np.flatnonzero(examination.wrong))
    opened.sort(key=lambda kind: -wrong[kind])
    links = {kind: f"kind-{number}" for number, kind in enumerate(opened)}
    details = "".join(_kind(examination, kind, links[kind]) for kind in opened)
    variety = by_variety(examination)
    parts = [matrix(mistaken, links=links) if mistaken.rows else f'<p class="good">{both("report.no_mistake_by_kind")}</p>']
    mistakes, types = np.flatnonzero(examination.wrong), examination.classifier.types
    within = sum(fruit_type(examination.folder(i)) == types[examination.scores.types[i]] for i in mistakes)
    if within and examination.by == "class":
        parts.insert(0, f"<p>{both('report.within_kinds', wrong=len(mistakes), within=within)}</p>")
    whole = matrix(everything, links=links, small=len(everything.rows) > 40)
    parts.append(_folded(both("report.all_kinds", count=len(everything.rows)), whole))
    if len(variety.rows) > 1 and variety.rows != everything.rows:
        parts.append(_folded(both("report.all_varieties", count=len(variety.rows)), matrix(variety, small=len(variety.rows) > 40)))
    parts.append(f'<h3>{both("report.by_variety")}</h3><div class="kinds">{details}</div>' if opened else "")
    return _section("matrix", *parts)


def _kind(examination: Evaluation, kind: str, anchor: str) -> str:
    found = within_kind(examination, kind)
    of_kind = [i for i in range(len(examination.labels)) if fruit_type(examination.folder(i)) == kind]
    words = both("report.kind_line", kind=Name(kind), wrong=int(examination.wrong[of_kind].sum()), images=len(of_kind))
    return _folded(words, matrix(found), anchor)


def _folded(words: str, content: str, anchor: str = "") -> str:
    named_by = f' id="{anchor}"' if anchor else ""
    return f"<details{named_by}><summary>{words}</summary>{content}</details>"


def _pairs(examination: Evaluation) -> str:
    pairs = most_confused(examination, PAIRS)
    if not pairs:
        return ""
    cards = []
    for pair in pairs:
        (first, second), (forth, back) = pair.names, pair.counts
        typical = [
            _card(examination, i, f"<figcaption>{both('report.typical', name=Name(name))}</figcaption>")
            for name, i in zip(pair.names, pair.typical, strict=True)
            if i is not None
        ]
        mistakes = [_card(examination, i, _answer_caption(examination, i)) for i in pair.mistaken[:PER_PAIR]]
        count = both("report.pair_count", first=Name(first), second=Name(second), forth=forth, back=back)
        cards.append(
            f'<article class="pair"><h3>{named(first)} <span aria-hidden="true">⇄</span> {named(second)}</h3><p>{count}</p>'
            f'<div class="pictures"><div class="typical">{"".join(typical)}</div>{"".join(mistakes)}</div></article>'
        )
    return _section("pairs", f'<div class="pairs">{"".join(cards)}</div>')


def _hardest(examination: Evaluation) -> str:
    chosen = hardest(examination, HARDEST)
    if not chosen:
        return ""
    loss = losses(examination)
    cards = []
    for i in chosen:
        pixels = examination.pictures.store[examination.rows[i]]
        answer = examination.classifier.predict_pixels([pixels], [Image.fromarray(pixels)])[0]
        heat = picture(answer.heatmap(), f"heatmap: {answer.fruit_type}")
        cards.append(_card(examination, i, _answer_caption(examination, i, f"{loss[i]:.2f}"), heat))
    return _section("hardest", f'<div class="pictures">{"".join(cards)}</div>')


def _reliability(examination: Evaluation) -> str:
    found = reliability(examination.scores.confidence, torch.from_numpy(~examination.wrong))
    claimed, true = examination.scores.confidence.mean().item(), examination.summary["top1"]
    gap = "fits" if abs(claimed - true) < 0.02 else "over" if claimed > true else "under"
    words = both(f"report.confidence_{gap}", claimed=_share(claimed), right=_share(true), ece=f"{found.error:.3f}")
    return _section("reliability", f'<div class="beside">{reliability_chart(found)}<p>{words}</p></div>')


def _without_fruit(examination: Evaluation) -> str:
    def confidence(pair: tuple[Negatives, int]) -> float:
        return pair[0].scores.confidence[pair[1]].item()

    accepted = [(one, i) for one in examination.negatives for i in torch.nonzero(one.scores.sure)[:, 0].tolist()]
    if not accepted:
        return ""
    cards = []
    for one, i in sorted(accepted, key=confidence, reverse=True)[:ACCEPTED]:
        name, path = examination.names[one.scores.predicted[i]], one.store.paths[one.rows[i]]
        words = both("report.taken_for", answer=Name(name), confidence=_share(confidence((one, i))))
        cards.append(f"<figure>{picture(one.store[one.rows[i]], path)}<figcaption>{words}{_file(path)}</figcaption></figure>")
    return _section("nothing", f'<div class="pictures">{"".join(cards)}</div>', count=len(accepted))


def _contradicted(examination: Evaluation) -> str:
    chosen = label_issues(examination)
    if not chosen:
        return _section("labels", f'<p class="good">{both("report.labels_none")}</p>')
    cards = "".join(_card(examination, i, _answer_caption(examination, i)) for i in chosen[:CONTRADICTED])
    return _section("labels", f'<p>{_shown(len(chosen), CONTRADICTED)}</p><div class="pictures">{cards}</div>')


def _twins(examination: Evaluation, twins: Duplicates) -> str:
    parts = []
    for name, found in (("other_name", twins.other_name), ("copies", twins.copies), ("other_place", twins.other_place)):
        if found:
            cards = "".join(_twin(examination, twin) for twin in found[:TWINS])
            words = both(f"report.twins_{name}", count=f"{len(found):,}", measured=f"{twins.measured:,}")
            parts.append(f'<h3>{words}</h3><p>{_shown(len(found), TWINS)}</p><div class="pictures">{cards}</div>')
    return _section("twins", *(parts or [f'<p class="good">{both("report.twins_none")}</p>']))


def _twin(examination: Evaluation, twin: Duplicate) -> str:
    pictures = examination.pictures
    images, lines = [], []
    for row in (twin.row, twin.other):
        images.append(picture(pictures.store[row], pictures.store.paths[row]))
        lines.append(_file(pictures.store.paths[row]))
    words = both("report.same_file") if twin.same_file else both("report.alike", difference=f"{twin.difference:.1f}")
    return f"<figure>{''.join(images)}<figcaption>{words}{''.join(lines)}</figcaption></figure>"


def _origin(examination: Evaluation) -> str:
    """What was measured, with what: enough to measure it again."""
    summary, config = examination.summary, examination.classifier.config
    data = Path(summary["data"]).name  # the file goes to other people: not the folders around it
    words = ["--data", data, "--checkpoint", _checkpoint_name(examination), "--split", summary["split"], "--by", summary["by"]]
    command = f"python -m fruitvision evaluate {quoted(words)}"
    facts = {
        "command": command,
        "network": f"{config.architecture}, {config.norm}, {len(config.classes)} classes",
        "weights": config.weights_sha256[:16],
        "learned": str(config.dataset.get("name", "")),
        "time": time.strftime("%Y-%m-%d %H:%M"),
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
    }
    rows = "".join(f"<dt>{both(f'report.origin_{name}')}</dt><dd>{escape(value)}</dd>" for name, value in facts.items() if value)
    return _section("origin", f"<dl>{rows}</dl>")


# Pictures with words ---------------------------------------------------------------------------------------------


def _card(examination: Evaluation, i: int, caption: str, beside: str = "") -> str:
    """A scored picture, something beside it, and what is said of it: HTML."""
    return f"<figure>{picture(examination.pictures.store[examination.rows[i]], examination.path(i))}{beside}{caption}</figure>"


def _answer_caption(examination: Evaluation, i: int, loss: str = "") -> str:
    """What the picture is called, what was answered, and how sure the network was of either."""
    scores = examination.scores
    truth = both("report.labelled", name=Name(examination.names[examination.labels[i]]), right=_share(scores.right[i].item()))
    answer = Name(examination.names[scores.predicted[i]])
    said = both("report.answered", answer=answer, confidence=_share(scores.confidence[i].item()))
    words = f"{truth}<br>{said}" + (f"<br>{both('report.loss', loss=loss)}" if loss else "")
    return f"<figcaption>{words}{_file(examination.path(i))}</figcaption>"


def _file(path: str) -> str:
    return f'<span class="file">{escape(path)}</span>'


def _shown(count: int, most: int) -> str:
    return both("report.shown", shown=most, count=f"{count:,}") if count > most else ""


def _share(value: float) -> str:
    """98.6%; 100% only for what is all, 0% only for nothing."""
    if value in (0, 1):
        return f"{value:.0%}"
    words = f"{value:.1%}"
    return {"100.0%": "> 99.9%", "0.0%": "< 0.1%"}.get(words, words)
