"""Fruit is cut out of its white background exactly, and lies in a scene where the mask says it does."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from fruitvision.data.augment.backgrounds import Backgrounds, generated_background, random_part
from fruitvision.data.augment.camera import apply_camera, random_camera
from fruitvision.data.augment.scene_recipes import PhotoRecipe, SceneRecipe
from fruitvision.data.augment.scenes import PlacedSprite, Scene, render
from fruitvision.data.augment.sprites import cut_out, hand, soft_mask, white_background
from fruitvision.data.augment.transforms import denormalize
from fruitvision.data.synthetic.sample import draw_fruit

SEEDS = [(0, n) for n in range(24)]


def disc(side: int = 60, radius: float = 20, colour=(180, 30, 30)) -> tuple[np.ndarray, np.ndarray]:
    """A red disc with a white highlight on white, and where it is."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    inside = np.hypot(y, x) <= radius
    picture = np.full((side, side, 3), 255, np.uint8)
    picture[inside] = colour
    picture[np.hypot(y + 6, x + 6) <= 4] = 255
    return picture, inside


def fruit_on_white(count: int = 24) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.asarray(draw_fruit(("Apple", "Orange", "Kiwi")[n % 3], rng, 100, background="white")) for n in range(count)]


def test_the_mask_is_the_fruit_and_its_highlights():
    picture, inside = disc()
    assert (white_background(picture[None])[0] == ~inside).all()


def test_the_background_is_found_round_every_corner():
    spiral = np.zeros((1, 21, 21, 3), np.uint8)
    rows = [0, *range(2, 20, 4)]
    spiral[0, rows] = 255  # corridors across, joined at alternating ends, open to the border at the first alone
    for n, (above, below) in enumerate(zip(rows[1:], rows[2:], strict=False)):
        spiral[0, above:below, 1 if n % 2 else 19] = 255
    spiral[0, 2:, [0, 20]] = 0
    spiral[0, 0:3, 10] = 255
    white = (spiral[0] == 255).all(axis=2)
    assert (white_background(spiral)[0] == white).all()


def test_many_masks_at_once_are_each_their_own():
    pictures = np.stack([disc(radius=r)[0] for r in (8, 15, 25)])
    together = white_background(pictures)
    assert all((together[n] == white_background(pictures[n : n + 1])[0]).all() for n in range(3))


def test_the_soft_mask_leaves_no_white_rim():
    picture, inside = disc()
    mask = soft_mask(white_background(picture[None]))[0, 0].numpy()
    assert mask[~inside].max() < 0.25 and mask[30, 45] > 0.999
    assert 0.6 * inside.sum() < mask.sum() < inside.sum()


def test_what_was_not_taken_on_white_is_not_cut():
    on_wood = np.asarray(draw_fruit("Apple", np.random.default_rng(0), 100, background="wood"))
    sprites, there = cut_out([disc(100, 30)[0], on_wood, np.full((100, 100, 3), 255, np.uint8)])
    assert there.tolist() == [True, False, False]
    assert (sprites[1, 3] > 0.999).all()
    assert torch.allclose(sprites[1, :3], torch.from_numpy(on_wood.copy()).permute(2, 0, 1).float(), atol=0.01)


@pytest.mark.parametrize("shape", [(40, 90), (90, 40), (250, 256), (12, 12)])
def test_pictures_of_any_shape_become_square_sprites_with_their_proportions(shape):
    picture = np.full((*shape, 3), 255, np.uint8)
    h, w = shape
    picture[h // 4 : h - h // 4, w // 4 : w - w // 4] = (20, 140, 40)
    sprites, there = cut_out([picture])
    assert sprites.shape == (1, 4, 100, 100) and there[0]
    rows, columns = (sprites[0, 3] > 0.5).any(dim=1).sum().item(), (sprites[0, 3] > 0.5).any(dim=0).sum().item()
    assert rows / columns == pytest.approx(h / w, rel=0.25)


def test_a_sprite_lies_where_it_was_placed():
    sprite, _ = cut_out([disc(100, 48, (10, 200, 10))[0]])
    background = np.full((80, 80, 3), 100, np.uint8)
    placed = PlacedSprite(sprite[0], 0.5, -0.25, 0.25, 1.0, 0.7, True, 1.0, 0.0, (0.0, 0.0), True)
    images, fruit = render([Scene(background, [placed]), Scene(background)], 80)
    y, x = (axis.float().mean().item() for axis in torch.nonzero(fruit[0] > 0.5, as_tuple=True))
    assert (x, y) == (pytest.approx(59.5, abs=0.7), pytest.approx(29.5, abs=0.7))
    assert fruit[0].sum().item() == pytest.approx(np.pi * (0.48 * 20) ** 2, rel=0.12)
    assert images[0, 1][fruit[0] > 0.9].mean() > 150 and (images[0][:, fruit[0] == 0] == 100).all()
    assert (images[1] == 100).all() and not fruit[1].any()


def test_a_hand_hides_what_is_under_it():
    over = hand(np.random.default_rng(3), 64)
    sprite, _ = cut_out([disc(100, 48)[0]])
    placed = PlacedSprite(sprite[0], 0.0, 0.0, 0.9, 1.0, 0.0, False, 1.0, 0.0, (0.0, 0.0), True)
    _, alone = render([Scene(np.zeros((64, 64, 3), np.uint8), [placed])], 64)
    _, under = render([Scene(np.zeros((64, 64, 3), np.uint8), [placed], over)], 64)
    assert over[3].max() == 1 and (under <= alone).all() and (under[0][over[3] == 1] == 0).all()


def test_scenes_follow_from_their_seeds_alone():
    pictures, recipe = fruit_on_white(), SceneRecipe(Backgrounds())
    whole = recipe(pictures, SEEDS, 64)
    assert whole.shape == (24, 3, 64, 64) and torch.isfinite(whole).all()
    alone = torch.cat([recipe([pictures[n]], [SEEDS[n]], 64) for n in range(6)])
    assert torch.allclose(whole[:6], alone, atol=1e-4)
    assert not torch.allclose(whole[:6], recipe(pictures[:6], [(1, n) for n in range(6)], 64), atol=0.1)


def test_the_plain_share_keeps_its_white_background_and_the_others_lose_it():
    pictures = fruit_on_white()
    for plain, on_white in ((1.0, True), (0.0, False)):
        images = denormalize(SceneRecipe(Backgrounds(), plain=plain, crop_scale_min=1.0)(pictures, SEEDS, 64))
        corners = images[:, [0, 0, -1, -1], [0, -1, 0, -1]].astype(float).min(axis=2)
        assert ((corners.mean(axis=1) > 150).mean() > 0.8) == on_white


def test_fruit_of_every_size_alone_and_among_its_like():
    pictures = fruit_on_white() * 4
    _, fruit = SceneRecipe(Backgrounds(), plain=0.0).scenes(pictures, [(5, n) for n in range(len(pictures))], 64)
    shares = fruit.mean(dim=(1, 2))
    assert shares.min() < 0.05 and shares.max() > 0.5 and 0.1 < shares.median() < 0.5


def test_a_short_fruit_is_smaller_in_the_frame_than_a_long_one_but_both_vary():
    pictures, seeds = [disc(100, 48)[0]] * 96, [(6, n) for n in range(96)]
    recipe = SceneRecipe(Backgrounds(), plain=0.0)
    cherry, melon = (recipe.scenes(pictures, seeds, 48, None, [cm] * 96)[1].mean(dim=(1, 2)) for cm in (2.3, 16))
    assert cherry.median() < 0.5 * melon.median()
    assert cherry.quantile(0.95) > melon.quantile(0.25)


def test_companions_are_asked_for_and_used():
    asked = []

    def others(i, rng):
        asked.append(i)
        return disc(100, 45, (20, 20, 230))[0]

    red = [disc(100, 45, (230, 20, 20))[0]] * 24  # all of one class
    recipe = SceneRecipe(Backgrounds(), plain=0.0)
    recipe.backgrounds.draw = lambda rng, size: np.full((size, size, 3), 128, np.uint8)
    images, _ = recipe.scenes(red, SEEDS, 64, others)
    blue = (images[:, 2] > 2 * images[:, 0] + 40).flatten(1).sum(dim=1) > 40
    assert set(np.flatnonzero(blue.numpy()).tolist()) <= set(asked) and blue.sum() >= 0.7 * len(set(asked)) > 3


def test_pictures_without_fruit_show_what_they_were_given_or_a_background():
    shirts = [np.random.default_rng(n).integers(0, 256, (90, 120, 3), dtype=np.uint8) for n in range(24)]
    images = SceneRecipe(Backgrounds(shirts)).without_fruit(shirts, SEEDS, 48)
    assert images.shape == (24, 3, 48, 48) and torch.isfinite(images).all()


def test_photos_are_cropped_turned_and_lit():
    photos = [np.asarray(draw_fruit("Banana", np.random.default_rng(n), (120, 90), background="wood")) for n in range(4)]
    first, again = (PhotoRecipe()(photos, SEEDS[:4], 64) for _ in range(2))
    assert torch.equal(first, again) and first.shape == (4, 3, 64, 64)
    assert not torch.allclose(first, PhotoRecipe()(photos, SEEDS[4:8], 64), atol=0.1)


def test_backgrounds_come_from_the_pictures_given_and_from_none():
    rng = np.random.default_rng(0)
    green = np.zeros((50, 70, 3), np.uint8) + np.array([0, 255, 0], np.uint8)
    drawn = np.stack([Backgrounds([green]).draw(rng, 32) for _ in range(60)])
    share = (drawn == green[0, 0]).all(axis=(1, 2, 3)).mean()
    assert 0.45 < share < 0.85
    plain = np.stack([generated_background(rng, 32) for _ in range(60)])
    assert plain.shape == (60, 32, 32, 3) and plain.mean(axis=(1, 2, 3)).std() > 20
    assert random_part(np.zeros((1, 1, 3), np.uint8), rng, 8).shape == (8, 8, 3)


def test_a_faithful_camera_changes_nothing():
    images = torch.rand(3, 3, 32, 32) * 255
    rngs = [np.random.default_rng(n) for n in range(3)]
    faithful = random_camera(np.random.default_rng(0), 0.0)
    assert torch.allclose(apply_camera(images, [faithful] * 3, rngs), images, atol=0.01)


def test_cameras_see_dimly_pale_and_tinted_but_within_bounds():
    rngs = [np.random.default_rng(n) for n in range(200)]
    shots = [random_camera(rng) for rng in rngs]
    red = torch.tensor([200.0, 60.0, 40.0])[None, :, None, None].expand(200, 3, 16, 16)
    seen = apply_camera(red, shots, rngs)
    assert seen.min() >= 0 and seen.max() <= 255
    means = seen.mean(dim=(2, 3))
    bright, spread = means.mean(dim=1), means.max(dim=1).values - means.min(dim=1).values
    assert bright.min() < 60 and bright.max() > 110 and spread.min() < 90
    assert (means.argmax(dim=1) == 0).double().mean() > 0.98, "a red fruit stays red"


def test_composing_does_not_hold_training_back():
    """Against the step that it feeds: a ResNet18 forward and backward at the same size, in one run, in processor time."""
    from fruitvision.models.networks import build_network

    pictures = fruit_on_white(24)
    recipe, network = SceneRecipe(Backgrounds()), build_network(num_classes=60).to(memory_format=torch.channels_last)
    ratios = []
    for _ in range(3):
        began = time.process_time()
        images = recipe(pictures, SEEDS, 96).contiguous(memory_format=torch.channels_last)
        composed = time.process_time()
        network(images).logits.logsumexp(dim=1).sum().backward()
        ratios.append((composed - began) / (time.process_time() - composed))
    assert sorted(ratios)[1] < 0.8
