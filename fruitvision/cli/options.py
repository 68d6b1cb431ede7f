"""Options that several commands share, and options that take several values."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from fruitvision.cli.console import progress

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Checkpoint = Annotated[
    str | None,
    typer.Option(help="A checkpoint folder (a run's best/), or the name of a shipped one.", show_default="the app's own"),
]
Views = Annotated[
    Literal["one", "mirror", "middle"] | None,
    typer.Option(
        help="Views of each picture to average: one, its mirror image too, or its middle too.", show_default="the checkpoint's own"
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be repeated. `--settings` lists them."),
]
Photos = Annotated[
    list[Path] | None,
    typer.Option(metavar="DIR", help="Additional photos: a folder of fruit types, or of sources that each hold such folders."),
]
NotFruit = Annotated[list[Path] | None, typer.Option(metavar="DIR", help="Pictures that hold no fruit: a folder of them, or of sources.")]
LeaveOut = Annotated[
    list[str] | None, typer.Option(metavar="SOURCE", help="A source of photos, by its folder's name, that is not trained on.")
]


Depth = Annotated[
    int | None, typer.Option(min=1, max=8, help="Level of the class folders, where folders lie in folders.", show_default="the deepest")
]
Boxes = Annotated[bool, typer.Option("--boxes", help="Cut out the boxes of COCO, Pascal VOC or YOLO labels, as pictures of their class.")]
PICTURES = ("data", "photos", "not_fruit", "untaught")
"""The options that take a folder of pictures, or an archive of one."""


class Command(TyperCommand):
    """A command that cleans its paths (:func:`fruitvision.files.clean_path`), and accepts archives in place of folders of pictures,
    which are unpacked once beside the archive."""

    def invoke(self, ctx: Any) -> Any:
        """Raises DataError for a URL in place of a path, and for an archive that cannot be unpacked."""
        for name, value in ctx.params.items():
            many = isinstance(value, list | tuple)
            values = [_folder(name, one) if isinstance(one, Path) else one for one in (value if many else (value,))]
            ctx.params[name] = values if many else values[0]
        return super().invoke(ctx)


def _folder(option: str, given: Path) -> Path:
    from fruitvision.data.fetch.unpacked import is_archive, unpacked
    from fruitvision.files import clean_path
    from fruitvision.wording.text import plain, say

    path = clean_path(given)
    if option not in PICTURES or not is_archive(path):
        return path
    folder, fresh = unpacked(path, progress=progress("Unpacking"))
    if fresh:
        print(plain(say("notes.unpacked", "en", archive=path.name, folder=folder)), file=sys.stderr, flush=True)
    return folder


class ManyValues(Command):
    """A command whose repeatable options take several values at once: ``--photos A B`` is ``--photos A --photos B``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        repeatable = {name for option in self.params if getattr(option, "multiple", False) for name in option.opts}
        spread: list[str] = []
        option, has_value = None, False
        for word in args:
            if word.startswith("-"):
                name, equals, _ = word.partition("=")
                option, has_value = (name if name in repeatable else None), bool(equals)
            elif option and has_value:
                spread.append(option)
            else:
                has_value = True
            spread.append(word)
        return super().parse_args(ctx, spread)


def split_values(words: Iterable[str] | None) -> list[str]:
    """Split values on commas: ``--norms batch,layer`` is ``--norms batch layer``."""
    return [part.strip() for word in words or [] for part in word.split(",") if part.strip()]


def absolute(folders: Iterable[Path] | None) -> tuple[str, ...]:
    """The folders as absolute paths, for a configuration."""
    return tuple(str(folder.absolute()) for folder in folders or ())
