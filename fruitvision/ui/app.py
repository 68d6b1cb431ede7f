"""The app: the three panels on one page, and every network setting in one place."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
from starlette.middleware import Middleware

from fruitvision.compat import on_console_close, share_arenas
from fruitvision.data.fetch.uploads import MAX_BYTES
from fruitvision.errors import UsageError
from fruitvision.ui.addresses import free_port, is_address
from fruitvision.ui.announce import announce, forget_leading
from fruitvision.ui.api.routes import Api
from fruitvision.ui.classify import panel as classify_panel
from fruitvision.ui.classify.api import build_endpoint, classified
from fruitvision.ui.compare import panel as compare_panel
from fruitvision.ui.device import device_html, device_page, make_page
from fruitvision.ui.gradio_internals import (
    close_tunnels,
    files_of,
    get_upload_folder,
    list_together,
    queue_of,
    settings_known_to,
    wrapping_tabs,
)
from fruitvision.ui.page.checked_image import MAX_UPLOAD_BYTES, smaller_script
from fruitvision.ui.page.context import Context, Page
from fruitvision.ui.page.downloads import clear_downloads
from fruitvision.ui.page.events import QUIET
from fruitvision.ui.page.models import Models
from fruitvision.ui.page.served.alive import alive_script
from fruitvision.ui.page.served.covering import HEARD_IN, covering_script
from fruitvision.ui.page.served.gradio_words import gradio_words_script
from fruitvision.ui.page.served.into_view import INTO_VIEW
from fruitvision.ui.server.access import Access, OwnerLink
from fruitvision.ui.server.connections import served_through
from fruitvision.ui.server.fair_queue import FairQueue
from fruitvision.ui.server.gate import Gate
from fruitvision.ui.server.guarded_blocks import GuardedBlocks
from fruitvision.ui.server.page_cache import wanted_language
from fruitvision.ui.server.sessions import Sessions
from fruitvision.ui.server.tunnel import open_tunnel
from fruitvision.ui.server.uploads import LEAST_QUOTA, QUOTA, Uploads
from fruitvision.ui.theme import theme
from fruitvision.ui.train import panel as train_panel
from fruitvision.ui.train.bar.run_bar import build_bar
from fruitvision.web.served import WHOLE_APP
from fruitvision.wording.text import LANGUAGES, say

FOLDER = Path(__file__).parent
STYLES = sorted(FOLDER.rglob("*.css"))
PANELS = {"classify": classify_panel, "train": train_panel, "compare": compare_panel}
# Frames of live views are answered in threads of their own, beside the queue.
THREADS = 128
# Pages are known long after they were closed, in up to 0.4 MB each (ui/server/sessions.py); those unused for longest are forgotten first.
SESSIONS = 256
ADDRESS = FOLDER / "address.js"


def build_app(context: Context, *, api: bool = True) -> gr.Blocks:
    """The page: a header, and the three panels as tabs; with ``api``, the endpoint that gradio_client calls."""
    with GuardedBlocks(title="FruitVision", analytics_enabled=False) as demo:
        page = _header(context, demo)
        page.bar = build_bar(context)
        opened = {name: gr.Checkbox(visible="hidden", elem_id=f"opened-{name}") for name in PANELS}  # mounted before their panels are
        page.heard = {name: _language(context, visible="hidden", elem_id=f"language-{name}") for name in HEARD_IN}
        with gr.Tabs(elem_id="panels", **wrapping_tabs()) as page.tabs:
            for name, panel in PANELS.items():
                with page.bind(gr.Tab(id=name, elem_id=f"panel-{name}"), label=f"header.{name}") as tab:
                    page.opened = opened[name]
                    with page.part(name, tab):
                        panel.build(page)
                tab.select(None, None, page.opened, js="() => true")
        _speak(page)
        if api:
            build_endpoint(context)
        demo.words = page.words
    list_together(files_of(demo), *demo.blocks.values())
    return demo


def _header(context: Context, demo: gr.Blocks) -> Page:
    with gr.Row(elem_classes="fv-header"):
        title = gr.HTML(elem_id="title")
        device = gr.HTML(elem_id="device", visible=context.device.ready) if context.device else None
        model = gr.Dropdown(
            context.models.choices(context.language),
            value=context.models.default,
            elem_id="model",
            min_width=300,
            interactive=True,
            filterable=False,
        )
        language = _language(context, elem_id="language", show_label=False, container=False, min_width=150)
    page = Page(context, demo, language, model)
    page.bind(title, value=title_html)
    if device is not None and context.device is not None:
        page.bind(device, value=device_html)
        offered = context.device
        if not offered.ready:
            demo.load(lambda: gr.update(visible=offered.ready), None, device, **QUIET)
    page.bind(model, label="header.model", choices=context.models.choices)
    page.bind(language, label="header.language")
    return page


def _language(context: Context, **shown: Any) -> gr.Radio:
    return gr.Radio([(name, code) for code, name in LANGUAGES.items()], value=context.language, **shown)


def title_html(language: str) -> str:
    """The name, and one line of purpose."""
    return f"<h1>{say('header.title', language)}</h1><p>{say('header.purpose', language)}</p>"


def _speak(page: Page) -> None:
    """A switch of the language; what the header shows is told to the scripts of the page, and stands in its address."""
    language, model = page.language, page.model
    for script in (covering_script(), gradio_words_script(), smaller_script(), alive_script(), INTO_VIEW):
        page.demo.load(None, None, None, js=script)
    page.demo.load(None, [language, model], None, js=ADDRESS.read_text(encoding="utf-8"))
    page.demo.load(page.context.models.choices_update, [language, model], model, **QUIET)

    page.hear(language.change)
    for name, one in {"header": language, **page.heard}.items():
        _follow(page, name, one)
    gr.on([language.change, model.change], None, [language, model], None, js="(language, model) => window.fruitvisionTold(language, model)")


def _follow(page: Page, name: str, language: gr.Radio) -> None:
    """What is bound to one of the page's languages changes with it; the cover of the page waits for that."""

    def switch(chosen: str) -> list[Any]:
        return page.updates(language, chosen)

    changed = language.change(switch, language, page.bound(language), **QUIET)
    changed.then(None, None, None, js=f"() => window.fruitvisionSpoken({name!r})")


def launch(
    *,
    host: str | None = None,
    port: int | None = None,
    share: bool = False,
    public: bool = False,
    root_path: str | None = None,
    embed_in: Sequence[str] = (),
    device: str | Path | None = None,
    api: bool = True,
    upload_quota: int = QUOTA,
    dataset_limit: int = MAX_BYTES,
    data: str | Path | None = None,
    runs: str | Path | None = None,
    taught: str | Path | None = None,
    checkpoint: str | Path | None = None,
    language: str | None = None,
    open_browser: bool = True,
    block: bool = True,
) -> gr.Blocks:
    """Open the app; with ``block``, stay until Ctrl-C.

    Args:
        host: address to listen on; this computer only by default, every address with ``public``.
        port: raises UsageError "port-in-use" where it is taken; by default the first free one from 7860 on.
        share: ask Gradio's servers for a public link as well.
        public: visitors come by themselves: they may classify and look.
        root_path: the path under which a reverse proxy serves the app, or the whole public address with it, such as
            https://fruit.example/app; no header of a request takes its place.
        embed_in: origins, such as https://huggingface.co, whose pages may show the app in a frame.
        device: a page that was exported, to which visitors are led, so that their own browsers answer; "auto" makes it of the network
            that answers first, "none" offers none. By default "auto" with ``share``.
        api: whether programs may ask, by gradio_client and by ``POST /api/classify``.
        upload_quota: bytes that visitors' uploads may take in all; the oldest are deleted first.
        dataset_limit: bytes of one dataset that the owner may upload in Train.
        data, runs, taught: folders; ``data``'s subfolders are offered for training.
        checkpoint: a checkpoint folder, or a shipped model's name, that answers first.
        language: "en" or "zh" at the start; by default the browser's own.
    """
    host = host or ("0.0.0.0" if public else "127.0.0.1")
    port = free_port(host, port)
    _check(embed_in, upload_quota)
    share_arenas()  # before there are many threads
    runs = Path(runs or "runs").absolute()
    context = Context(
        runs=runs,
        taught=Path(taught or "taught").absolute(),
        access=Access.of_launch(host=host, share=share, public=public),
        models=Models(runs, checkpoint),
        data=Path(data or "data").absolute(),
        language=language or "en",
        follow_browser=language is None,
        dataset_limit=dataset_limit,
        device=device_page(device, share=share),
    )
    own_uploads = _folder_for_uploads()
    hosts = {urlsplit(root_path).netloc} if root_path and is_address(root_path) else set()
    uploads = Uploads(get_upload_folder, upload_quota)
    gate = _gate(context, hosts, embed_in, root_path, uploads, api=api)
    demo = _open(build_app(context, api=api), context, gate, uploads, host, port, root_path)
    visitors = open_tunnel(demo, port) if share else None
    if visitors:
        hosts.add(urlsplit(visitors).netloc)
    announce(context, host, port, visitors, share=share, open_browser=open_browser)
    if context.device is not None and not context.device.ready:
        make_page(context.device, lambda: context.models.folder(None), context.language)
    if block:
        _close_when_told(uploads, own_uploads)
        demo.block_thread()
    return demo


def _gate(
    context: Context, hosts: set[str], embed_in: Sequence[str], root_path: str | None, uploads: Uploads, *, api: bool
) -> Callable[..., Gate]:
    """What stands before Gradio, given the app behind it. ``hosts``: names under which it is known; more may be added."""
    return partial(
        Gate,
        access=context.access,
        hosts=hosts,
        uploads=uploads,
        embed_in=[origin.rstrip("/") for origin in embed_in],
        root_path=root_path or "",
        language=partial(wanted_language, first=context.language, follow_browser=context.follow_browser),
        device=context.device,
        api=Api(lambda picture, request: classified(context, picture, "", request), MAX_UPLOAD_BYTES) if api else None,
    )


def _folder_for_uploads() -> str | None:
    """A folder that other accounts of this computer cannot look into, deleted in the end; None where one is named already."""
    if os.environ.get("GRADIO_TEMP_DIR"):
        return None
    folder = os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="fruitvision-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _open(
    demo: gr.Blocks, context: Context, gate: Callable[..., Any], uploads: Uploads, host: str, port: int, root_path: str | None
) -> gr.Blocks:
    """Serve the page behind the gate."""
    demo.queue(default_concurrency_limit=16, api_open=False)
    FairQueue.of(queue_of(demo), context.access)
    with served_through(gate):
        _serve(demo, uploads, host, port, root_path, context)
    Sessions.of(demo)
    gc.freeze()  # what was made for the page stays as long as the app does: later collections need not look through it
    gc.enable()
    return demo


def _check(embed_in: Sequence[str], upload_quota: int) -> None:
    """Refuse what cannot be meant, before anything is made. Raises UsageError "bad-origin", "small-quota"."""
    if unknown := [origin for origin in embed_in if not is_address(origin) or urlsplit(origin).path.strip("/")]:
        raise UsageError("bad-origin", origin=unknown[0])
    if upload_quota < LEAST_QUOTA:
        raise UsageError("small-quota", megabytes=upload_quota // 2**20, least=LEAST_QUOTA // 2**20)


def _serve(demo: gr.Blocks, uploads: Uploads, host: str, port: int, root_path: str | None, context: Context) -> None:
    demo.launch(
        **settings_known_to(demo.launch, run_history=False),
        server_name=host,
        server_port=port,
        share=False,
        root_path=root_path,
        inbrowser=False,
        quiet=True,
        prevent_thread_lock=True,
        show_error=False,
        max_file_size=MAX_UPLOAD_BYTES,
        max_threads=THREADS,
        state_session_capacity=SESSIONS,
        allowed_paths=[],
        enable_monitoring=False,
        strict_cors=True,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        footer_links=[],
        theme=theme(),
        css_paths=STYLES,
        app_kwargs={
            "lifespan": uploads.looked_after,
            "middleware": [Middleware(OwnerLink, access=context.access, query=f"?{WHOLE_APP}" if context.device else "")],
            "docs_url": None,
            "redoc_url": None,
            "openapi_url": None,
        },
    )


def _close_when_told(uploads: Uploads, folder: str | None) -> None:
    """End at once when the system asks for it or the terminal goes, and leave no upload behind; ``folder`` goes whole."""

    def close(*_: object) -> None:
        uploads.clear()
        clear_downloads()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
        forget_leading()
        close_tunnels()
        os._exit(0)  # threads that answer somebody would be waited for, as long as they take

    on_console_close(close)
    for name in ("SIGTERM", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name) and threading.current_thread() is threading.main_thread():
            signal.signal(getattr(signal, name), close)
