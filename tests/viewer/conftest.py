"""A run to look at, on a simulated session, and a server that shows it."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from command_line import MAKER
from served import Served

import tapeline as tl
from tapeline.backtest import Backtest
from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.load import load_strategy
from tapeline.result import Result
from tapeline.viewer.server import application, listening
from tapeline.viewer.session import Session
from tapeline.viewer.view import opened


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated session."""
    path = tmp_path_factory.mktemp("data") / "session.dbn"
    write_synth(path, SynthConfig(records=30_000, live_orders=500, tick="0.25", seed=3, partial_cancel_share=0.1, iceberg_share=0.03))
    return path


@pytest.fixture(scope="session")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A maker whose queue is exact, and one whose queue is guessed, on that session; saved."""
    maker = load_strategy(MAKER)
    rows = [tl.Row(maker(size=3), label="exact"), tl.Row(maker(size=2), label="guessed", rules=tl.FillRules(queue="log"))]
    directory = tmp_path_factory.mktemp("runs") / "maker"
    return Backtest(data, tick_size="0.25", multiplier=50, latency=maker.latency).run(*rows).save(directory)


@pytest.fixture(scope="session")
def result(run: Path) -> Result:
    """The saved run."""
    return Result.load(run)


@pytest.fixture(scope="session")
def session(run: Path) -> Iterator[Session]:
    """The run, and all of its data indexed."""
    with opened([run], None, {}) as made:
        made.index._thread.join()
        yield made


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[[Session], Served]]:
    """Serves sessions until the tests end."""
    servers: list[tuple[uvicorn.Server, threading.Thread, Any]] = []

    def start(session: Session) -> Served:
        context = listening(0)
        listener = context.__enter__()
        port = listener.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(application(session, port), log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        servers.append((server, thread, context))
        return Served(port, session)

    yield start
    for server, thread, context in servers:
        server.should_exit = True
        thread.join(10)
        context.__exit__(None, None, None)


@pytest.fixture(scope="session")
def served(session: Session, serve: Callable[[Session], Served]) -> Served:
    """That session, served."""
    return serve(session)
