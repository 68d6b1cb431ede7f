"""Draw a small synthetic dataset, so that a first try and the tests need no download.

``fruit.py`` has the kinds of fruit, ``backgrounds.py`` the backgrounds, ``painting.py`` the renderer. ``synthetic.json`` in its
folder marks the dataset, which is called synthetic wherever it is shown.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fruitvision.data.read.dataset import SYNTHETIC_MARKER as MARKER
from fruitvision.data.synthetic.backgrounds import BACKGROUNDS as DRAWN
from fruitvision.data.synthetic.bodies import paint
from fruitvision.data.synthetic.fruit import FRUIT, KINDS
from fruitvision.data.synthetic.painting import Scene
from fruitvision.errors import DataError
from fruitvision.files import replace_folder, write_error

BACKGROUNDS = ("white", *DRAWN)


def draw_sample(
    folder: str | Path,
    *,
    train_per_class: int = 40,
    test_per_class: int = 10,
    size: int = 100,
    seed: int = 0,
    classes: Sequence[str] | None = None,
) -> Path:
    """Draw ``Training/`` and ``Test/`` with a folder of JPEG pictures for each kind, and ``synthetic.json``.

    A picture depends only on the seed, its kind, its split and its number, so a larger set contains the smaller one. The set is drawn
    beside ``folder`` and renamed when complete; an earlier sample set is replaced.

    Raises:
        DataError: "not-a-sample-set", "unknown-kind", "sample-too-small", "disk-full", "cannot-write".
    """
    folder = Path(folder).expanduser().absolute()
    folder = folder.resolve() if folder.is_symlink() else folder  # for a link its target is filled, and the link kept
    kinds = tuple(KINDS if classes is None else dict.fromkeys(classes))
    _refuse_unknown(kinds)
    if train_per_class < 1 or test_per_class < 1 or size < 8 or not kinds:
        raise DataError("sample-too-small", kinds=len(kinds), train=train_per_class, test=test_per_class, size=size)
    _refuse_foreign(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name[:40]}-", dir=folder.parent))
        try:
            whole = beside / "set"
            for split, count in (("Training", train_per_class), ("Test", test_per_class)):
                for kind in kinds:
                    _draw_class(whole / split / kind, kind, split, count, size, seed)
            about = {
                "synthetic": True,
                "drawn_by": "fruitvision",
                "classes": list(kinds),
                "size": size,
                "seed": seed,
                "train_per_class": train_per_class,
                "test_per_class": test_per_class,
            }
            (whole / MARKER).write_text(json.dumps(about, indent=2), encoding="utf-8")
            replace_folder(whole, folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise write_error(error, folder) from error
    return folder


def sample_set() -> Path:
    """The sample set in the user's cache folder, drawn on first use by one process while others wait.

    Raises DataError, as :func:`draw_sample`.
    """
    from filelock import FileLock

    from fruitvision.files import cache_folder

    folder = cache_folder() / "sample-set"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name("sample-set.lock")):
            return folder if (folder / MARKER).is_file() else draw_sample(folder)
    except OSError as error:
        raise write_error(error, folder) from error


def draw_pictures(per_kind: int = 1, size: int = 256) -> list[Image.Image]:
    """Pictures of every kind on white and on other backgrounds, the same at every call, for comparing an exported network with torch."""
    rng = np.random.default_rng(0)
    return [draw_fruit(kind, rng, size, background=BACKGROUNDS[n % len(BACKGROUNDS)]) for kind in KINDS for n in range(per_kind)]


def _draw_class(folder: Path, kind: str, split: str, count: int, size: int, seed: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        # The pictures of a class cycle through the backgrounds; two of five are white, as in Fruits-360.
        rng = np.random.default_rng([seed % 2**63, KINDS.index(kind), split == "Test", number])
        background = ("white", BACKGROUNDS[1:][rng.integers(4)])[number % 5 in (1, 3, 4)]
        picture = draw_fruit(kind, rng, size, background=background)
        picture.save(folder / f"{number:03d}.jpg", quality=int(rng.integers(86, 96)), subsampling=0)


def _refuse_foreign(folder: Path) -> None:
    if folder.is_dir() and ((folder / MARKER).is_file() or not any(folder.iterdir())):
        return
    if folder.exists():
        raise DataError("not-a-sample-set", folder=str(folder))


def _refuse_unknown(kinds: Sequence[str]) -> None:
    for kind in kinds:
        if kind not in FRUIT:
            raise DataError("unknown-kind", kind=str(kind), kinds=", ".join(KINDS))


def draw_fruit(
    kind: str,
    rng: np.random.Generator,
    size: int | tuple[int, int] = 100,
    *,
    background: str | None = None,
    place: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    """Draw one picture of a fruit.

    Args:
        kind: one of ``KINDS``.
        rng: the source of every random choice; the same state draws the same picture.
        size: pixels, one number for a square or (width, height).
        background: one of ``BACKGROUNDS``; by default any.
        place: (x, y, reach, turn) of the fruit; random by default. Its center relative to width and height, its radius relative to
        the shorter side (0.5 fills it), and its clockwise rotation in radians. With one seed the same fruit is drawn at every place.
    """
    _refuse_unknown([kind])
    width, height = (size, size) if isinstance(size, int) else size
    background = BACKGROUNDS[rng.integers(len(BACKGROUNDS))] if background is None else background
    if background not in BACKGROUNDS:
        raise DataError("unknown-background", background=str(background), backgrounds=", ".join(BACKGROUNDS))
    white = background == "white"
    reach = rng.uniform(0.40, 0.485) if white else rng.uniform(0.29, 0.45)
    x, y = rng.uniform(reach, 1 - reach, 2).tolist()
    turn = rng.normal(0, 0.3) if rng.random() < 0.55 else rng.uniform(-math.pi, math.pi)
    scene = Scene(width, height, rng, place or (x, y, reach, turn))
    paint(scene, FRUIT[kind])
    picture = scene.over(None if white else DRAWN[background](rng, (height, width), scene.pixels))
    picture = np.sqrt(np.clip(picture, 0, 1)) * 255
    noise = rng.uniform(0.4, 3.0) * rng.standard_normal(picture.shape, dtype=np.float32)
    if white:  # as in Fruits-360, whose background is exactly white
        noise *= picture.min(axis=0) < 252
    return Image.fromarray(np.clip(picture + noise + 0.5, 0, 255).astype(np.uint8).transpose(1, 2, 0).copy())
