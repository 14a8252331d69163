"""The page over HTTP, for this machine only: it listens on the loopback address, and answers nobody who came by another name.

A page of another site may make a browser ask this server, even under that site's own name (DNS rebinding): such requests do not have this server's name and
port as their Host, and are refused. What can be asked is a fixed list of files, read when the server starts, and numbers about the data: no part of a request
ever becomes a path.
"""

import contextlib
import socket
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tapeline.errors import ConfigError
from tapeline.viewer.session import FINDS, LEVELS, Session

HOST: Final = "127.0.0.1"
_NAMES: Final = (HOST, "localhost")
_LEVELS_MAX: Final = 200
_NUMBER_MAX: Final = 2**63 - 1
_FILES: Final = {
    "/": ("index.html", "text/html"),
    "/view.css": ("view.css", "text/css"),
    "/view.js": ("view.js", "text/javascript"),
    "/draw.js": ("draw.js", "text/javascript"),
    "/panels.js": ("panels.js", "text/javascript"),
    "/preact.js": ("htm-preact-3.1.1.js", "text/javascript"),
}
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Answer = Callable[[Session, "Query"], dict[str, Any]]


class Query:
    """The parameters of a request. Raises ConfigError for those that are missing or no numbers."""

    def __init__(self, request: Request) -> None:
        """Of one request."""
        self._given = request.query_params

    def __contains__(self, name: str) -> bool:
        """Whether one is given."""
        return name in self._given

    def text(self, name: str) -> str:
        """As it is."""
        if name not in self._given:
            raise ConfigError(f"{name}: is missing")
        return self._given[name]

    def number(self, name: str, default: int | None = None, most: int = _NUMBER_MAX) -> int:
        """As an integer between -most and most."""
        if name not in self._given and default is not None:
            return default
        text = self.text(name)
        if not text.removeprefix("-").isdecimal() or len(text) > 20 or abs(int(text)) > most:
            raise ConfigError(f"{name}={text[:40]}: expected an integer" + (f" up to {most:,}" if most < _NUMBER_MAX else ""))
        return int(text)


def _at(session: Session, query: Query) -> dict[str, Any]:
    """A scene: `event`; or `time`; or `find` and `event`, `time` that it is seen from; or `go`, a text, and `time`."""
    instrument, levels = query.number("instrument", 0), max(query.number("levels", LEVELS, _LEVELS_MAX), 1)
    if "go" in query:
        return session.go(instrument, query.number("time", 0), query.text("go")[:200], levels)
    if "find" in query:
        what = query.text("find")
        if what not in FINDS:
            raise ConfigError(f"find={what[:40]}: expected {', '.join(FINDS)}")
        return session.find(instrument, (query.number("event"), query.number("time")), what, levels)
    if "time" in query:
        return session.at_time(instrument, query.number("time"), levels)
    return session.at_event(instrument, query.number("event"), levels)


_ANSWERS: Final[dict[str, Answer]] = {
    "/api/session": lambda session, _: session.describe(),
    "/api/overview": lambda session, query: session.overview(query.number("instrument", 0)),
    "/api/at": _at,
}


class LoopbackOnly:
    """Refuses requests whose Host is not this server: a loopback name, and its own port."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        """In front of an application."""
        self._app = app
        self._hosts = {f"{name}:{port}" for name in _NAMES} | (set(_NAMES) if port == 80 else set())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through what is meant for this server."""
        hosts = [value.decode("latin-1").lower() for name, value in scope.get("headers", ()) if name == b"host"]
        if scope["type"] == "http" and (len(hosts) != 1 or hosts[0] not in self._hosts):
            await PlainTextResponse("403: this server answers to its own name only\n", 403, _HEADERS)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def application(session: Session, port: int) -> ASGIApp:
    """What answers requests."""

    def asset(name: str, kind: str) -> Callable[[Request], Any]:
        content = files("tapeline.viewer").joinpath("static", name).read_bytes()

        async def answer(_: Request) -> Response:
            return Response(content, media_type=kind, headers=_HEADERS)

        return answer

    def numbers(answer: Answer) -> Callable[[Request], Any]:
        async def respond(request: Request) -> Response:
            try:
                return JSONResponse(await run_in_threadpool(answer, session, Query(request)), headers=_HEADERS)
            except ConfigError as error:
                return JSONResponse({"error": str(error)}, 400, _HEADERS)

        return respond

    async def missing(_: Request, __: Exception) -> Response:
        return PlainTextResponse("404: there is no such page\n", 404, _HEADERS)

    routes = [Route(path, asset(*file), methods=["GET"]) for path, file in _FILES.items()]
    routes += [Route(path, numbers(answer), methods=["GET"]) for path, answer in _ANSWERS.items()]
    return LoopbackOnly(Starlette(routes=routes, exception_handlers={404: missing}), port)


@contextlib.contextmanager
def listening(port: int) -> Iterator[socket.socket]:
    """A socket on the loopback address; port 0: any that is free. Raises ConfigError where it is taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen()  # from now on whoever asks waits, and is not refused
        except OSError as error:
            raise ConfigError(f"--port {port}: {error.strerror}; leave it out, or choose another") from error
        yield listener


def serve(session: Session, listener: socket.socket) -> None:
    """Answer until interrupted; KeyboardInterrupt is raised when all is closed."""
    port = listener.getsockname()[1]
    config = uvicorn.Config(application(session, port), log_config=None, access_log=False, lifespan="off", server_header=False, timeout_graceful_shutdown=2)
    uvicorn.Server(config).run(sockets=[listener])
