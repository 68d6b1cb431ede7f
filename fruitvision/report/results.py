"""A network's errors, for the app's page: the confusion matrix, and the confused pairs and pictures. Needs no gradio.

They are stored as JSON beside the report and never as HTML, since a run's folder may come from somebody else and is not trusted.
"""

from __future__ import annotations

import base64
import errno
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from markupsafe import Markup
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fruitvision.files import FileCache, write_text
from fruitvision.recognition.evaluate.confusions import Confusions, by_kind, by_variety, most_confused
from fruitvision.report.bilingual import Name, bilingual, bilingual_name
from fruitvision.report.figures import hardest_meaning, interval_words, matrix, share_words, small_picture
from fruitvision.report.markup import join, tag
from fruitvision.wording.text import SPACE

if TYPE_CHECKING:
    from fruitvision.recognition.evaluate.evaluation import Evaluation

FILE = "results.json"
MAX_BYTES = 8 * 2**20
PAIRS, HARDEST, PER_PAIR = 6, 12, 3
"""The maximum number of each that is kept."""
MAX_CLASSES = 40
"""With at most this many classes the matrix is by class, otherwise by fruit type, with mistaken types only."""
MAX_MATRIX_CLASSES = 2**24
"""Limit on the characters of all names in the matrix's cells, each of which has the names of its row and its column."""
SMALL_FROM = 20
QUALITY = 78

Text = Annotated[str, Field(max_length=4096)]
Share = Annotated[float, Field(ge=0, le=1)]
Picture = Annotated[str, Field(max_length=2**17, pattern=r"^[A-Za-z0-9+/=]*$")]
"""A JPEG in base64."""


class Shown(BaseModel):
    """A picture, its label and the answer, with the probability of either."""

    model_config = ConfigDict(frozen=True)

    file: Text
    picture: Picture
    heatmap: Picture = ""
    """The class activation map of the answer over the picture."""
    label: Text
    right: Share
    answer: Text
    confidence: Share


class ConfusedPair(BaseModel):
    """Two classes that were confused, the one with more errors first."""

    model_config = ConfigDict(frozen=True)

    names: tuple[Text, Text]
    counts: tuple[int, int]
    typical: tuple[Shown | None, Shown | None]
    """The best recognized picture of each; None if none was recognized."""
    mistaken: tuple[Shown, ...] = Field(max_length=PER_PAIR)


class Results(BaseModel):
    """A network's results on a split."""

    model_config = ConfigDict(frozen=True)

    split: Text
    images: int = Field(ge=0)
    wrong: int = Field(ge=0)
    rows: tuple[Text, ...] = Field(max_length=400)
    columns: tuple[Text, ...] = Field(max_length=400)
    counts: tuple[tuple[Annotated[int, Field(ge=0, lt=2**53)], ...], ...]
    pairs: tuple[ConfusedPair, ...] = Field(max_length=PAIRS)
    hardest: tuple[Shown, ...] = Field(max_length=HARDEST)

    @model_validator(mode="after")
    def _is_a_matrix(self) -> Results:
        if len(self.counts) != len(self.rows) or any(len(row) != len(self.columns) for row in self.counts):
            raise ValueError("the counts are no matrix of the rows and columns")
        return self


def write_results(folder: Path, examination: Evaluation) -> Path:
    """Write ``results.json`` into ``folder``, atomically. Raises DataError."""
    path = folder / FILE
    write_text(path, results_of(examination).model_dump_json())
    return path


def read_results(folder: Path) -> Results | None:
    """Read what :func:`write_results` wrote; None if it is missing or cannot be read."""
    try:
        return _known(str(folder / FILE))
    except (OSError, ValidationError):
        return None


def _read(path: str) -> Results:
    found = Results.model_validate_json(Path(path).read_bytes())
    drawn = len(found.columns) * sum(map(len, found.rows)) + len(found.rows) * sum(map(len, found.columns))
    if drawn > MAX_MATRIX_CLASSES:  # 3 MB of names would become gigabytes of HTML
        raise OSError(errno.EFBIG, "a matrix that cannot be drawn", path)
    return found


_known = FileCache(_read, 8, max_bytes=MAX_BYTES)


def results_of(examination: Evaluation) -> Results:
    """The most confused pairs, the hardest pictures with class activation maps, and a matrix of limited size."""
    from fruitvision.recognition.evaluate.findings import hardest

    found = by_variety(examination)
    if max(len(found.rows), len(found.columns)) > MAX_CLASSES:
        found = by_kind(examination)
        if len(found.rows) > MAX_CLASSES:
            found = by_kind(examination, mistaken_only=True)
    pairs = [
        ConfusedPair(
            names=pair.names,
            counts=pair.counts,
            typical=(_shown_if(examination, pair.typical[0]), _shown_if(examination, pair.typical[1])),
            mistaken=tuple(_shown(examination, i) for i in pair.mistaken[:PER_PAIR]),
        )
        for pair in most_confused(examination, PAIRS)
    ]
    return Results(
        split=examination.summary["split"],
        images=examination.summary["images"],
        wrong=int(examination.wrong.sum()),
        rows=found.rows[:400],
        columns=found.columns[:400],
        counts=tuple(tuple(row) for row in found.counts[:400, :400].tolist()),
        pairs=tuple(pairs),
        hardest=tuple(_shown(examination, i, heatmap=True) for i in hardest(examination, HARDEST)),
    )


def _shown_if(examination: Evaluation, i: int | None) -> Shown | None:
    return None if i is None else _shown(examination, i)


def _shown(examination: Evaluation, i: int, *, heatmap: bool = False) -> Shown:
    from fruitvision.recognition.evaluate.findings import explained

    pixels, scores = examination.pictures.store[examination.rows[i]], examination.scores
    answered = explained(examination, i) if heatmap else None
    return Shown(
        file=examination.path(i)[:4096],
        picture=_jpeg(pixels),
        heatmap=_jpeg(answered.heatmap()) if answered else "",
        label=examination.names[examination.labels[i]],
        right=min(scores.right[i].item(), 1.0),
        answer=examination.names[scores.predicted[i]],
        confidence=min(scores.confidence[i].item(), 1.0),
    )


def _jpeg(pixels: np.ndarray | Image.Image) -> str:
    buffer = io.BytesIO()
    small_picture(pixels).save(buffer, "JPEG", quality=QUALITY)
    return base64.b64encode(buffer.getvalue()).decode()


# As HTML -----------------------------------------------------------------------------------------------------------


def results_html(results: Results, language: str) -> Markup:
    """The results as HTML in a language; ``data-language`` hides text in the other one."""
    facts = {"wrong": f"{results.wrong:,}", "images": f"{results.images:,}"}
    lead = [bilingual("report.results_lead" if results.wrong else "report.results_none_wrong", **facts)]
    if few := interval_words(1 - results.wrong / max(results.images, 1), results.images):
        lead.append(bilingual("report.few", **few))
    parts = [tag("p", Markup(SPACE[language]).join(lead))]
    if results.rows:
        found = Confusions(results.rows, results.columns, np.array(results.counts, np.int64).reshape(len(results.rows), -1))
        drawn = matrix(found, small=len(found.rows) > SMALL_FROM, language=language)
        parts.append(_section("matrix", bilingual("report.results_matrix"), drawn))
    if results.pairs:
        parts.append(_section("pairs", bilingual("report.pairs_meaning"), map(_pair, results.pairs)))
    if results.hardest:
        pictures = tag("div", [_figure(one) for one in results.hardest], class_="fv-results-pictures")
        parts.append(_section("hardest", hardest_meaning(any(one.heatmap for one in results.hardest)), pictures))
    return tag("div", parts, class_="fv-results", data_language=language)


def _section(name: str, meaning: Markup, *content: object) -> Markup:
    return tag("section", tag("h3", bilingual(f"report.{name}")), tag("p", meaning, class_="fv-note"), content, class_=f"fv-results-{name}")


def _pair(pair: ConfusedPair) -> Markup:
    (first, second), (forth, back) = pair.names, pair.counts
    heading = tag("h4", bilingual_name(first), " ⇄ ", bilingual_name(second))
    count = tag("p", bilingual("report.pair_count", first=Name(first), second=Name(second), forth=forth, back=back))
    # Earlier versions kept a picture even if none was recognized.
    typical = [_figure(one, typical=True) for one in pair.typical if one and one.answer == one.label]
    return tag("article", heading, count, tag("div", typical, map(_figure, pair.mistaken), class_="fv-results-pictures"))


def _figure(one: Shown, *, typical: bool = False) -> Markup:
    if typical:
        words = bilingual("report.typical", name=Name(one.label))
    else:
        right = bilingual("report.labelled", name=Name(one.label), right=share_words(one.right))
        words = join([right, tag("br"), bilingual("report.answered", answer=Name(one.answer), confidence=share_words(one.confidence))])
    heatmap = _image(one.heatmap, f"heatmap: {one.answer}") if one.heatmap else None
    caption = tag("figcaption", words, tag("small", one.file))
    return tag("figure", _image(one.picture, one.file), heatmap, caption, class_="fv-results-typical" if typical else None)


def _image(picture: str, words: str) -> Markup:
    width, height = _size(picture)  # with them the page reserves the space before the picture is decoded
    source = f"data:image/jpeg;base64,{picture}"
    return tag("img", src=source, width=width, height=height, alt=words, decoding="async", loading="lazy")


def _size(picture: str) -> tuple[int, int] | tuple[None, None]:
    """Width and height of a JPEG in base64, from its header; None for what is no JPEG."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(picture)), formats=("JPEG",)) as image:
            return image.size
    except (OSError, ValueError, Image.DecompressionBombError):
        return None, None
