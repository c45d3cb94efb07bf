"""What the server holds: quick clicks over all pages, with the largest networks and every picture, and what is left."""

import threading
import time

import psutil
import pytest
from conftest import served
from playwright.sync_api import expect
from test_app import PAGES

from poolsearch.backbones import backbone
from poolsearch.costs import networks

MEGABYTE = 1e6
LARGEST = sorted(networks(), key=lambda name: -networks()[name][0])[:3]
CLICKS = 200
PEAK_MB, AFTER_MB, WITHIN_S = 1500, 700, 30  # the peak beside the largest network; what is left, and how soon


@pytest.fixture
def alone(tmp_path_factory):
    """A server that no other test has used, and its process."""
    with served(tmp_path_factory.mktemp("memory")) as (address, process):
        yield address, psutil.Process(process.pid)


class Watched:
    """The resident memory of a process, read 20 times a second; `peak` is the most that was seen, in MB."""

    def __init__(self, process):
        self.process, self.peak, self._over = process, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def now(self):
        return self.process.memory_info().rss / MEGABYTE

    def _watch(self):
        while not self._over.wait(0.05):
            self.peak = max(self.peak, self.now())

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


def plan_of(name):
    """The published network at 128 pixels, or at its own size where it can't run so small, as the page opens it."""
    channels, height, width = backbone(name).size
    return f"{name}/{channels}x{height}x{width}" if name.startswith("vit") else f"{name}/{channels}x128x128"


def link(tab, title):
    tab.get_by_test_id("stTopNavLink").filter(has_text=title).click()


def picture(tab, name):
    tab.locator(".st-key-picture").get_by_text(name, exact=True).click()


def shown(tab):
    """Wait until both mosaics of "Feature maps" are there and no script runs."""
    expect(tab.locator("[data-testid=stImage] img")).to_have_count(2, timeout=240_000)
    expect(tab.get_by_test_id("stStatusWidget")).to_have_count(0, timeout=240_000)


def test_the_server_gives_its_memory_back_after_quick_clicks_over_all_pages(chromium, alone):
    address, process = alone
    context = chromium.new_context(viewport={"width": 1280, "height": 720}, base_url=address)
    tab, clicks = context.new_page(), 0
    with Watched(process) as memory:
        for number, name in enumerate(LARGEST):
            plan = plan_of(name)
            tab.goto(f"/maps?a={plan}&b={plan}")
            expect(tab.get_by_role("heading", name="Feature maps", exact=True)).to_be_visible(timeout=60_000)
            tab.locator(".st-key-picture").wait_for()
            while clicks < CLICKS * (number + 1) / len(LARGEST):
                for title in PAGES.values():
                    if title == "Feature maps":
                        continue
                    link(tab, title)
                    link(tab, "Feature maps")
                    clicks += 2
                    tab.locator(".st-key-picture").wait_for()
                    for each in ("Temple", "Flower", "Digit"):  # each asked for before the last is drawn
                        picture(tab, each)
                        clicks += 1
            for each in ("Temple", "Flower", "Digit"):
                picture(tab, each)
                shown(tab)
                print(name, each, round(memory.now()), round(memory.peak), clicks, flush=True)
        expect(tab.get_by_test_id("stException")).to_have_count(0)
        began, left = time.monotonic(), memory.now()
        while left >= AFTER_MB and time.monotonic() - began < WITHIN_S:
            time.sleep(0.5)
            left = memory.now()
        print("left", left, "peak", memory.peak)
    context.close()
    weights = 4 * networks()[LARGEST[0]][0] / MEGABYTE
    assert memory.peak < PEAK_MB + weights
    assert left < AFTER_MB
