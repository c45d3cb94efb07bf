"""Record docs/pictures/by_hand.webp: the page "Pooling by hand" of the real app, stepped through its cells.

python docs/record_by_hand.py        (a minute; needs chromium, as the browser tests do)
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "pictures" / "by_hand.webp"
LINK = "/?image=Temple&pooling=Max&kernel=3&stride=2&padding=1&cell=1-1"
SIZE = {"width": 1160, "height": 610}
STEP_MS, LAST_MS = 700, 2000


@contextmanager
def served() -> Iterator[str]:
    """Yield the address of a fresh server of this checkout."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with tempfile.TemporaryDirectory() as runs:
        command = [sys.executable, "-m", "streamlit", "run", "app.py", f"--server.port={port}"]
        server = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "POOLSEARCH_RUNS": runs}, stdout=subprocess.DEVNULL
        )
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1)
                    break
                except OSError:
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(20)


def frames(page: Page) -> list[Image.Image]:
    """Return a picture of the page at each cell of the output, in reading order."""
    taken = []
    cells = int(page.locator("#scrub").evaluate("bar => bar.max")) + 1
    for _ in range(cells):
        page.wait_for_timeout(400)
        taken.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
        page.locator("#next").evaluate("button => button.click()")  # without a pointer over it
    return taken


def main() -> None:
    """Write the moving picture and say how large it is."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with served() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_context(viewport=SIZE, color_scheme="light").new_page()
        page.goto(address + LINK)
        page.locator("canvas[data-state]").wait_for(timeout=60_000)
        page.wait_for_timeout(2000)
        taken = frames(page)
        browser.close()
    PICTURE.parent.mkdir(exist_ok=True)
    times = [STEP_MS] * (len(taken) - 1) + [LAST_MS]
    taken[0].save(PICTURE, save_all=True, append_images=taken[1:], duration=times, loop=0, lossless=True, method=6)
    print(f"{PICTURE.relative_to(ROOT)}: {len(taken)} frames, {PICTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
