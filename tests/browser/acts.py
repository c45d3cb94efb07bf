"""What tests of pages do: wait for the stage, press, choose, type, go to a page."""

from playwright.sync_api import expect


def stage(tab):
    """Wait for the stage and return its canvas."""
    canvas = tab.locator("canvas[data-state]").first
    canvas.wait_for(timeout=60_000)
    return canvas


def press(tab, key, text):
    """Click a choice of a row of buttons."""
    tab.locator(f".st-key-{key}").get_by_text(text, exact=True).click()


def choose(tab, key, text):
    """Choose from a list."""
    box = tab.locator(f".st-key-{key} [role=combobox]").first
    box.click()
    box.fill(text)  # a long list shows only what fits
    tab.get_by_role("option", name=text, exact=True).click()


def fill(tab, key, text):
    """Type into a field, and leave it."""
    field = tab.locator(f".st-key-{key} input")
    field.fill(text)
    field.press("Enter")


def go(tab, title):
    """Click a page in the navigation, and wait for its title."""
    tab.get_by_test_id("stTopNavLink").filter(has_text=title).click()
    expect(tab.get_by_role("heading", name=title, exact=True)).to_be_visible()


def idle(tab):
    """Wait until no script is running."""
    expect(tab.get_by_test_id("stStatusWidget")).to_have_count(0)
