"""The transforms that a configuration asks for: augmentation for training, one fixed transform for evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fruitvision.data.augment.backgrounds import Backgrounds
from fruitvision.data.augment.recipes import BatchedRecipe, no_augmentation, torchvision_recipe
from fruitvision.data.augment.scene_recipes import SceneRecipe
from fruitvision.data.augment.transforms import EvalTransform, TrainTransform
from fruitvision.training.config import TrainConfig


def training_transform(config: TrainConfig) -> TrainTransform:
    """The augmentation that a configuration asks for."""
    if config.augmentation == "none":
        return no_augmentation(config.eval_resize, config.image_size)
    if config.augmentation == "scenes":
        return scene_recipe(config)
    recipe = {"torchvision": torchvision_recipe, "batched": BatchedRecipe}[config.augmentation]
    return recipe(config.crop_scale_min, config.flip, config.rotation)


def evaluation_transform(config: TrainConfig) -> EvalTransform:
    """The evaluation transform of a configuration, which is saved in its checkpoints."""
    return EvalTransform(resize=config.eval_resize, crop=config.eval_size or config.image_size).with_views(config.views)


def scene_recipe(config: TrainConfig, backgrounds: Sequence[np.ndarray] = (), plain: float | None = None) -> SceneRecipe:
    """A recipe that composes fruit onto these pictures and onto generated backgrounds.

    plain: the fraction of pictures that keep their white background; by default the configuration's ``plain_share``.
    """
    plain = config.plain_share if plain is None else plain
    return SceneRecipe(Backgrounds(backgrounds), plain=plain, crop_scale_min=config.crop_scale_min, flip=config.flip)
