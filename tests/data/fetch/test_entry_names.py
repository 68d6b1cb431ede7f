"""The names of an archive's entries, as different programs write them."""

from __future__ import annotations

from fruitvision.data.fetch.archive import unpack

from .test_archive import GOOD, folder, make_zip, names

__all__ = ["folder"]  # a fixture


def test_a_zip_whose_folders_are_separated_by_backslashes_is_unpacked(tmp_path, folder):
    """As PowerShell and programs of .NET wrote it for years."""
    path = make_zip(tmp_path / "x", {name.replace("/", "@"): content for name, content in GOOD.items()} | {"empty@": b""})
    path.write_bytes(path.read_bytes().replace(b"@", b"\\"))
    unpack(path, folder)
    other = folder.with_name("other")
    unpack(make_zip(tmp_path / "y", GOOD), other)
    assert names(folder) == names(other)
