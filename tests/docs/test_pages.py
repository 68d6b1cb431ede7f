"""The README is one screen, and every page says the same in English and Chinese."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from .pages import DOCS, ENGLISH, PROJECT, chinese, code, name, prose

pages = pytest.mark.parametrize("page", ENGLISH, ids=name)


def headings(page: Path) -> list[int]:
    """The levels of a page's headings, in order."""
    return [len(found) for found in re.findall(r"^(#+) ", prose(page), re.MULTILINE)]


def linked(page: Path) -> list[str]:
    """Where a page's links and pictures lead, the language of their targets left out."""
    return [re.sub(r"\.zh(-CN)?\.(md|webp)", r".\2", link) for link in re.findall(r"\]\(([^)\s]+)\)", prose(page))]


def test_the_readme_has_at_most_900_words():
    assert len((PROJECT / "README.md").read_text(encoding="utf-8").split()) <= 900


def test_the_moving_picture_and_all_pictures_together_are_small():
    from PIL import Image

    for language in ("", ".zh"):
        with Image.open(DOCS / "images" / f"classify{language}.webp") as picture:
            assert picture.n_frames >= 8
        assert (DOCS / "images" / f"classify{language}.webp").stat().st_size <= 2_000_000
    assert sum(path.stat().st_size for path in (DOCS / "images").iterdir()) <= 1_500_000


@pages
def test_a_page_has_the_same_sections_in_chinese(page):
    assert headings(chinese(page)) == headings(page) and headings(page)[:1] == [1]


@pages
def test_a_page_has_the_same_commands_and_programs_in_chinese(page):
    if page.name == "design.md":
        return  # its drawing of the packages is translated
    ours, theirs = code(page), code(chinese(page))
    assert theirs == ours


@pages
def test_a_page_shows_and_links_the_same_in_chinese(page):
    ours, theirs = linked(page), [link.replace("/fruitvision/zh/", "/fruitvision/") for link in linked(chinese(page))]
    foreign = {link for link in {*ours, *theirs} if "docs.python.org" in link or link.startswith("README")}
    assert sorted(set(theirs) - foreign) == sorted(set(ours) - foreign)


@pages
def test_a_page_has_the_same_tables_in_chinese(page):
    def figures(one: Path) -> list[list[str]]:
        rows = re.findall(r"^\|.*\|$", prose(one), re.MULTILINE)
        return [sorted(re.findall(r"\d+(?:\.\d+)?%|± \d+\.\d", row)) for row in rows]

    assert figures(chinese(page)) == figures(page)


@pages
def test_links_lead_to_files_that_are_there(page):
    for one in (page, chinese(page)):
        inside = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", prose(one)) if "://" not in link]
        assert not [link for link in inside if link and not (one.parent / link).exists()], one.name


@pages
def test_chinese_paragraphs_are_not_broken_into_lines(page):
    """A break of line would be shown as a space between two characters."""
    broken = re.findall(r"[\u4e00-\u9fff]\n[\u4e00-\u9fff]|[，。；：、）]\n[A-Za-z\u4e00-\u9fff]", prose(chinese(page)))
    assert not broken


def test_every_page_stands_in_the_navigation_once():
    class Loader(yaml.SafeLoader):
        """MkDocs' files may have tags of Python's."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: suffix)
    site = yaml.load((PROJECT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)
    listed = [page for one in site["nav"] for page in (next(iter(one.values())) if isinstance(one, dict) else [one])]
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in ENGLISH[1:])


def test_pictures_in_the_readme_have_absolute_addresses_of_files_that_are_there():
    for readme in ("README.md", "README.zh-CN.md"):
        shown = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (PROJECT / readme).read_text(encoding="utf-8"))
        assert shown and all(link.startswith("https://") for link in shown)
        for link in shown:
            if "raw.githubusercontent.com" in link:
                assert (PROJECT / link.partition("/main/")[2]).is_file()


def test_a_space_runs_the_gradio_that_the_tests_ran():
    pinned = re.search(r"^gradio==(\S+)", (PROJECT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)[1]
    for page in ("host.md", "host.zh.md"):
        text = (DOCS / "guides" / page).read_text(encoding="utf-8")
        front = yaml.safe_load(re.search(r"^---\n(.*?)^---", text, re.MULTILINE | re.DOTALL)[1])
        assert (front["sdk"], front["sdk_version"], front["app_file"]) == ("gradio", pinned, "app.py")
