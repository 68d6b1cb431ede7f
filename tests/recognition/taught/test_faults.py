"""Teaching while the process is killed, the disk is full, or another app teaches into the same folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fruitvision.errors import DataError
from fruitvision.recognition.taught import transfer as taught_transfer
from fruitvision.recognition.taught.store import TaughtIndex, TaughtStore
from fruitvision.recognition.taught.transfer import class_folders, export_taught, import_taught

STRUCK = """
import errno, json, os, shutil, signal, sys
from pathlib import Path
from fruitvision.errors import FruitVisionError
from fruitvision.recognition.taught.store import TaughtStore
from fruitvision.recognition.taught.transfer import import_taught
import numpy as np

kind, doing, folder, file = sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])

def arrange(nth):
    seen = 0
    def strike():
        nonlocal seen
        seen += 1
        if seen == nth and kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if seen >= nth and kind == "full":
            raise OSError(errno.ENOSPC, "No space left on device")
    def watch(event, given):
        writes = event in ("os.rename", "os.mkdir")
        if event == "open":
            writes = any(letter in given[1] for letter in "wax+") if isinstance(given[1], str) else bool(given[2] & os.O_CREAT)
        if writes:
            strike()
    sync = os.fsync
    os.fsync = lambda handle: (strike(), sync(handle))
    sys.addaudithook(watch)

for nth in range(1, 300):
    shutil.copytree(folder / "before", folder / str(nth))
    said, done = os.pipe()
    child = os.fork()
    if not child:
        arrange(nth)
        came = "done"
        try:
            if doing == "import":
                import_taught(TaughtStore(folder / str(nth)), file)
            else:
                TaughtStore(folder / str(nth)).add("Quince", np.full((40, 30, 3), 99, np.uint8), np.full((40, 30, 3), 98, np.uint8))
        except FruitVisionError as error:
            came = error.code
        except BaseException as error:
            came = repr(error)
        os.write(done, came.encode())
        os._exit(0)
    os.close(done)
    came = os.read(said, 1000).decode()
    os.close(said)
    signalled = os.waitpid(child, 0)[1]
    print(json.dumps([nth, came or f"signal {signalled}"]), flush=True)
    if came == "done":
        break
"""
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has neither fork nor SIGKILL")


def coloured(*shades: int) -> list[np.ndarray]:
    return [np.full((40, 30, 3), shade, np.uint8) for shade in shades]


def struck(tmp_path: Path, project: Path, kind: str, doing: str) -> tuple[TaughtIndex, TaughtIndex, list[tuple[TaughtStore, str]]]:
    """What was taught before, what it should come to, and after each strike the store and how it ended."""
    other, before = TaughtStore(tmp_path / "other"), TaughtStore(tmp_path / "before")
    other.add("Medlar", *coloured(10, 20, 30))
    other.add("Quince", *coloured(40))
    export_taught(other, tmp_path / "taught.zip")
    before.add("Pear", *coloured(200, 210))
    whole = TaughtStore(tmp_path / "whole")
    whole.add("Pear", *coloured(200, 210))
    import_taught(whole, tmp_path / "taught.zip") if doing == "import" else whole.add("Quince", *coloured(99, 98))
    (tmp_path / "temporary").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", STRUCK, kind, doing, str(tmp_path), str(tmp_path / "taught.zip")],
        cwd=project,
        timeout=300,
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    tries = [json.loads(line) for line in done.stdout.splitlines()]
    assert tries[-1][1] == "done" and len(tries) > (25 if doing == "import" else 8)
    return before.index(), whole.index(), [(TaughtStore(tmp_path / str(nth)), came) for nth, came in tries]


@needs_fork
@pytest.mark.parametrize("doing", ["import", "teach"])
@pytest.mark.slow
def test_killed_at_any_write_all_is_taught_or_nothing_and_the_next_start_works(tmp_path, project, doing):
    before, whole, tries = struck(tmp_path, project, "kill", doing)
    assert {came for _, came in tries[:-1]} == {"signal 9"}
    for store, _ in tries:
        index = store.index()
        assert index in (before, whole)
        for picture in (one for own in index.names.values() for one in own):
            assert store.pixels(picture).shape == (40, 30, 3)
        import_taught(store, tmp_path / "taught.zip") if doing == "import" else store.add("Quince", *coloured(99, 98))
        assert store.index() == whole
        for name in whole.names:
            store.remove_name(name)
        left = {path.relative_to(store.folder).as_posix() for path in store.folder.rglob("*") if path.is_file()}
        assert not {path for path in left if path.startswith("pictures/")}, "what the killed one left is cleared away"


@needs_fork
@pytest.mark.parametrize("doing", ["import", "teach"])
@pytest.mark.slow
def test_a_full_disk_at_any_write_is_a_sentence_and_nothing_is_lost(tmp_path, project, doing):
    before, whole, tries = struck(tmp_path, project, "full", doing)
    found = {came for _, came in tries[:-1]}
    assert found <= {"disk-full", "cannot-write"} and "disk-full" in found  # for want of any folder for temporary files Python says that
    for store, came in tries:
        assert store.index() == (whole if came == "done" else before)
        assert not list(store.folder.rglob("*.new"))
        import_taught(store, tmp_path / "taught.zip") if doing == "import" else store.add("Quince", *coloured(99, 98))
        assert store.index() == whole
    assert not list((tmp_path / "temporary").iterdir())


def test_two_apps_that_teach_and_take_back_at_once_lose_nothing_and_both_see_all(tmp_path, project):
    code = """
import sys, time
from pathlib import Path
import numpy as np
from fruitvision.recognition.taught.store import TaughtStore
store, who = TaughtStore(sys.argv[1]), int(sys.argv[2])
for n in range(15):
    (mine,) = store.add(f"kind {n % 3}", np.full((16, 16, 3), 10 * n + who, np.uint8))
    assert mine in store.index().names[f"kind {n % 3}"]
    if n % 5 == 4:
        store.remove_picture(mine)
Path(sys.argv[1], f"{who} is done").touch()
end = time.monotonic() + 60
while time.monotonic() < end and len(list(Path(sys.argv[1]).glob("* is done"))) < 2:
    time.sleep(0.05)
for own in store.index().names.values():
    for one in own:
        store.pixels(one)
sys.exit(store.index().pictures != 24)
"""
    both = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "taught"), who], cwd=project) for who in ("0", "5")]
    assert [one.wait(120) for one in both] == [0, 0]


def test_what_another_app_wrote_is_not_lost_where_its_file_looks_as_the_one_before(tmp_path):
    ours, theirs = TaughtStore(tmp_path / "taught"), TaughtStore(tmp_path / "taught")
    (first,) = ours.add("Pear", *coloured(1))
    file = tmp_path / "taught" / "taught.json"
    stamp, text = file.stat(), file.read_text(encoding="utf-8")
    ours.index()
    (second,) = theirs.add("Pear", *coloured(2))
    other = text.replace(first, second)
    with file.open("r+", encoding="utf-8") as same:  # a clock of few ticks, and a file system that gives numbers again
        same.truncate(0)
        same.write(other)
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    ours._cached = ((stamp.st_mtime_ns, stamp.st_size, file.stat().st_ino), ours._cached[1])
    (third,) = ours.add("Pear", *coloured(3))
    assert ours.index().names == {"Pear": (second, third)}


def test_two_apps_that_hand_what_was_taught_to_a_training_at_once_both_have_all_of_it(tmp_path, monkeypatch):
    store = TaughtStore(tmp_path / "taught")
    store.add("Pear", *coloured(1, 2, 3))
    copy, made = taught_transfer._copy_pictures, []

    def meanwhile(*given) -> None:
        monkeypatch.setattr(taught_transfer, "_copy_pictures", copy)
        made.append(class_folders(store, tmp_path / "runs"))
        inside = made[0].stat().st_ino
        copy(*given)
        made.append(inside)

    monkeypatch.setattr(taught_transfer, "_copy_pictures", meanwhile)
    ours = class_folders(store, tmp_path / "runs")
    assert ours == made[0] and ours.stat().st_ino == made[1], "what the other one may be reading is not exchanged under it"
    assert len(list(ours.rglob("*.jpg"))) == 3
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [ours.name]


def test_pictures_that_another_app_takes_back_meanwhile_are_left_out(tmp_path, monkeypatch):
    store = TaughtStore(tmp_path / "taught")
    first, second = store.add("Pear", *coloured(1, 2))
    monkeypatch.setattr(Path, "is_file", lambda path: True)  # it was there a moment ago
    store.picture_file(first).unlink()
    export_taught(store, tmp_path / "taught.zip")
    folder = class_folders(store, tmp_path / "runs")
    monkeypatch.undo()
    assert len(list(folder.rglob("*.jpg"))) == 1
    assert import_taught(TaughtStore(tmp_path / "there"), tmp_path / "taught.zip") == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few people make links")
def test_a_taught_folder_that_is_a_link_works_and_nothing_is_deleted_through_a_link_in_it(tmp_path):
    (tmp_path / "large disk").mkdir()
    (tmp_path / "taught").symlink_to(tmp_path / "large disk")
    store = TaughtStore(tmp_path / "taught")
    (one,) = store.add("Pear", *coloured(1))
    assert (tmp_path / "large disk" / "pictures" / f"{one}.jpg").is_file()
    store.remove_name("Pear")
    assert not (tmp_path / "large disk" / "pictures" / f"{one}.jpg").exists(), "the folder itself may be a link"
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("0" * 32 + ".jpg", f".x.jpg.{2**22 + 1}.new"):
        (outside / name).touch()
    (store.folder / "pictures").rmdir()
    (store.folder / "pictures").symlink_to(outside)
    store.clear()
    assert len(list(outside.iterdir())) == 2


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few people make links")
def test_a_taught_folder_that_leads_to_itself_is_a_sentence(tmp_path):
    (tmp_path / "taught").symlink_to(tmp_path / "taught")
    store = TaughtStore(tmp_path / "taught")
    for doing in (store.index, lambda: store.add("Pear", *coloured(1))):
        with pytest.raises(DataError):
            doing()
