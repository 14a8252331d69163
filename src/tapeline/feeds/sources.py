"""What DBN can be made of, and which of it is at hand: found out by what it is, by its name and by how it begins."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from tapeline.errors import ConfigError, DataError
from tapeline.feeds.itch import ItchInput, is_itch
from tapeline.feeds.lobster import LobsterInput, is_lobster, without_books
from tapeline.feeds.rows import ROWS_SUFFIXES, Rows, RowsInput, files_of
from tapeline.feeds.status import StateChange
from tapeline.files import absent

_SETTINGS: Final = {"rows": ("symbol", "price_unit", "lot"), "ITCH": ("instruments", "date"), "LOBSTER": ()}
"""Which settings there are for what."""


class Source(Protocol):
    """What becomes records."""

    dataset: str
    symbols: dict[int, str]
    """By instrument id."""
    start_ns: int
    """Of the first record, or before it."""

    @property
    def changes(self) -> Sequence[StateChange] | None:
        """Trading states that the records so far came with; None: it tells of none."""

    @property
    def counters(self) -> Mapping[str, int]:
        """What was met so far of which one should know."""

    @property
    def bytes_done(self) -> int:
        """How far it is; about."""

    @property
    def bytes_total(self) -> int:
        """How far it goes, in the same measure."""

    def records(self) -> Iterator[NDArray[np.void]]:
        """All of them (`schema.MBO`), in arrays. Raises DataError for what cannot be read."""


def open_source(data: Rows, **settings: Any) -> Source:
    """The input that `write_dbn` is given, with its settings. Raises ConfigError for those that another kind of input has, and DataError for what is none."""
    paths = without_books(files_of(data))
    kind = _kind(paths)
    own = _SETTINGS[kind]
    for name, value in settings.items():
        if name not in own and value is not None:
            owner = next(other for other, names in _SETTINGS.items() if name in names)
            raise ConfigError(f"{name}={value!r}: is a setting for {owner}, and {paths[0] if paths else 'the frame'} is {kind}: leave it out")
    given = {name: settings[name] for name in own}
    if kind == "rows":
        return RowsInput(data, **given | {"lot": 1 if given["lot"] is None else given["lot"]})
    if len(paths) > 1:
        raise ConfigError(f"{paths[1]}: one file of {kind} at a time: it is a day of its own, and makes a DBN file of its own, of which a run takes several")
    return ItchInput(paths[0], **given) if kind == "ITCH" else LobsterInput(paths[0])


def _kind(paths: list[Path]) -> str:
    """What files hold; none: they are a frame's. Raises DataError for what is missing or unknown."""
    for path in paths:
        if not path.is_file():
            raise DataError(absent(path))
    if any(is_lobster(path) for path in paths):
        return "LOBSTER"
    if all(path.name.endswith(ROWS_SUFFIXES) for path in paths):
        return "rows"
    for path in paths:
        if not is_itch(path):
            raise DataError(
                f"{path}: is nothing that becomes DBN: neither rows (a file that ends in {', '.join(ROWS_SUFFIXES)}), nor ITCH 5.0 of Nasdaq, nor LOBSTER's, "
                "whose names are such as AAPL_2012-06-21_34200000_57600000_message_10.csv"
            )
    return "ITCH"
