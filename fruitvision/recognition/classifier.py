"""Classify pictures with a checkpoint's network.

Preprocessing is that of validation and ``evaluate``: ``load_pixels`` reduces a picture as the image store does, and the checkpoint's
evaluation transform turns it into the network's input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from fruitvision.data.augment.transforms import MAX_PIXELS, EvalTransform, Views
from fruitvision.data.fruits import NOT_FRUIT
from fruitvision.data.read.formats.picture_file import Note
from fruitvision.data.read.picture import PictureSource, load_capped, load_pixels, load_with_note, open_picture, to_array
from fruitvision.data.read.rgb import SHORT_SIDE
from fruitvision.models.checkpoint import ONNX_SUFFIX, CheckpointConfig, load_checkpoint
from fruitvision.models.compiled import CompiledNetwork, compile_openvino
from fruitvision.models.onnx.export import OnnxNetwork, open_onnx
from fruitvision.models.prepacked import prepack
from fruitvision.recognition.calibration import Verdict, probabilities_of, sums_by_type, verdict
from fruitvision.recognition.heatmap import ActivationMap, class_activation
from fruitvision.recognition.taught_head import TaughtHead
from fruitvision.recognition.white_background import on_white_background
from fruitvision.wording.text import say

GUESSES = 5
HEATMAP_ZOOM = 2
"""For a heatmap the picture is enlarged by this factor, for better localization, unless it then has more than ``MAX_PIXELS``."""
SMOOTHING = 0.6
"""The weight of the previous answer in the smoothed answer to a frame of a live view."""
BATCH_SIZE = 64
PASS_PIXELS = 2 * MAX_PIXELS
"""Limit on the pixels of one forward pass; 64 pictures of the shipped networks have 3.3 million."""
BICUBIC_OVERSAMPLING = 3
"""A picture is first reduced to this many times the transform's ``resize``, so that the bicubic resize determines the result."""


@dataclass(frozen=True)
class Guess:
    """One fruit type, its most probable variety, and the probability of the type: the sum over its varieties."""

    label: str
    fruit_type: str
    probability: float
    taught: bool = False
    """Whether that variety is a name that the user taught."""


@dataclass(frozen=True)
class Prediction:
    """The answer to one picture."""

    label: str
    fruit_type: str
    confidence: float
    """The probability of the fruit type, 0..1, after temperature."""
    verdict: Verdict
    top: tuple[Guess, ...]
    """The most probable fruit types, best first; five, or as many as there are."""
    probabilities: np.ndarray = field(repr=False, compare=False)
    """(C,) float32, for the classes in the checkpoint's order; (C + T,) followed by the T taught names, if there are any."""
    _source: PictureSource = field(repr=False, compare=False)
    _activation: Callable[[np.ndarray], ActivationMap] = field(repr=False, compare=False)
    untaught: str = ""
    """If there are taught names, the network's answer without them: a fruit type, or ``NOT_FRUIT``."""
    note: Note = ""
    """A problem with the picture's file, which could be read nevertheless: "cut-off", "leading-bytes", or nothing."""

    def as_dict(self, name: str) -> dict[str, Any]:
        """The answer as a JSON object, with the ``name`` of its picture, for ``predict --json``, the API and the MCP server."""
        return {
            "image": name,
            "label": self.label,
            "fruit_type": self.fruit_type,
            "confidence": self.confidence,
            "verdict": self.verdict,
            "top": [{"label": g.label, "fruit_type": g.fruit_type, "probability": g.probability} for g in self.top],
            **({"note": say(f"picture_notes.{self.note}", "en")} if self.note else {}),
        }

    def heatmap(self, short_side: int | None = None) -> Image.Image:
        """The class activation map of this fruit type over the picture: RGB, the size of the upright input (a JPEG of more than
        50 megapixels is read at a half, a quarter or an eighth of its width and height).

        With ``short_side``, over the picture as reduced by :func:`fruitvision.data.read.picture.load_capped`, which needs a fraction
        of the memory for a large picture. The picture is read again and passed through the network at a higher resolution: raises
        PictureError if its file no longer exists.
        """
        picture = open_picture(self._source) if short_side is None else load_capped(self._source, short_side)
        return self._activation(load_pixels(picture, SHORT_SIDE)).overlay(picture)


@dataclass(frozen=True)
class FrameContext:
    """The context in which a frame of a live view, or a single picture, is classified."""

    background: np.ndarray | None = None
    """(H, W, 3) uint8: the same view without a fruit. The part of a picture that differs from it is also classified on a white
    background."""
    previous: np.ndarray | None = None
    """(C + T,) probabilities of the previous, smoothed answer. The new one is smoothed with it, if it has the same names."""
    taught: TaughtHead | None = None
    """The head with the user's taught names. It may differ between the pictures of a batch."""


class Inference(NamedTuple):
    """The network's output for N pictures."""

    probabilities: Tensor
    """(N, C) by class, after temperature, the mean over the transform's views."""
    features: Tensor
    """(N, F), the mean over the views."""


class LabelSpace:
    """The labels that can be predicted, and their fruit types."""

    def __init__(self, labels: Sequence[str], fruit_types: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self.types = tuple(dict.fromkeys(name for name in fruit_types if name != NOT_FRUIT))
        places = {name: place for place, name in enumerate((*self.types, NOT_FRUIT))}
        self.type_of = torch.tensor([places[name] for name in fruit_types])

    def by_type(self, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """(N, labels) → (N, types), and (N,) for no fruit: sums over the labels."""
        sums = sums_by_type(probabilities, self.type_of, len(self.types) + 1).clamp(max=1.0)  # a float32 sum may slightly exceed 1
        return sums[:, :-1], sums[:, -1]


class Classifier:
    """A network with its checkpoint's configuration. Thread-safe.

    Pictures are paths, bytes, PIL images or arrays, of any mode and size. Every method that takes them raises PictureError
    for one that cannot be read.

    ``inference_network`` computes the outputs of ``network`` faster; it does not follow later changes of the weights.
    """

    def __init__(
        self, network: nn.Module, config: CheckpointConfig, path: Path | None = None, *, inference_network: nn.Module | None = None
    ) -> None:
        self.network = network.eval()
        if inference_network is None:
            inference_network = prepack(self.network, config.transform.crop)
        self.inference_network = inference_network
        self.config, self.path = config, path
        self.classes = config.classes
        self._label_space = LabelSpace(config.classes, config.fruit_types)
        self.types = self._label_space.types
        self._device = next((p.device for p in network.parameters()), torch.device("cpu"))

    @classmethod
    def from_checkpoint(cls, path: str | Path, *, prepack: bool = True) -> Classifier:
        """Load a checkpoint folder, or an ONNX file that was exported from one.

        Without ``prepack`` loading is faster, but predictions take twice as long until :meth:`use_openvino` is called.

        Raises CheckpointError if it is incomplete, damaged or does not fit.
        """
        path = Path(path)
        network, config = open_onnx(path) if path.suffix == ONNX_SUFFIX else load_checkpoint(path)
        return cls(network, config, path, inference_network=None if prepack else network)

    @property
    def head(self) -> nn.Linear:
        """The network's last layer."""
        return cast(nn.Linear, self.network.head)

    @property
    def has_heatmaps(self) -> bool:
        """Whether answers have a heatmap: those of an ONNX file have none, since it gives no feature maps."""
        return not isinstance(self.network, OnnxNetwork)

    def use_openvino(self) -> bool:
        """Switch inference to OpenVINO, if it is installed and not slower; returns whether it is used.

        Otherwise the network is prepacked, if it was not. Compiling takes about a second, during which pictures can be classified,
        and pays off for many of them. Logits and features may differ from torch's by a hundredth of their norm, see
        :mod:`fruitvision.models.compiled`.
        """
        if self.inference_network is self.network:
            self.inference_network = prepack(self.network, self.config.transform.crop)
        if not isinstance(self.inference_network, CompiledNetwork):
            self.inference_network = (
                compile_openvino(self.network, self.config.transform.crop, self.inference_network) or self.inference_network
            )
        return isinstance(self.inference_network, CompiledNetwork)

    def with_views(self, views: Views) -> Classifier:
        """A classifier with the same network and other test-time augmentation: "one" view (the fastest), "mirror" or "middle"."""
        transform = self.config.transform.with_views(views)
        config = self.config.model_copy(update={"transform": transform})
        return Classifier(self.network, config, self.path, inference_network=self.inference_network)

    @property
    def short_side(self) -> int:
        """The short side in pixels to which a picture is first reduced.

        That of the image store, as for the validation pictures of a network that was trained here. The pictures of an imported
        network are to be resized only once, by its own transform.
        """
        transform = self.config.transform
        if not self.config.imported:
            return SHORT_SIDE
        return transform.resize * (BICUBIC_OVERSAMPLING if transform.interpolation == "bicubic" else 1)

    def predict(self, image: PictureSource) -> Prediction:
        """The answer to one picture."""
        picture = load_with_note(image, self.short_side)
        return replace(self.predict_pixels([to_array(picture.image)], [image])[0], note=picture.note)

    def predict_batch(self, images: Sequence[PictureSource]) -> list[Prediction]:
        """The answers to many pictures, in order. The first one that cannot be read raises PictureError."""
        answers = []
        for start in range(0, len(images), BATCH_SIZE):
            batch = images[start : start + BATCH_SIZE]
            pictures = [load_with_note(image, self.short_side) for image in batch]
            found = self.predict_pixels([to_array(picture.image) for picture in pictures], batch)
            answers += [replace(answer, note=picture.note) for answer, picture in zip(found, pictures, strict=True)]
        return answers

    def probabilities(self, images: Sequence[PictureSource]) -> np.ndarray:
        """(N, C) float32, for the classes in the checkpoint's order."""
        found = [self.infer(pixels).probabilities.numpy() for pixels in self._loaded(images)]
        return np.concatenate(found) if found else np.zeros((0, len(self.classes)), np.float32)

    def embed(self, images: Sequence[PictureSource]) -> np.ndarray:
        """(N, F) float32: the features of the last pooling."""
        found = [self.infer(pixels).features.float().numpy() for pixels in self._loaded(images)]
        return np.concatenate(found) if found else np.zeros((0, self.head.in_features), np.float32)

    @torch.inference_mode()
    def infer(self, pixels: Sequence[np.ndarray]) -> Inference:
        """The outputs for pictures (H, W, 3) uint8 as returned by :func:`load_pixels` or the image store."""
        views = self.config.transform.num_views
        logits, features = self.forward(pixels, self.config.transform)
        probabilities = probabilities_of(logits, self.config.temperature, views).cpu()
        return Inference(probabilities, features.unflatten(0, (-1, views)).mean(dim=1).cpu())

    @torch.inference_mode()
    def forward(self, pixels: Sequence[np.ndarray], transform: EvalTransform) -> tuple[Tensor, Tensor]:
        """(N × views, C) logits and (N × views, F) features, in one forward pass, or in several of at most ``PASS_PIXELS``."""
        at_once = max(PASS_PIXELS // (transform.crop**2 * transform.num_views), 1)
        parts = [pixels[start : start + at_once] for start in range(0, len(pixels), at_once)]
        found = [self.inference_network(transform.batch(part).to(self._device))[:2] for part in parts]
        logits, features = found[0] if len(found) == 1 else map(torch.cat, zip(*found, strict=True))
        return logits, features

    @torch.inference_mode()
    def predict_pixels(
        self, pixels: Sequence[np.ndarray], sources: Sequence[PictureSource], contexts: Sequence[FrameContext] = ()
    ) -> list[Prediction]:
        """Classify loaded pictures in one forward pass; ``sources``: the original pictures, for heatmaps."""
        contexts = contexts or [FrameContext()] * len(pixels)
        found = self.infer(pixels)
        by_class = self._with_white_background(found.probabilities, pixels, contexts)
        answers = []
        for row, context in enumerate(contexts):
            probabilities, label_space = by_class[row : row + 1], self.label_space(context.taught)
            if context.taught is not None:
                probabilities = context.taught.join(probabilities, found.features[row : row + 1])
            if context.previous is not None and len(context.previous) == probabilities.shape[1]:
                probabilities = torch.lerp(probabilities, torch.from_numpy(context.previous.copy()).float(), SMOOTHING)
            answer = self._prediction(probabilities[0], label_space, sources[row], context.taught)
            answers.append(answer if context.taught is None else replace(answer, untaught=self._untaught(by_class[row : row + 1])))
        return answers

    def by_type(self, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C) by class → (N, T) by fruit type as in ``types``, and (N,) for no fruit: sums over the classes."""
        return self._label_space.by_type(probabilities)

    def label_space(self, taught: TaughtHead | None = None) -> LabelSpace:
        """The labels that can be predicted: the classes, followed by the taught names."""
        if taught is None:
            return self._label_space
        return LabelSpace(self.classes + taught.names, self.config.fruit_types + taught.fruit_types)

    @torch.inference_mode()
    def activation_map(self, pixels: np.ndarray, shares: Tensor, taught: TaughtHead | None = None) -> ActivationMap:
        """The class activation map of one loaded picture, (H, W, 3) uint8, for classes weighted by ``shares``, (C,) or (C + T,)."""
        zoom = HEATMAP_ZOOM if (HEATMAP_ZOOM * self.config.transform.crop) ** 2 <= MAX_PIXELS else 1
        maps = self.inference_network(self.config.transform.enlarged(zoom).batch([pixels]).to(self._device)).maps
        weight = self.head.weight if taught is None else taught.extended_weight(self.head.weight)
        activation = class_activation(maps, weight, shares[None].to(self._device))
        height, width = pixels.shape[:2]
        return ActivationMap(activation[0].float().cpu().numpy(), self.config.transform.crop_box(height, width), height, width)

    def _loaded(self, images: Sequence[PictureSource]) -> Iterator[list[np.ndarray]]:
        """The pixels of the pictures, in batches."""
        for start in range(0, len(images), BATCH_SIZE):
            yield [load_pixels(image, self.short_side) for image in images[start : start + BATCH_SIZE]]

    def _prediction(self, probabilities: Tensor, label_space: LabelSpace, source: PictureSource, taught: TaughtHead | None) -> Prediction:
        by_type, no_fruit = label_space.by_type(probabilities[None])
        best, types = by_type[0].topk(min(GUESSES, len(label_space.types)))
        inside = label_space.type_of == types[:, None]  # (guesses, C): which classes are of the guessed type
        likeliest = torch.where(inside, probabilities, -1.0).argmax(dim=1)
        guessed = zip(best.tolist(), types.tolist(), likeliest.tolist(), strict=True)
        known = len(self.classes)
        top = tuple(Guess(label_space.labels[c], label_space.types[t], p, taught=c >= known) for p, t, c in guessed)
        activation = partial(self.activation_map, shares=torch.where(inside[0], probabilities, 0.0) / best[0], taught=taught)
        taught_name = top[0].label if top[0].taught else ""  # a class of the network may have the same name
        thresholds = self.config.thresholds if taught is None else taught.thresholds(self.config.thresholds, taught_name)
        return Prediction(
            top[0].label,
            top[0].fruit_type,
            top[0].probability,
            verdict(top[0].probability, no_fruit.item(), thresholds),
            top,
            probabilities.numpy().copy(),
            source,
            activation,
        )

    def _untaught(self, probabilities: Tensor) -> str:
        """The fruit type with the highest probability of these, (1, C), or ``NOT_FRUIT``."""
        by_type, no_fruit = self.by_type(probabilities)
        refused = verdict(by_type.max().item(), no_fruit.item(), self.config.thresholds) == "not-fruit"
        return NOT_FRUIT if refused else self.types[int(by_type.argmax())]

    def _with_white_background(self, probabilities: Tensor, pixels: Sequence[np.ndarray], contexts: Sequence[FrameContext]) -> Tensor:
        """(N, C): if the background is known, averaged with the probabilities for the fruit segmented onto white."""
        cut = {row: on_white_background(pixels[row], one.background) for row, one in enumerate(contexts) if one.background is not None}
        cut = {row: picture for row, picture in cut.items() if picture is not None}
        if not cut:
            return probabilities
        logits, _ = self.forward(list(cut.values()), self.config.transform.with_views("one"))
        probabilities, rows = probabilities.clone(), list(cut)
        probabilities[rows] = (probabilities[rows] + probabilities_of(logits, self.config.temperature).cpu()) / 2
        return probabilities
