"""Export a network as one ONNX file, for inference without torch; needs ``pip install onnx onnxscript onnxruntime``.

The file's metadata has the checkpoint's configuration and a SHA-256 of the file, which detects damage. Since anyone can compute a
valid checksum, :mod:`fruitvision.models.onnx.check` checks the content before ONNX Runtime reads it.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from fruitvision.data.read.picture import PictureSource, load_pixels
from fruitvision.errors import CheckpointError, Fault
from fruitvision.files import temporary_folder, write_bytes
from fruitvision.models import EXPORT_PACKAGES
from fruitvision.models.checkpoint import CheckpointConfig
from fruitvision.models.networks import NetworkOutput
from fruitvision.models.onnx.check import OnnxFile, UnsupportedOnnx
from fruitvision.models.onnx.protobuf import ProtobufError

LARGEST_DIFFERENCE = 1e-3
"""Limit on the difference between the logits of torch and of the exported float32 file."""
MIN_AGREEMENT = 0.9
"""The minimum fraction of inputs for which the int8 file must predict the same class as torch."""
METADATA, CHECKSUM = "fruitvision", "fruitvision-sha256"
"""The metadata entries that hold the checkpoint's ``config.json`` (classes, transform, temperature, thresholds), and the
SHA-256 of the file with zeros in place of that checksum."""
OUTPUTS = ("logits", "features", "maps")
BATCH = 16
MAX_BYTES = 256 * 2**20
"""Limit on a file that is opened: five times a ResNet18."""
_BLANK = "0" * 64


@dataclass(frozen=True)
class ExportCheck:
    """The comparison of an exported file with torch."""

    pictures: int
    largest_difference: float
    """The largest absolute difference of a logit."""
    agreement: float
    """The fraction of inputs with the same predicted class, 0..1."""


class OnnxNetwork(nn.Module):
    """An exported file used as a network: it computes logits and features, but has neither feature maps nor the head's weights."""

    def __init__(self, session: Any, crop: int) -> None:
        super().__init__()
        self._session, self._crop = session, crop

    def forward(self, x: Tensor) -> NetworkOutput:
        """(N, 3, crop, crop) → logits (N, C), features (N, F), no maps (N, 0, 0, 0). Raises CheckpointError for another size."""
        if x.shape[1:] != (3, self._crop, self._crop):
            self._not_in_onnx()
        # The batch size that the file was checked for.
        parts = [self._session.run(["logits", "features"], {"image": part.contiguous().numpy()}) for part in x.split(BATCH)]
        logits, features = (torch.from_numpy(np.concatenate(found)) for found in zip(*parts, strict=True))
        return NetworkOutput(logits, features, x.new_zeros((len(x), 0, 0, 0)))

    @property
    def head(self) -> NoReturn:
        """Raises CheckpointError: teaching and class activation maps need the checkpoint itself."""
        self._not_in_onnx()

    def _not_in_onnx(self) -> NoReturn:
        raise CheckpointError("onnx-answers-only")


class _Outputs(nn.Module):
    """A module that returns the first ``count`` of a network's logits, features and maps."""

    def __init__(self, network: nn.Module, count: int) -> None:
        super().__init__()
        self.network, self.count = network, count

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network(x)[: self.count])


@torch.inference_mode()
def export_onnx(
    network: nn.Module, config: CheckpointConfig, pictures: Sequence[PictureSource], out: Path, *, calibration: Sequence[PictureSource] = ()
) -> ExportCheck:
    """Write ``out``: input "image" (N, 3, crop, crop) float32, outputs "logits" (N, C) and "features" (N, F).

    With ``calibration`` pictures the file computes in int8, with per-channel weights and activation ranges from these pictures
    (static quantization, Jacob et al. 2018, arXiv:1712.05877). Before the file is moved into place it is compared with torch on
    ``pictures``. Raises CheckpointError "onnx-missing" if a package is not installed, "onnx-no-pictures" without pictures, and
    "onnx-differs" if the comparison fails; PictureError for a picture that cannot be read; DataError if the file cannot be written.
    """
    if not pictures:
        raise CheckpointError("onnx-no-pictures")
    onnxruntime = import_onnxruntime()
    network = network.cpu().eval()
    model = exported_model(network, config.transform.crop, OUTPUTS[:2])
    if calibration:
        model = _quantized(model, (batch.numpy() for batch in _inputs(config, calibration)))
    model.metadata_props.add(key=METADATA, value=config.model_dump_json())
    model.metadata_props.add(key=CHECKSUM, value=_BLANK)
    content = model.SerializeToString()
    content = content.replace(_BLANK.encode(), hashlib.sha256(content).hexdigest().encode())
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    differences, same = [], []
    for batch in _inputs(config, pictures):
        expected = network(batch)[0].numpy()
        (found,) = session.run(["logits"], {"image": batch.numpy()})
        differences.append(float(np.abs(found - expected).max()))
        same.append(found.argmax(1) == expected.argmax(1))
    check = ExportCheck(len(pictures), max(differences), float(np.concatenate(same).mean()))
    alike = check.agreement >= MIN_AGREEMENT if calibration else check.largest_difference <= LARGEST_DIFFERENCE
    if not alike:
        if calibration:
            raise CheckpointError("onnx-int8-differs", difference=check.largest_difference, agreement=check.agreement)
        raise CheckpointError("onnx-differs", difference=check.largest_difference, agreement=check.agreement)
    write_bytes(out, content)
    return check


def open_onnx(path: Path, *, threads: int = 0) -> tuple[OnnxNetwork, CheckpointConfig]:
    """Open an exported file: the network and its configuration. ``threads``: 0 lets ONNX Runtime choose their number.

    Raises CheckpointError: "onnx-missing" if ONNX Runtime is not installed, "onnx-foreign" for a file that FruitVision did not write,
    "onnx-damaged" for one that was modified, "onnx-refused" for one with anything that an exported network does not have.
    """
    onnxruntime = import_onnxruntime(exporting=False)
    content = _content(path)
    try:
        file = OnnxFile(content)
        metadata = file.properties
    except ProtobufError as error:
        raise _damaged(path) from error
    checksum = metadata.get(CHECKSUM, "")
    if METADATA not in metadata or not checksum:
        raise CheckpointError("onnx-foreign", path=str(path))
    if hashlib.sha256(content.replace(checksum.encode(), _BLANK.encode())).hexdigest() != checksum:
        raise _damaged(path)
    try:
        config = CheckpointConfig.model_validate_json(metadata[METADATA])
    except ValidationError as error:
        raise _damaged(path) from error
    crop = config.transform.crop
    try:
        file.check((BATCH, 3, crop, crop), len(config.classes))
    except UnsupportedOnnx as error:
        raise CheckpointError("onnx-refused", path=str(path), reason=error) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # raises the errors
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own classes have no common one
        raise _damaged(path) from error
    return OnnxNetwork(session, crop), config


def _content(path: Path) -> bytes:
    """The content of a file. Raises CheckpointError if it cannot be read, is not a regular file, or is too large."""
    try:
        if path.exists() and not path.is_file():
            raise CheckpointError("onnx-unreadable", path=str(path), reason=Fault("not-a-file"))
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise CheckpointError("onnx-unreadable", path=str(path), reason=error.strerror or type(error).__name__) from error
    if len(content) > MAX_BYTES:
        raise CheckpointError("onnx-too-large", path=str(path), limit=MAX_BYTES >> 20)
    return content


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError("onnx-damaged", path=str(path))


def import_onnxruntime(exporting: bool = True) -> Any:
    """The onnxruntime module. Raises CheckpointError "onnx-missing"."""
    try:
        import onnxruntime

        if exporting:
            import onnxscript  # noqa: F401, torch's exporter needs it
    except ImportError as error:
        packages = " ".join(EXPORT_PACKAGES) if exporting else "onnxruntime"
        raise CheckpointError("onnx-missing", packages=packages) from error
    return onnxruntime


def _inputs(config: CheckpointConfig, pictures: Sequence[PictureSource]) -> Iterator[Tensor]:
    for start in range(0, len(pictures), BATCH):
        yield config.transform.batch([load_pixels(picture) for picture in pictures[start : start + BATCH]]).contiguous()


def exported_model(network: nn.Module, crop: int, outputs: Sequence[str]) -> Any:
    """A network in evaluation mode, on the CPU, as an ONNX ModelProto: "image" (N, 3, crop, crop), and the first of ``OUTPUTS``."""
    answering = _Outputs(network, len(outputs)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter uses deprecated parts of torch
        program = torch.onnx.export(
            answering,
            (torch.zeros(2, 3, crop, crop),),
            dynamo=True,
            verbose=False,
            input_names=["image"],
            output_names=list(outputs),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    assert program is not None  # never None with dynamo
    return program.model_proto


def _quantized(model: Any, inputs: Iterator[np.ndarray]) -> Any:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(({"image": batch} for batch in inputs), None)

    with temporary_folder("fruitvision-export-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        preprocessed, quantized = folder / "preprocessed.onnx", folder / "int8.onnx"
        quant_pre_process(model, str(preprocessed))
        quantize_static(
            str(preprocessed),
            str(quantized),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
        )
        return onnx.load(str(quantized))
