"""The real app in a process of its own, and those who use it: many people, and its owner."""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from tests.browser.conftest import RunningApp, run_app
from tests.ui.visitor import FILE, Visitor

PROJECT = Path(__file__).resolve().parents[2]
TIMEOUT = httpx.Timeout(120)
#: Networks that learn in seconds what they can of a few pictures.
SMALL = {"start": "scratch", "width": 8, "image_size": 32, "first_image_size": 32, "eval_resize": 40, "eval_size": 32, "batch_size": 8}


@dataclass(frozen=True)
class Asked:
    """What a part is told: a folder of its own, and how much of everything."""

    folder: Path
    quick: bool = False
    minutes: float | None = None
    only: tuple[str, ...] = ()

    def wants(self, name: str) -> bool:
        """Whether something of that name is to be tried."""
        return not self.only or any(word in name for word in self.only)


@dataclass(frozen=True)
class Served:
    """An app that answers at ``url``, in ``folder``, to the owner with ``token``."""

    running: RunningApp
    folder: Path
    token: str

    @property
    def url(self) -> str:
        return self.running.url

    @property
    def pid(self) -> int:
        return self.running.process.pid

    @property
    def runs(self) -> Path:
        return self.running.runs

    @cached_property
    def config(self) -> dict[str, Any]:
        """The page as the app describes it: large, and the same for all."""
        return httpx.get(self.url + "config", timeout=TIMEOUT).json()

    @contextmanager
    def person(self) -> Iterator[Person]:
        """Somebody new, with a session of their own."""
        with httpx.Client(base_url=self.url, timeout=TIMEOUT) as client:
            yield Person(client, config=self.config)

    @contextmanager
    def owner(self) -> Iterator[Person]:
        """Somebody with the owner's cookie."""
        headers = {"cookie": f"fruitvision-owner={self.token}"}
        with httpx.Client(base_url=self.url, timeout=TIMEOUT, headers=headers) as client:
            yield Person(client, config=self.config)


@contextmanager
def open_app(folder: Path, *flags: str, data: Path | None = None, **environment: str) -> Iterator[Served]:
    """``python app.py`` in ``folder``, open to visitors on this computer; ended on leaving, if it still goes on."""
    token = "token-of-the-endurance-" + uuid.uuid4().hex
    own = {"FRUITVISION_OWNER_TOKEN": token, "GRADIO_TEMP_DIR": str(folder / "uploads"), **environment}
    where = ("--data", str(data)) if data else ()
    flags = ("--public", "--host", "127.0.0.1", *where, *flags)
    with run_app(folder, *flags, cwd=folder, app=PROJECT / "app.py", environment=own) as running:
        yield Served(running, folder, token)


class Person(Visitor):
    """One session of somebody who does what the page's buttons do."""

    def __init__(self, client: httpx.Client, *, config: dict[str, Any]) -> None:
        super().__init__(client)
        self.__dict__["config"] = config

    def function(self, elem_id: str, event: str) -> int:
        """The number of the function behind an event of a component."""
        component = self.component(elem_id)
        return next(n for n, one in enumerate(self.config["dependencies"]) if [component, event] in [list(t) for t in one["targets"]])

    def press(self, elem_id: str, event: str = "click", **given: Any) -> str:
        """Do what a button does, with other values in some fields, by their names with _ for -; all that came back."""
        number = self.function(elem_id, event)
        places = {self.component(name.replace("_", "-")): value for name, value in given.items()}
        values = zip(self.config["dependencies"][number]["inputs"], self.values(number), strict=True)
        return self.call(number, [places.get(field, value) for field, value in values])

    def open_train(self) -> None:
        """What the page asks for when it is opened: only then are the owner's folders among its choices."""
        shown = self.component("train-data")
        opened = (n for n, one in enumerate(self.config["dependencies"]) if shown in one["outputs"] and "load" in str(one["targets"]))
        number = next(opened)
        self.call(number, self.values(number))

    def train(self, choice: str, name: str, **settings: Any) -> str:
        """Start a run on the pictures of that choice; all that came back. What is started is in view afterwards."""
        self.open_train()
        fields = {f"setting_{key}": value for key, value in {**SMALL, **settings}.items()}
        return self.press("train-start", train_data=choice, train_name=name, **fields)

    def classify(self, path: Path) -> Answer:
        """Upload a picture and ask for it as the page does."""
        began, etas = time.monotonic(), []
        number = self.function("classify-picture", "change")
        picture = {"path": self.upload(path.read_bytes(), path.name), "meta": FILE}
        field = self.component("classify-picture")
        inputs = self.config["dependencies"][number]["inputs"]
        data = [picture if one == field else value for one, value in zip(inputs, self.values(number), strict=True)]
        html, success = "", False
        for message in self.messages(number, data):
            if message["msg"] == "estimation":
                etas.append(message["rank_eta"])
            if message["msg"] == "process_completed":
                success = message["success"]
                html = str((message["output"].get("data") or [""])[0])
        return Answer(html if success else "", time.monotonic() - began, etas)


@dataclass(frozen=True)
class Answer:
    """An answer's card, how long it took from the upload on, and what the queue said of the wait."""

    html: str
    seconds: float
    etas: list[float | None]

    @property
    def names(self) -> tuple[str, ...]:
        """The fruit and its variety; empty where there was no answer."""
        return tuple(re.findall(r'class="fv-(?:name|variety)">([^<]*)<', self.html))

    @property
    def sure(self) -> bool:
        return "fv-sure" in self.html.partition(">")[0]

    @property
    def shares(self) -> list[int]:
        """Percent, of the answer and of the guesses behind it."""
        return [int(share) for share in re.findall(r'aria-valuenow="(\d+)"', self.html)]

    def same(self, other: Answer) -> bool:
        """Whether it is the answer to the same picture: rounding in another batch may move a share by a percent or two."""
        near = all(abs(one - another) <= 2 for one, another in zip(self.shares[:2], other.shares[:2], strict=False))
        return self.names == other.names and near


def real_pictures() -> Path | None:
    """Fruits-360 in the folder that FRUITVISION_TEST_DATA names."""
    named = os.environ.get("FRUITVISION_TEST_DATA")
    folder = Path(named) / "fruits-360" if named else None
    return folder if folder and folder.is_dir() else None


def a_few(source: Path, folder: Path, *, classes: int = 6, pictures: int = 24) -> Path:
    """A small copy of a data set."""
    for split in ("Training", "Test"):
        for one in sorted((source / split).iterdir())[:classes]:
            (folder / split / one.name).mkdir(parents=True)
            for picture in sorted(one.iterdir())[:pictures]:
                shutil.copy(picture, folder / split / one.name)
    return folder
