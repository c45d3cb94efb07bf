"""How long from a change to the new picture, in a real Chromium on this machine?

    python benchmarks/browser.py [--changes 20]

Expect, on a quiet machine: by hand p95 under 250 ms, pointing at a cell under 50 ms, backbone under 400 ms.
The clock runs in the browser: from the event to the frame in which what is drawn has changed. The server is a fresh
one with its usual warm-up. Prints a table and one JSON line.
"""

from __future__ import annotations

import argparse
import datetime
import json
import logging
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
logging.disable(logging.WARNING)  # outside a server Streamlit's cache would warn

from poolsearch import devices  # noqa: E402
from poolsearch.app.views.by_hand import label  # noqa: E402
from poolsearch.app.views.image import kinds_shown  # noqa: E402
from poolsearch.plan.kinds import KINDS  # noqa: E402

TARGETS_MS = {
    "by hand: a setting": 250,
    "by hand: pointing at a cell": 50,
    "by hand: every kind": 250,
    "real image: every kind": 250,
    "real image: a shift": 250,
    "backbone: resnet18": 400,
    "backbone: resnet50": 400,
    "backbone: densenet121": 400,
    "backbone: inception_v3": 400,
}
STRIDES = ("3", "1", "4", "2")
NETWORKS = {  # the variant, its site, the setting and its values; at 224 pixels every stride fits
    "resnet18": ("resnet18/3x128x128", "stem", "set-stride", STRIDES),
    "resnet50": ("resnet50/3x224x224", "stem", "set-stride", STRIDES),
    "densenet121": ("densenet121/3x224x224", "pool0", "set-stride", STRIDES),
    "inception_v3": ("inception_v3/3x299x299", "maxpool1", "set-stride", ("1", "2", "3")),
}

# Resolves with the milliseconds from the next event of a type to the frame in which `signature()` has changed.
WATCH = """
([event, signature]) => {
  const read = new Function("return " + signature.trim())
  const before = read()
  window.__took = new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error("no change within 10 s")), 10000)
    addEventListener(event, e => {
      const from = e.timeStamp
      const changed = () => read() !== before && read() !== ""
      const look = () => changed() ? resolve(performance.now() - from) : requestAnimationFrame(look)
      requestAnimationFrame(look)
    }, {once: true, capture: true})
  })
}
"""
# the stage lives in a shadow root, which document.querySelector does not enter
STAGE = """(() => {
  const host = [...document.querySelectorAll(".st-key-stage *")].find(element => element.shadowRoot)
  return host?.shadowRoot.querySelector("canvas[data-state]")?.dataset.state ?? ""
})()"""
IMAGES = "[...document.querySelectorAll('[data-testid=stImage] img')].map(i => i.src).join()"
STRIP = "[...document.querySelectorAll('.st-key-strip .bartext')].map(t => t.textContent).join()"


def serve(port: int) -> subprocess.Popen[bytes]:
    """Return a running server that has answered its health check."""
    runs = {"POOLSEARCH_RUNS": tempfile.mkdtemp()}
    command = [sys.executable, "-m", "streamlit", "run", "app.py", f"--server.port={port}"]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **runs}, stdout=subprocess.DEVNULL)
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1)
            return process
        except OSError:
            time.sleep(0.1)
    raise SystemExit("The app did not start within a minute.")


def timed(page: Page, event: str, signature: str, act: Callable[[], Any]) -> float:
    """Return the milliseconds from an event that `act` causes to the changed picture."""
    page.evaluate(WATCH, [event, signature])
    act()
    took = float(page.evaluate("window.__took"))
    page.wait_for_timeout(250)  # let the run end: a person does not click during it
    return took


def by_hand(page: Page, changes: int) -> list[float]:
    """Return the times of changes of kernel, stride and padding by hand."""
    page.goto("/")
    page.locator("canvas[data-state]").first.wait_for()
    page.wait_for_timeout(2000)
    choices = [("kernel", "3"), ("stride", "1"), ("padding", "1"), ("kernel", "4"), ("stride", "3"), ("padding", "2"),
               ("kernel", "5"), ("stride", "2"), ("padding", "0"), ("kernel", "2")]  # fmt: skip

    def press(key: str, text: str) -> Callable[[], None]:
        return lambda: page.locator(f".st-key-{key}").get_by_text(text, exact=True).click()

    return [timed(page, "click", STAGE, press(*choices[i % len(choices)])) for i in range(changes)]


def pointing(page: Page, changes: int) -> list[float]:
    """Return the times from pointing at an output cell to its window."""
    canvas = page.locator("canvas[data-state]").first
    box = canvas.bounding_box() or {"x": 0, "y": 0}
    x, y, cell = (float(canvas.get_attribute(f"data-{name}") or 0) for name in ("ox", "oy", "cell"))

    def point(index: int) -> Callable[[], None]:
        column, row = index % 4, index // 4 % 4
        return lambda: page.mouse.move(box["x"] + x + (column + 0.5) * cell, box["y"] + y + (row + 0.5) * cell)

    point(15)()
    return [timed(page, "pointermove", STAGE, point(i)) for i in range(changes)]


def option(page: Page, key: str, text: str) -> Callable[[], None]:
    """Open a list, and return what chooses from it."""
    box = page.locator(f".st-key-{key} [role=combobox]").first
    box.click()
    box.fill(text)  # a long list shows only what fits
    found = page.get_by_role("option", name=text, exact=True)
    found.wait_for()
    return found.click


def every_kind_by_hand(page: Page, changes: int) -> list[float]:
    """Return the times from choosing each kind by hand to its picture, every one of them seen for the first time."""
    page.goto("/?image=Flower")
    page.locator("canvas[data-state]").first.wait_for()
    page.wait_for_timeout(2000)
    names = [label(kind) for kind in KINDS.values()]
    return [timed(page, "click", STAGE, option(page, "pooling", name)) for name in names[1:]]


def every_kind_on_an_image(page: Page, changes: int) -> list[float]:
    """Return the times from choosing each kind on Real image to its picture, seen for the first time."""
    page.goto("/image?photo=Flower")
    page.locator(".st-key-curve .scatterlayer .trace").first.wait_for()
    page.wait_for_timeout(2000)
    names = [KINDS[kind].label for kind in kinds_shown()]
    return [timed(page, "click", IMAGES, option(page, "left", name)) for name in names[1:]]


def shift(page: Page, changes: int) -> list[float]:
    """Return the times from moving the picture by one pixel more, or back again, to the new picture."""
    page.goto("/image")
    page.locator(".st-key-curve .scatterlayer .trace").first.wait_for()
    page.wait_for_timeout(2000)
    slider = page.locator(".st-key-shift").get_by_role("slider")
    keys = ["ArrowRight"] * 8 + ["ArrowLeft"] * 8
    return [timed(page, "keydown", IMAGES, lambda i=i: slider.press(keys[i % 16])) for i in range(changes)]


def backbone(name: str, site: str, key: str, choices: tuple[str, ...]) -> Callable[[Page, int], list[float]]:
    """Return what times changes of a setting at a site of a network on the Backbone page."""

    def changed(page: Page, changes: int) -> list[float]:
        page.goto(f"/backbone?a={name}&site={site}")
        page.locator(".st-key-strip .bartext").first.wait_for()
        page.wait_for_timeout(3000)
        row = page.locator(f".st-key-{key}")
        act = lambda text: row.get_by_text(text, exact=True).click()  # noqa: E731
        return [timed(page, "click", STRIP, lambda i=i: act(choices[i % len(choices)])) for i in range(changes)]

    return changed


def measure(changes: int) -> dict[str, list[float]]:
    """Return the times of each kind of change, in ms."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = serve(port)
    try:
        with sync_playwright() as playwright:
            path = shutil.which("chromium") or shutil.which("google-chrome")
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
            page = browser.new_page(viewport={"width": 1280, "height": 720}, base_url=f"http://127.0.0.1:{port}")
            page.set_default_timeout(60_000)
            parts = {
                "by hand: a setting": by_hand,
                "by hand: pointing at a cell": pointing,
                "by hand: every kind": every_kind_by_hand,
                "real image: every kind": every_kind_on_an_image,
                "real image: a shift": shift,
                **{f"backbone: {name}": backbone(*place) for name, place in NETWORKS.items()},
            }
            return {name: part(page, changes) for name, part in parts.items()}
    finally:
        server.terminate()
        server.wait(20)


def main() -> None:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--changes", type=int, default=20)
    changes = parser.parse_args().changes
    load = os.getloadavg()[0]
    times = measure(changes)
    table = Table(title=f"from a change to the new picture, {changes} changes each, load {load:.1f} before")
    for column in ("", "median, ms", "p95, ms", "largest, ms", "wanted p95, ms"):
        table.add_column(column, justify="right" if column else "left")
    result = {}
    for name, values in times.items():
        p95 = statistics.quantiles(values, n=20, method="inclusive")[-1]
        result[name] = {
            "median_ms": round(statistics.median(values), 1),
            "p95_ms": round(p95, 1),
            "max_ms": round(max(values), 1),
        }
        table.add_row(name, *(f"{v:.0f}" for v in result[name].values()), f"{TARGETS_MS[name]}")
    Console().print(table)
    document = {"date": f"{datetime.date.today()}", "machine": devices.machine(), "load": load, "changes": changes}
    print(json.dumps({**document, "times": result}))


if __name__ == "__main__":
    main()
