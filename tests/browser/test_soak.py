"""What the server holds: quick clicks over all pages, with the largest networks and every picture, and what is left."""

import threading
import time

import psutil
import pytest
from conftest import served
from playwright.sync_api import expect
from test_app import PAGES

from poolsearch.networks.backbones import backbone
from poolsearch.networks.sizes import networks

MEGABYTE = 1e6
LARGEST = sorted(networks(), key=lambda name: -networks()[name][0])[:3]
CLICKS = 200
PICTURES = ("Temple", "Flower", "Digit")
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


def settled(tab, before):
    """Wait until both mosaics are drawn and are not those of before; return the address of the first."""
    mosaic = tab.locator("[data-testid=stImage] img")
    expect(mosaic).to_have_count(2, timeout=240_000)
    expect(mosaic.first).not_to_have_attribute("src", before, timeout=240_000)
    expect(tab.get_by_test_id("stStatusWidget")).to_have_count(0, timeout=240_000)
    return mosaic.first.get_attribute("src")


def test_the_server_gives_its_memory_back_after_quick_clicks_over_all_pages(chromium, alone):
    address, process = alone
    context = chromium.new_context(viewport={"width": 1280, "height": 720}, base_url=address)
    tab, clicks, before = context.new_page(), 0, ""
    with Watched(process) as memory:
        for number, name in enumerate(LARGEST):
            plan = plan_of(name)
            tab.goto(f"/maps?a={plan}&b={plan}")
            expect(tab.get_by_text(f"A {plan}")).to_be_visible(timeout=60_000)
            while clicks < CLICKS * (number + 1) / len(LARGEST):
                for title in PAGES.values():  # nothing is waited for but the next thing to click
                    link(tab, title)
                    link(tab, "Feature maps")
                    for each in PICTURES:
                        picture(tab, each)
                    clicks += 2 + len(PICTURES)
            for each in PICTURES:
                picture(tab, each)
                before = settled(tab, before)
            expect(tab.get_by_text(f"A {plan}")).to_be_visible()
        expect(tab.get_by_test_id("stException")).to_have_count(0)
        ended = time.monotonic()
        while (left := memory.now()) >= AFTER_MB and time.monotonic() - ended < WITHIN_S:
            time.sleep(0.5)
    context.close()
    print(f"{clicks} clicks: peak {memory.peak:.0f} MB, left {left:.0f} MB")
    weights = 4 * networks()[LARGEST[0]][0] / MEGABYTE
    assert memory.peak < PEAK_MB + weights
    assert left < AFTER_MB
