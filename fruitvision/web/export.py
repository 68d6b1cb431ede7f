"""Export a checkpoint as a folder of static files that classify in the visitor's own browser; any web server can host it."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fruitvision import __version__
from fruitvision.data.fetch.transfer import Progress
from fruitvision.data.read.picture import PictureSource, load_pixels
from fruitvision.data.synthetic.sample import draw_pictures
from fruitvision.errors import DataError
from fruitvision.files import current_folder, replace_folder, write_error
from fruitvision.models.checkpoint import CARD, checkpoint_name, load_checkpoint
from fruitvision.web.icons import icons
from fruitvision.web.runtime import VERSION, runtime_files
from fruitvision.wording.text import say

if TYPE_CHECKING:
    from fruitvision.web.network import Weights

PAGE = Path(__file__).with_name("page")
DESCRIPTION, WORKER, NETWORK = "model.json", "sw.js", "network.onnx.gz"
# With suffixes whose MIME types every web server knows; the Windows registry may have wrong types for .mjs and .wasm.
RUNTIME = {
    "ort.wasm.min.mjs": "runtime/ort.js",
    "ort-wasm-simd-threaded.mjs": "runtime/ort-wasm.js",
    "ort-wasm-simd-threaded.wasm": "runtime/ort-wasm.wasm.gz",
    "ort.webgpu.min.mjs": "runtime/ort-webgpu.js",
    "ort-wasm-simd-threaded.asyncify.mjs": "runtime/ort-webgpu-wasm.js",
    "ort-wasm-simd-threaded.asyncify.wasm": "runtime/ort-webgpu.wasm.gz",
}
TYPES = "types.js"
"""Types in comments only, which the page never loads."""
PICTURES_PER_KIND = 4
"""Drawn pictures of each kind of fruit, on which the network is checked if no others are given."""
# Headers that allow threads, for servers that read such a file; the service worker adds them if the server does not.
HEADERS = """/*
  Cross-Origin-Opener-Policy: same-origin
  Cross-Origin-Embedder-Policy: require-corp
  X-Content-Type-Options: nosniff
"""
MIT = """Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files
(the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge,
publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so,
subject to the following conditions: The above copyright notice and this permission notice shall be included in all copies or
substantial portions of the Software.
THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR
ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH
THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


@dataclass(frozen=True)
class WebExport:
    """Summary of an export."""

    folder: Path
    files: int
    bytes: int
    compressed: int
    """Bytes that a first visit downloads if the server compresses text; large files are stored compressed."""
    pictures: int
    largest_difference: float
    agreement: float
    """Share of the ``pictures`` checked pictures for which the network's top class is the same as torch's, 0..1."""


def export_web(
    checkpoint: Path,
    out: Path,
    *,
    name: str | None = None,
    weights: Weights = "int8",
    webgpu: bool = False,
    pictures: Sequence[PictureSource] = (),
    runtime: Path | None = None,
    progress: Progress | None = None,
) -> WebExport:
    """Export a checkpoint folder to the folder ``out``; an earlier export there is replaced atomically.

    Args:
        name: the network's name on the page; by default the folder's name, or the run's for its ``best/``.
        weights: "int8", a quarter of the size, or "float32".
        webgpu: include the WebGPU runtime, 6.6 MB compressed, which only browsers with WebGPU load.
        pictures: on which the network is compared with torch; by default drawn ones.
        runtime: onnxruntime-web as an npm package file, or as a folder; by default from the user's cache or the npm registry.

    Raises:
        CheckpointError: the checkpoint cannot be read or exported.
        DataError: "web-out-foreign" if ``out`` is another folder, "web-runtime-other", or if it cannot be written.
        DownloadError: the runtime is not cached, and cannot be downloaded.
    """
    from fruitvision.models.onnx.export import import_onnxruntime
    from fruitvision.web.description import describe
    from fruitvision.web.network import web_network

    import_onnxruntime()  # raises before anything is downloaded
    out = out.absolute()
    if out.exists() and not (out.is_dir() and ((out / DESCRIPTION).is_file() or not any(out.iterdir()))):
        raise DataError("web-out-foreign", path=str(out))
    network, config = load_checkpoint(checkpoint)
    runtime_content = runtime_files(runtime, webgpu=webgpu, progress=progress)
    checked = [load_pixels(picture) for picture in pictures or draw_pictures(PICTURES_PER_KIND)]
    exported = web_network(network, config, checked, weights)
    files = {
        path.relative_to(PAGE).as_posix(): path.read_bytes() for path in sorted(PAGE.rglob("*")) if path.is_file() and path.name != TYPES
    }
    files |= {
        RUNTIME[name]: _compressed(content) if name.endswith(".wasm") else _without_source_map(content)
        for name, content in runtime_content.items()
    }
    files |= icons() | {NETWORK: _compressed(exported.content)}
    paths = {"network": NETWORK, "runtime": _runtime_paths("wasm"), "webgpu": _runtime_paths("webgpu") if webgpu else None}
    title = name or checkpoint_name(checkpoint)
    files |= {"manifest.webmanifest": json.dumps(_manifest(), indent=1).encode(), "_headers": HEADERS.encode(), ".nojekyll": b""}
    files["licences.txt"] = _licences().encode()
    card = current_folder(checkpoint) / CARD
    if card.is_file():
        files["network.txt"] = card.read_bytes()
    description = describe(config, title, exported, weights, paths)
    version = _version(files, description)
    files[DESCRIPTION] = json.dumps({"version": version} | description, ensure_ascii=False, separators=(",", ":")).encode()
    files[WORKER] = _service_worker(files, version)
    _write(out, files)
    sizes = [min(len(_compressed(content)), len(content)) for one, content in files.items() if one in _first_visit(files)]
    total = sum(map(len, files.values()))
    return WebExport(out, len(files), total, sum(sizes), len(checked), exported.largest_difference, exported.agreement)


def _runtime_paths(build: str) -> dict[str, str]:
    names = ("ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm")
    if build == "wasm":
        names = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
    return dict(zip(("module", "glue", "wasm"), (RUNTIME[name] for name in names), strict=True))


def _compressed(content: bytes) -> bytes:
    return gzip.compress(content, 9, mtime=0)


def _without_source_map(content: bytes) -> bytes:
    """A script without the reference to its source map, which is not exported."""
    return b"\n".join(line for line in content.split(b"\n") if not line.startswith(b"//# sourceMappingURL="))


def _manifest() -> dict[str, Any]:
    """The web app manifest, by which phones can install the page as an app."""
    return {
        "name": say("header.title", "en"),
        "short_name": say("header.title", "en"),
        "description": say("header.purpose", "en"),
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#101410",
        "theme_color": "#101410",
        "icons": [
            {"src": "icons/192.png", "sizes": "192x192", "type": "image/png", "purpose": "any"},
            {"src": "icons/512.png", "sizes": "512x512", "type": "image/png", "purpose": "any"},
            {"src": "icons/maskable.png", "sizes": "512x512", "type": "image/png", "purpose": "maskable"},
        ],
    }


def _licences() -> str:
    return (
        f"FruitVision {__version__}: MIT licence, https://opensource.org/license/mit\n\n"
        f"runtime/: ONNX Runtime Web {VERSION} (npm onnxruntime-web), Copyright (c) Microsoft Corporation, MIT licence:\n\n{MIT}\n"
        "network.onnx.gz: the network's weights follow the licence of the pictures that it learned from; network.txt says which.\n"
        "The networks that come with FruitVision are CC BY-SA 4.0: https://creativecommons.org/licenses/by-sa/4.0/\n"
    )


def _first_visit(files: dict[str, bytes]) -> list[str]:
    """The files that the page loads and caches: all but the texts, the server's files, and those for WebGPU."""
    excluded = {"licences.txt", "network.txt", "_headers", ".nojekyll", WORKER}
    return sorted(path for path in files if path not in excluded and "webgpu" not in path)


def _version(files: dict[str, bytes], description: dict[str, Any]) -> str:
    """A hash of all files of the page, by which the service worker recognizes a new version."""
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for one in sorted(files):
        digest.update(one.encode() + b"\0" + hashlib.sha256(files[one]).digest())
    return digest.hexdigest()[:16]


def _service_worker(files: dict[str, bytes], version: str) -> bytes:
    """The service worker, with the version and the list of files to cache filled in."""
    cached = ["./", *(path for path in _first_visit(files) if path != "index.html")]
    return files[WORKER].decode().replace('"VERSION"', json.dumps(version)).replace('["FILES"]', json.dumps(cached)).encode()


def _write(out: Path, files: dict[str, bytes]) -> None:
    """Write to a temporary folder, then replace ``out``. Raises DataError "disk-full" or "cannot-write"."""
    temporary = out.with_name(f".{out.name}.{os.getpid()}.new")
    try:
        for name, content in files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        replace_folder(temporary, out)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise write_error(error, out) from error
