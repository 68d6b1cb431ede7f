"""Checkpoint folders on the Hugging Face Hub, by ``huggingface_hub``, which comes with Gradio.

``hf://user/name`` or ``hf://user/name@revision`` names a repository. Only the three files of a checkpoint are fetched, none of
which is run; huggingface_hub keeps them in its cache. The address of the Hub is ``HF_ENDPOINT``, the person's token is the one
of ``hf auth login``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from fruitvision.errors import CheckpointError

FILES = ("config.json", "model.safetensors", "README.md")
MAX_BYTES = {"model.safetensors": 4 * 2**30}
MAX_TEXT_BYTES = 16 * 2**20
"""Of the weights, and of each other file, as the Hub declares them; a ResNet152 has 240 MB."""
_OWN = r"\w(?:(?!--|\.\.)[\w.-]){0,95}(?<=\w)"
"""A valid name of a user or repository; for others huggingface_hub raises a different error."""
_NAME = re.compile(rf"(?P<repo>{_OWN}/{_OWN}(?<!\.git))(?:@(?P<revision>(?!/|.*\.\.)[\w./-]{{1,200}}))?", re.ASCII)
T = TypeVar("T")


def is_repository(name: str | Path) -> bool:
    """Whether a checkpoint's name is that of a repository, also after conversion to a Path, which merges its slashes."""
    return re.match(r"hf:/{1,2}(?!/)", str(name).replace("\\", "/")) is not None


def fetch(name: str | Path) -> Path:
    """Download a repository's newest or named revision; returns its folder in huggingface_hub's cache.

    Without an internet connection an earlier download is used. Raises CheckpointError "hub-name", "hub-missing",
    "hub-unreachable", "hub-too-large".
    """
    repo, revision = _parsed(name)
    hub = _package()
    missing = [file for file in FILES if not _is_fetched(repo, file, revision)]
    if missing and (error := connection_error(repo, missing[:1], revision)):
        raise CheckpointError("hub-unreachable", repo=repo, reason=_first_line(error)) from error
    folder: Path | None = None
    for file in FILES:  # all files from the same commit as the first
        options = {"revision": folder.name if folder else revision, "endpoint": _endpoint()}
        if file in missing:
            _check_size(repo, file, options)
        folder = Path(_asked(partial(hub.hf_hub_download, repo, file, **options), repo)).parent
    assert folder is not None  # some files are available
    return folder


def upload(folder: Path, name: str | Path, *, private: bool = False, message: str = "Upload by FruitVision") -> str:
    """Upload the files of a folder made by :func:`fruitvision.models.published.folder.write_published`; returns the repository's URL.

    The repository is created if it does not exist. Raises CheckpointError as :func:`fetch` does.
    """
    repo, revision = _parsed(name)
    hub = _package()
    api = hub.HfApi(endpoint=_endpoint())

    def sent() -> str:
        api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(folder_path=folder, repo_id=repo, revision=revision, allow_patterns=list(FILES), commit_message=message)
        return f"{api.endpoint}/{repo}"

    return _asked(sent, repo)


def connection_error(repo: str, files: Sequence[str], revision: str | None = None) -> Exception | None:
    """The error if the Hub cannot be reached and no file of the repository was downloaded before; else None.

    The Hub is tried once; huggingface_hub retries five times, which takes 23 seconds.
    """
    hub = _package()
    try:
        if not any(_is_fetched(repo, file, revision) for file in files):
            hub.get_hf_file_metadata(hub.hf_hub_url(repo, files[0], revision=revision, endpoint=_endpoint()))
    except hub.errors.HfHubHTTPError as error:
        # The Hub answered: errors are reported by the download itself. A 5xx counts as no answer.
        return error if error.response.status_code >= 500 else None
    except Exception as error:  # errors of its HTTP library, which depends on its version
        return error
    return None


def _check_size(repo: str, file: str, options: dict[str, Any]) -> None:
    """Raise CheckpointError "hub-too-large" if the Hub declares more bytes of a file than it may have."""
    hub, limit = _package(), MAX_BYTES.get(file, MAX_TEXT_BYTES)
    size = _asked(lambda: hub.get_hf_file_metadata(hub.hf_hub_url(repo, file, **options)).size, repo)
    if size is not None and size > limit:
        raise CheckpointError("hub-too-large", repo=repo, file=file, megabytes=size >> 20, limit=limit >> 20)


def _is_fetched(repo: str, file: str, revision: str | None) -> bool:
    return isinstance(_package().try_to_load_from_cache(repo, file, revision=revision), str)


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def _parsed(name: str | Path) -> tuple[str, str | None]:
    text = re.sub(r"^hf:/{1,2}", "", str(name).replace("\\", "/"))
    found = _NAME.fullmatch(text)
    if found is None:
        raise CheckpointError("hub-name", name=str(name)[:200])
    return found["repo"], found["revision"]


def _package() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise CheckpointError("hub-package-missing") from error
    return huggingface_hub


def _asked(ask: Callable[[], T], repo: str) -> T:
    from huggingface_hub import errors

    try:
        return ask()
    except errors.LocalEntryNotFoundError as error:  # the Hub cannot be reached, and nothing was downloaded before
        raise CheckpointError("hub-unreachable", repo=repo, reason=_first_line(error.__cause__ or error)) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError) as error:
        raise CheckpointError("hub-missing", repo=repo) from error
    except Exception as error:  # including errors of its HTTP library, which depends on its version
        raise CheckpointError("hub-unreachable", repo=repo, reason=_first_line(error)) from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
