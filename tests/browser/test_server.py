"""What the running server answers to whom: forged names, uploads without a token, names of folders that hold markup."""

import socket
from http.client import HTTPConnection

import pytest
from acts import idle
from playwright.sync_api import expect
from ports import listening
from test_app import PAGES

from poolsearch.config import SweepConfig, to_toml

EVIL = "evil.example"
MARKUP = "<img src=x onerror=alert(1)>"
FOLDERS = (MARKUP, "<script>alert(1)<", "[a](javascript:alert(1))", "\N{BALLOON} :material/delete:", "$x^2$", "ends.")


def place(server):
    """Return the host and port of an address."""
    host, _, port = server.removeprefix("http://").partition(":")
    return host, int(port)


# ------------------------------------------------------------------------------------------------------ forged names


def upgrade(server, host="", origin=""):
    """Return the status that a websocket handshake gets under a Host and from a page of an Origin; unsaid, our own."""
    own = server.removeprefix("http://")
    lines = [
        "GET /_stcore/stream HTTP/1.1", f"Host: {host or own}", f"Origin: http://{origin or own}", "Upgrade: websocket",
        "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", "",
    ]  # fmt: skip
    with socket.create_connection(place(server), timeout=10) as connection:
        connection.sendall("\r\n".join(lines).encode())
        return int(connection.recv(64).split()[1])


def ask(server, method, path, **headers):
    """Return the status and the text that a plain request gets."""
    connection = HTTPConnection(*place(server), timeout=10)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [("", "", 101), (EVIL, "", 403), ("", EVIL, 403), (EVIL, EVIL, 403), ("", f"127.0.0.1.{EVIL}", 403)],
)
def test_a_websocket_under_a_forged_name_is_refused(server, host, origin, status):
    # DNS rebinding: a page elsewhere resolves its own name to this machine, and asks in that name
    assert upgrade(server, host, origin) == status


@pytest.mark.parametrize("path", ["/", "/backbone", "/_stcore/health", "/_stcore/host-config"])
def test_a_plain_request_under_a_forged_name_gets_nothing(server, path):
    assert ask(server, "GET", path)[0] == 200
    for headers in ({"Host": EVIL}, {"Origin": f"http://{EVIL}"}, {"Host": EVIL, "Origin": f"http://{EVIL}"}):
        assert ask(server, "GET", path, **headers) == (403, "This app does not answer to that name.\n")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/_stcore/health", 200),
        ("GET", "/static/none.js", 200),  # whatever is not there is the app
        ("GET", "/media/none.png", 404),
        ("PUT", "/_stcore/upload_file/a/b", 403),
    ],
)
def test_every_response_forbids_frames_and_sniffing(server, method, path, status):
    for forged in ({}, {"Host": EVIL}):
        connection = HTTPConnection(*place(server), timeout=10)
        connection.request(method, path, headers=forged)
        response = connection.getresponse()
        assert response.status == (403 if forged else status)
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers.get_all("X-Content-Type-Options") == ["nosniff"]
        assert response.headers["Referrer-Policy"] == "no-referrer"
        connection.close()


def test_a_page_of_another_port_of_this_machine_is_refused(server):
    host, port = place(server)
    assert upgrade(server, origin=f"{host}:{port + 1}") == 403
    assert ask(server, "GET", "/_stcore/health", Origin=f"http://{host}:{port + 1}")[0] == 403
    assert ask(server, "GET", "/_stcore/health", Origin=f"http://{host}:{port}")[0] == 200


def test_an_upload_without_a_token_is_refused(server):
    path = "/_stcore/upload_file/a-session/a-file"
    status, text = ask(server, "PUT", path)
    assert (status, "XSRF" in text) == (403, True)
    assert ask(server, "PUT", path, **{"X-Xsrftoken": "made-up", "Cookie": "_streamlit_xsrf=made-up"})[0] == 403
    assert ask(server, "DELETE", path)[0] == 403


def test_the_server_listens_on_this_machine_only(server):
    assert listening(place(server)[1]) == {"127.0.0.1"}


# ------------------------------------------------------------------------------------------------------------- markup


@pytest.fixture
def watched(tab):
    """A page whose dialogs are kept in a list: each would be a script of ours that a name had started."""
    dialogs = []
    tab.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    tab.evaluate("alert('heard')")
    assert dialogs.pop() == "heard"  # the list does fill
    return tab, dialogs


@pytest.fixture
def hostile(server, tmp_path_factory):
    """Sweeps made by hand, named in markup; and one with a proper name and markup in its config."""
    runs = tmp_path_factory.getbasetemp() / "server0" / "runs"  # as the fixture `server` says
    made = [runs / name for name in ("proper", *FOLDERS)]  # the newest is shown first
    for folder in made:
        folder.mkdir(parents=True)
        config = to_toml(SweepConfig(study="proper", backbone="smallnet/1x20x20"))
        backbone = MARKUP if folder.name == "proper" else "smallnet"
        (folder / "config.toml").write_text(config.replace("smallnet", backbone))
        (folder / "log").write_text(MARKUP)
    yield made
    for folder in made:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


@pytest.mark.parametrize("path", PAGES)
def test_markup_in_the_name_of_a_sweep_starts_no_script(watched, hostile, path):
    tab, dialogs = watched
    tab.goto(f"/{path}")
    expect(tab.get_by_role("heading", name=PAGES[path], exact=True)).to_be_visible(timeout=60_000)
    idle(tab)
    expect(tab.get_by_test_id("stException")).to_have_count(0)
    assert tab.locator("img[src=x]").count() == 0
    assert not dialogs


@pytest.mark.parametrize(
    "link", [f"pareto?sweep={MARKUP}", f"sweeps?sweep={MARKUP}", f"backbone?a={MARKUP}", f"backbone?aw={MARKUP}/1"]
)
def test_markup_in_a_link_starts_no_script(watched, hostile, link):
    tab, dialogs = watched
    tab.goto(f"/{link}")
    expect(tab.get_by_role("heading", name=PAGES[link.partition("?")[0]], exact=True)).to_be_visible(timeout=60_000)
    idle(tab)
    expect(tab.get_by_test_id("stException")).to_have_count(0)
    assert tab.locator("img[src=x]").count() == 0
    assert not dialogs
