"""The evaluation of a network on a folder as one self-contained HTML file.

It shows metrics first, then confusions with pictures, the pictures with the highest loss and the class activation maps of their
predictions, calibration, and labels and files that look wrong. Needs no gradio.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from markupsafe import Markup

from fruitvision.data.fruits import fruit_type
from fruitvision.errors import quoted
from fruitvision.files import write_text
from fruitvision.models.checkpoint import checkpoint_name, versions
from fruitvision.recognition.evaluate.confusions import by_kind, by_variety, most_confused, within_kind
from fruitvision.recognition.evaluate.evaluation import Evaluation, Negatives
from fruitvision.recognition.evaluate.findings import explained, hardest, label_issues, losses
from fruitvision.recognition.evaluate.near_duplicates import Duplicate, Duplicates, find_duplicates
from fruitvision.report.bilingual import Name, bilingual, bilingual_name
from fruitvision.report.charts import reliability_chart
from fruitvision.report.figures import hardest_meaning, interval_words, matrix, picture, share_words
from fruitvision.report.markup import render
from fruitvision.report.table import class_table
from fruitvision.training.evaluation import reliability
from fruitvision.wording.text import LANGUAGES

FILE = "report.html"
PAIRS, HARDEST, CONTRADICTED, DUPLICATES, ACCEPTED = 12, 18, 18, 12, 12
"""The maximum number of each that is shown."""
PER_PAIR = 3
WARNING_SHARE = 0.05
"""The fraction of near-duplicates in other splits from which a warning is shown."""
SMALL_FROM = 40
"""The number of rows from which a matrix has narrow cells without numbers."""
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Card:
    """Pictures side by side, with text and file names."""

    images: list[Markup]
    words: Markup
    files: tuple[str, ...] = ()


def write_report(folder: Path, examination: Evaluation, language: str = "en") -> Path:
    """Write ``report.html`` into ``folder``, atomically; ``language``: the initial language. Raises DataError."""
    path = folder / FILE
    write_text(path, report_page(examination, language))
    return path


def report_page(examination: Evaluation, language: str = "en") -> str:
    """The whole page. Names of classes and files are escaped wherever they stand."""
    summary, duplicates = examination.summary, find_duplicates(examination)
    accepted, labels = _accepted(examination), label_issues(examination)
    return render(
        "report/report.html",
        bilingual=bilingual,
        bilingual_name=bilingual_name,
        language=language,
        languages=LANGUAGES,
        style=Markup((HERE / "report.css").read_text(encoding="utf-8")),
        script=Markup((HERE / "report.js").read_text(encoding="utf-8")),
        network=_checkpoint_name(examination),
        data=Path(summary["data"]).name,
        split=summary["split"],
        date=time.strftime("%Y-%m-%d"),
        lead=_lead(examination),
        warnings=_warnings(examination, duplicates),
        summary=_figures(examination),
        matrices=_matrices(examination),
        pairs=_pairs(examination),
        hardest=_hardest(examination),
        hardest_meaning=hardest_meaning(examination.classifier.has_heatmaps),
        reliability=_reliability(examination),
        accepted=[_accepted_card(examination, *one) for one in accepted[:ACCEPTED]],
        accepted_count=len(accepted),
        labels=[_card(examination, i, _answer(examination, i)) for i in labels[:CONTRADICTED]],
        labels_count=len(labels),
        duplicates=_duplicates(examination, duplicates),
        classes=class_table(examination),
        origin=_origin(examination),
    )


def _checkpoint_name(examination: Evaluation) -> str:
    path = examination.classifier.path
    return checkpoint_name(path) if path else examination.classifier.config.architecture


# Figures ---------------------------------------------------------------------------------------------------------


def _lead(examination: Evaluation) -> list[Markup]:
    """The result in a few sentences."""
    summary, wrong = examination.summary, int(examination.wrong.sum())
    images = summary["images"]
    right = f"{images - wrong:,}"
    lead = [bilingual("report.lead", right=right, images=f"{images:,}", top1=share_words(summary["top1"]), wrong=f"{wrong:,}")]
    if few := interval_words(summary["top1"], images):
        lead.append(bilingual("report.few", **few))
    lead.append(bilingual("report.lead_top3", top3=share_words(summary["top3"])))
    if summary["answered_top1"] is not None:
        lead.append(bilingual("report.lead_sure", answered=share_words(summary["answered"]), right=share_words(summary["answered_top1"])))
    if summary["not_fruit_images"]:
        lead.append(
            bilingual("report.lead_nothing", images=f"{summary['not_fruit_images']:,}", share=share_words(summary["not_fruit_accepted"]))
        )
    return lead


def _warnings(examination: Evaluation, duplicates: Duplicates) -> list[Markup]:
    """Warnings about limits of the result."""
    summary, warnings = examination.summary, []
    if duplicates.measured >= WARNING_SHARE * summary["images"]:
        share = share_words(duplicates.measured / summary["images"])
        warnings.append(bilingual("report.warn_duplicates", count=f"{duplicates.measured:,}", share=share))
    if summary["unknown_folders"]:
        names = ", ".join(summary["unknown_folders"][:8])
        warnings.append(bilingual("report.warn_unknown", count=len(summary["unknown_folders"]), names=names))
    if summary["problems"]:
        warnings.append(bilingual("report.warn_problems", count=summary["problems"]))
    return warnings


def _figures(examination: Evaluation) -> list[tuple[str, str]]:
    names = ("top1", "top3", "macro_recall", "answered", "answered_top1", "not_fruit_accepted", "ece")
    known = [(name, examination.summary[name]) for name in names if examination.summary[name] is not None]
    return [(name, f"{value:.3f}" if name == "ece" else share_words(value)) for name, value in known]


def _matrices(examination: Evaluation) -> dict[str, Any]:
    """The confusion matrices: of mistaken kinds, of all kinds, of all varieties, and within each kind."""
    mistaken, everything, variety = by_kind(examination, mistaken_only=True), by_kind(examination), by_variety(examination)
    folders: dict[str, set[str]] = {}
    for i in range(len(examination.labels)):
        folders.setdefault(fruit_type(examination.folder(i)), set()).add(examination.folder(i))
    # Kinds with several varieties, or with errors.
    opened = [kind for kind in everything.rows if len(folders.get(kind, ())) > 1 or kind in mistaken.rows and kind in folders]
    mistakes, types = np.flatnonzero(examination.wrong).tolist(), examination.classifier.types
    wrong = Counter(fruit_type(examination.folder(i)) for i in mistakes)
    opened.sort(key=lambda kind: -wrong[kind])
    links = {kind: f"kind-{number}" for number, kind in enumerate(opened)}
    within = sum(fruit_type(examination.folder(i)) == types[examination.scores.types[i]] for i in mistakes)
    several = len(variety.rows) > 1 and variety.rows != everything.rows
    return {
        "within": {"wrong": len(mistakes), "within": within} if within and examination.by == "class" else None,
        "mistaken": matrix(mistaken, links=links) if mistaken.rows else None,
        "kinds": len(everything.rows),
        "everything": matrix(everything, links=links, small=len(everything.rows) > SMALL_FROM),
        "varieties": len(variety.rows),
        "by_variety": matrix(variety, small=len(variety.rows) > SMALL_FROM) if several else None,
        "opened": [_kind(examination, kind, anchor) for kind, anchor in links.items()],
    }


def _kind(examination: Evaluation, kind: str, anchor: str) -> dict[str, Any]:
    of_kind = [i for i in range(len(examination.labels)) if fruit_type(examination.folder(i)) == kind]
    counts = {"kind": Name(kind), "wrong": int(examination.wrong[of_kind].sum()), "images": len(of_kind)}
    return {"anchor": anchor, "counts": counts, "matrix": matrix(within_kind(examination, kind))}


def _reliability(examination: Evaluation) -> dict[str, Markup]:
    found = reliability(examination.scores.confidence, torch.from_numpy(~examination.wrong))
    claimed, true = examination.scores.confidence.mean().item(), examination.summary["top1"]
    gap = "fits" if abs(claimed - true) < 0.02 else "over" if claimed > true else "under"
    words = bilingual(f"report.confidence_{gap}", claimed=share_words(claimed), right=share_words(true), ece=f"{found.error:.3f}")
    return {"chart": reliability_chart(found), "words": words}


def _origin(examination: Evaluation) -> dict[str, str]:
    """What was evaluated and how, so that it can be repeated."""
    summary, config = examination.summary, examination.classifier.config
    data = Path(summary["data"]).name  # only the name, since the file is given to other people
    words = ["--data", data, "--checkpoint", _checkpoint_name(examination), "--split", summary["split"], "--by", summary["by"]]
    return {
        "command": f"python -m fruitvision evaluate {quoted(words)}",
        "network": f"{config.architecture}, {config.norm}, {len(config.classes)} classes",
        "weights": config.weights_sha256[:16],
        "learned": str(config.dataset.get("name", "")),
        "time": time.strftime("%Y-%m-%d %H:%M"),
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
    }


# Pictures --------------------------------------------------------------------------------------------------------


def _pairs(examination: Evaluation) -> list[dict[str, Any]]:
    """The pairs of kinds that are confused most, each with a typical picture and the mistakes."""
    found = []
    for pair in most_confused(examination, PAIRS):
        (first, second), (forth, back) = pair.names, pair.counts
        typical = zip(pair.names, pair.typical, strict=True)
        found.append(
            {
                "names": pair.names,
                "count": bilingual("report.pair_count", first=Name(first), second=Name(second), forth=forth, back=back),
                "typical": [
                    Card([_picture(examination, i)], bilingual("report.typical", name=Name(name))) for name, i in typical if i is not None
                ],
                "mistaken": [_card(examination, i, _answer(examination, i)) for i in pair.mistaken[:PER_PAIR]],
            }
        )
    return found


def _hardest(examination: Evaluation) -> list[Card]:
    cards, loss = [], losses(examination)
    for i in hardest(examination, HARDEST):
        answer = explained(examination, i)
        beside = [picture(answer.heatmap(), f"heatmap: {answer.fruit_type}")] if answer else []
        cards.append(_card(examination, i, _answer(examination, i, f"{loss[i]:.2f}"), *beside))
    return cards


def _accepted(examination: Evaluation) -> list[tuple[Negatives, int]]:
    """The pictures without fruit that got a confident answer, the most confident first."""
    accepted = [(one, i) for one in examination.negatives for i in torch.nonzero(one.scores.sure)[:, 0].tolist()]
    return sorted(accepted, key=lambda pair: -pair[0].scores.confidence[pair[1]].item())


def _accepted_card(examination: Evaluation, negatives: Negatives, i: int) -> Card:
    name, row = examination.names[negatives.scores.predicted[i]], negatives.rows[i]
    words = bilingual("report.taken_for", answer=Name(name), confidence=share_words(negatives.scores.confidence[i].item()))
    path = negatives.store.paths[row]
    return Card([picture(negatives.store[row], path)], words, (path,))


def _duplicates(examination: Evaluation, duplicates: Duplicates) -> list[dict[str, Any]]:
    groups = []
    for name, found in (("other_name", duplicates.other_name), ("copies", duplicates.copies), ("other_place", duplicates.other_place)):
        if found:
            words = bilingual(f"report.duplicates_{name}", count=f"{len(found):,}", measured=f"{duplicates.measured:,}")
            cards = [_duplicate(examination, duplicate) for duplicate in found[:DUPLICATES]]
            groups.append({"words": words, "count": len(found), "cards": cards})
    return groups


def _duplicate(examination: Evaluation, duplicate: Duplicate) -> Card:
    store = examination.pictures.store
    words = bilingual("report.same_file") if duplicate.same_file else bilingual("report.alike", difference=f"{duplicate.difference:.1f}")
    files = (store.paths[duplicate.row], store.paths[duplicate.other])
    return Card([picture(store[row], path) for row, path in zip((duplicate.row, duplicate.other), files, strict=True)], words, files)


def _card(examination: Evaluation, i: int, words: Markup, *beside: Markup) -> Card:
    """The card of a scored picture."""
    return Card([_picture(examination, i), *beside], words, (examination.path(i),))


def _picture(examination: Evaluation, i: int) -> Markup:
    return picture(examination.pictures.store[examination.rows[i]], examination.path(i))


def _answer(examination: Evaluation, i: int, loss: str = "") -> Markup:
    """The label and the prediction of a picture, with their probabilities."""
    scores = examination.scores
    lines = [bilingual("report.labelled", name=Name(examination.names[examination.labels[i]]), right=share_words(scores.right[i].item()))]
    answer = Name(examination.names[scores.predicted[i]])
    lines.append(bilingual("report.answered", answer=answer, confidence=share_words(scores.confidence[i].item())))
    if loss:
        lines.append(bilingual("report.loss", loss=loss))
    return Markup("<br>").join(lines)
