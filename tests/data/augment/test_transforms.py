"""The two recipes are one recipe, and there is one evaluation transform."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from fruitvision.compat import import_torchvision
from fruitvision.data.augment.recipes import BatchedRecipe, augmented_grid, draw_affine, no_augmentation, resample, torchvision_recipe
from fruitvision.data.augment.transforms import IMAGENET_MEAN, IMAGENET_STD, EvalTransform, denormalize, normalize
from fruitvision.data.synthetic.sample import draw_fruit

import_torchvision()
from torchvision import transforms  # noqa: E402
from torchvision.transforms import InterpolationMode  # noqa: E402
from torchvision.transforms import functional as TF  # noqa: E402


@pytest.fixture(scope="module")
def pictures():
    return [np.asarray(draw_fruit(kind, np.random.default_rng(4), 100)) for kind in ("Apple", "Banana", "Kiwi", "Orange")]


def test_a_fixed_draw_gives_torchvisions_picture_within_interpolation_error(pictures):
    for seed in range(12):
        for pixels in pictures[:2]:
            draw = draw_affine(np.random.default_rng(seed), 100, 100, 0.3, 0.5, 20)
            left, top, width, height, flip, angle = draw
            image = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float()
            theirs = TF.resized_crop(image, int(top), int(left), int(height), int(width), [64, 64])
            theirs = TF.hflip(theirs) if flip else theirs
            theirs = TF.rotate(theirs, angle, InterpolationMode.BILINEAR)
            ours = resample([pixels], [draw], 64)[0]
            inside = (theirs.sum(0) > 0) & (ours.sum(0) > 0)
            assert inside.float().mean() > 0.8
            assert (ours - theirs)[:, inside].abs().mean() < 4, (seed, draw)  # of 255


def test_the_two_recipes_agree_in_distribution(pictures):
    count = 300
    seeds = [(1, n) for n in range(count)]
    many = [pictures[0]] * count
    theirs = denormalize(torchvision_recipe(0.3, 0.5, 20)(many, seeds, 32)).astype(float)
    ours = denormalize(BatchedRecipe(0.3, 0.5, 20)(many, seeds, 32)).astype(float)
    assert abs(ours.mean() - theirs.mean()) < 4
    assert np.abs(ours.mean(0) - theirs.mean(0)).mean() < 6  # the mean picture
    assert np.abs(ours.std(0) - theirs.std(0)).mean() < 8
    assert abs((ours == 0).all(3).mean() - (theirs == 0).all(3).mean()) < 0.02  # the black corners


def test_crops_have_torchvisions_areas_ratios_places_and_flips():
    image = torch.zeros(3, 80, 120)
    torch.manual_seed(0)
    theirs = np.array([transforms.RandomResizedCrop.get_params(image, [0.3, 1.0], [3 / 4, 4 / 3]) for _ in range(2000)])
    draws = np.array([draw_affine(np.random.default_rng(n), 80, 120, 0.3, 0.5, 20) for n in range(2000)], float)
    ours = draws[:, [1, 0, 3, 2]]  # top, left, height, width
    for column in range(4):
        found, expected = (np.quantile(crops[:, column], [0.1, 0.5, 0.9]) for crops in (ours, theirs))
        np.testing.assert_allclose(found, expected, atol=4)
    assert abs(draws[:, 4].mean() - 0.5) < 0.04
    assert abs(draws[:, 5].mean()) < 1 and draws[:, 5].min() < -18 and draws[:, 5].max() > 18


def test_one_seed_gives_one_picture_whatever_stands_beside_it(pictures):
    for recipe in (BatchedRecipe(0.3, 0.5, 20), torchvision_recipe(0.3, 0.5, 20)):
        alone = recipe(pictures[1:2], [(5, 1)], 48)
        among = recipe(pictures, [(5, 0), (5, 1), (5, 2), (5, 3)], 48)
        torch.testing.assert_close(alone[0], among[1], atol=1e-4, rtol=0)
        assert not torch.equal(recipe(pictures[1:2], [(6, 1)], 48), alone)


def test_pictures_of_different_sizes_go_through_together(pictures):
    tall = np.asarray(Image.fromarray(pictures[0]).resize((60, 200)))
    assert BatchedRecipe(0.3, 0.5, 20)([pictures[0], tall], [(0,), (1,)], 32).shape == (2, 3, 32, 32)


@pytest.mark.parametrize("size", [(100, 100), (90, 140), (300, 120)])
def test_evaluation_is_torchvisions_resize_crop_and_normalize(size):
    picture = draw_fruit("Apple", np.random.default_rng(1), (size[1], size[0]))
    recipe = transforms.Compose(
        [
            transforms.Resize(72),
            transforms.CenterCrop(64),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    ours = EvalTransform(resize=72, crop=64)(np.asarray(picture))
    assert ours.shape == (3, 64, 64)
    assert (ours - recipe(picture)).abs().mean() < 0.02


def test_two_views_are_the_picture_and_its_mirror_image_side_by_side(pictures):
    one = EvalTransform(resize=64, crop=64).batch(pictures[:2])
    two = EvalTransform(resize=64, crop=64, views=2).batch(pictures[:2])
    assert torch.equal(two[0::2], one) and torch.equal(two[1::2], one.flip(3))


def test_the_crop_box_is_the_part_that_is_seen():
    left, top, right, bottom = EvalTransform(resize=72, crop=64).crop_box(144, 288)
    assert (top, bottom) == (8, 136) and abs((left + right) / 2 - 144) < 2 and right - left == 128


def test_normalizing_can_be_undone(pictures):
    batch = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    np.testing.assert_array_equal(denormalize(normalize(batch)), np.stack(pictures))


def test_no_augmentation_is_what_evaluation_sees(pictures):
    trained = no_augmentation(72, 64)(pictures, [(0,)] * 4, 64)
    torch.testing.assert_close(trained, EvalTransform(resize=72, crop=64).batch(pictures))


def test_the_grid_holds_each_picture_once_and_is_the_same_for_one_seed(pictures):
    plain = no_augmentation(48, 48)
    grid = augmented_grid(pictures[:3], plain, size=48, columns=2)
    assert grid.shape == (96, 96, 3) and grid.dtype == np.uint8
    np.testing.assert_array_equal(grid[:48, 48:], denormalize(plain(pictures[1:2], [(0,)], 48))[0])
    assert (grid[48:, 48:] == 255).all()
    recipe = BatchedRecipe(0.3, 0.5, 20)
    first = augmented_grid(pictures, recipe, size=48, columns=2, seed=1)
    np.testing.assert_array_equal(first, augmented_grid(pictures, recipe, size=48, columns=2, seed=1))
    assert (first != augmented_grid(pictures, recipe, size=48, columns=2, seed=2)).any()


def test_on_a_white_background_the_second_view_is_mirrored_and_of_a_photo_enlarged():
    transform = EvalTransform(resize=32, crop=32).with_views("middle")
    fruit = np.full((60, 60, 3), 255, np.uint8)
    fruit[5:55, 5:55] = np.random.default_rng(0).integers(0, 200, (50, 50, 3))
    photo = fruit.copy()
    photo[fruit == 255] = 90
    views = transform.batch([fruit, photo]).unflatten(0, (2, -1))
    assert views.shape[1] == transform.num_views == 2
    assert torch.equal(views[0, 0], transform.with_views("one").batch([fruit])[0])
    assert torch.equal(views[0, 0].flip(2), views[0, 1])
    enlarged = EvalTransform(resize=32, crop=32).batch([photo[6:54, 6:54]])[0]
    assert (views[1, 1] - enlarged).abs().max() < 1e-4
    assert transform.with_views("one") == EvalTransform(resize=32, crop=32)
    assert EvalTransform.model_validate({"white_once": True}).white_mirrored, "an older checkpoint's name for it"
