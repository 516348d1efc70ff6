"""Builds llama-bench, llama-perplexity and llama-export-lora from the source archive of the installed llama-cpp-python.

They are linked to the very libraries that this package runs, so that both can be held beside each other.
Knows pip, a C++ compiler and a folder to keep the tools in; under a minute, once per installation. The libraries are
found where pip puts them when it compiles llama-cpp-python itself, as it does wherever there is no wheel.

    python scripts/build_llama_tools.py
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import distribution, version
from pathlib import Path

from sway_gguf.artifacts.cache import cache_folder

TOOLS = {
    "llama-bench": ("llama-bench/llama-bench.cpp", "llama-bench/main.cpp"),
    "llama-perplexity": ("perplexity/perplexity.cpp", "perplexity/main.cpp"),
    "llama-export-lora": ("export-lora/export-lora.cpp",),
}
"""By name, the files of the source's folder `tools` that each is made of."""
_PACKAGE = "llama-cpp-python"
_LIBRARIES = ("llama-common", "llama", "ggml", "ggml-cpu", "ggml-base")


class CannotBuildError(Exception):
    """Why there are no tools, in a line."""


def tool(name: str) -> Path | None:
    """A tool that was built for the libraries as they are installed now; None where it was not."""
    try:
        path = _folder(_installed()) / name
    except CannotBuildError:
        return None
    return path if path.is_file() else None


def build() -> Path:
    """Build what is missing; returns the folder.

    Raises:
        CannotBuildError: there is no compiler, no source archive, or the libraries were not installed with it.
    """
    libraries = _installed()
    folder = _folder(libraries)
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if not compiler:
        raise CannotBuildError("there is no C++ compiler in PATH")
    missing = [name for name in TOOLS if not (folder / name).is_file()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="build-", dir=folder.parent) as scratch:
            source = unpacked_source(Path(scratch))
            for name in missing:
                _compile(shlex.split(compiler), source, name, libraries, Path(scratch) / name)
                shutil.move(Path(scratch) / name, folder / name)
    return folder


def _installed() -> Path:
    """The folder of the shared libraries that pip made when it compiled the package."""
    for file in distribution(_PACKAGE).files or ():
        if file.name.startswith(("libllama-common.so", "libllama-common.dylib")):
            return Path(str(file.locate())).resolve().parent
    raise CannotBuildError(
        f"this {_PACKAGE} came as a wheel without libllama-common; `pip install --no-binary {_PACKAGE} {_PACKAGE}` "
        "compiles it here"
    )


def _folder(libraries: Path) -> Path:
    """Where the tools for these libraries lie, built or not."""
    built = next(libraries.glob("libllama.*")).stat()
    key = hashlib.sha256(f"{libraries} {built.st_size} {built.st_mtime_ns}".encode()).hexdigest()[:12]
    return cache_folder() / "llama-tools" / f"{version(_PACKAGE)}-{key}"


def unpacked_source(scratch: Path) -> Path:
    """Fetch and unpack the archive into a folder; llama.cpp's own folder in it.

    Raises:
        CannotBuildError: pip cannot have it.
    """
    asked = f"{_PACKAGE}=={version(_PACKAGE)}"
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-input", "--no-deps", "--no-binary", _PACKAGE]
    _run([*pip, "-d", str(scratch), asked])
    (archive,) = scratch.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(scratch, filter="data")
    (source,) = scratch.glob("*/vendor/llama.cpp")
    return source


def _compile(compiler: list[str], source: Path, name: str, libraries: Path, out: Path) -> None:
    code = [str(source / "tools" / file) for file in TOOLS[name]]
    headers = [f"-I{source / part}" for part in ("common", "vendor", "include", "ggml/include")]
    # A tool has to name every library itself: one that another library needs is not looked for beside it.
    all_named = ["-Wl,--no-as-needed"] if sys.platform == "linux" else []
    named = [f"-l{library}" for library in _LIBRARIES]
    linked = [f"-L{libraries}", *all_named, *named, f"-Wl,-rpath,{libraries}", "-pthread"]
    _run([*compiler, "-O2", "-std=c++17", *headers, *code, "-o", str(out), *linked])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if "error" in line.lower()] or done.stdout.splitlines()
        raise CannotBuildError(f"{Path(command[0]).name} failed: {(lines or ['it gave no reason'])[0].strip()}")


def main() -> None:
    """Build, and say where the tools lie."""
    try:
        print(build())
    except CannotBuildError as error:
        sys.exit(f"llama.cpp's tools are not built: {error}")


if __name__ == "__main__":
    main()
