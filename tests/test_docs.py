"""Documents say what the code does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_page_on_probes_is_current() -> None:
    code = "import sys; sys.path.insert(0, 'scripts'); from write_probe_docs import document; print(document(), end='')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, encoding="utf-8"
    )
    assert done.stdout == (ROOT / "docs" / "probes.md").read_text(encoding="utf-8")


def test_the_readme_names_every_folder_and_links_what_is_there() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    folders = [path for path in (ROOT / "sway_gguf").iterdir() if path.is_dir() and not path.name.startswith("_")]
    assert all(f"  {path.name}/" in text for path in folders)
    for page in (ROOT / "docs").glob("*.md"):
        assert f"docs/{page.name}" in text
