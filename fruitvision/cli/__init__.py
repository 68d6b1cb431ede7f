"""The commands of ``python -m fruitvision``, one file per group.

Every command prints its result once: with ``--json`` as one JSON object, otherwise as a few lines to read. Imports are made
inside the commands, so that ``--help`` needs neither torch nor NumPy.
"""

from __future__ import annotations

from typing import Annotated

import typer

from fruitvision.cli import compare, data, evaluate, exchange, launch, rate, sources, teach, train
from fruitvision.cli.options import Command, ManyValues

app = typer.Typer(
    help="FruitVision: train a network that recognises fruit, measure it, ask it. `app` opens it in the browser.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        from fruitvision import __version__

        print(f"fruitvision {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    pass


app.command("app", cls=Command)(launch.open_app)
app.command(cls=Command)(launch.mcp)
app.add_typer(data.app, name="data")
app.command(cls=ManyValues)(train.train)
app.command("lr-find", cls=ManyValues)(rate.lr_find)
app.command(cls=Command)(train.stop)
app.command(cls=Command)(evaluate.evaluate)
app.command("evaluate-sources", cls=ManyValues)(sources.evaluate_sources)
app.command(cls=Command)(evaluate.predict)
app.command(cls=Command)(exchange.export)
app.command("import", cls=Command)(exchange.import_weights)
app.command(cls=Command)(exchange.push)
app.command("teach-benchmark", cls=ManyValues)(teach.teach_benchmark)
app.command(cls=ManyValues)(compare.compare)
