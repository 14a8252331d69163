"""The command `tapeline view`: from what was named to a page that is served."""

import os
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tapeline.errors import ConfigError
from tapeline.manifest import market_settings
from tapeline.result import Result
from tapeline.viewer.index import Index
from tapeline.viewer.own import OwnOrders, check_same_data
from tapeline.viewer.session import Session


@dataclass(frozen=True)
class Shown:
    """Data, and perhaps a run on it."""

    data: list[Path]
    run: Path | None = None


def sort_out(paths: list[Path]) -> Shown:
    """Files are data, a directory is a saved run; a run alone brings its data along. Raises ConfigError."""
    runs = [path for path in paths if path.is_dir()]
    data = [path for path in paths if not path.is_dir()]
    if len(runs) > 1:
        raise ConfigError(f"view: one run can be shown at a time, not {len(runs)}: {', '.join(map(str, runs))}")
    return Shown(data, runs[0] if runs else None)


@contextmanager
def opened(shown: Shown, strategy: str | None, settings: dict[str, Any]) -> Iterator[Session]:
    """The session, which is being read from now on. `settings`: tick_size, definitions, instruments; of a run its own hold. Raises TapelineError."""
    data, result = shown.data, None
    if shown.run is not None:
        result = Result.load(shown.run)
        if settings:
            raise ConfigError(f"--{next(iter(settings)).replace('_', '-')}: the book is shown as the run saw it, with the run's own settings")
        settings = market_settings(result.manifest)
        if data:
            check_same_data(result, shown.run, data)
        data = data or [Path(file["path"]) for file in result.manifest["data"]]
    elif strategy is not None:
        raise ConfigError("--strategy: chooses one of a run's strategies; name the run, too")
    own = OwnOrders(result, strategy)
    index = Index(data, own.tables, **settings)
    names = [path.name for path in data] + ([shown.run.resolve().name] if shown.run is not None else [])
    index.start()
    try:
        yield Session(index, own, " · ".join(names))
    finally:
        index.close()


def open_browser(url: str) -> None:
    """Open a page in the desktop's browser, if there is a desktop; browsers of the terminal would take it over."""
    if any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")):
        webbrowser.open(url)
