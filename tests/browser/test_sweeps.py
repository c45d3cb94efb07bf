"""Sweeps as a visitor has them: set up, watched, paused, resumed, from two tabs, and with the server killed between.

The server here is one of our own, so that it can be killed.
"""

import os
import re
import subprocess
import sys
import time
import urllib.request

import pytest
from acts import choose, fill, idle, press
from conftest import ROOT, free_port
from playwright.sync_api import expect

from poolsearch.sweep.folder import commands, folder
from poolsearch.sweep.folder.folder import open_folder

BUSY = 120_000  # milliseconds: torch starts in each worker, on a machine that may be busy


class Server:
    """The app at an address that stays the same when it is killed and started again."""

    def __init__(self, runs):
        self.runs, self.port = runs, free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        command = [sys.executable, "-m", "streamlit", "run", "app.py", f"--server.port={self.port}"]
        environment = {**os.environ, "POOLSEARCH_RUNS": str(self.runs)}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=1)
                return
            except OSError:
                time.sleep(0.1)
        pytest.fail("The app did not start.")

    def kill(self):
        self.process.kill()
        self.process.wait(20)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A server with a runs folder of its own; what still runs in it is stopped at the end."""
    monkeypatch.setenv("POOLSEARCH_RUNS", str(tmp_path))
    server = Server(tmp_path)
    yield server
    for study in folder.studies():
        if open_folder(study).status().alive:
            commands.send(open_folder(study), "stop")
        for _ in range(300):
            if not open_folder(study).status().alive:
                break
            time.sleep(0.1)
    server.kill()


@pytest.fixture
def visitor(chromium, own):
    """A function that opens a page in a browser of its own, as another visitor would."""
    contexts, errors = [], []

    def open_page(path):
        contexts.append(chromium.new_context(viewport={"width": 1280, "height": 720}, base_url=own.address))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path)
        expect(page.get_by_role("heading", name="Sweeps", exact=True)).to_be_visible(timeout=60_000)
        idle(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not errors


def set_up(page, name, trials="300", epochs="1"):
    """Fill the form for a sweep of small networks on plain digits, and start it."""
    fill(page, "new-name", name)
    fill(page, "new-size-smallnet", "12")
    choose(page, "new-data", "digits")
    fill(page, "new-trials", trials)
    fill(page, "new-epochs", epochs)
    expect(page.get_by_text(re.compile(rf"About {trials} trials in"))).to_be_visible()
    idle(page)
    page.locator(".st-key-start button").click()


def badge(page, words):
    expect(page.locator(".st-key-sweep-head").get_by_text(words)).to_be_visible(timeout=BUSY)


def ended(page):
    """Return how many trials have ended, as the page says."""
    words = page.get_by_text(re.compile(r"^\d+ of \d+ trials")).inner_text()
    return int(words.split()[0])


def press_key(page, key):
    page.locator(f".st-key-{key} button:visible").click()


def test_a_sweep_is_set_up_paused_and_goes_on_though_the_server_was_killed(own, visitor):
    page = visitor("/sweeps")
    expect(page.get_by_text("No sweep yet. Set one up here and start it.")).to_be_visible()
    poolings_at(page, line=1, typed="Median")
    set_up(page, "long one", epochs="40")  # a trial takes seconds, so that one at work can be cancelled
    badge(page, "Running")
    assert open_folder("long one").config().space.sites["stage2"].kinds == ("median",)
    expect(page.get_by_text(re.compile(r"^[1-9]\d* of 300 trials"))).to_be_visible(timeout=BUSY)

    own.kill()
    before = open_folder("long one").status()
    assert before.alive
    own.start()
    page.goto("/sweeps")
    badge(page, "Running")
    for _ in range(180):
        if ended(page) > before.complete + 2:  # more than those that were at work
            break
        page.wait_for_timeout(500)
    assert ended(page) > before.complete + 2

    press_key(page, "sweep-pause")
    expect(page.get_by_text(re.compile(r"trials\..* Paused\.$"))).to_be_visible()  # what came of it
    badge(page, "Paused")
    stood = ended(page)
    page.wait_for_timeout(5000)
    assert ended(page) == stood
    press_key(page, "sweep-resume")
    badge(page, "Running")

    page.locator(".st-key-sweep-change button").click()
    field = page.locator(".st-key-more-trials input")
    field.fill("17")
    page.wait_for_timeout(5000)  # two looks and more
    assert field.input_value() == "17"
    choice = page.locator(".st-key-trial-at-work [role=combobox]").first
    choice.click()
    page.get_by_role("option").first.click()
    press_key(page, "sweep-cancel")
    expect(page.get_by_text("1 cancelled").first).to_be_visible(timeout=BUSY)
    page.keyboard.press("Escape")
    press_key(page, "sweep-stop")
    badge(page, "Stopped")
    expect(page.get_by_test_id("stException")).to_have_count(0)


def poolings_at(page, line, typed):
    """Choose a pooling for one site in the table, as one would with the keyboard."""
    grid = page.get_by_test_id("stDataFrame").first.bounding_box()
    page.mouse.click(grid["x"] + 480, grid["y"] + 38 + 37 * line + 18)  # beyond site, role, published and size
    page.keyboard.press("Enter")
    page.wait_for_timeout(500)  # until the cell's list is there; what is typed before is lost
    page.keyboard.type(typed, delay=60)
    page.wait_for_timeout(500)  # until the list shows what fits
    for key in ("Enter", "Tab"):
        page.keyboard.press(key)
    idle(page)


def test_two_tabs_that_press_pause_send_one_command(own, visitor):
    first = visitor("/sweeps")
    set_up(first, "shared")
    badge(first, "Running")
    second = visitor("/sweeps?sweep=shared")
    badge(second, "Running")
    for page in (first, second):
        expect(page.locator(".st-key-sweep-pause button:visible")).to_be_visible()
    for page in (first, second):  # at once: neither has seen the other's press
        page.evaluate("document.querySelector('.st-key-sweep-pause button').click()")
    for page in (first, second):
        badge(page, "Paused")
        expect(page.get_by_test_id("stException")).to_have_count(0)
    done = list((open_folder("shared").path / "commands" / "done").iterdir())
    assert {path.name.split("-")[1] for path in done} == {"pause"}
    assert len(done) <= 2  # two where the second tab had seen the pause begin; a pause while paused changes nothing
    press_key(second, "sweep-resume")
    for page in (first, second):
        badge(page, "Running")


def test_a_sweep_is_renamed_and_deleted_after_a_question(own, visitor):
    page = visitor("/sweeps")
    set_up(page, "a_b c", trials="3")
    badge(page, "Finished")
    press(page, "pane", "All")
    mark(page)
    page.locator(".st-key-rename button:visible").click()
    dialog = page.get_by_role("dialog")
    fill(page, "rename-to", "other.name")
    dialog.get_by_role("button", name="Rename it").click()
    expect(dialog).to_have_count(0)
    assert folder.studies() == ("other.name",)
    mark(page)
    page.locator(".st-key-delete button:visible").click()
    expect(dialog.get_by_text("other.name", exact=True)).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    assert folder.studies() == ("other.name",)
    page.locator(".st-key-delete button:visible").click()
    dialog.get_by_role("button", name="Delete it").click()
    expect(page.get_by_text("No sweep yet. Set one up here and start it.")).to_be_visible()
    assert folder.studies() == ()
    expect(page.get_by_test_id("stException")).to_have_count(0)


def mark(page):
    """Mark the first line of the table of all sweeps."""
    delete = page.locator(".st-key-delete button:visible")
    expect(delete).to_be_disabled()  # what was marked is forgotten in a new table
    idle(page)
    page.get_by_test_id("stDataFrame").first.click(position={"x": 18, "y": 38 + 18})
    expect(delete).to_be_enabled()
