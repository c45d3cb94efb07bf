"""Who may reach the app: the addresses it may listen on, and the names it answers to. There are no logins.

Streamlit checks the Host of websockets only, and to judge a foreign Origin it asks a service on the web for this
machine's address. The `Door` stands before it: nothing foreign gets further, and nothing is asked. What it sends to the
browser says that no other site may frame the app, and that nothing is fetched from elsewhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from poolsearch.errors import PoolsearchError

ALLOWED = "POOLSEARCH_ALLOW_REMOTE"  # set to 1 for an app that may listen to other machines
OWN = ("localhost", "127.0.0.1")
WHY = (
    "There are no logins: whoever reaches the port can start sweeps and read what is here. "
    "Put a reverse proxy with a login in front, then"
)
HEADERS = {  # of every response: no other site may frame the app, and a page fetches no picture from elsewhere
    b"x-frame-options": b"DENY",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"content-security-policy": (
        b"frame-ancestors 'none'; img-src 'self' data: blob:; media-src 'self' data: blob:; object-src 'none'; "
        b"base-uri 'self'"
    ),
}
_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")  # *.example.org is every name below it

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address; False for a name other than localhost."""
    return host.lower() == "localhost" or (_is_address(host) and ip_address(host).is_loopback)


def names(host: str, allow_remote: bool, allowed: Sequence[str]) -> tuple[str, ...]:
    """Return the names that the app answers to. Raises PoolsearchError for a door that would stand open."""
    if not is_loopback(host) and not allow_remote:
        raise PoolsearchError(f"'{host}' is reached from other machines. {WHY}: --allow-remote --allowed-host NAME.")
    if allow_remote and not allowed:
        raise PoolsearchError(
            "--allow-remote needs --allowed-host NAME, the name that visitors type: without it, a web page elsewhere "
            "could point a name of its own at this machine and be answered."
        )
    for name in allowed:
        if not _NAME.fullmatch(name) and not _is_address(name):
            raise PoolsearchError(
                f"'{name}' is no host name. Possible: a name without scheme and port, as in app.example.org, or "
                "*.example.org."
            )
    return tuple(dict.fromkeys([*OWN, *([host] if is_loopback(host) else []), *allowed]))


def refusal(address: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """Return why the app may not listen on an address, in words; "" where it may. None is every address."""
    if environment.get(ALLOWED) == "1" or (address and is_loopback(address)):
        return ""
    if not address:
        return (
            "The app was started without an address, so it would listen to other machines: its .streamlit/config.toml "
            f"was not found. Start it with 'python -m poolsearch app'. {WHY}: "
            "python -m poolsearch app --host 0.0.0.0 --allow-remote --allowed-host NAME"
        )
    return (
        f"The app was to listen on '{address}', which is reached from other machines. {WHY}: "
        f"python -m poolsearch app --host {address} --allow-remote --allowed-host NAME"
    )


def answers_to(authority: str, names: Sequence[str]) -> bool:
    """Return whether the host of `name:port` is one of the names; `*.example.org` is every name below it."""
    try:
        host = (urlsplit(f"//{authority}").hostname or "").rstrip(".")
    except ValueError:
        return False
    known = [name.lower().rstrip(".") for name in names]
    return host in known or any(name.startswith("*.") and host.endswith(name[1:]) for name in known)


def same_place(origin: str, host: str) -> bool:
    """Return whether an Origin is the very host and port that the request went to; a port left out is the scheme's."""
    try:
        page, asked = urlsplit(origin), urlsplit(f"//{host}")
        usual = _PORTS.get(page.scheme)
        ports = page.port or usual, asked.port or usual
    except ValueError:
        return False
    return usual is not None and page.hostname == asked.hostname and ports[0] == ports[1]


class Door:
    """An ASGI middleware: requests under another name, or from a page of another host or port, go no further.

    They get 403. Without names it lets everything through. Each response carries `HEADERS`.
    """

    def __init__(self, app: Asgi, names: Sequence[str]) -> None:
        self.app = app
        self.names = names

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                kept = [pair for pair in message.get("headers", ()) if pair[0].lower() not in HEADERS]
                message = {**message, "headers": [*kept, *HEADERS.items()]}
            await send(message)

        if not self.names or self.admits(scope["headers"]):
            await self.app(scope, receive, send_with_headers)
        elif scope["type"] == "websocket":
            await send_with_headers({"type": "websocket.close", "code": 1008})  # before it is accepted: 403
        else:
            head = [(b"content-type", b"text/plain")]
            await send_with_headers({"type": "http.response.start", "status": 403, "headers": head})
            await send_with_headers({"type": "http.response.body", "body": b"This app does not answer to that name.\n"})

    def admits(self, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Return whether the one Host is one of the names, and the Origin, where there is one, is the same place."""
        hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
        origins = [value.decode("latin-1") for name, value in headers if name == b"origin"]
        if len(hosts) != 1 or len(origins) > 1 or not answers_to(hosts[0], self.names):
            return False
        return all(same_place(origin, hosts[0]) for origin in origins)
