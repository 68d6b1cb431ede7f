"""Kinds that a person taught with a few pictures, joined to what the network knows.

Two questions are kept apart. *Is this one of the taught kinds at all?* A gate answers it with a probability g, from how
near the picture is to the taught ones. *Which of them?* A ridge classifier on the last pooling's features answers that.
The joint answer is (1 - g) times the network's own, class by class, and g times the taught names': where g is small,
what was known before is answered as before.

The gate sees five things: the likeness of the features; the likeness of the answers the network would give, as directions
of its logits and as probabilities of fruit types; how sure the network is of something by itself; and how many pictures
the name has. Its weights were fitted once (logistic regression) on three hundred lessons with both shipped networks: one
to five kinds taught with one to thirty pictures, shop photos, photos on a cloth and lab frames, asked about other pictures
of these kinds and about pictures of the others that the network got right by itself. The shop photos' ``heldout`` fifth and
the lab's test frames had no part in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from fruitvision.data.load.targets import NOT_FRUIT

if TYPE_CHECKING:
    from fruitvision.models.checkpoint import Thresholds

EMPTY_TABLE = "empty-table"
NOTHING = (NOT_FRUIT, EMPTY_TABLE)
"""Names under which a person teaches what holds no fruit: the verdict is then "not-fruit"."""

GATE = {"responses": 3.53, "features": 3.54, "types": 1.66, "doubt": 0.28, "pictures": -1.01}
GATE_BIAS = -1.4
"""0.7 lower than fitted, since the network came to find its kinds more alike than those that the gate was fitted with. What was
right before is to stay right: a higher one gives new names more and takes more from untaught kinds."""
FEW, ENOUGH = 2, 5
"""As so few pictures a single one counts for the gate, lest it opens too wide; as so many, any larger number."""
RIDGE = 0.3
SURE = 0.5
"""The probability from which on a taught name is answered as sure."""
SHARPNESS = 14.0
"""From ridge scores, which lie about 0 and 1, to logits."""
MOST_ROWS = 10_000
"""Views that the ridge classifier is fitted on at most. Of many pictures fewer views are needed."""


class Impression(NamedTuple):
    """What a network saw in one taught picture."""

    features: Tensor
    """(V, F): row 0 as the network answers by, then those of augmented views."""
    probabilities: Tensor
    """(C,) by class, after temperature."""


class Taught:
    """What was taught one network, fitted. It does not change; many threads may ask it.

    Args:
        lessons: a (name, impression) for each picture.
        head: (C, F), the weight of the network's last layer.
        classes: the C classes' names.
        fruit_types: of each class.
    """

    def __init__(self, lessons: Sequence[tuple[str, Impression]], head: Tensor, classes: Sequence[str], fruit_types: Sequence[str]) -> None:
        self.names = tuple(dict.fromkeys(name for name, _ in lessons))
        known = {**dict(zip(classes, fruit_types, strict=True)), **{one: one for one in fruit_types}}
        self.fruit_types = tuple(NOT_FRUIT if name in NOTHING else known.get(name, name) for name in self.names)
        self._name_of = torch.tensor([self.names.index(name) for name, _ in lessons])
        self._counts = torch.bincount(self._name_of, minlength=len(self.names))
        self._head = (head - head.mean(dim=0)).float().cpu()
        kinds = list(dict.fromkeys(fruit_types))
        self._membership = F.one_hot(torch.tensor([kinds.index(one) for one in fruit_types]), len(kinds)).float()
        views = torch.stack([one.features for _, one in lessons]).float()
        self._features = F.normalize(F.normalize(views, dim=2).mean(dim=1), dim=1)
        self._responses = F.normalize(self._response(views).mean(dim=1), dim=1)
        self._types = self._roots(torch.stack([one.probabilities for _, one in lessons]).float())
        rows = views[:, : max(MOST_ROWS // len(lessons), 1)]
        self._weight, self._bias = _ridge(F.normalize(rows, dim=2), self._name_of, self._counts)

    def join(self, probabilities: Tensor, features: Tensor) -> Tensor:
        """The network's (N, C) probabilities and (N, F) features → (N, C + T), the taught names behind the classes."""
        gate = self._gate(probabilities, features)[:, None]
        scores = F.normalize(features.float(), dim=1) @ self._weight + self._bias
        return torch.cat(((1 - gate) * probabilities, gate * torch.softmax(SHARPNESS * scores, dim=1)), dim=1)

    def beside(self, weight: Tensor) -> Tensor:
        """(C + T, F): a last layer's weight, and behind it what speaks for each taught name, for heatmaps."""
        means = torch.stack([self._features[self._name_of == n].mean(dim=0) for n in range(len(self.names))])
        means = F.normalize(means, dim=1) * weight.norm(dim=1).mean().cpu()
        return torch.cat((weight, means.to(weight)))

    def thresholds(self, own: Thresholds, label: str = "") -> Thresholds:
        """The network's thresholds for an answer ``label``, beside what was taught.

        One that never says "not-fruit" by itself says it of what was taught to be none. A taught name is sure from
        ``SURE`` on: the network's own threshold is that of strangers' photographs, and this is no stranger.
        """
        changed = {}
        if NOT_FRUIT in self.fruit_types:
            changed["not_fruit"] = min(own.not_fruit, 0.5)
        if label in self.names:
            changed["unsure"] = min(own.unsure, SURE)
        return own.model_copy(update=changed) if changed else own

    def _gate(self, probabilities: Tensor, features: Tensor) -> Tensor:
        """(N,): the probability that a picture shows one of the taught kinds."""
        likeness = torch.stack(
            (
                self._nearest(self._response(features.float()) @ self._responses.T),
                self._nearest(F.normalize(features.float(), dim=1) @ self._features.T),
                self._nearest(self._roots(probabilities) @ self._types.T),
            )
        )
        best = (likeness[0] + likeness[1]).argmax(dim=1, keepdim=True)
        responses, like, types = likeness.gather(2, best.expand(3, -1, 1))[:, :, 0]
        doubt = torch.log(1 - (probabilities @ self._membership).max(dim=1).values.clamp(max=1) + 0.003)
        odds = GATE["responses"] * responses + GATE["features"] * like + GATE["types"] * torch.log(types + 0.01)
        odds += GATE["doubt"] * doubt + GATE["pictures"] * torch.log(self._counts[best[:, 0]].clamp(FEW, ENOUGH).float())
        return torch.sigmoid(odds + GATE_BIAS)

    def _nearest(self, likeness: Tensor) -> Tensor:
        """(N, pictures) → (N, names): the mean over the nearest third of each name's pictures."""
        found = []
        for n, count in enumerate(self._counts.tolist()):
            own = likeness[:, self._name_of == n]
            found.append(own.topk(max(math.ceil(count / 3), 1), dim=1).values.mean(dim=1))
        return torch.stack(found, dim=1)

    def _response(self, features: Tensor) -> Tensor:
        """Features (…, F) → directions (…, C) of their logits, biases and what all classes share apart."""
        logits = features @ self._head.T
        return F.normalize(logits - logits.mean(dim=-1, keepdim=True), dim=-1)

    def _roots(self, probabilities: Tensor) -> Tensor:
        """By class → the roots of those by fruit type, whose products are Bhattacharyya's coefficients."""
        return (probabilities @ self._membership).clamp(min=0).sqrt()


def _ridge(views: Tensor, name_of: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Closed-form ridge regression onto the names, each name counting alike: weight (F, T) and bias (T,).

    views: (n, V, F). Solved over rows or over features, whichever are fewer.
    """
    rows = views.flatten(0, 1)
    labels = name_of.repeat_interleave(views.shape[1])
    targets = F.one_hot(labels, len(counts)).float()
    shares = (1 / (len(counts) * views.shape[1] * counts.float()))[labels][:, None]  # of the sum 1
    centre, middle = (shares * rows).sum(dim=0), (shares * targets).sum(dim=0)
    x, y = (rows - centre) * shares.sqrt(), (targets - middle) * shares.sqrt()
    wide = len(x) > x.shape[1]
    gram = x.T @ x if wide else x @ x.T
    gram.diagonal().add_(RIDGE * gram.trace() / len(labels) + 1e-6)
    weight = torch.linalg.solve(gram, x.T @ y) if wide else x.T @ torch.linalg.solve(gram, y)
    return weight, middle - centre @ weight
