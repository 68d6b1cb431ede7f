"""Pictures are decoded once, kept, found again, and decoded anew where a file changed."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

import fruitvision.data.read.decoding as decoding
import fruitvision.data.read.store as store_module
from fruitvision.data.read.listing import list_tree
from fruitvision.data.read.picture import load_pixels
from fruitvision.data.read.store import ImageStore, cache_folder, open_dataset, open_folder, open_loose, open_store
from fruitvision.errors import DataError


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


def test_what_an_earlier_version_kept_is_cleared_away_and_other_folders_stores_are_not(root, cache, tmp_path):
    shutil.copytree(root, tmp_path / "other")
    open_dataset(tmp_path / "other")
    old = cache / "stores" / "0123456789abcdef0123" / f"{'01' * 16}-0123abcd"
    foreign = cache / "stores" / "grocery" / "2024", cache / "stores" / "0123456789abcdef9999" / "ledger"
    for folder in (old, *foreign):
        folder.mkdir(parents=True)
        (folder / "pixels-0.bin").write_bytes(b"x")
    open_dataset(root)
    assert not old.parent.exists() and all((folder / "pixels-0.bin").exists() for folder in foreign)
    assert len(stores(cache)) == 4


def kinds(dataset) -> dict[str, str]:
    return {problem.path: problem.kind for problem in dataset.problems}


def test_what_systems_put_beside_pictures_is_no_picture(tmp_path, cache):
    picture = Image.new("RGB", (20, 20), "red")
    for place in ("rooms", "__MACOSX/rooms", ".hidden"):
        (tmp_path / place).mkdir(parents=True)
        picture.save(tmp_path / place / "one.jpg")
    for name in ("Thumbs.db", "rooms/Thumbs.db", "rooms/desktop.ini", ".DS_Store", "__MACOSX/rooms/._one.jpg"):
        (tmp_path / name).write_bytes(b"x")
    store = open_loose(tmp_path)
    assert list(store.paths) == ["rooms/one.jpg"] and not store.problems()


def test_rows_hold_the_pixels_of_their_files(root, cache):
    dataset, store = open_dataset(root)
    assert dataset.classes == ("Apple", "Pear 梨")
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 6, "test": 4}
    for split in dataset.splits.values():
        for path, row in zip(split.paths, split.rows, strict=True):
            assert (store[row] == load_pixels(root / path)).all()
            assert store.paths[row] == path
    assert store.paths == sorted(store.paths)


def test_what_is_given_out_cannot_be_written(root, cache):
    _, store = open_dataset(root)
    with pytest.raises(ValueError, match="read-only"):
        store[0][:] = 0


def test_pictures_of_one_size_come_as_one_array(root, cache):
    _, store = open_dataset(root)
    assert store.uniform == (24, 24) and len(store) == 10
    batch = store.take([3, 0, 3])
    assert batch.shape == (3, 24, 24, 3) and batch.flags.writeable
    assert (batch[0] == store[3]).all() and (batch[1] == store[0]).all()
    assert store.take([]).shape == (0, 0, 0, 3)


def test_pictures_keep_their_aspect_with_the_short_side_capped(root, cache):
    draw(root / "Training" / "Apple" / "wide.png", 1, (120, 60))
    dataset, store = open_dataset(root, short_side=32)
    row = store.paths.index("Training/Apple/wide.png")
    assert store[row].shape == (32, 64, 3)
    assert store.shapes.dtype == np.int32 and store.shapes[row].tolist() == [32, 64]
    assert store.uniform is None
    with pytest.raises(ValueError, match="different sizes"):
        store.take([row, row - 1])


def test_the_second_time_nothing_is_decoded(root, cache, decoded):
    first, _ = open_dataset(root)
    assert len(decoded) == 10
    told = []
    second, store = open_dataset(root, progress=lambda done, total: told.append((done, total)))
    assert len(decoded) == 10 and told == [(10, 10)]
    assert second.fingerprint == first.fingerprint and len(store) == 10


def test_progress_counts_to_the_end(root, cache):
    told = []
    open_dataset(root, progress=lambda done, total: told.append((done, total)))
    assert told[0] == (0, 10) and told[-1] == (10, 10)
    assert told == sorted(told)


def test_only_what_changed_is_decoded_again(root, cache, decoded):
    _, before = open_dataset(root)
    kept = before[before.paths.index("Training/Pear 梨/2.jpg")].copy()
    del before
    decoded.clear()
    draw(root / "Training" / "Apple" / "0.jpg", 999)
    draw(root / "Training" / "Apple" / "new.jpg", 998)
    (root / "Test" / "Apple" / "1.jpg").unlink()
    dataset, store = open_dataset(root)
    assert sorted(decoded) == ["Training/Apple/0.jpg", "Training/Apple/new.jpg"]
    assert len(store) == 10 and store.paths == sorted(store.paths)
    for path in (
        "Training/Apple/0.jpg",
        "Training/Apple/new.jpg",
        "Training/Apple/1.jpg",
        "Test/Apple/0.jpg",
    ):
        assert (store[store.paths.index(path)] == load_pixels(root / path)).all()
    assert (store[store.paths.index("Training/Pear 梨/2.jpg")] == kept).all()
    assert len(stores(cache)) == 1, "the superseded one is gone"


def test_a_file_changed_in_place_is_noticed_by_its_time(root, cache, decoded):
    first, _ = open_dataset(root)
    path = root / "Training" / "Apple" / "0.jpg"
    size = path.stat().st_size
    Image.new("RGB", (24, 24), "red").save(path, "JPEG")
    path.write_bytes(path.read_bytes().ljust(size, b"\0"))
    os.utime(path, ns=(1, 1))
    decoded.clear()
    second, _ = open_dataset(root)
    assert decoded == ["Training/Apple/0.jpg"]
    assert second.fingerprint != first.fingerprint


def test_a_moved_folder_is_decoded_for_its_new_place(root, cache):
    first, _ = open_dataset(root)
    second, store = open_dataset(shutil.copytree(root, root.parent / "copy"))
    assert second.fingerprint == first.fingerprint and len(store) == 10
    assert len(stores(cache)) == 2


def test_files_that_are_no_good_are_named_and_left_out(root, cache, decoded):
    good = (root / "Training" / "Apple" / "0.jpg").read_bytes()
    folder = root / "Training" / "Apple"
    (folder / "cut.jpg").write_bytes(good[: len(good) // 2])
    (folder / "empty.jpg").touch()
    (folder / "list.jpg").write_text("milk, eggs", encoding="utf-8")
    (folder / "notes.txt").write_text("taken in May", encoding="utf-8")
    (root / "lost.jpg").write_bytes(good)
    (root / "Training" / "lost.jpg").write_bytes(good)
    expected = {
        "Training/Apple/cut.jpg": "damaged",
        "Training/Apple/empty.jpg": "empty",
        "Training/Apple/list.jpg": "not-an-image",
        "Training/Apple/notes.txt": "not-an-image",
        "Training/lost.jpg": "outside-class",
    }
    for _ in range(2):
        dataset, store = open_dataset(root)
        assert kinds(dataset) == expected
        assert len(store) == 10
    assert len(decoded) == 14, "bad files are remembered too"
    assert all(problem.detail.endswith(".") for problem in dataset.problems)


def test_every_strange_picture_is_read(root, cache):
    folder = root / "Training" / "Apple"
    long = "a very long name " * 11
    Image.new("CMYK", (9, 9), (0, 255, 255, 0)).save(folder / "cmyk.jpg")
    Image.new("P", (9, 9)).save(folder / "palette.png")
    Image.fromarray(np.full((9, 9), 40000, np.uint16)).save(folder / "16 bit.png")
    Image.new("RGBA", (9, 9), (0, 0, 0, 0)).save(folder / "transparent.webp")
    Image.new("RGB", (9, 9)).save(folder / "moves.gif", save_all=True, append_images=[Image.new("RGB", (9, 9), "red")])
    Image.new("RGB", (1, 1)).save(folder / f"{long}.png")
    dataset, store = open_dataset(root)
    assert not dataset.problems
    assert len(store) == 16
    assert store[store.paths.index("Training/Apple/transparent.webp")].min() == 255
    assert store[store.paths.index(f"Training/Apple/{long}.png")].shape == (1, 1, 3)


def test_a_file_that_may_be_read_again_is_read(root, cache, monkeypatch):
    locked = root / "Training" / "Apple" / "0.jpg"
    really_open = os.open

    def guarded(path, *rest, **options):
        if str(path) == str(locked):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return really_open(path, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", guarded)
        patch.setattr(os, "access", lambda *_: False)
        for _ in range(2):
            dataset, store = open_dataset(root)
            assert kinds(dataset) == {"Training/Apple/0.jpg": "unreadable"} and len(store) == 9
    dataset, store = open_dataset(root)
    assert not dataset.problems and len(store) == 10


def test_the_cache_lies_where_the_variable_says(root, cache, tmp_path):
    assert cache_folder() == cache
    _, store = open_dataset(root)
    assert store.path.is_relative_to(cache)
    _, store = open_dataset(root, cache=tmp_path / "elsewhere")
    assert store.path.is_relative_to(tmp_path / "elsewhere")


def test_without_the_variable_the_cache_is_the_users(monkeypatch):
    monkeypatch.delenv("FRUITVISION_CACHE")
    assert cache_folder().is_absolute() and "fruitvision" in str(cache_folder()).lower()


def test_nothing_is_written_among_the_pictures(root, cache):
    before = sorted(root.rglob("*"))
    open_dataset(root)
    assert sorted(root.rglob("*")) == before


def test_two_caps_live_side_by_side(root, cache, decoded):
    for _ in range(2):
        assert open_dataset(root, short_side=24)[1].uniform == (24, 24)
        assert open_dataset(root, short_side=12)[1].uniform == (12, 12)
    assert len(decoded) == 20 and len(stores(cache)) == 2


def spoil_size(folder: Path) -> None:
    part = max(folder.glob("pixels-*.bin"), key=lambda path: path.stat().st_size)
    part.write_bytes(part.read_bytes()[:-1])


def spoil_index(folder: Path) -> None:
    (folder / "index.npz").write_bytes((folder / "index.npz").read_bytes()[:200])


def forget_index(folder: Path) -> None:
    (folder / "index.npz").unlink()


def empty_index(folder: Path) -> None:
    (folder / "index.npz").write_bytes(b"")


@pytest.mark.parametrize("spoil", [spoil_size, spoil_index, forget_index, empty_index])
def test_a_store_that_a_crash_cut_short_is_built_again(root, cache, spoil):
    first = open_dataset(root)[0]
    spoil(stores(cache)[0])
    second, store = open_dataset(root)
    assert second.fingerprint == first.fingerprint
    assert (store[0] == load_pixels(root / store.paths[0])).all()
    assert len(stores(cache)) == 1


def test_a_store_that_is_gone_says_so(root, cache):
    _, store = open_dataset(root)
    packed = pickle.dumps(store)
    shutil.rmtree(store.path)
    with pytest.raises(DataError) as caught:
        pickle.loads(packed)
    assert caught.value.code == "store-missing"


def test_stopping_halfway_leaves_nothing_behind(root, cache):
    def stop(done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_dataset(root, progress=stop)
    assert stores(cache) == []
    assert len(open_dataset(root)[1]) == 10


def sum_of(store: ImageStore, rows: list[int]) -> int:
    return int(sum(store[row].astype(np.int64).sum() for row in rows))


def test_a_spawned_process_maps_the_same_pixels(root, cache):
    _, store = open_dataset(root)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(sum_of, (store, [1, 4])) == sum_of(store, [1, 4])


def test_a_store_that_is_in_use_outlives_its_folders_next_scan_and_goes_when_it_is_not(root, cache):
    _, used = open_dataset(root)
    known = sum_of(used, [1, 4])
    for number in (7, 8):
        draw(root / "Training" / "Apple" / f"{number}.jpg", number)
        _, newer = open_dataset(root)
        assert newer.path != used.path and len(newer) == 4 + number
    with multiprocessing.get_context("spawn").Pool(1) as pool:  # as a run's workers that start late
        assert pool.apply_async(sum_of, (used, [1, 4])).get(60) == known  # a pool waits for ever for what cannot be sent
    assert {used.path, newer.path} <= set(stores(cache)), "and not the one between them, once nobody had it open"
    del used
    open_dataset(root)
    assert stores(cache) == [newer.path]


HOLD = """
import pickle, sys
store = pickle.loads(bytes.fromhex(sys.argv[1]))
print("holds", flush=True)
sys.stdin.readline()
print(len(pickle.loads(pickle.dumps(store))), flush=True)
sys.stdin.readline()
"""


def test_a_store_that_another_process_uses_is_kept_until_that_ends_however_it_ends(root, cache, project):
    _, used = open_dataset(root)
    packed, path = pickle.dumps(used).hex(), used.path
    words = [sys.executable, "-c", HOLD, packed]
    with subprocess.Popen(words, cwd=project, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout.readline() == "holds\n"
            del used
            draw(root / "Training" / "Apple" / "7.jpg", 7)
            _, newer = open_dataset(root)
            assert len(newer) == 11 and path in stores(cache)
            other.stdin.write("\n")
            other.stdin.flush()
            assert other.stdout.readline() == "10\n", "it opens the store by its path"
        finally:
            other.kill()
    open_dataset(root)
    assert stores(cache) == [newer.path]


def test_whoever_waits_for_a_store_that_another_one_builds_shows_that_he_waits(root, cache, monkeypatch):
    monkeypatch.setattr(store_module, "_WAIT_SECONDS", 0.05)
    home = store_module._home(root, 256, None)
    home.mkdir(parents=True)
    held, waited = threading.Event(), threading.Event()

    def hold():
        with FileLock(home / "lock"):
            held.set()
            waited.wait(30)

    other = threading.Thread(target=hold)
    other.start()
    held.wait(30)
    seen = []

    def progress(done, total):
        seen.append((done, total))
        if len(seen) == 3:
            waited.set()

    _, store = open_dataset(root, progress=progress)
    other.join()
    assert seen[:3] == [(0, 10)] * 3 and len(store) == 10


BUILD = """
import sys
from pathlib import Path
import fruitvision.data.read.store as store
build = store._build
def noting(*args):
    print("built", flush=True)
    return build(*args)
store._build = noting
Path(sys.argv[2]).touch()
while not Path(sys.argv[3]).exists():
    pass
dataset, pictures = store.open_dataset(sys.argv[1])
print(dataset.fingerprint, len(pictures), int(pictures.take(range(len(pictures))).sum()))
"""


def test_two_processes_build_one_store_once(root, cache, tmp_path, project):
    for i in range(150):
        draw(root / "Training" / "Apple" / f"more {i}.jpg", i, (64, 64))
    for path in root.rglob("?.jpg"):
        draw(path, 1, (64, 64))
    environment = {**os.environ, "PYTHONPATH": str(project)}
    ready = [tmp_path / "ready 0", tmp_path / "ready 1"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", BUILD, str(root), str(own), str(other)],
            stdout=subprocess.PIPE,
            env=environment,
            encoding="utf-8",
        )
        for own, other in (ready, reversed(ready))
    ]
    lines = [line for process in processes for line in process.communicate(timeout=60)[0].splitlines()]
    assert [process.returncode for process in processes] == [0, 0]
    assert lines.count("built") == 1
    assert len({line for line in lines if line != "built"}) == 1
    assert len(stores(cache)) == 1


def test_two_visitors_of_one_app_build_one_store_once(root, cache, decoded):
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(open_dataset, [root] * 4))
    assert len(decoded) == 10 and len({store.path for _, store in opened}) == 1


def test_many_pictures_are_decoded_by_processes_of_their_own(root, cache, monkeypatch):
    for i in range(300):
        draw(root / "Training" / "Apple" / f"more {i}.jpg", 1000 + i)
    (root / "Training" / "Apple" / "bad.jpg").write_bytes(b"\xff\xd8\xff rubbish")
    _, here = open_dataset(root, cache=cache / "threads")
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **options: started.append(popen(*args, **options)) or started[-1])
    monkeypatch.setattr(decoding, "FILES_PER_PROCESS", 100)
    monkeypatch.setattr(store_module, "worker_count", lambda files: 2)
    dataset, apart = open_dataset(root, cache=cache / "processes")
    assert len(started) == 1 and started[0].returncode is not None, "it has ended"
    assert apart.paths == here.paths and apart.hashes == here.hashes
    assert all((apart[row] == here[row]).all() for row in range(len(here)))
    assert kinds(dataset) == {"Training/Apple/bad.jpg": "damaged"}


def test_a_worker_process_that_dies_costs_no_picture(root, cache, monkeypatch):
    for i in range(300):
        draw(root / "Training" / "Apple" / f"more {i}.jpg", 1000 + i)
    monkeypatch.setattr(sys, "executable", shutil.which("true") or sys.executable)
    monkeypatch.setattr(decoding, "FILES_PER_PROCESS", 100)
    monkeypatch.setattr(store_module, "worker_count", lambda files: 2)
    dataset, store = open_dataset(root)
    assert not dataset.problems and len(store) == 310
    assert all((store[row] == load_pixels(root / store.paths[row])).all() for row in range(0, 310, 7))


def full_disk(tmp_path: Path) -> Path:
    """A real disk of 64 KiB, where this machine lets one be made."""
    place = tmp_path / "tiny disk"
    place.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only Linux's root can mount a tiny disk")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    return place


def test_a_full_disk_is_said_and_leaves_nothing_behind(root, tmp_path):
    for i in range(70):
        draw(root / "Training" / "Apple" / f"more {i}.jpg", i, (40, 40))
    place = full_disk(tmp_path)
    try:
        with pytest.raises(DataError) as caught:
            open_dataset(root, cache=place)
        assert caught.value.code == "cache-disk-full" and str(place) in str(caught.value)
        assert stores(place) == []
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_full_disk_keeps_the_store_there_was(root, cache, monkeypatch):
    _, before = open_dataset(root)
    draw(root / "Training" / "Apple" / "new.jpg", 5)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "write_index", full)
        with pytest.raises(DataError) as caught:
            open_dataset(root)
    assert caught.value.code == "cache-disk-full"
    assert stores(cache) == [before.path]
    assert len(open_dataset(root)[1]) == 11


def test_a_cache_that_cannot_be_written_is_explained(root, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError) as caught:
        open_dataset(root, cache=tmp_path / "file")
    assert caught.value.code == "cache-not-writable"
    assert "FRUITVISION_CACHE" in str(caught.value)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is read-only to an administrator")
def test_a_read_only_cache_is_explained(root, cache):
    cache.mkdir()
    cache.chmod(0o500)
    with pytest.raises(DataError) as caught:
        open_dataset(root)
    assert caught.value.code == "cache-not-writable"


def test_a_folder_is_opened_for_scoring_whatever_its_splits(root, cache, decoded):
    draw(root / "Test" / "New" / "0.jpg", 500)
    names, split, store, problems = open_folder(root)
    assert names == ("Apple", "New", "Pear 梨") and len(split) == 11 and not problems
    assert [names[label] for label in split.labels] == [path.split("/")[1] for path in split.paths]
    dataset, same = open_dataset(root)
    assert same.path == store.path and len(decoded) == 11, "both read one store"
    assert kinds(dataset) == {"Test/New": "class-not-in-training"}


def test_one_class_is_enough_for_scoring(tmp_path, cache):
    draw(tmp_path / "set" / "Apple" / "0.jpg", 1)
    assert open_folder(tmp_path / "set")[0] == ("Apple",)


def test_a_tree_of_pictures_has_a_store_too(tmp_path, cache):
    draw(tmp_path / "things" / "a.jpg", 1)
    draw(tmp_path / "things" / "room" / "b.png", 2, (40, 20))
    store = open_store(list_tree(tmp_path / "things", "not-fruit"))
    assert store.paths == ["a.jpg", "room/b.png"] and store[1].shape == (20, 40, 3)


def test_a_folder_of_text_is_no_folder_of_pictures(tmp_path, cache):
    for name in ("A", "B"):
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "x.txt").write_text("x", encoding="utf-8")
    for opening in (open_dataset, open_folder):
        with pytest.raises(DataError) as caught:
            opening(tmp_path / "set")
        assert caught.value.code == "no-pictures"


def test_copies_are_found_by_content(root, cache):
    shutil.copy(root / "Training" / "Apple" / "0.jpg", root / "Test" / "Apple" / "copy of it.jpg")
    shutil.copy(root / "Test" / "Pear 梨" / "0.jpg", root / "Training" / "Pear 梨" / "0.jpg")
    for name in ("1.jpg", "2.jpg"):
        (root / "Training" / "Pear 梨" / name).unlink()
    dataset, _ = open_dataset(root)
    assert kinds(dataset) == {
        "Test/Apple/copy of it.jpg": "duplicate-across-splits",
        "Training/Pear 梨": "class-copied",
    }


def test_real_photographs_are_all_read(real_data, cache):
    dataset, store = open_dataset(real_data / "photos" / "ms-learn")
    assert dataset.classes == ("Apple", "Banana", "Orange") and dataset.layout == "class-folders"
    assert not dataset.problems and len(store) == 69
    assert min(store.shapes.min(axis=1)) <= 256


def test_a_heic_that_nothing_read_is_read_once_something_is_installed(tmp_path, cache, monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    for name in ("Apple", "Banana"):
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.new("RGB", (64, 48), "red").save(tmp_path / "set" / name / "a.png")
        heif.from_pillow(Image.new("RGB", (64, 48), "blue")).save(tmp_path / "set" / name / "IMG_1.HEIC")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pillow_heif", None)
        dataset, _ = open_dataset(tmp_path / "set", cache=cache, test_fraction=0)
        assert {problem.kind for problem in dataset.problems} == {"heic"} and len(dataset.splits["train"]) == 2
        assert "pillow-heif" not in dataset.problems[0].detail and "HEIC" in dataset.problems[0].detail
    dataset, store = open_dataset(tmp_path / "set", cache=cache, test_fraction=0)
    assert not dataset.problems and len(dataset.splits["train"]) == 4 and len(store) == 4
