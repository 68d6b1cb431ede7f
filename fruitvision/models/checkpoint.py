"""The checkpoint folder: ``model.safetensors``, ``config.json`` and ``README.md``.

Nothing is ever unpickled. The configuration holds everything that inference needs (classes in order, the evaluation transform,
temperature, thresholds), and checksums of the weights and of itself, so that mismatched or damaged files are detected. Finding a
folder and reading its configuration do not import torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.data.fruits import MAX_CLASSES, MAX_NAME, NOT_FRUIT
from fruitvision.errors import CheckpointError, ConfigError, Fault, faults_of, quoted
from fruitvision.files import checksum_matches, clean_path, current_folder, json_with_checksum, replace_folder, write_error, write_text
from fruitvision.hub.repository import fetch, is_repository
from fruitvision.models import OWN
from fruitvision.models.card import model_card
from fruitvision.models.norms import NORMS
from fruitvision.models.records import check_records
from fruitvision.models.weights_header import check_header

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fruitvision.models.networks import Network

SCHEMA_VERSION = 1
DEFAULTS = ("fruits-webcam", "fruits-360")
"""The shipped networks, Classify's default first."""
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
EMBEDDED, TRUNK = "fruitvision", "trunk."
"""In a folder in the Hub's format (:mod:`fruitvision.models.published`): the key of this configuration in ``config.json``, beside
timm's fields, and the prefix that timm's parameter names do not have."""
MAX_CONFIG_BYTES = 64 * 2**20
"""Limit on config.json; that of a thousand classes has about 100 KB."""
ALWAYS_ALLOWED = 12_000_000
"""A network may have this many parameters (48 MB) whatever the size of its file, so that the error can name what does not fit."""
ONNX_SUFFIX = ".onnx"
"""The suffix of an exported file, which can be used in place of a checkpoint folder."""
WEIGHTS_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")
"""The suffixes of weights of other programs, which :mod:`fruitvision.models.imported` can import."""


class Thresholds(BaseModel):
    """The thresholds that determine an answer's verdict, for probabilities after temperature scaling."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unsure: Annotated[float, Field(ge=0, le=1, description="Below this probability of its fruit type an answer is 'unsure'.")] = 0.6
    not_fruit: Annotated[float, Field(ge=0, le=1, description="From this probability of 'no fruit' on: 'not-fruit'; 1 never.")] = 1.0


class CheckpointConfig(BaseModel):
    """The content of ``config.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    architecture: str = "resnet18"
    width: Annotated[int, Field(ge=1, le=4096)] = 64
    norm: str = "batch"
    classes: Annotated[tuple[Annotated[str, Field(max_length=MAX_NAME)], ...], Field(max_length=MAX_CLASSES)]
    fruit_types: tuple[Annotated[str, Field(max_length=MAX_NAME)], ...]
    transform: EvalTransform
    temperature: Annotated[float, Field(gt=0, le=100)] = 1.0
    thresholds: Thresholds = Thresholds()
    training: dict[str, Any] = {}
    start: str = "scratch"
    dataset: dict[str, Any] = {}
    metrics: dict[str, dict[str, Any]] = {}
    versions: dict[str, str] = {}
    left_out: dict[str, Any] = {}
    """Accuracy on left-out sources of photos, from :func:`fruitvision.recognition.evaluate.left_out.summarize_sources`."""
    imported: dict[str, Any] = {}
    """Where the weights of other programs come from, see :mod:`fruitvision.models.imported`. Empty for a network trained here."""
    notes: str = ""
    """Additional Markdown for the model card."""
    weights_sha256: str = ""
    config_sha256: str = ""
    """The checksum of all other entries, see :func:`fruitvision.files.json_with_checksum`; empty in older checkpoints."""

    @property
    def types(self) -> tuple[str, ...]:
        """The fruit types of the classes."""
        return tuple(dict.fromkeys(name for name in self.fruit_types if name != NOT_FRUIT))

    @model_validator(mode="after")
    def _fits(self) -> CheckpointConfig:
        if self.schema_version > SCHEMA_VERSION:
            raise Fault("newer-schema", version=self.schema_version)
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise Fault("classes-not-different")
        if len(self.fruit_types) != len(self.classes):
            raise Fault("fruit-types-of-classes", types=len(self.fruit_types), classes=len(self.classes))
        if self.norm not in NORMS and self.norm != OWN:
            raise Fault("norm-of-checkpoint", norm=self.norm[:60])
        check_records(self)
        return self


def versions() -> dict[str, str]:
    """The versions of the libraries and the platform, as recorded in checkpoints and runs."""
    import platform
    from importlib.metadata import version

    import torch

    from fruitvision import __version__

    return {
        "fruitvision": __version__,
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def save_checkpoint(folder: Path, network: nn.Module, config: CheckpointConfig, *, half: bool = False) -> Path:
    """Write the checkpoint folder atomically: a reader sees the old one or the new one, never a mixture.

    ``half`` stores float16; loading converts to float32. Raises DataError ("disk-full", "cannot-write").
    """
    import safetensors.torch

    folder = Path(folder)
    weights = {name: stored_tensor(value, half) for name, value in network.state_dict().items()}
    metadata = {"format": "pt", "norm": config.norm, "architecture": config.architecture}
    content = safetensors.torch.save(weights, metadata)
    config = config.model_copy(update={"weights_sha256": hashlib.sha256(content).hexdigest()})
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    try:
        beside.mkdir(parents=True, exist_ok=True)
        files = {
            WEIGHTS: content,
            CONFIG: json_with_checksum(config.model_dump(mode="json")).encode(),
            CARD: model_card(config.model_dump(mode="json")).encode(),
        }
        for name, data in files.items():
            with (beside / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        replace_folder(beside, folder)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise write_error(error, folder) from error
    return folder


def record_metrics(folder: Path, name: str, figures: dict[str, Any]) -> None:
    """Record the metrics on a dataset called ``name`` in a checkpoint's configuration and card.

    The weights file is not changed. Raises CheckpointError, DataError.
    """
    _rewrite(folder, metrics={**read_config(folder).metrics, name: figures})


def record_calibration(folder: Path, temperature: float, thresholds: Thresholds, left_out: dict[str, Any]) -> None:
    """Set the temperature and thresholds fitted on left-out sources, and record the accuracy on these.

    The weights file is not changed. Raises CheckpointError, DataError.
    """
    _rewrite(folder, temperature=temperature, thresholds=thresholds, left_out=left_out)


def _rewrite(folder: Path, **changed: Any) -> None:
    """Rewrite a checkpoint's configuration and card with some fields changed."""
    folder = current_folder(Path(folder))
    config = read_config(folder).model_copy(update=changed)
    write_text(folder / CARD, model_card(config.model_dump(mode="json")))
    write_text(folder / CONFIG, json_with_checksum(config.model_dump(mode="json")))


def stored_tensor(value: Tensor, half: bool) -> Tensor:
    """A tensor as stored in a checkpoint: on the CPU, floats in half precision if ``half``."""
    value = value.detach().cpu().contiguous()
    return value.half() if half and value.is_floating_point() else value


def read_config(folder: Path) -> CheckpointConfig:
    """Read ``config.json`` alone. Raises CheckpointError, which names the file and the fault."""
    folder = current_folder(Path(folder))
    path = folder / CONFIG
    if not folder.is_dir():
        raise _no_folder(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise CheckpointError("checkpoint-incomplete", path=str(folder), file=name)
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise CheckpointError("checkpoint-config-too-large", path=str(path), limit=MAX_CONFIG_BYTES >> 20)
    content = _own_part(path.read_bytes())
    try:
        config = CheckpointConfig.model_validate_json(content)
    except ValidationError as error:
        if _is_of_a_hub(content):
            raise CheckpointError("checkpoint-weights-file", path=str(folder), given=quoted([str(folder)])) from error
        raise CheckpointError("checkpoint-config", path=str(path), faults=faults_of(error)[:8]) from error
    if not checksum_matches(json.loads(content)):
        raise CheckpointError("checkpoint-config-changed", path=str(path))
    return config


def _own_part(content: bytes) -> bytes:
    """FruitVision's part of a ``config.json`` that timm reads as well; any other content unchanged."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return content
    own = values.get(EMBEDDED) if isinstance(values, dict) else None
    return json.dumps(own).encode() if isinstance(own, dict) else content


def _is_of_a_hub(content: bytes) -> bool:
    """Whether a ``config.json`` is one of timm's or transformers' on the Hugging Face Hub, rather than a damaged one of FruitVision's."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(values, dict) and "classes" not in values and not {"num_classes", "pretrained_cfg", "model_type"}.isdisjoint(values)


def load_checkpoint(folder: Path) -> tuple[Network, CheckpointConfig]:
    """Load and verify a checkpoint folder: the network in evaluation mode, float32, and its configuration.

    Raises CheckpointError if a file is missing, damaged, not in safetensors format, or does not fit the configuration.
    """
    import safetensors.torch

    from fruitvision.models.networks import build_network

    config = read_config(folder)
    path = current_folder(Path(folder)) / WEIGHTS
    content = path.read_bytes()
    try:
        check_header(content)
        weights = safetensors.torch.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError("checkpoint-not-safetensors", path=str(path), reason=str(error)[:120]) from error
    _check_sizes(config, weights, path)
    try:
        network = build_network(config.architecture, num_classes=len(config.classes), norm=config.norm, width=config.width)
    except ConfigError as error:
        raise _unknown_network(config, path) from error
    if not any(name.startswith(TRUNK) for name in weights) and network.head_prefix.startswith(TRUNK):
        weights = {f"{TRUNK}{name}": value for name, value in weights.items()}
    _check_fit(network, weights, path)
    if config.weights_sha256 and hashlib.sha256(content).hexdigest() != config.weights_sha256:
        raise CheckpointError("checkpoint-damaged", path=str(path))
    network.load_state_dict({name: _loaded(value) for name, value in weights.items()}, strict=True)
    return network.eval(), config


def _check_sizes(config: CheckpointConfig, weights: dict[str, Tensor], path: Path) -> None:
    """Raise CheckpointError if the configured network is much larger than the file, before it is allocated."""
    from fruitvision.models.networks import parameter_count

    held = sum(value.numel() for value in weights.values())
    try:
        named = parameter_count(config.architecture, num_classes=len(config.classes), width=config.width)
    except ConfigError as error:
        raise _unknown_network(config, path) from error
    if named > 2 * held + ALWAYS_ALLOWED:
        raise CheckpointError("checkpoint-size", path=str(path), held=held, named=named, architecture=config.architecture)


def _unknown_network(config: CheckpointConfig, path: Path) -> CheckpointError:
    return CheckpointError("checkpoint-network", path=str(path), architecture=config.architecture, norm=config.norm)


def _loaded(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value


def _check_fit(network: Network, weights: dict[str, Tensor], path: Path) -> None:
    """Raise CheckpointError if the weights do not fit; a differing number of classes is reported first, the most likely cause."""
    own = network.state_dict()
    missing, unknown = sorted(set(own) - set(weights)), sorted(set(weights) - set(own))
    shapes = [name for name in own if name in weights and own[name].shape != weights[name].shape]
    if not (missing or unknown or shapes):
        return
    head = f"{network.head_prefix}weight"
    if head in shapes:
        expected, found = own[head].shape[0], weights[head].shape[0]
        if expected != found:
            raise CheckpointError("checkpoint-classes", path=str(path), found=found, expected=expected)
    first = (missing + unknown + shapes)[0]
    raise CheckpointError(
        "checkpoint-other-network", path=str(path), missing=len(missing), unknown=len(unknown), shapes=len(shapes), first=first
    )


def shipped() -> list[Path]:
    """The checkpoint folders that are shipped with FruitVision, the default first; empty if there are none."""
    package = Path(__file__).resolve().parents[1]
    for root in (package / "checkpoints", package.parent / "checkpoints"):  # in an installed package; in a source checkout
        found = sorted(path.parent for path in root.glob(f"*/{CONFIG}"))
        if found:
            rank = {name: n for n, name in enumerate(DEFAULTS)}
            return sorted(found, key=lambda path: (rank.get(path.name, len(rank)), path.name))
    return []


def find_checkpoint(name: str | Path | None = None) -> Path:
    """The checkpoint folder for a name: None (the default), a shipped network's name, ``hf://user/name`` of the Hugging Face Hub, or
    a path; the path of an ONNX file is returned unchanged.

    Raises CheckpointError "no-shipped-checkpoint" or "checkpoint-missing", and as :func:`fruitvision.hub.repository.fetch` does.
    """
    known = {path.name: path for path in shipped()}
    if name is None:
        if not known:
            raise CheckpointError("no-shipped-checkpoint")
        return next(iter(known.values()))
    if str(name) in known and not Path(name).is_dir():
        return known[str(name)]
    if is_repository(name):
        return fetch(name)
    folder = clean_path(name)
    if not current_folder(folder).is_dir() and not (folder.suffix == ONNX_SUFFIX and folder.is_file()):
        raise _no_folder(folder)
    return folder


def checkpoint_name(folder: Path) -> str:
    """A checkpoint's name to show: its folder's, or its run's for a run's ``best/`` or ``last/``."""
    folder = folder.absolute()
    return folder.parent.name if folder.name in ("best", "last") else folder.name


def _no_folder(path: Path) -> CheckpointError:
    if path.suffix.lower() in WEIGHTS_SUFFIXES and path.is_file():
        return CheckpointError("checkpoint-weights-file", path=str(path), given=quoted([str(path)]))
    return CheckpointError("checkpoint-missing", path=str(path))


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoint folders directly in ``folder``, by name; ``import`` writes such folders into the folder of runs."""
    try:
        return sorted(path for path in folder.iterdir() if (path / WEIGHTS).is_file() and (path / CONFIG).is_file())
    except OSError:
        return []
