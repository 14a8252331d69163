"""The order of files, Ctrl-C as in a terminal, a browser for the tests of pages, and a session."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LONGEST = (
    "test_against_reference.py", "test_guide.py", "test_extremes.py", "test_metamorphic.py", "test_wake_depth.py", "test_readme.py", "test_diagnose.py",
    "test_runner.py", "test_feeds.py", "test_simulated.py", "test_browser.py", "test_page.py", "test_tapes.py", "test_backtest.py", "test_files.py",
)  # fmt: skip
"""Files of more than half a minute, about in the order of their times: they start first, so that none is alone at the end while other workers are idle.

The first two compile different things: what one worker has compiled, the others find. pytest-xdist's own order is by number of tests.
"""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort files by their times; tests stay in their files' order."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c() -> Iterator[None]:
    """SIGINT interrupts, in these tests and in the processes that they start: whoever runs them in the background of a shell lets them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium; what asks for it is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is a development dependency")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt install chromium")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated session of few records."""
    from strategy_files import tiny_session

    return tiny_session(tmp_path_factory.mktemp("data") / "tiny.dbn")
