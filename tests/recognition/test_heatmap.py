"""The heatmap lies where the network looked, on the picture as it came."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import fruitvision
from fruitvision.data.augment.backgrounds import Backgrounds
from fruitvision.data.augment.scene_recipes import SceneRecipe
from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.data.fruits import fruit_type, span
from fruitvision.data.read.picture import load_pixels
from fruitvision.data.read.store import open_dataset
from fruitvision.models.networks import build_network
from fruitvision.recognition.heatmap import ActivationMap, blend, class_activation


def test_mean_of_a_class_map_is_how_far_its_logit_is_above_the_others():
    network = build_network(num_classes=3, width=8, seed=1).eval()
    with torch.no_grad():
        logits, _, maps = network(torch.randn(2, 3, 64, 64))
    for index in range(3):
        shares = torch.nn.functional.one_hot(torch.tensor([index, index]), 3).float()
        activation = class_activation(maps, network.head.weight, shares)
        assert activation.shape == maps.shape[:1] + maps.shape[2:]
        unbiased = logits - network.head.bias
        torch.testing.assert_close(activation.mean(dim=(1, 2)).detach(), (unbiased[:, index] - unbiased.mean(dim=1)).detach())


def test_a_fruit_type_is_its_varieties_maps_weighted_by_their_probabilities():
    maps, weight = torch.rand(1, 5, 4, 4), torch.randn(3, 5)
    ones = torch.eye(3)
    single = [class_activation(maps, weight, ones[i : i + 1]) for i in range(3)]
    both = class_activation(maps, weight, torch.tensor([[0.25, 0.0, 0.75]]))
    torch.testing.assert_close(both, 0.25 * single[0] + 0.75 * single[2])


def blob(width: int, height: int, x: int, y: int, side: int) -> Image.Image:
    picture = Image.new("RGB", (width, height), (230, 230, 230))
    picture.paste((255, 0, 0), (x, y, x + side, y + side))
    return picture


def hottest(picture: Image.Image, heatmap: Image.Image) -> tuple[float, float]:
    """The middle of what the colours cover most, found by what they did to a picture."""
    blue = np.asarray(heatmap, float)[:, :, 1] - 0.35 * np.asarray(picture, float)[:, :, 1]
    rows, columns = np.nonzero(blue >= np.percentile(blue, 99.5))
    return columns.mean(), rows.mean()


@pytest.mark.parametrize(
    ("width", "height", "x", "y", "side"),
    [
        (64, 64, 8, 40, 16),
        (300, 200, 60, 110, 50),
        (200, 300, 110, 190, 50),
        (900, 600, 500, 120, 200),  # reduced to a short side of 256 before the network sees it
        (3000, 250, 1440, 60, 90),  # cut to its middle first
        (40, 30, 22, 4, 9),  # smaller than what the network looks at
    ],
)
def test_heat_lies_on_the_fruit_wherever_it_is(colour_classifier, width, height, x, y, side):
    picture = blob(width, height, x, y, side)
    answer = colour_classifier(resize=72).predict(picture)
    heatmap = answer.heatmap()
    assert answer.fruit_type == "Apple"
    assert (heatmap.size, heatmap.mode) == (picture.size, "RGB")
    column, row = hottest(picture, heatmap)
    assert x <= column <= x + side
    assert y <= row <= y + side


def test_what_the_network_did_not_see_stays_cold(colour_classifier):
    picture = blob(400, 100, 190, 40, 20)
    heat = np.asarray(colour_classifier().predict(picture).heatmap(), int)
    sides = np.concatenate([heat[:, :140].reshape(-1, 3), heat[:, 260:].reshape(-1, 3)])
    assert len(np.unique(sides, axis=0)) == 1


@pytest.mark.parametrize("size", [(640, 480), (100, 100), (1, 1), (2000, 3), (257, 900), (33, 255)])
def test_seen_part_lies_inside_the_picture_and_is_square_where_it_can_be(size):
    picture = Image.new("RGB", size)
    pixels = load_pixels(picture)
    transform = EvalTransform(resize=128, crop=112)
    activation_map = ActivationMap(np.zeros((4, 4), np.float32), transform.crop_box(*pixels.shape[:2]), *pixels.shape[:2])
    left, top, right, bottom = activation_map.box_in(*size)
    assert 0 <= left < right <= size[0]
    assert 0 <= top < bottom <= size[1]
    assert (right - left) == pytest.approx(min(size) * 112 / 128, rel=0.02)
    assert (left + right) / 2 == pytest.approx(size[0] / 2, abs=0.02 * min(size))
    assert (top + bottom) / 2 == pytest.approx(size[1] / 2, abs=0.02 * min(size))
    assert activation_map.overlay(picture).size == size


def test_hotter_is_lighter_on_a_grey_ground():
    ground = Image.new("RGB", (256, 1), (128, 128, 128))
    heat = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    lightness = np.asarray(blend(ground, heat).convert("L"), int)[0]
    assert (np.diff(lightness) >= -1).all()
    assert lightness[-1] - lightness[0] > 80


def test_an_even_map_and_a_map_of_one_place_are_drawn(colour_classifier):
    picture = Image.new("RGB", (80, 60), (250, 10, 10))
    assert colour_classifier().predict(picture).heatmap().size == (80, 60)
    one = ActivationMap(np.ones((1, 1), np.float32), (0, 0, 60, 60), 60, 80)
    assert one.overlay(picture).size == (80, 60)


@pytest.mark.slow
def test_the_hottest_place_lies_on_the_fruit_in_scenes_whose_fruit_is_known(real_data):
    """On 120 lab test pictures that training did not see, each set into a scene, where they are answered right."""
    data, store = open_dataset(real_data / "fruits-360")
    split = data.splits["test"]
    rows = np.random.default_rng(5).choice(len(split.labels), 120, replace=False)
    names = [data.classes[split.labels[i]] for i in rows]
    pictures, seeds = [store[split.rows[i]] for i in rows], [(9, int(i)) for i in rows]
    images, fruit = SceneRecipe(Backgrounds(), plain=0.0).scenes(pictures, seeds, 240, None, [span(name) for name in names])
    scenes = list(images.round().byte().permute(0, 2, 3, 1).numpy())
    classifier = fruitvision.load("fruits-webcam")
    answers = [answer for k in range(0, 120, 40) for answer in classifier.predict_pixels(scenes[k : k + 40], scenes[k : k + 40])]
    hits = []
    for scene, mask, name, answer in zip(scenes, fruit, names, answers, strict=True):
        if answer.fruit_type == fruit_type(name):
            activation_map = answer._activation(scene)
            left, top, right, bottom = (round(edge) for edge in activation_map.box)
            heat = np.asarray(Image.fromarray(activation_map.activation).resize((right - left, bottom - top), Image.Resampling.BICUBIC))
            y, x = np.unravel_index(heat.argmax(), heat.shape)
            hits.append(bool(mask[top + y, left + x] > 0.5))
    assert len(hits) > 45 and np.mean(hits) >= 0.9, f"{np.mean(hits):.3f} of {len(hits)}"
