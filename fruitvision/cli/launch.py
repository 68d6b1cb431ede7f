"""``app``: open FruitVision in the browser."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from fruitvision.errors import UsageError

HUB = "https://huggingface.co"


def _address_of_space() -> str | None:
    host = os.environ.get("SPACE_HOST")
    return f"https://{host}" if host else None


def open_app(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1, this computer only", envvar="GRADIO_SERVER_NAME")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help="Port to listen on.", show_default="7860, or the next free one", envvar=["GRADIO_SERVER_PORT", "PORT"]),
    ] = None,
    share: Annotated[bool, typer.Option("--share", help="Create a public link by Gradio's servers, for up to a week.")] = False,
    public: Annotated[bool, typer.Option("--public", help="Let visitors classify and look; only the owner may train.")] = False,
    root_path: Annotated[
        str | None, typer.Option(metavar="PATH", help="Path at which a reverse proxy serves the app, or its whole public address.")
    ] = None,
    embed_in: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN", help="Origin whose pages may show the app in a frame; may be repeated.", envvar="FRUITVISION_EMBED_IN"
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|auto|none",
            help="The page by which visitors' browsers answer by themselves: one of export --format web, made by the app, or none.",
            show_default="auto with --share, else none",
        ),
    ] = None,
    api: Annotated[bool, typer.Option("--api/--no-api", help="Let programs classify too: /api explains how.")] = True,
    upload_quota: Annotated[int, typer.Option(metavar="MB", help="Disk space for all uploads together.")] = 1024,
    dataset_limit: Annotated[
        int, typer.Option(metavar="MB", min=1, help="Size of a dataset that the owner may upload in Train at most.")
    ] = 2048,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder whose subfolders Train offers as data, a dataset itself, or an archive of one."),
    ] = None,
    runs: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of training runs.", show_default="runs")] = None,
    taught: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of taught classes.", show_default="taught")] = None,
    checkpoint: Annotated[str | None, typer.Option(help="Checkpoint folder, or shipped network, to classify with at first.")] = None,
    lang: Annotated[Literal["en", "zh"] | None, typer.Option(help="Language at first.", show_default="the browser's own")] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser window.")] = False,
) -> None:
    """Open FruitVision in the browser."""
    if share and public:
        raise UsageError("share-and-public")
    if os.environ.get("SPACE_ID") and not share:  # a Hugging Face Space: visitors connect through its proxy, in its frame
        public, no_browser = True, True
        embed_in = [*(embed_in or ()), HUB]
        root_path = root_path or _address_of_space()
    gc.disable()  # until the page is ready: garbage collection takes a fifth of the import time and finds little
    from fruitvision.ui.app import launch

    launch(
        host=host,
        port=port,
        share=share,
        public=public,
        root_path=root_path,
        embed_in=embed_in or (),
        device=device,
        api=api,
        upload_quota=upload_quota * 2**20,
        dataset_limit=dataset_limit * 2**20,
        data=data,
        runs=runs,
        taught=taught,
        checkpoint=checkpoint,
        language=lang,
        open_browser=not no_browser,
    )


def mcp(
    http: Annotated[bool, typer.Option("--http", help="Answer over HTTP on this computer instead, at /mcp.")] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="http: port to listen on.")] = 7861,
    runs: Annotated[Path, typer.Option(metavar="DIR", help="Folder of training runs, whose networks can answer too.")] = Path("runs"),
) -> None:
    """Let an assistant program classify pictures, by MCP.

    It speaks the Model Context Protocol on standard input and output, with the tools classify_image and list_models: name the
    command "fruitvision mcp" in the program's settings. Needs: pip install "mcp>=2".
    """
    from fruitvision.mcp import serve

    serve(runs, port=port if http else None)
