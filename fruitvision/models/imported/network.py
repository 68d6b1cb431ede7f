"""Build a network from imported weights, which computes exactly what the original does, or is rejected."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from fruitvision.errors import CheckpointError
from fruitvision.models import OWN, RESNET18
from fruitvision.models.imported.file import WeightsFile, read_weights
from fruitvision.models.imported.heads import Head, linear_head
from fruitvision.models.imported.hub import HubConfig, read_hub_config, torchvision_names
from fruitvision.models.imported.layouts import Trunk, find_trunk
from fruitvision.models.imported.names import class_names
from fruitvision.models.networks import Network, build_network


@dataclass(frozen=True)
class Imported:
    """A network made of a file of weights, in evaluation mode."""

    network: Network
    architecture: str
    norm: str
    file: WeightsFile
    hub: HubConfig
    head: Head

    @property
    def num_classes(self) -> int:
        """The number of classes of the head."""
        return len(self.head.bias)

    @property
    def classes(self) -> tuple[tuple[str, ...], str] | None:
        """The class names in the file or in the configuration beside it, and where they were found.

        Raises CheckpointError "import-names" if they are not valid.
        """
        if self.file.classes:
            return class_names(self.file.classes, self.file.path.name), self.file.path.name
        return (self.hub.classes, f"{self.file.path.parent.name}/config.json") if self.hub.classes else None


def import_network(path: Path, architecture: str | None = None, *, no_activation: bool = False) -> Imported:
    """Read a file of weights, or the one in a folder of the Hub, and build its network.

    architecture: the name in timm or torchvision, if it cannot be recognized; no_activation: the user states that there is nothing
    but dropout between the layers of the head. Raises CheckpointError, ConfigError if the network cannot be reproduced exactly.
    """
    file = read_weights(path)
    hub = read_hub_config(file.path)
    tensors = torchvision_names(file.tensors) if hub.from_transformers else file.tensors
    trunk = find_trunk(tensors, str(file.path), architecture or hub.architecture)
    head = linear_head(trunk.rest, trunk.features, str(file.path), no_activation=no_activation)
    norm = "batch" if trunk.architecture == RESNET18 else OWN
    network = _assembled(trunk, head, norm)
    if not _answers(network):
        raise CheckpointError("import-not-finite", path=str(file.path), name="logits")
    return Imported(network, trunk.architecture, norm, file, hub, head)


def _assembled(trunk: Trunk, head: Head, norm: str) -> Network:
    network = build_network(trunk.architecture, num_classes=len(head.bias), norm=norm, seed=0)
    own = network.state_dict()
    # load_state_dict copies, so that nothing refers to the file any more, and converts to float32.
    network.load_state_dict({**own, **trunk.weights}, strict=True)
    network.head.load_state_dict({"weight": head.weight, "bias": head.bias}, strict=True)
    return network.eval()


@torch.inference_mode()
def _answers(network: Network) -> bool:
    """Whether its logits are finite: finite weights may still overflow."""
    return bool(network(torch.linspace(-2, 2, 3 * 64 * 64).view(1, 3, 64, 64)).logits.isfinite().all())
