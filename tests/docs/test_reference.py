"""The generated parts of the site: every command, every option, every setting; and what is included of other files."""

from __future__ import annotations

import re
import tomllib

import pytest
import typer

from scripts.docs.address import address, forms, named_in, replace
from scripts.docs.hooks import expanded
from scripts.docs.reference import commands, settings

from .pages import PROJECT


def every(command, name=""):
    for word, one in getattr(command, "commands", {}).items():
        yield from every(one, f"{name} {word}".strip()) if hasattr(one, "commands") else [(f"{name} {word}".strip(), one)]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_command_and_option_stands_in_the_reference(language):
    from fruitvision import cli

    text = commands(language)
    for name, command in every(typer.main.get_command(cli.app)):
        part = re.search(rf"^## {re.escape(name)}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)[1]
        for option in command.params:
            shown = option.opts[0] if option.param_type_name == "option" else f"`{option.metavar or ''}"
            assert shown in part.replace("\\|", "|"), (name, shown)
            assert " ".join((option.help or "").split()).replace("|", "\\|").replace("<", "&lt;") in part, (name, shown)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_setting_stands_in_the_reference_with_its_default_and_meaning(language):
    from fruitvision.training.config import TrainConfig
    from fruitvision.wording.text import setting

    text = settings(language)
    for name in set(TrainConfig.model_fields) - {"preset"}:
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
        assert setting(name, language)[1] in row and row.count(" | ") == 4
    assert "fast: `2e-3`" in text or "fast: `0.002`" in text


def test_pages_get_generated_parts_and_files_of_the_project():
    page = "# T\n\n<!-- generated: settings -->\n\n<!-- include: SECURITY.md -->\n"
    text = expanded(page, "zh", "https://example.org/r")
    assert "| `weight_decay` |" in text and "### What the app promises" in text and "# Security" not in text
    assert "<!--" not in text


def test_links_within_an_included_file_lead_to_the_repository():
    text = expanded("<!-- include: benchmarks/README.md -->", "en", "https://example.org/r")
    assert "### " in text and not re.search(r"^# ", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.MULTILINE)
    inside = re.findall(r"\]\((?!https?://|#)([^)\s]+)\)", text)
    assert not inside


def test_all_files_name_one_address():
    urls = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    repository, raw, site, colab, _ = forms(address())
    assert urls["Documentation"] == f"{site}/" and all(url.startswith((repository, site)) for url in urls.values())
    name = address().rsplit("/", 1)[1]
    for path in named_in():
        for found in re.findall(rf"https://(?:github\.com|raw\.githubusercontent\.com)/[\w-]+/{name}\b", path.read_text(encoding="utf-8")):
            assert found in (repository, raw), path


def test_the_address_is_changed_everywhere_by_one_command(tmp_path, monkeypatch):
    import scripts.docs.address as module

    readme, project = tmp_path / "README.md", tmp_path / "pyproject.toml"
    readme.write_text(" ".join(forms(address())), encoding="utf-8")
    project.write_text(f'[project.urls]\nSource = "{address()}"\n', encoding="utf-8")
    monkeypatch.setattr(module, "PROJECT", tmp_path)
    assert replace("https://github.com/Someone/fruit") == ["README.md", "pyproject.toml"]
    assert readme.read_text(encoding="utf-8") == " ".join(forms("https://github.com/Someone/fruit"))
    assert module.address() == "https://github.com/Someone/fruit"


def test_the_citation_names_the_version_the_licences_and_the_address():
    import yaml

    import fruitvision

    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == fruitvision.__version__ and citation["repository-code"] == address()
    assert citation["license"] == ["MIT", "CC-BY-SA-4.0"] and citation["cff-version"] == "1.2.0"
    changelog = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{citation['version']}] - {citation['date-released']}" in changelog


def test_the_badges_say_what_the_project_file_says():
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = [one.rsplit(" ", 1)[1] for one in project["classifiers"] if re.fullmatch(r".*Python :: 3\.\d+", one)]
    assert f"![Python {versions[0]} to {versions[-1]}](https://img.shields.io/badge/python-{versions[0]}_to_{versions[-1]}-" in readme
    assert project["license"] == "MIT AND CC-BY-SA-4.0" and "licence: MIT for the code, CC BY-SA 4.0 for the weights" in readme
    for workflow in re.findall(r"actions/workflows/(\w+\.yml)/badge", readme):
        assert (PROJECT / ".github" / "workflows" / workflow).is_file()
