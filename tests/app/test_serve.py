"""Starting the app: what is refused, what Streamlit is told, which port is taken, and that it ends."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ports import free_port, held, listening
from typer.testing import CliRunner

from poolsearch.app import door, history, serve, uploads
from poolsearch.cli import main as cli
from poolsearch.errors import PoolsearchError

ROOT = Path(__file__).parents[2]


# ------------------------------------------------------------------------------------------------------ who may come


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "LOCALHOST", "::1"])
def test_only_this_machine_reaches_a_loopback_address(host):
    assert door.is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "0", "", "localhost.example", "unix:///tmp/a", "127.1"])
def test_whatever_else_may_be_reached_from_elsewhere(host):
    assert not door.is_loopback(host)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--host", "0.0.0.0"], "'0.0.0.0' is reached from other machines. There are no logins: whoever reaches"),
        (["--host", "0.0.0.0", "--allowed-host", "a.example"], "then: --allow-remote --allowed-host NAME."),
        (["--host", "::", "--allow-remote"], "--allow-remote needs --allowed-host NAME"),
        (["--allow-remote"], "--allow-remote needs --allowed-host NAME"),
        (["--allowed-host", "*"], "'*' is no host name."),
        (["--allowed-host", "https://a.example"], "'https://a.example' is no host name."),
        (["--allowed-host", "a.example:8501"], "'a.example:8501' is no host name."),
        (["--host", "203.0.113.9", "--allow-remote", "--allowed-host", "a.example"], "Can't listen on 203.0.113.9"),
    ],
)
def test_an_open_door_is_refused_in_words_with_exit_code_2(words, message, monkeypatch):
    monkeypatch.setattr(serve.subprocess, "Popen", None)  # nothing may start
    refused = CliRunner().invoke(cli.app, ["app", *words])
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_the_app_answers_to_this_machine_and_to_the_names_given():
    assert door.names("127.0.0.1", False, []) == ("localhost", "127.0.0.1")
    assert door.names("::1", False, []) == ("localhost", "127.0.0.1", "::1")
    assert door.names("127.0.0.1", False, ["a.example"]) == ("localhost", "127.0.0.1", "a.example")
    assert door.names("0.0.0.0", True, ["*.a.example", "192.0.2.7"])[2:] == ("*.a.example", "192.0.2.7")


def test_streamlit_may_listen_to_other_machines_only_when_the_environment_says_so():
    assert door.refusal("127.0.0.1", {}) == ""
    assert door.refusal("0.0.0.0", {"POOLSEARCH_ALLOW_REMOTE": "1"}) == ""
    assert door.refusal("0.0.0.0", {"POOLSEARCH_ALLOW_REMOTE": "0"}).startswith("The app was to listen on '0.0.0.0'")
    for address in (None, ""):
        assert "without an address" in door.refusal(address, {})
    for address in (None, "192.0.2.7"):
        assert re.search(
            r"python -m poolsearch app --host \S+ --allow-remote --allowed-host NAME$", door.refusal(address, {})
        )


NAMES = ["localhost", "127.0.0.1", "*.a.example"]


@pytest.mark.parametrize(
    ("authority", "known"),
    [
        ("localhost:8501", True),
        ("LocalHost", True),
        ("127.0.0.1:80", True),
        ("b.a.example", True),
        ("a.example", False),
        ("evila.example", False),
        ("localhost.evil.example", False),
        ("localhost@evil.example", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_a_name_is_known_or_not(authority, known):
    assert door.answers_to(authority, NAMES) is known


def through(headers, kind="http", names=NAMES):
    """Return what a visitor gets who comes with these headers: "in", or what the door sends."""

    async def app(scope, receive, send):
        sent.append("in")

    async def send(message):
        sent.append(message.get("status") or message.get("code") or message.get("body"))

    sent = []
    scope = {"type": kind, "headers": [(name.encode(), value.encode()) for name, value in headers]}
    asyncio.run(door.Door(app, names)(scope, None, send))
    return sent


@pytest.mark.parametrize(
    ("host", "origin", "same"),
    [
        ("localhost:8501", "http://localhost:8501", True),
        ("LocalHost:8501", "http://localhost:8501", True),
        ("b.a.example", "https://b.a.example", True),  # behind a proxy that ends TLS
        ("b.a.example", "http://b.a.example", True),
        ("b.a.example:443", "https://b.a.example", True),
        ("localhost:8501", "http://localhost:8502", False),  # another program on this machine
        ("localhost:8501", "http://localhost", False),
        ("localhost:8501", "http://127.0.0.1:8501", False),
        ("b.a.example", "https://c.a.example", False),  # both are names of ours, but not the same place
        ("b.a.example:80", "https://b.a.example", False),
        ("localhost", "null", False),
        ("localhost", "", False),
        ("localhost", "http://localhost@evil.example", False),
        ("localhost:8501", "http://localhost:8501x", False),
        ("localhost", "ftp://localhost", False),
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_page_asks_only_the_host_and_port_that_it_came_from(host, origin, same, kind):
    refused = [1008] if kind == "websocket" else [403, b"This app does not answer to that name.\n"]
    assert through([("host", host), ("origin", origin)], kind) == (["in"] if same else refused)
    assert through([("host", host), ("origin", origin), ("origin", origin)], kind) == refused


def test_every_response_forbids_frames_sniffing_and_referrers():
    async def app(scope, receive, send):
        answer = {"http": "http.response.start", "websocket": "websocket.accept"}[scope["type"]]
        await send({"type": answer, "headers": [(b"X-Frame-Options", b"ALLOW"), (b"etag", b"1")]})

    async def send(message):
        sent.append(dict(message["headers"]))

    for kind in ("http", "websocket"):
        sent = []
        asyncio.run(door.Door(app, NAMES)({"type": kind, "headers": [(b"host", b"localhost")]}, None, send))
        assert sent == [{b"etag": b"1", **door.HEADERS}]
    assert door.HEADERS[b"x-frame-options"] == b"DENY"
    assert door.HEADERS[b"x-content-type-options"] == b"nosniff"
    assert door.HEADERS[b"referrer-policy"] == b"no-referrer"
    assert b"frame-ancestors 'none'" in door.HEADERS[b"content-security-policy"]


# ------------------------------------------------------------------------------------------------------------ history


def through_history(body, kind=b"text/html; charset=utf-8", accept=b"text/html"):
    """Return (headers, body) of what a browser gets that asks an app for a page."""

    async def app(scope, receive, send):
        asked.update(dict(scope["headers"]))
        head = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), (b"etag", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body[:3], "more_body": True})
        await send({"type": "http.response.body", "body": body[3:]})

    async def send(message):
        got.append(message)

    asked, got = {}, []
    headers = [(b"accept", accept), (b"accept-encoding", b"gzip"), (b"if-none-match", b"1")]
    asyncio.run(history.History(app)({"type": "http", "method": "GET", "headers": headers}, None, send))
    return asked, dict(got[0]["headers"]), b"".join(message["body"] for message in got[1:])


def test_the_script_for_back_stands_first_in_the_page():
    asked, headers, body = through_history(b"<html><head><script src=x></script></head></html>")
    assert body.startswith(b"<html><head><script>// One entry in the browser's history")
    assert body.endswith(b"</script><script src=x></script></head></html>")
    assert headers == {b"content-type": b"text/html; charset=utf-8", b"content-length": b"%d" % len(body)}
    assert set(asked) == {b"accept"}  # neither compressed nor unchanged


@pytest.mark.parametrize(("kind", "accept"), [(b"text/css", b"text/html"), (b"text/html", b"image/png")])
def test_whatever_is_no_page_goes_through_as_it_is(kind, accept):
    _, headers, body = through_history(b"<head>", kind, accept)
    assert (headers[b"etag"], body) == (b"1", b"<head>")


# ------------------------------------------------------------------------------------------------------------ uploads


class Memory:
    """A stand-in for what holds the uploads: session -> file -> an object with its bytes."""

    def __init__(self):
        self.file_storage = {}

    def remove_session_files(self, session):
        self.file_storage.pop(session, None)


class Visitors:
    """An app that keeps what is uploaded, behind a budget of 100 bytes a session."""

    def __init__(self):
        self.memory, self.living = Memory(), {"anna", "ben"}
        self.door = uploads.Uploads(self.app, lambda: self.memory, self.living.__contains__, budget=100)

    async def app(self, scope, receive, send):
        session, file = scope["path"].split("/")[-2:]
        size = int(dict(scope["headers"])[b"content-length"])
        if inside := getattr(self, "inside", None):
            await inside()
        self.memory.file_storage.setdefault(session, {})[file] = type("File", (), {"data": bytes(size)})
        await send({"type": "http.response.start", "status": 204})

    async def put(self, session, file, size):
        async def send(message):
            sent.append(message.get("status") or message["body"])

        sent = []
        path = f"/_stcore/upload_file/{session}/{file}"
        scope = {"type": "http", "method": "PUT", "path": path, "headers": [(b"content-length", b"%d" % size)]}
        await self.door(scope, None, send)
        return sent


def test_a_session_keeps_uploads_up_to_its_budget_and_gets_room_when_it_forgets_one():
    visitors = Visitors()

    def put(*what):
        return asyncio.run(visitors.put(*what))

    assert put("anna", "one", 60) == [204]
    assert put("anna", "two", 41)[0] == 413
    assert b"A session may keep 0 MB of uploads." in put("anna", "two", 41)[1]
    assert put("anna", "two", 40) == [204]
    assert put("anna", "one", 60) == [204]  # the same file anew takes its own place
    assert put("ben", "one", 100) == [204]  # each has a budget of their own
    del visitors.memory.file_storage["anna"]["one"]
    assert put("anna", "three", 60) == [204]
    assert uploads.BUDGET == 300_000_000


def test_uploads_that_arrive_at_the_same_time_share_the_budget():
    visitors, answers = Visitors(), []

    async def second():
        del visitors.inside
        answers.append(await visitors.put("anna", "two", 60))

    visitors.inside = second
    answers.append(asyncio.run(visitors.put("anna", "one", 60)))
    assert [answer[0] for answer in answers] == [413, 204]
    assert not visitors.door.under_way


def test_a_file_whose_session_ended_while_it_arrived_is_forgotten():
    visitors = Visitors()

    async def leave():
        visitors.living.remove("anna")

    visitors.inside = leave
    asyncio.run(visitors.put("anna", "one", 60))
    assert visitors.memory.file_storage == {}


def test_the_door_lets_our_own_names_in_and_nothing_else():
    assert through([("host", "localhost:8501")]) == ["in"]
    assert through([("host", "127.0.0.1:8501"), ("origin", "http://127.0.0.1:8501")], "websocket") == ["in"]
    assert through([("host", "evil.example")]) == [403, b"This app does not answer to that name.\n"]
    assert through([("host", "evil.example")], "websocket") == [1008]
    for origin in ("http://evil.example", "null", "http://localhost@evil.example"):
        assert through([("host", "localhost"), ("origin", origin)], "websocket") == [1008]
    assert through([])[0] == 403
    assert through([("host", "localhost"), ("host", "localhost")])[0] == 403
    assert through([("host", "evil.example")], names=[]) == ["in"]  # Streamlit's own default: any name


# ----------------------------------------------------------------------------------------------- what Streamlit is told


def test_streamlit_is_told_everything_that_keeps_the_door_shut():
    words = serve.command("127.0.0.1", 8502, ["localhost", "a.example"])
    assert words[1:5] == ["-P", "-m", "streamlit", "run"]
    assert Path(words[5]) == ROOT / "poolsearch" / "app" / "entry.py"
    assert {
        "--server.address=127.0.0.1", "--server.port=8502", "--server.allowedHosts=localhost",
        "--server.allowedHosts=a.example", "--server.enableCORS=true", "--server.enableXsrfProtection=true",
        "--browser.gatherUsageStats=false",
    } <= set(words)  # fmt: skip


def test_the_environment_can_not_open_what_the_flags_shut():
    own = {
        "PATH": "/bin", "STREAMLIT_SERVER_CORS_ALLOWED_ORIGINS": "*", "STREAMLIT_GLOBAL_DEVELOPMENT_MODE": "true",
        "POOLSEARCH_ALLOW_REMOTE": "1", "POOLSEARCH_RUNS": "mine", "PYTHONPATH": "/own",
    }  # fmt: skip
    kept = {"PATH": "/bin", "POOLSEARCH_RUNS": "mine", "PYTHONPATH": f"{ROOT}{os.pathsep}/own"}
    assert serve.environment_of(own, allow_remote=False) == kept
    assert serve.environment_of(own, allow_remote=True) == {**kept, "POOLSEARCH_ALLOW_REMOTE": "1"}


@pytest.mark.parametrize(
    ("host", "named", "address"),
    [
        ("127.0.0.1", [], "http://localhost:8501"),
        ("127.0.0.1", ["a.example"], "http://localhost:8501"),
        ("127.0.0.5", [], "http://127.0.0.5:8501"),
        ("::1", [], "http://[::1]:8501"),
        ("0.0.0.0", ["a.example"], "http://a.example:8501"),
        ("192.0.2.7", ["a.example"], "http://192.0.2.7:8501"),
    ],
)
def test_the_address_to_type(host, named, address):
    assert serve.url(host, 8501, named) == address


# -------------------------------------------------------------------------------------------------------------- ports


def test_a_free_port_is_taken_and_of_a_taken_one_a_neighbour():
    port = free_port()
    assert serve.free_port("127.0.0.1", port) == port
    with held() as taken:
        port = taken.getsockname()[1]
        assert port < serve.free_port("127.0.0.1", port) <= port + 10
        assert port < serve.free_port("0.0.0.0", port)  # everywhere is also there


def test_ports_that_are_all_in_use_are_said_in_words(monkeypatch):
    monkeypatch.setattr(serve, "MORE_PORTS", 0)
    with held() as taken, pytest.raises(PoolsearchError, match=r"Ports (\d+) to \1 are all in use. Take another"):
        serve.free_port("127.0.0.1", taken.getsockname()[1])


def test_an_app_that_ends_before_it_answers_gives_its_exit_code_and_no_address(monkeypatch, capsys):
    monkeypatch.setattr(serve, "command", lambda *_: [sys.executable, "-c", "raise SystemExit(3)"])
    before = signal.getsignal(signal.SIGINT)
    assert serve.serve(port=free_port()) == 3
    assert capsys.readouterr().out == ""
    assert signal.getsignal(signal.SIGINT) is before


# ----------------------------------------------------------------------------------------------------- a real server


def started(words, cwd, **more):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **more}
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, *words], cwd=cwd, env=environment, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.slow
def test_the_app_starts_from_anywhere_beside_a_taken_port_and_ends_with_ctrl_c(tmp_path):
    with held() as taken:
        port = taken.getsockname()[1]
        process = started(["-m", "poolsearch", "app", "--port", str(port)], tmp_path)
        line = process.stdout.readline()
    said = re.fullmatch(rf"Port {port} is in use; the app is on http://localhost:(\d+)\.\n", line)
    assert said, line + process.stderr.read()
    assert listening(int(said[1])) == {"127.0.0.1"}
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "")
    assert listening(int(said[1])) == set()


def answer_while_it_runs(process, port):
    """Return whatever a visitor who keeps asking gets before a process ends, or until the first answer."""
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
                connection.sendall(b"GET /_stcore/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                if got := connection.recv(100):
                    return got
        except OSError:
            time.sleep(0.005)
    return b""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["flag", "environment", "no config", "loopback"])
def test_streamlit_run_with_an_open_address_serves_nobody(way, tmp_path):
    port, more, folder = free_port(), {}, ROOT
    words = ["-m", "streamlit", "run", "app.py", f"--server.port={port}"]
    if way == "no config":
        folder = tmp_path
        shutil.copy(ROOT / "app.py", folder)
    elif way == "environment":
        more = {"STREAMLIT_SERVER_ADDRESS": "0.0.0.0"}
    else:
        words.append(f"--server.address={'0.0.0.0' if way == 'flag' else '127.0.0.1'}")
    process = started(words, folder, HOME=str(tmp_path), STREAMLIT_SERVER_HEADLESS="true", **more)
    got = answer_while_it_runs(process, port)
    if way == "loopback":  # what the others would get, were they served
        assert got.startswith(b"HTTP/1.1 200")
        process.terminate()
        process.communicate(timeout=20)
        return
    _, err = process.communicate(timeout=20)
    assert got == b""
    assert process.returncode == 2
    assert "python -m poolsearch app --host 0.0.0.0 --allow-remote" in err
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.parametrize("way", ["app", "python app.py", "uvicorn elsewhere"])
def test_what_is_refused_before_streamlit_never_listens(way, tmp_path):
    port = free_port()
    words = {
        "app": ["-m", "poolsearch", "app", "--host", "0.0.0.0", "--port", str(port)],
        "python app.py": [str(ROOT / "app.py"), "--host", "0.0.0.0", "--port", str(port)],
        "uvicorn elsewhere": ["-m", "uvicorn", "--host", "0.0.0.0", "--port", str(port), "app:app"],
    }[way]
    process, seen = started(words, tmp_path), set()
    while process.poll() is None:
        seen |= listening(port)
        time.sleep(0.002)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, seen) == (2, set())
    assert "--allow-remote" in err
    assert "Traceback" not in err


def test_the_command_of_before_opens_the_app_and_says_its_new_name(monkeypatch):
    monkeypatch.setattr(serve, "serve", lambda *asked: print(asked) or 0)
    ended = CliRunner().invoke(cli.app, ["serve", "--port", "8600"])
    assert (ended.exit_code, ended.stdout) == (0, "('127.0.0.1', 8600, False, ())\n")
    assert ended.stderr == "The command is 'app' now: 'serve' opens the app too, for the time being.\n"


def test_a_checkout_and_an_installed_app_have_the_same_settings():
    own = (ROOT / "poolsearch" / "app" / ".streamlit" / "config.toml").read_text()
    assert (ROOT / ".streamlit" / "config.toml").read_text() == own
