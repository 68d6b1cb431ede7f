"""A few-shot head, which adds classes that the user taught with a few pictures to those of the network.

Two questions are separate. *Is this one of the taught classes at all?* A gate answers with a probability g, from the similarity
of the picture to the taught ones. *Which of them?* A ridge classifier on the features of the last pooling answers. The joint
probabilities are (1 - g) times the network's, class by class, and g times those of the taught names. Below ``SHUT`` the gate is
shut, g is 0, and the network's answer is unchanged: a small g would still name what was taught where the network sees no fruit,
since nothing else is left to name.

The gate has seven inputs: the similarity of the features, and how much less it is than that of the taught pictures to each other;
the similarity of the network's outputs, as directions of its logits and as probabilities of fruit types; where the name is a type
that the network knows, how much less it believes in that type than for the taught pictures; the number of pictures of the name;
and the number of names. Its weights were fitted once (logistic regression) on two hundred teaching sessions, each with a network
that had not learned from the session's source: one to five kinds of one source, or one source of things that are no fruit, taught
with one to five pictures, then tested on other pictures of these, on other kinds of the same source that the network had right by
itself, and on pictures of other sources. Photos of the grocery shops, on a cloth (ms-learn), of clothes, packages and the sets
azure-samples and boss-mmi were not used for that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from fruitvision.data.fruits import NO_FRUIT_NAMES, NOT_FRUIT
from fruitvision.recognition.calibration import sums_by_type

if TYPE_CHECKING:
    from fruitvision.models.checkpoint import Thresholds

GATE = {"responses": 4.1, "features": 7.3, "apart": -1.7, "types": 0.47, "own": 0.65, "pictures": -0.87, "names": -0.53}
GATE_BIAS = -5.4
"""1.1 below the value at which one in a hundred pictures of left-out sources passes, since pictures of a source on which the network
was trained are more similar to each other. A higher bias favours taught names at the cost of the network's own classes."""
SHUT = 0.5
"""The probability below which the gate is shut."""
MIN_COUNT, MAX_COUNT = 1, 8
"""The bounds to which the gate clamps the number of pictures."""
ALONE = 0.15
"""How much less similar a second picture is to the first than the first one's own views are."""
RIDGE = 0.3
SURE, SURE_COUNT = 0.8, 3
"""A taught name is "sure" from this probability on, and from this number of pictures on. With five pictures of a carton, or of a
fruit, 76% of its other pictures are then "sure"; 6% of the other cartons on the same shelves, which are what is most like it, are too,
and none of other fruit of the same source (0.5 would be 96%, 44% and 1%). With one picture it is 72%, 22% and 0.4%."""
SHARPNESS = 14.0
"""The factor from ridge scores, which are about 0 or 1, to logits."""
MAX_ROWS = 10_000
"""The maximum number of views for fitting the ridge classifier: with more pictures, fewer views of each are used."""


class Embedding(NamedTuple):
    """A network's outputs for one taught picture."""

    features: Tensor
    """(V, F): row 0 of the picture as it is classified, then those of augmented views."""
    probabilities: Tensor
    """(C,) by class, after temperature."""


class TaughtHead:
    """The fitted head for one network. Immutable and thread-safe.

    Args:
        examples: a name and embedding for each picture.
        head: (C, F), the weight of the network's last layer.
        classes: the names of the C classes.
        fruit_types: the fruit type of each class.
    """

    def __init__(self, examples: Sequence[tuple[str, Embedding]], head: Tensor, classes: Sequence[str], fruit_types: Sequence[str]) -> None:
        self.names = tuple(dict.fromkeys(name for name, _ in examples))
        known = {**dict(zip(classes, fruit_types, strict=True)), **{one: one for one in fruit_types}}
        self.fruit_types = tuple(NOT_FRUIT if name in NO_FRUIT_NAMES else known.get(name, name) for name in self.names)
        self._name_of = torch.tensor([self.names.index(name) for name, _ in examples])
        self._counts = torch.bincount(self._name_of, minlength=len(self.names))
        self._head = (head - head.mean(dim=0)).float().cpu()
        kinds = {name: place for place, name in enumerate(dict.fromkeys(fruit_types))}
        self._type_of, self._types_count = torch.tensor([kinds[one] for one in fruit_types]), len(kinds)
        views = torch.stack([one.features for _, one in examples]).float()
        self._features = F.normalize(F.normalize(views, dim=2).mean(dim=1), dim=1)
        self._responses = F.normalize(self._response(views).mean(dim=1), dim=1)
        outputs = torch.stack([one.probabilities for _, one in examples]).float()
        self._types = self._roots(outputs)
        self._known = torch.tensor([kinds.get(one, -1) for one in self.fruit_types])
        self._own = torch.stack([self._by_type(outputs[self._name_of == n])[:, k].mean() for n, k in enumerate(self._known)])
        self._own_similarity = torch.stack([self._similarity_within(views, n) for n in range(len(self.names))])
        rows = views[:, : max(MAX_ROWS // len(examples), 1)]
        self._weight, self._bias = _ridge(F.normalize(rows, dim=2), self._name_of, self._counts)

    def join(self, probabilities: Tensor, features: Tensor) -> Tensor:
        """The network's probabilities (N, C) and features (N, F) → (N, C + T): the classes, followed by the T taught names."""
        gate = self._gate(probabilities, features)[:, None]
        scores = F.normalize(features.float(), dim=1) @ self._weight + self._bias
        return torch.cat(((1 - gate) * probabilities, gate * torch.softmax(SHARPNESS * scores, dim=1)), dim=1)

    def extended_weight(self, weight: Tensor) -> Tensor:
        """(C + T, F): the last layer's weight, followed by the mean features of each taught name, for heatmaps."""
        means = torch.stack([self._features[self._name_of == n].mean(dim=0) for n in range(len(self.names))])
        means = F.normalize(means, dim=1) * weight.norm(dim=1).mean().cpu()
        return torch.cat((weight, means.to(weight)))

    def thresholds(self, own: Thresholds, label: str = "") -> Thresholds:
        """The network's thresholds, changed for the taught name ``label``; "" for an answer of the network's own.

        A network without a "not-fruit" threshold gets one for a name that was taught as no fruit. A taught name is "sure" from
        ``SURE`` on, since the network's own threshold is for photos of unseen sources, which the user's pictures are not; it is never
        "sure" with fewer than ``SURE_COUNT`` pictures.
        """
        changed = {}
        if NOT_FRUIT in self.fruit_types:
            changed["not_fruit"] = min(own.not_fruit, 0.5)
        if label in self.names:
            few = self._counts[self.names.index(label)] < SURE_COUNT
            changed["unsure"] = 1.0 if few else min(own.unsure, SURE)
        return own.model_copy(update=changed) if changed else own

    def _gate(self, probabilities: Tensor, features: Tensor) -> Tensor:
        """(N,): the probability that a picture shows one of the taught classes; 0 if that is below ``SHUT``."""
        similarity = torch.stack(
            (
                self._nearest(self._response(features.float()) @ self._responses.T),
                self._nearest(F.normalize(features.float(), dim=1) @ self._features.T),
                self._nearest(self._roots(probabilities) @ self._types.T),
            )
        )
        best = (similarity[0] + similarity[1]).argmax(dim=1, keepdim=True)
        responses, like, types = similarity.gather(2, best.expand(3, -1, 1))[:, :, 0]
        odds = GATE["responses"] * responses + GATE["features"] * like + GATE["types"] * torch.log(types + 0.01)
        believed = torch.log((self._by_type(probabilities)[:, self._known] + 0.01) / (self._own + 0.01)).clamp(max=0)
        own = torch.where(self._known >= 0, believed, 0.0).gather(1, best)[:, 0]
        odds += GATE["apart"] * (self._own_similarity[best[:, 0]] - like) + GATE["own"] * own
        odds += GATE["pictures"] * torch.log(self._counts[best[:, 0]].clamp(MIN_COUNT, MAX_COUNT).float())
        gate = torch.sigmoid(odds + GATE["names"] * math.log(len(self.names)) + GATE_BIAS)
        return torch.where(gate < SHUT, 0.0, gate)

    def _similarity_within(self, views: Tensor, name: int) -> Tensor:
        """The mean similarity of a name's pictures to the nearest third of its others; of a single one to its views, less ``ALONE``."""
        own = self._features[self._name_of == name]
        if len(own) == 1:
            first, *more = F.normalize(views[self._name_of == name][0], dim=1)
            return first @ F.normalize(torch.stack(more).mean(dim=0), dim=0) - ALONE
        similarity = (own @ own.T).fill_diagonal_(-2)
        return similarity.topk(max(math.ceil((len(own) - 1) / 3), 1), dim=1).values.mean()

    def _nearest(self, similarity: Tensor) -> Tensor:
        """(N, pictures) → (N, names): the mean over the nearest third of each name's pictures."""
        found = []
        for n, count in enumerate(self._counts.tolist()):
            own = similarity[:, self._name_of == n]
            found.append(own.topk(max(math.ceil(count / 3), 1), dim=1).values.mean(dim=1))
        return torch.stack(found, dim=1)

    def _response(self, features: Tensor) -> Tensor:
        """Features (…, F) → unit vectors (…, C) of their logits, without biases and their mean over classes."""
        logits = features @ self._head.T
        return F.normalize(logits - logits.mean(dim=-1, keepdim=True), dim=-1)

    def _roots(self, probabilities: Tensor) -> Tensor:
        """By class → square roots of those by fruit type, whose inner products are Bhattacharyya coefficients."""
        return self._by_type(probabilities).clamp(min=0).sqrt()

    def _by_type(self, probabilities: Tensor) -> Tensor:
        return sums_by_type(probabilities, self._type_of, self._types_count)


def _ridge(views: Tensor, name_of: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Closed-form ridge regression onto the names, each name weighted equally: weight (F, T) and bias (T,).

    views: (n, V, F). Solved in the primal or the dual, whichever is smaller.
    """
    rows = views.flatten(0, 1)
    labels = name_of.repeat_interleave(views.shape[1])
    targets = F.one_hot(labels, len(counts)).float()
    shares = (1 / (len(counts) * views.shape[1] * counts.float()))[labels][:, None]  # their sum is 1
    centre, middle = (shares * rows).sum(dim=0), (shares * targets).sum(dim=0)
    x, y = (rows - centre) * shares.sqrt(), (targets - middle) * shares.sqrt()
    wide = len(x) > x.shape[1]
    gram = x.T @ x if wide else x @ x.T
    gram.diagonal().add_(RIDGE * gram.trace() / len(labels) + 1e-6)
    weight = torch.linalg.solve(gram, x.T @ y) if wide else x.T @ torch.linalg.solve(gram, y)
    return weight, middle - centre @ weight
