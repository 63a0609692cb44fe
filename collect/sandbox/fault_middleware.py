"""What stands before a sandbox's site and spoils its answers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collect.sandbox.faults import Faults

if TYPE_CHECKING:
    from collect.sandbox.site import Site

REQUEST_FAULTS = ("latency", "error-before", "cut", "busy", "captcha", "block")
FILE_FAULTS = ("expired", "truncated")
LATENCY_RANGE_S = (0.2, 0.5)  # seconds
LIMIT_WINDOW_S = 60.0  # seconds


class _Cut(Exception):
    """Make the server close the connection."""


class FaultMiddleware:
    """A site's app with faults, which spare the sign-in and the sandbox's own account.

    `limit`: files a minute; for more it answers 418.
    """

    def __init__(self, app: ASGIApp, site: Site, faults: Faults, limit: int | None = None) -> None:
        self.app, self.site, self.faults, self.limit = app, site, faults, limit
        self.served: deque[float] = deque(maxlen=limit)
        logging.getLogger("uvicorn.error").addFilter(_is_no_cut)  # no traceback for what is meant

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(("/sandbox/", *self.site.spared)):
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        struck = {name for name in self.possible_faults(request) if self.faults.strikes(name)}
        if "latency" in struck:
            await asyncio.sleep(self.faults.random["latency"].uniform(*LATENCY_RANGE_S))
        if "expiry" in struck:
            token = request.cookies[self.site.session_cookie]
            await run_in_threadpool(self.site.store.sign_out, token)
        app = self.refusal(request, struck) or self.app
        if struck.isdisjoint(("error-after", "truncated", "cut")):
            await app(scope, receive, send)
            return
        start, body = await _answer(app, scope, receive)
        done = app is self.app and start["status"] < 400
        if "error-after" in struck and done:
            await self.server_error("error-after")(scope, receive, send)
            return
        if "truncated" in struck and done and start["status"] != 206:
            body = body[: len(body) // 2]
            MutableHeaders(raw=start["headers"])["content-length"] = str(len(body))
        await send(start)
        if "cut" in struck and body:
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            raise _Cut
        await send({"type": "http.response.body", "body": body})

    def possible_faults(self, request: Request) -> list[str]:
        """Name the faults that can strike a request, besides those of what an album or a file shows."""
        names = [*REQUEST_FAULTS]
        if self.is_file(request):
            names += FILE_FAULTS
        elif self.site.session_cookie in request.cookies:
            names.append("expiry")
        if request.method == "POST":
            names.append("error-after")
        return names

    def is_file(self, request: Request) -> bool:
        return request.url.path.startswith(self.site.files)

    def refusal(self, request: Request, struck: set[str]) -> Response | None:
        """Make the answer of a site that does nothing; None when it is to do its work."""
        if self.is_file(request) and self.over_the_limit():
            return self.site.page("418", "<h1>418</h1><p>Too many requests.</p>", 418)
        if "busy" in struck:
            status = self.faults.choice("busy", (418, 429))
            answer = self.site.page(str(status), f"<h1>{status}</h1><p>Too many requests.</p>", status)
            if status == 429:
                answer.headers["Retry-After"] = "1"
            return answer
        if "captcha" in struck:
            return self.site.captcha()
        if "block" in struck:
            return self.site.block()
        if "expired" in struck:
            return PlainTextResponse("URL signature expired", 403)
        if "error-before" in struck:
            return self.server_error("error-before")
        return None

    def server_error(self, name: str) -> Response:
        status = self.faults.choice(name, (502, 503))
        return self.site.page(str(status), f"<h1>{status}</h1><p>Something went wrong at our end.</p>", status)

    def over_the_limit(self) -> bool:
        """Count a request of a file, unless there were as many as allowed within the last minute."""
        if self.limit is None:
            return False
        now = time.monotonic()
        if len(self.served) == self.limit and (not self.limit or now - self.served[0] < LIMIT_WINDOW_S):
            return True
        self.served.append(now)
        return False


async def _answer(app: ASGIApp, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
    """Let an app answer, and return how its answer starts and its whole body."""
    messages: list[Message] = []

    async def keep(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, keep)
    return messages[0], b"".join(message.get("body", b"") for message in messages[1:])


def _is_no_cut(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], _Cut))
