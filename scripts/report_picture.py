"""Draws docs/report.png, the picture of the README: the top of the demo's report, as a browser shows it.

Needs the tools for tests and Debian's Chromium:
python scripts/report_picture.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from sway_gguf.material.packaged import DEMO

PICTURE = Path(__file__).parents[1] / "docs" / "report.png"
_WIDTH, _BELOW = 1120, 16
_FILES = {
    "base.f32.gguf": "base.gguf",
    "healthy.lora.gguf": "adapter.gguf",
    "document.md": "train.md",
    "general.txt": "general.txt",
}
_CHECK = ["base.gguf", "adapter.gguf", "--data", "train.md", "--general", "general.txt", "--html", "report.html"]


def main() -> None:
    """Check the demo's adapter, open its page, keep what stands above the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for there, here in _FILES.items():
            shutil.copy(DEMO / there, folder / here)
        subprocess.run([sys.executable, "-m", "sway_gguf", "check", *_CHECK], cwd=folder, check=True)
        with sync_playwright() as driver:
            browser = driver.chromium.launch(
                executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            page = browser.new_page(viewport={"width": _WIDTH, "height": 700}, device_scale_factor=1.5)
            page.goto((folder / "report.html").as_uri())
            legend = page.locator(".axes + .key").bounding_box()
            assert legend is not None
            height = legend["y"] + legend["height"] + _BELOW
            page.screenshot(path=PICTURE, full_page=True, clip={"x": 0, "y": 0, "width": _WIDTH, "height": height})
            browser.close()


if __name__ == "__main__":
    main()
