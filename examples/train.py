"""A complete training on FruitVision's public functions: pictures, network, training loop, checkpoint, answer.

python -m examples.train                # on drawn fruit, in a minute or two
python -m examples.train --data DIR     # on a folder with one folder of pictures for each class
"""

import argparse
from pathlib import Path

import torch

import fruitvision
from fruitvision.data.synthetic.sample import sample_set
from fruitvision.models.checkpoint import save_checkpoint
from fruitvision.runs.config import RunConfig
from fruitvision.runs.job.checkpoints import checkpoint_config
from fruitvision.runs.prepare.data import prepare
from fruitvision.runs.prepare.loaders import loaders
from fruitvision.runs.prepare.transforms import evaluation_transform
from fruitvision.runs.prepare.weights import build
from fruitvision.training.config import TrainConfig
from fruitvision.training.device import choose_device
from fruitvision.training.engine import EpochDone, fit
from fruitvision.training.state import TrainState


def main(data: Path, out: Path, **settings: object) -> None:
    config = TrainConfig.from_preset("fast", start="scratch", width=16, image_size=64, first_image_size=64, epochs=8, **settings)
    run = RunConfig(data=str(data), training=config)
    pictures = prepare(run)  # every file is decoded once; the classes are the training folder's
    device = choose_device()
    train, validation = loaders(pictures, config, device)

    torch.manual_seed(config.seed)
    state = TrainState(build(config, len(pictures.targets.classes)), config, device)
    for event in fit(state, train, validation):  # yields after every step; between two yields `state` could be saved
        if isinstance(event, EpochDone):
            print(f"epoch {event.epoch}: train loss {event.train_loss:.3f}, validation accuracy {event.val_accuracy:.1%}")

    about = checkpoint_config(run, pictures, evaluation_transform(config), "scratch", metrics={})
    save_checkpoint(out, state.eval_network(), about)
    picture = pictures.dataset.root / next(iter(pictures.validation.paths))
    print(f"{picture}: {fruitvision.load(out).predict(picture).label}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train a small network and classify a picture with it.")
    parser.add_argument("--data", type=Path, help="a folder of class folders; without it, drawn fruit")
    parser.add_argument("--out", type=Path, default=Path("runs/example"), help="where the checkpoint goes")
    flags = parser.parse_args()
    main(flags.data or sample_set(), flags.out)
