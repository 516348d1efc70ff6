"""The layers of the design: who may import whom. One wrong edge fails here."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sway_gguf"

SPINE = {"core", "stats", "material", "spec", "artifacts", "engine", "collect", "probes", "verdict", "suite"}
ALLOWED = {
    "core": set(),
    "stats": set(),
    "material": {"core"},
    "spec": {"core"},
    "artifacts": {"core"},
    "engine": {"core", "artifacts"},
    "collect": {"core", "engine"},
    "probes": {"core", "stats", "spec", "material"},
    "verdict": {"core", "stats"},
    "report": {"core"},
    "suite": {"core", "stats", "material", "spec", "artifacts", "engine", "collect", "probes", "verdict"},
    "deploy": SPINE,
    "choose": SPINE,
    "look": SPINE,
    "serve": SPINE | {"report"},
    "served": SPINE,
    "watch": SPINE | {"choose"},
    "fleet": SPINE,
    "cli": {
        "core", "material", "spec", "artifacts", "engine", "probes", "report", "suite", "deploy", "choose", "look",
        "serve", "served", "watch", "fleet",
    },
    "api": {"core", "spec", "artifacts", "engine", "verdict", "report", "suite", "choose", "cli"},
    "pytest_plugin": {"engine", "api", "errors"},
    "errors": {"core"},
    "__main__": {"cli"},
}  # fmt: skip
THIRD_PARTY = {
    "core": {"numpy", "pydantic"},
    "stats": {"numpy", "scipy"},
    "material": {"numpy", "textstat", "dlm", "pyarrow"},
    "spec": {"pydantic", "yaml"},
    "artifacts": {"numpy", "gguf", "jinja2", "safetensors", "platformdirs"},
    "engine": {"numpy"},
    "collect": {"numpy"},
    "probes": {"numpy", "pydantic", "jsonschema"},
    "verdict": set(),
    "report": {"rich", "jinja2", "markupsafe", "pydantic"},
    "suite": {"numpy"},
    "deploy": {"numpy"},
    "choose": {"numpy"},
    "look": {"numpy"},
    "serve": {"fastapi", "starlette", "uvicorn", "pydantic"},
    "served": {"numpy"},
    "watch": set(),
    "fleet": {"dask", "distributed", "pyarrow"},
    "cli": {"click", "rich"},
    "api": {"pandas"},
    "pytest_plugin": {"pytest"},
    "errors": set(),
    "__main__": set(),
}
ONLY_IMPORTERS = {"llama_cpp": PACKAGE / "engine" / "library.py", "dlm_sway": PACKAGE / "engine" / "sway_family.py"}


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_stay_within_the_layer_table(path: Path) -> None:
    layer = layer_of(path)
    ours = {name.split(".")[1] for name in imports_of(path) if name.startswith("sway_gguf.")}
    others = {name.split(".")[0] for name in imports_of(path)} - set(sys.stdlib_module_names) - {"sway_gguf"}
    allowed_others = THIRD_PARTY[layer] | {name for name, importer in ONLY_IMPORTERS.items() if importer == path}
    assert ours - ALLOWED[layer] - {layer} == set()
    assert others - allowed_others == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_file_opens_with_what_it_knows_and_stays_readable(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= 300


@pytest.mark.parametrize("path", sorted((PACKAGE / "probes").glob("*.py")), ids=lambda path: path.name)
def test_what_a_probe_writes_for_the_json_it_does_not_read_back(path: Path) -> None:
    """An item's `detail` and a measurement's `details` are for the reader; a probe keeps its numbers in records."""
    subscripts = (n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Subscript))
    values = (node.value for node in subscripts)
    assert not [v for v in values if isinstance(v, ast.Attribute) and v.attr in ("detail", "details")]


@pytest.mark.parametrize(
    "statement",
    ["import sway_gguf, sway_gguf.errors", "from sway_gguf.cli.main import cli", "import sway_gguf.pytest_plugin"],
)
def test_importing_the_package_or_its_commands_loads_neither_engine_nor_scipy(statement: str) -> None:
    code = f"{statement}; import sys; print([m for m in ('llama_cpp', 'scipy', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
