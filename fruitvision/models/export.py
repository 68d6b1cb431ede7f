"""A network as one ONNX file, which answers without torch: an extra, ``pip install onnx onnxscript onnxruntime``."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fruitvision.data.picture import load_pixels
from fruitvision.errors import CheckpointError
from fruitvision.files import write_bytes
from fruitvision.models.checkpoint import CheckpointConfig

LARGEST_DIFFERENCE = 1e-3
"""Between the logits of torch and of the exported file: more is no rounding."""
METADATA = "fruitvision"
"""The metadata entry that holds the checkpoint's ``config.json``: classes, transform, temperature, thresholds."""
BATCH = 16


@dataclass(frozen=True)
class ExportCheck:
    """The exported file against torch, on real pictures."""

    pictures: int
    largest_difference: float
    """Of any logit."""
    agreement: float
    """The share of inputs whose best class is the same, 0..1."""


class _Answering(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits, features, _ = self.network(x)
        return logits, features


@torch.inference_mode()
def export_onnx(network: nn.Module, config: CheckpointConfig, pictures: Sequence[Path], out: Path) -> ExportCheck:
    """Write ``out``: input "image" (N, 3, crop, crop) float32, outputs "logits" (N, C) and "features" (N, F).

    ``pictures`` are what it is checked on before the file is put in place. Raises CheckpointError "onnx-missing" where
    a package is not installed, "onnx-no-pictures" without pictures and "onnx-differs" where the check fails; PictureError
    for a picture that cannot be read; DataError where the file cannot be written.
    """
    if not pictures:
        raise CheckpointError(
            "onnx-no-pictures", "There are no pictures to check the exported network on.", "Give a folder of them: --data DIR."
        )
    try:
        import onnxruntime
        import onnxscript  # noqa: F401, torch's exporter needs it
    except ImportError as error:
        raise CheckpointError(
            "onnx-missing", "ONNX is not installed.", "Run: python -m pip install onnx onnxscript onnxruntime."
        ) from error
    answering = _Answering(network.cpu().eval()).eval()
    crop = config.transform.crop
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter uses parts of torch that torch itself calls old
        program = torch.onnx.export(
            answering, (torch.zeros(2, 3, crop, crop),), dynamo=True, verbose=False, input_names=["image"],
            output_names=["logits", "features"], dynamic_shapes=({0: torch.export.Dim("batch")},),
        )  # fmt: skip
    model = program.model_proto
    model.metadata_props.add(key=METADATA, value=config.model_dump_json())
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    differences, same = [], []
    for start in range(0, len(pictures), BATCH):
        batch = config.transform.batch([load_pixels(path) for path in pictures[start : start + BATCH]]).contiguous()
        expected = answering(batch)[0].numpy()
        (found,) = session.run(["logits"], {"image": batch.numpy()})
        differences.append(float(np.abs(found - expected).max()))
        same.append(found.argmax(1) == expected.argmax(1))
    check = ExportCheck(len(pictures), max(differences), float(np.concatenate(same).mean()))
    if not check.largest_difference <= LARGEST_DIFFERENCE:
        raise CheckpointError(
            "onnx-differs", f"The exported network's logits differ from torch's by {check.largest_difference:.2g}.",
            "Nothing was written. Install the newest onnx, onnxscript and onnxruntime.",
            difference=f"{check.largest_difference:.2g}",
        )  # fmt: skip
    write_bytes(out, content)
    return check
