"""Back leads to the page before: a script of ours, loaded before Streamlit's, keeps one history entry for each page."""

from __future__ import annotations

from pathlib import Path

from poolsearch.app.door import Asgi, Message, Receive, Send

_SCRIPT = (Path(__file__).parent / "components" / "history.js").read_bytes()
_HEAD = b"<head>"


class History:
    """An ASGI middleware that puts the script into the app's HTML; everything else goes through as it is."""

    def __init__(self, app: Asgi) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        wanted = dict(scope.get("headers", ())).get(b"accept", b"")
        if scope["type"] != "http" or scope["method"] != "GET" or b"text/html" not in wanted:
            await self.app(scope, receive, send)
            return
        # neither compressed nor "not modified": the script has to get in
        dropped = (b"accept-encoding", b"if-none-match", b"if-modified-since", b"range")
        plain = {**scope, "headers": [pair for pair in scope["headers"] if pair[0] not in dropped]}
        start: Message = {}
        body = b""

        async def hold(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                for part in with_script(start, body):
                    await send(part)

        await self.app(plain, receive, hold)


def with_script(start: Message, body: bytes) -> tuple[Message, Message]:
    """Return a response with the script at the head of its HTML, and without what named the file as it was."""
    headers = list(start.get("headers", ()))
    if dict(headers).get(b"content-type", b"").startswith(b"text/html") and _HEAD in body:
        body = body.replace(_HEAD, _HEAD + b"<script>" + _SCRIPT + b"</script>", 1)
        gone = (b"content-length", b"etag", b"last-modified", b"accept-ranges")
        headers = [pair for pair in headers if pair[0].lower() not in gone]
        headers.append((b"content-length", b"%d" % len(body)))
    return {**start, "headers": headers}, {"type": "http.response.body", "body": body}
