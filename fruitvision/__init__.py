"""FruitVision learns to recognise fruit and shows why it learned.

    import fruitvision

    classifier = fruitvision.load()                  # the shipped network, or fruitvision.load("runs/mine/best")
    answer = classifier.predict("banana.jpg")
    print(answer.fruit_type, answer.confidence, answer.verdict)

Importing the package imports neither torch nor gradio, which are imported when first needed.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fruitvision.recognition.classifier import Classifier, Prediction

__version__ = "0.1.0"
__all__ = ["Classifier", "Prediction", "__version__", "load", "push"]


def load(checkpoint: str | Path | None = None) -> Classifier:
    """Load a classifier from a checkpoint folder, an exported ONNX file, the name of a shipped checkpoint, or ``hf://user/name`` of
    the Hugging Face Hub; by default the one of Classify.

    Raises:
        CheckpointError: the folder or file is missing, incomplete or damaged, or does not fit this version.
    """
    from fruitvision.models.checkpoint import find_checkpoint
    from fruitvision.recognition.classifier import Classifier

    return Classifier.from_checkpoint(find_checkpoint(checkpoint))


def push(checkpoint: str | Path, repository: str, *, private: bool = False) -> str:
    """Upload a checkpoint to the Hugging Face Hub, in a format that FruitVision and timm load; returns the page's URL.

    Raises:
        CheckpointError: the checkpoint cannot be read, or the Hub rejects it.
    """
    import tempfile

    from fruitvision.hub.repository import upload
    from fruitvision.models.checkpoint import find_checkpoint
    from fruitvision.models.published.folder import write_published

    with tempfile.TemporaryDirectory(prefix="fruitvision-push-") as folder:
        write_published(find_checkpoint(checkpoint), Path(folder))
        return upload(Path(folder), repository, private=private)


def __getattr__(name: str) -> Any:
    if name in ("Classifier", "Prediction"):
        return getattr(importlib.import_module("fruitvision.recognition.classifier"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
