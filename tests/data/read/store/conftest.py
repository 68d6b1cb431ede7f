"""A folder of ten drawn pictures, a cache of its own, and what is decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fruitvision.data.read.decoding as decoding
from fruitvision.data.read.image_store import ImageStore


def draw(path: Path, seed: int, size: tuple[int, int] = (24, 24)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, "JPEG" if path.suffix == ".jpg" else None)


@pytest.fixture
def root(tmp_path) -> Path:
    """Two classes in two splits: 6 + 4 pictures."""
    root = tmp_path / "my fruit 水果"
    for number, name in enumerate(("Apple", "Pear 梨")):
        for i in range(3):
            draw(root / "Training" / name / f"{i}.jpg", 10 * number + i)
        for i in range(2):
            draw(root / "Test" / name / f"{i}.jpg", 100 + 10 * number + i)
    return root


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("FRUITVISION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The files decoded from here on."""
    names: list[str] = []
    decode = decoding.decode_chunk

    def noting(root, chunk, *rest):
        names.extend(chunk)
        return decode(root, chunk, *rest)

    monkeypatch.setattr(decoding, "decode_chunk", noting)
    return names


def stores(cache: Path) -> list[Path]:
    return [path for path in cache.glob("stores/*/*") if path.is_dir()]


def kinds(dataset) -> dict[str, str]:
    return {problem.path: problem.kind for problem in dataset.problems}


def sum_of(store: ImageStore, rows: list[int]) -> int:
    return int(sum(store[row].astype(np.int64).sum() for row in rows))
