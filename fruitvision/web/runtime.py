"""onnxruntime-web, the npm package that runs networks in the browser: one pinned version, verified by SHA-256.

It is downloaded once from the npm registry into the user's cache. Without internet, it can be given as a file, as created by ``npm
pack onnxruntime-web@VERSION``, or as a folder. MIT licence. An exported page downloads nothing from other sites.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from typing import NamedTuple

from fruitvision.data.fetch.transfer import Progress, fetch
from fruitvision.errors import DataError, DownloadError
from fruitvision.files import cache_folder, write_bytes

VERSION = "1.30.0"
URL = f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
TARBALL_SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
MAX_BYTES = 64 * 2**20
"""Maximum size of one file; the largest has 27 MB."""


class RuntimeFile(NamedTuple):
    """A file of the package."""

    name: str
    """Its name in the package's folder ``dist``."""
    sha256: str
    webgpu: bool
    """Whether it belongs to the build with WebGPU."""


FILES = (
    RuntimeFile("ort.wasm.min.mjs", "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b", False),
    RuntimeFile("ort-wasm-simd-threaded.mjs", "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b", False),
    RuntimeFile("ort-wasm-simd-threaded.wasm", "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2", False),
    RuntimeFile("ort.webgpu.min.mjs", "3dffff71811bc13a3a3d9591c57ca5ee5735b8f5f3eaf789510b02bb040ae3a0", True),
    RuntimeFile("ort-wasm-simd-threaded.asyncify.mjs", "3d1c85995364bb643302fc6fd877a0c3ba5ae72401815e0f24828a53d9191e28", True),
    RuntimeFile("ort-wasm-simd-threaded.asyncify.wasm", "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da", True),
)


def runtime_files(source: Path | None = None, *, webgpu: bool = False, progress: Progress | None = None) -> dict[str, bytes]:
    """The contents of the runtime's files by name: those of the SIMD build, with ``webgpu`` also those of the WebGPU build.

    ``source`` is the npm package (.tgz), or a folder with the package or its ``dist``. Without it, the user's cache is used, and filled
    from the npm registry if files are missing.

    Raises DataError "web-runtime-other" if a file is missing, or of another version, DownloadError ("web-runtime-offline" without a
    connection), and DataError if the cache cannot be written.
    """
    wanted = [file for file in FILES if webgpu or not file.webgpu]
    if source is not None:
        return _verified(_from_package(source, wanted) if source.is_file() else _from_folder(source, wanted), wanted, source)
    cache = cache_folder() / f"onnxruntime-web-{VERSION}"
    found = _from_folder(cache, wanted)
    if not _is_complete(found, wanted):
        try:
            tarball = fetch(URL, cache / "package.tgz", sha256=TARBALL_SHA256, progress=progress)
        except DownloadError as error:
            if error.code == "download-offline":
                raise DownloadError("web-runtime-offline", version=VERSION, reason=error.facts["reason"]) from error
            raise
        for name, content in _verified(_from_package(tarball, FILES), FILES, tarball).items():
            write_bytes(cache / name, content)
        tarball.unlink(missing_ok=True)
        found = _from_folder(cache, wanted)
    return _verified(found, wanted, cache)


def _from_folder(folder: Path, wanted: list[RuntimeFile]) -> dict[str, bytes]:
    """The contents of those files that are in the folder, in its ``dist``, or where npm installs the package."""
    candidates = [folder, folder / "dist", folder / "package" / "dist", folder / "node_modules" / "onnxruntime-web" / "dist"]
    found = {}
    for file in wanted:
        for candidate in candidates:
            path = candidate / file.name
            if path.is_file() and path.stat().st_size <= MAX_BYTES:
                found[file.name] = path.read_bytes()
                break
    return found


def _from_package(tarball: Path, wanted: tuple[RuntimeFile, ...] | list[RuntimeFile]) -> dict[str, bytes]:
    """The contents of those files that are in an npm package. Other files are not unpacked."""
    names, found = {f"package/dist/{file.name}": file.name for file in wanted}, {}
    try:
        with tarfile.TarFile.gzopen(tarball.name, fileobj=io.BytesIO(tarball.read_bytes())) as package:
            for member in package:
                if member.name in names and member.isreg() and member.size <= MAX_BYTES:
                    content = package.extractfile(member)
                    found[names[member.name]] = content.read() if content else b""
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError("web-runtime-other", path=str(tarball), version=VERSION, file=tarball.name) from error
    return found


def _is_complete(found: dict[str, bytes], wanted: list[RuntimeFile]) -> bool:
    return all(hashlib.sha256(found.get(file.name, b"")).hexdigest() == file.sha256 for file in wanted)


def _verified(found: dict[str, bytes], wanted: tuple[RuntimeFile, ...] | list[RuntimeFile], source: Path) -> dict[str, bytes]:
    for file in wanted:
        if hashlib.sha256(found.get(file.name, b"")).hexdigest() != file.sha256:
            raise DataError("web-runtime-other", path=str(source), version=VERSION, file=file.name)
    return found
