"""Builds llama-bench, -perplexity, -export-lora and -server from the source archive of the installed llama-cpp-python.

They are linked to the very libraries that this package runs, so that benchmarks and tests can hold the two beside each
other. Knows pip, a C++ compiler and a folder to keep the tools in; once per installation, under a minute for the first
three, some minutes for llama-server, which is built where it is named. The libraries are found where pip puts them when
it compiles llama-cpp-python itself, as it does wherever there is no wheel.

    python scripts/build_llama_tools.py
    python scripts/build_llama_tools.py llama-server
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import distribution, version
from pathlib import Path

from sway_gguf.artifacts.cache import cache_folder


@dataclass(frozen=True)
class Tool:
    """What one of them is made of.

    Attributes:
        sources: patterns of files, from llama.cpp's own folder.
        headers: folders to look for them in, beside those that all share.
        optimized: of the compiler; what is no part of a hot loop is not worth the minutes.
        pages: whether the program wants pages of its own to be compiled in, of which it is given none.
    """

    sources: tuple[str, ...]
    headers: tuple[str, ...] = ()
    optimized: str = "-O2"
    pages: bool = False


TOOLS = {
    "llama-bench": Tool(("tools/llama-bench/llama-bench.cpp", "tools/llama-bench/main.cpp")),
    "llama-perplexity": Tool(("tools/perplexity/perplexity.cpp", "tools/perplexity/main.cpp")),
    "llama-export-lora": Tool(("tools/export-lora/export-lora.cpp",)),
    "llama-server": Tool(
        ("tools/server/*.cpp", "tools/mtmd/mtmd*.cpp", "tools/mtmd/clip.cpp", "tools/mtmd/models/*.cpp",
         "vendor/hash/hash.cpp", "vendor/hash/*/*.c"),
        ("tools/server", "tools/mtmd", "vendor/hash", "."), "-O1", pages=True,
    ),
}  # fmt: skip
_BY_DEFAULT = ("llama-bench", "llama-perplexity", "llama-export-lora")
_LEFT_OUT = frozenset({"mtmd-cli.cpp"})
_PACKAGE = "llama-cpp-python"
_LIBRARIES = ("llama-common", "llama", "ggml", "ggml-cpu", "ggml-base")
_SHARED_HEADERS = ("common", "vendor", "include", "ggml/include")
_TLS = "CPPHTTPLIB_OPENSSL_SUPPORT"


class CannotBuildError(Exception):
    """Why there are no tools, in a line."""


def tool(name: str) -> Path | None:
    """A tool that was built for the libraries as they are installed now; None where it was not."""
    try:
        path = _folder(_installed()) / name
    except CannotBuildError:
        return None
    return path if path.is_file() else None


def build(names: Sequence[str] = _BY_DEFAULT) -> Path:
    """Build what is missing of `names`; returns the folder.

    Raises:
        CannotBuildError: there is no compiler, no source archive, or the libraries were not installed with it.
    """
    libraries = _installed()
    folder = _folder(libraries)
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if not compiler:
        raise CannotBuildError("there is no C++ compiler in PATH")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="build-", dir=folder.parent) as scratch:
            source = unpacked_source(Path(scratch))
            for name in missing:
                _compile(shlex.split(compiler), source, TOOLS[name], libraries, Path(scratch) / name)
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


def _compile(compiler: list[str], source: Path, tool: Tool, libraries: Path, out: Path) -> None:
    code = [path for pattern in tool.sources for path in sorted(source.glob(pattern)) if path.name not in _LEFT_OUT]
    code += _no_pages(source) if tool.pages else []
    headers = [f"-I{source / part}" for part in (*_SHARED_HEADERS, *tool.headers)]
    # Classes of libllama-common have the members that they had when it was compiled.
    tls = _speaks_tls(libraries)
    alike = ["-DLLAMA_SUBPROCESS", *([f"-D{_TLS}"] if tls else [])]
    objects = out.parent / f"{out.name}-objects"
    objects.mkdir()
    made = []
    for number, file in enumerate(code, 1):
        print(f"\r{out.name}: {number} of {len(code)} files", end="", file=sys.stderr, flush=True)
        made.append(str(objects / f"{number}.o"))
        # Hashes of llama.cpp's are C, but for the one that stands in a namespace.
        language = ["-x", "c"] if file.suffix == ".c" and file.parent.name != "sha1" else ["-x", "c++", "-std=c++17"]
        _run([*compiler, tool.optimized, "-w", *language, *alike, *headers, "-c", str(file), "-o", made[-1]])
    print(file=sys.stderr)
    # A tool has to name every library itself: one that another library needs is not looked for beside it.
    all_named = ["-Wl,--no-as-needed"] if sys.platform == "linux" else []
    named = [f"-l{library}" for library in _LIBRARIES] + (["-lssl", "-lcrypto"] if tls else [])
    linked = [f"-L{libraries}", *all_named, *named, f"-Wl,-rpath,{libraries}", "-pthread"]
    _run([*compiler, *made, "-o", str(out), *linked])


def _no_pages(source: Path) -> list[Path]:
    """llama-server's table of web pages, which its own build fills: here without any."""
    folder = source / "tools" / "server"
    for name in ("ui.h", "ui.cpp"):
        text = (source / "tools" / "ui" / f"{name}.in").read_text(encoding="utf-8")
        text = re.sub(r"^#cmakedefine .*$", "", text, flags=re.MULTILINE).replace("@N_ASSETS@", "0")
        (folder / name).write_text(re.sub(r"@ASSET_\w+@", "", text).replace("@USE_GZIP@", "false"), encoding="utf-8")
    return [folder / "ui.cpp"]


def _speaks_tls(libraries: Path) -> bool:
    return any(b"libssl" in path.read_bytes() for path in libraries.glob("libllama-common.*"))


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if "error" in line.lower()] or done.stdout.splitlines()
        raise CannotBuildError(f"{Path(command[0]).name} failed: {(lines or ['it gave no reason'])[0].strip()}")


def main() -> None:
    """Build, and say where the tools lie."""
    if unknown := set(sys.argv[1:]) - set(TOOLS):
        sys.exit(f"no such tool: {', '.join(sorted(unknown))}; there are {', '.join(TOOLS)}")
    try:
        print(build(sys.argv[1:] or _BY_DEFAULT))
    except CannotBuildError as error:
        sys.exit(f"llama.cpp's tools are not built: {error}")


if __name__ == "__main__":
    main()
