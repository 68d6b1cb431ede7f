"""FruitVision's networks for ``torch.hub``: ``torch.hub.load("USER/fruitvision", "classifier").predict("banana.jpg")``."""

dependencies = ["torch", "torchvision", "timm", "numpy", "PIL", "pydantic", "safetensors", "platformdirs", "psutil"]


def classifier(checkpoint=None):
    """A ``fruitvision.Classifier``; ``checkpoint``: a shipped network's name, a checkpoint folder, or ``hf://user/name``."""
    import fruitvision

    return fruitvision.load(checkpoint)


def fruits_webcam(pretrained=True):
    """The default network as a torch.nn.Module, in evaluation mode: (N, 3, S, S) → logits (N, C), features, maps."""
    return _network("fruits-webcam", pretrained)


def fruits_360(pretrained=True):
    """The network that knows Fruits-360's varieties, as :func:`fruits_webcam`."""
    return _network("fruits-360", pretrained)


def _network(name, pretrained):
    from fruitvision.models.checkpoint import find_checkpoint, load_checkpoint, read_config
    from fruitvision.models.networks import build_network

    folder = find_checkpoint(name)
    if pretrained:
        return load_checkpoint(folder)[0]
    config = read_config(folder)
    return build_network(config.architecture, num_classes=len(config.classes), norm=config.norm, width=config.width).eval()
