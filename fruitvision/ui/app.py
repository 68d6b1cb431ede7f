"""The app: the page with its three panels, and all network settings in one place."""

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
from fruitvision.ui.addresses import free_port, is_url
from fruitvision.ui.announce import announce, delete_redirect_files
from fruitvision.ui.api.routes import Api
from fruitvision.ui.classify import panel as classify_panel
from fruitvision.ui.classify.api import build_endpoint, classify_json
from fruitvision.ui.compare import panel as compare_panel
from fruitvision.ui.device import device_html, device_page, make_page
from fruitvision.ui.gradio_internals import (
    close_tunnels,
    files_of,
    get_upload_folder,
    queue_of,
    settings_known_to,
    share_file_list,
    wrapping_tabs,
)
from fruitvision.ui.page.client.gradio_translation import gradio_translation_script
from fruitvision.ui.page.client.language_overlay import PARTS, language_overlay_script
from fruitvision.ui.page.client.reconnect import reconnect_script
from fruitvision.ui.page.client.scroll_into_view import SCROLL_INTO_VIEW
from fruitvision.ui.page.components import MAX_UPLOAD_BYTES, ListedDropdown, prepare_upload_script
from fruitvision.ui.page.context import Context, Page
from fruitvision.ui.page.downloads import clear_downloads
from fruitvision.ui.page.events import UNQUEUED
from fruitvision.ui.page.models import Models
from fruitvision.ui.server.access import Access, OwnerLink
from fruitvision.ui.server.connections import serve_through
from fruitvision.ui.server.fair_queue import FairQueue
from fruitvision.ui.server.gate import Gate
from fruitvision.ui.server.guarded_blocks import GuardedBlocks
from fruitvision.ui.server.page_cache import wanted_language
from fruitvision.ui.server.sessions import Sessions
from fruitvision.ui.server.tunnel import open_tunnel
from fruitvision.ui.server.uploads import MIN_QUOTA, QUOTA, Uploads
from fruitvision.ui.theme import theme
from fruitvision.ui.train import panel as train_panel
from fruitvision.ui.train.bar.run_bar import build_bar
from fruitvision.web.device_page import APP_QUERY
from fruitvision.wording.text import LANGUAGES, say

FOLDER = Path(__file__).parent
STYLES = sorted(FOLDER.rglob("*.css"))
PANELS = {"classify": classify_panel, "train": train_panel, "compare": compare_panel}
# Frames of live views are answered outside the queue, each in a thread.
THREADS = 128
# The state of closed pages is kept, up to 0.4 MB each (ui/server/sessions.py); the least recently used is dropped first.
SESSIONS = 256
NAVIGATION = FOLDER / "navigation.js"
REMEMBERED_MODEL_JS = "(language, model) => [language, window.fruitvisionRememberedModel() ?? model]"
"""JavaScript that asks for the model chosen before; the server selects the default if there is no such model."""


def build_app(context: Context, *, api: bool = True) -> gr.Blocks:
    """Build the page: a header, and the three panels as tabs; with ``api``, also the endpoint for gradio_client."""
    with GuardedBlocks(title="FruitVision", analytics_enabled=False) as demo:
        page = _header(context, demo)
        page.bar = build_bar(context)
        opened = {name: gr.Checkbox(visible="hidden", elem_id=f"opened-{name}") for name in PANELS}  # mounted before the panels
        page.part_languages = {name: _language(context, visible="hidden", elem_id=f"language-{name}") for name in PARTS}
        with gr.Tabs(elem_id="panels", **wrapping_tabs()) as page.tabs:
            for name, panel in PANELS.items():
                with page.bind(gr.Tab(id=name, elem_id=f"panel-{name}"), label=f"header.{name}") as tab:
                    page.opened = opened[name]
                    with page.part(name, tab):
                        panel.build(page)
                tab.select(None, None, page.opened, js="() => true")
        page.wire_timers()
        _wire_language(page)
        if api:
            build_endpoint(context)
        demo.translations = page.translations
    share_file_list(files_of(demo), *demo.blocks.values())
    return demo


def _header(context: Context, demo: gr.Blocks) -> Page:
    with gr.Row(elem_classes="fv-header"):
        title = gr.HTML(elem_id="title")
        device = gr.HTML(elem_id="device", visible=context.device.ready) if context.device else None
        model = ListedDropdown(
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
            demo.load(lambda: gr.update(visible=offered.ready), None, device, **UNQUEUED)
    page.bind(model, label="header.model", choices=context.models.choices)
    page.bind(language, label="header.language")
    return page


def _language(context: Context, **shown: Any) -> gr.Radio:
    return gr.Radio([(name, code) for code, name in LANGUAGES.items()], value=context.language, **shown)


def title_html(language: str) -> str:
    """The app's name, and one line about its purpose."""
    return f"<h1>{say('header.title', language)}</h1><p>{say('header.purpose', language)}</p>"


def _wire_language(page: Page) -> None:
    """Register the page's scripts, and the handlers of a change of the language or the model."""
    language, model = page.language, page.model
    for script in (language_overlay_script(), gradio_translation_script(), prepare_upload_script(), reconnect_script(), SCROLL_INTO_VIEW):
        page.demo.load(None, None, None, js=script)
    page.demo.load(None, [language, model], None, js=NAVIGATION.read_text(encoding="utf-8"))
    page.demo.load(page.context.models.choices_update, [language, model], model, **UNQUEUED, js=REMEMBERED_MODEL_JS)

    page.sync_languages(language.change)
    for name, radio in {"header": language, **page.part_languages}.items():
        _wire_translation(page, name, radio)
    gr.on(
        [language.change, model.change],
        None,
        [language, model],
        None,
        js="(language, model) => window.fruitvisionHeaderChanged(language, model)",
    )


def _wire_translation(page: Page, name: str, language: gr.Radio) -> None:
    """Update the components bound to one of the page's languages, and tell the overlay when they are updated."""

    def switch(chosen: str) -> list[Any]:
        return page.updates(language, chosen)

    changed = language.change(switch, language, page.bound_to(language), **UNQUEUED)
    changed.then(None, None, None, js=f"() => window.fruitvisionTranslated({name!r})")


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
    """Launch the app; with ``block``, run until Ctrl-C.

    Args:
        host: the address to listen on; by default this computer only, with ``public`` all addresses.
        port: by default the first free one from 7860 on. Raises UsageError "port-in-use" if the given one is taken.
        share: request a public link from Gradio's servers.
        public: allow visitors, who may classify and look.
        root_path: the path under which a reverse proxy serves the app, or its whole public URL, such as
            https://fruit.example/app; request headers never override it.
        embed_in: origins, such as https://huggingface.co, whose pages may show the app in a frame.
        device: an exported page to which visitors are redirected, so that their own browsers classify; "auto" exports one from the
            default model, "none" disables it. By default "auto" with ``share``.
        api: whether programs may classify, by gradio_client and by ``POST /api/classify``.
        upload_quota: maximum total size of visitors' uploads in bytes; the oldest are deleted first.
        dataset_limit: maximum size of a dataset that the owner may upload in Train, in bytes.
        data, runs, taught: folders; ``data``'s subfolders are offered for training.
        checkpoint: the default model, as a checkpoint folder or the name of a shipped one.
        language: the initial language, "en" or "zh"; by default the browser's.
    """
    host = host or ("0.0.0.0" if public else "127.0.0.1")
    port = free_port(host, port)
    _check(embed_in, upload_quota)
    share_arenas()  # before threads are started
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
    upload_folder = _private_upload_folder()
    proxy_url = root_path if root_path and is_url(root_path) else None
    hosts = {urlsplit(proxy_url).netloc} if proxy_url else set()
    uploads = Uploads(get_upload_folder, upload_quota)
    gate = _gate(context, hosts, embed_in, root_path, uploads, api=api)
    demo = _start(build_app(context, api=api), context, gate, uploads, host, port, root_path)
    share_url = open_tunnel(demo, port) if share else None
    if share_url:
        hosts.add(urlsplit(share_url).netloc)
    announce(context, host, port, share_url or proxy_url, share_failed=share and not share_url, open_browser=open_browser)
    if context.device is not None and not context.device.ready:
        make_page(context.device, lambda: context.models.folder(None), context.language)
    if block:
        _close_on_signals(uploads, upload_folder)
        demo.block_thread()
    return demo


def _gate(
    context: Context, hosts: set[str], embed_in: Sequence[str], root_path: str | None, uploads: Uploads, *, api: bool
) -> Callable[..., Gate]:
    """A function that puts the gate in front of an ASGI app. ``hosts``: the app's host names, to which more may be added later."""
    return partial(
        Gate,
        access=context.access,
        hosts=hosts,
        uploads=uploads,
        embed_in=[origin.rstrip("/") for origin in embed_in],
        root_path=root_path or "",
        language=partial(wanted_language, first=context.language, follow_browser=context.follow_browser),
        device=context.device,
        api=Api(lambda picture, request: classify_json(context, picture, "", request), MAX_UPLOAD_BYTES) if api else None,
    )


def _private_upload_folder() -> str | None:
    """Create an upload folder that other accounts cannot read, deleted at exit; None if GRADIO_TEMP_DIR names one already."""
    if os.environ.get("GRADIO_TEMP_DIR"):
        return None
    folder = os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="fruitvision-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _start(
    demo: gr.Blocks, context: Context, gate: Callable[..., Any], uploads: Uploads, host: str, port: int, root_path: str | None
) -> gr.Blocks:
    """Start the server, with the page behind the gate."""
    demo.queue(default_concurrency_limit=16, api_open=False)
    FairQueue.of(queue_of(demo), context.access)
    with serve_through(gate):
        _serve(demo, uploads, host, port, root_path, context)
    Sessions.of(demo)
    gc.freeze()  # the page's objects live as long as the app: exclude them from later collections
    gc.enable()
    return demo


def _check(embed_in: Sequence[str], upload_quota: int) -> None:
    """Raise UsageError "bad-origin" or "small-quota" for invalid arguments."""
    if invalid := [origin for origin in embed_in if not is_url(origin) or urlsplit(origin).path.strip("/")]:
        raise UsageError("bad-origin", origin=invalid[0])
    if upload_quota < MIN_QUOTA:
        raise UsageError("small-quota", megabytes=upload_quota // 2**20, least=MIN_QUOTA // 2**20)


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
            "lifespan": uploads.lifespan,
            "middleware": [Middleware(OwnerLink, access=context.access, query=f"?{APP_QUERY}" if context.device else "")],
            "docs_url": None,
            "redoc_url": None,
            "openapi_url": None,
        },
    )


def _close_on_signals(uploads: Uploads, folder: str | None) -> None:
    """Exit immediately on a termination signal, or when the terminal is closed, and delete all uploads, and ``folder``."""

    def close(*_: object) -> None:
        uploads.clear()
        clear_downloads()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
        delete_redirect_files()
        close_tunnels()
        os._exit(0)  # a normal exit would wait for threads that are handling calls

    on_console_close(close)
    for name in ("SIGTERM", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name) and threading.current_thread() is threading.main_thread():
            signal.signal(getattr(signal, name), close)
