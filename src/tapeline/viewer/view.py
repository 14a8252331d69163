"""The command `tapeline view`: from what was named to a page that is served."""

import os
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tapeline.errors import ConfigError
from tapeline.manifest import market_settings
from tapeline.result import Result
from tapeline.viewer.index import Index
from tapeline.viewer.own import OwnOrders, check_same_data
from tapeline.viewer.session import Session


@contextmanager
def opened(paths: list[Path], strategy: str | None, settings: dict[str, Any]) -> Iterator[Session]:
    """The session, which is being read from now on. Of `paths`, files are data, a directory is a saved run; a run alone brings its data along.

    `settings`: tick_size, definitions, instruments, status; of a run its own hold. Raises TapelineError.
    """
    runs = [path for path in paths if path.is_dir()]
    data, result = [path for path in paths if not path.is_dir()], None
    if len(runs) > 1:
        raise ConfigError(f"view: one run can be shown at a time, not {len(runs)}: {', '.join(map(str, runs))}")
    if runs:
        result = Result.load(runs[0])
        if settings:
            raise ConfigError(f"--{next(iter(settings)).replace('_', '-')}: leave it out: the book is shown as the run saw it, with the run's own settings")
        settings = market_settings(result.manifest) | {"status": result.manifest["settings"].get("status")}
        if data:
            check_same_data(result, runs[0], data)
        data = data or [Path(file["path"]) for file in result.manifest["data"]]
    elif strategy is not None:
        raise ConfigError("--strategy: chooses one of a run's strategies; name the run, too")
    own = OwnOrders(result, strategy)
    index = Index(data, own.tables, **settings)
    names = [path.name for path in data] + [run.resolve().name for run in runs]
    index.start()
    try:
        yield Session(index, own, " · ".join(names))
    finally:
        index.close()


def open_browser(url: str) -> None:
    """Open a page in the desktop's browser, if there is a desktop; browsers of the terminal would take it over."""
    if any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")):
        webbrowser.open(url)
