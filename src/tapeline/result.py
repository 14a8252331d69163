"""The result of a run: frames, counters and manifest; checked when made, saved and loaded as Parquet and JSON."""

import contextlib
import hashlib
import html
import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tapeline import schema, tables
from tapeline.accounts import accounts_frame
from tapeline.columns import Columns, Records, Turner, order_of
from tapeline.delays import Duration
from tapeline.errors import ConfigError
from tapeline.files import exchange, path_of, resolved, why
from tapeline.frames import Context, Contract, Row, equity_frame, fills_frame, orders_frame, signals_frame, steps_frame, stops_frame
from tapeline.instruments import Instrument
from tapeline.invariants import AccountCheck, OrderCheck
from tapeline.manifest import varied
from tapeline.observed import Observed, notes_of_fills, observe_run
from tapeline.schema import Journals
from tapeline.stats import Stats, statistics
from tapeline.window import Window

if TYPE_CHECKING:
    from tapeline.desk import OrderComparison
    from tapeline.lives import Life

FRAMES: Final = ("fills", "orders", "equity", "signals", "stops", "steps")
_FORMAT: Final = "tapeline-result"
_FORMAT_VERSION: Final = 4
_INDEX: Final = "result.json"
_CHANGED: Final = "not what was saved"
_BLOCK_ROWS: Final = 1 << 15


@dataclass(frozen=True, repr=False, eq=False)
class Result:
    """What a run recorded. Columns and units of the frames: docs/reference.md; counters: docs/ARCHITECTURE.md."""

    fills: pl.DataFrame
    """One line per fill."""
    orders: pl.DataFrame
    """One line per order, from birth to end."""
    equity: pl.DataFrame
    """Samples of position, cash, fees, mark and equity, per row and instrument, whenever they changed."""
    signals: pl.DataFrame
    """What strategies recorded with `self.signal`."""
    stops: pl.DataFrame
    """Rows that were stopped at a loss (`Limits(loss_max=…)`)."""
    steps: pl.DataFrame
    """What happened to the queue in front of each order (`Backtest(explain=True)`)."""
    counters: dict[str, int]
    manifest: dict[str, Any]
    contracts: dict[str, Contract] = field(default_factory=dict)
    """Currency, multiplier and tick of each symbol, in order of their index. Different currencies are never summed."""
    kept: Observed | None = None
    """What was read from the data when the result was saved."""

    @classmethod
    def from_journals(
        cls,
        journals: Journals,
        instruments: Sequence[Instrument],
        rows: Sequence[Row],
        manifest: Mapping[str, Any],
        *,
        has_all_orders: bool = False,
    ) -> "Result":
        """Make a result of what an engine recorded.

        `instruments` in order of their index. `has_all_orders`: there is an order to each fill. Raises InvariantError if the accounts do not follow from the
        fills, or the orders not (if they are all there).
        """
        context = Context(instruments, rows)
        accounts = AccountCheck(len(context.rows), instruments)
        orders = OrderCheck(np.asarray(journals.fills, schema.FILLS)) if has_all_orders else None

        def frame_of_fills(part: Columns) -> pl.DataFrame:
            return fills_frame(part, context, accounts.add_fills(part))

        def frame_of_equity(part: Columns) -> pl.DataFrame:
            accounts.add_samples(part)
            return equity_frame(part, context)

        def frame_of_orders(part: Columns) -> pl.DataFrame:
            if orders is not None:
                orders.add_orders(part)
            return orders_frame(part, context)

        made: dict[str, tuple[np.dtype[Any], str, Callable[[Columns], pl.DataFrame]]] = {
            "fills": (schema.FILLS, "ts_local", frame_of_fills),
            "orders": (schema.ORDERS, "order_id", frame_of_orders),
            "equity": (schema.EQUITY, "ts", frame_of_equity),
            "signals": (schema.SIGNALS, "ts", partial(signals_frame, context=context)),
            "stops": (schema.STOPS, "ts", partial(stops_frame, context=context)),
            "steps": (schema.STEPS, "order_id", partial(steps_frame, context=context)),
        }
        frames: dict[str, Any] = {name: _frame(getattr(journals, name), *how, len(context.rows)) for name, how in made.items()}
        accounts.finish()
        if orders is not None:
            orders.finish()
        counters = {name: int(n) for name, n in journals.counters.items()}
        return cls(**frames, counters=counters, manifest=dict(manifest), contracts=context.contracts)

    @cached_property
    def accounts(self) -> pl.DataFrame:
        """What each row holds and has won at the end, per instrument, and (symbol null) per currency; columns: `tapeline.accounts`."""
        return accounts_frame(self.equity, self.fills, self.contracts)

    @cached_property
    def parameters(self) -> pl.DataFrame:
        """A line per row with its parameters, null those that its class lacks; to be joined with `stats.frame` on `row`.

        Where classes have parameters of one name that no type holds, such as a number and an array, they are text.
        """
        rows = self.manifest["strategies"]
        names = dict.fromkeys(name for row in rows for name in row["parameters"] if name not in ("row", "strategy"))
        columns = [pl.Series("row", [row["row"] for row in rows], pl.Int32), pl.Series("strategy", [row["label"] for row in rows], pl.String)]
        return pl.DataFrame([*columns, *(_parameter(name, [_numbers(row["parameters"].get(name)) for row in rows]) for name in names)])

    @cached_property
    def observed(self) -> Observed:
        """What the market did around the fills: mids and bars. Reads the run's data again, once, as far as the run did; saved with the result from then on."""
        is_whole = not self.manifest.get("interrupted") and Window.from_manifest(self.manifest).end_ns is None
        end: Any = None if is_whole else self.equity["ts"].to_physical().max()
        return self.kept or observe_run(self.manifest, list(self.contracts), self.orders, self.fills, end)

    @cached_property
    def stats(self) -> Stats:
        """Statistics per strategy, instrument, day and in total; prints as a table, has `.frame` and `.to_dict()`.

        Markouts need the market after the fills, so the data is read again (once, without strategies); where it is gone, they are null.
        """
        return self.statistics()

    def statistics(self, *, interval: Duration | None = None, capital: float | None = None, trials: int | None = None, day_starts: str | None = None) -> Stats:
        """Statistics with settings of your own.

        `interval`: the periods of Sharpe, Sortino and Calmar, such as "1s" or "1h" (default: a minute; a day where there are 20 days or more). `capital`: in
        currency, what returns are counted on. `trials`: how many strategies were tried, if more than are in this result; the Deflated Sharpe asks.
        `day_starts`: when days begin, such as "17:00 America/Chicago" (default: as the Backtest was told, else midnight, UTC).
        """
        missing = self.observed.missing
        lacking = (f"No markouts: {missing}.",) if missing and self.observed.mids is None else (f"{missing}.",) if missing else ()
        notes = (*lacking, *notes_of_fills(self.fills, self.observed.bars))
        settings = {"interval": interval, "capital": capital, "trials": trials, "varied": varied(self.manifest)}
        settings["day_starts"] = day_starts if day_starts is not None else self.manifest.get("settings", {}).get("day_starts")
        return statistics(self.fills, self.orders, self.equity, self.contracts, self.observed.mids, notes=notes, **settings)  # type: ignore[arg-type]

    def report(self, path: str | Path, name: str | None = None) -> Path:
        """Write one self-contained HTML page about the run and return its path. `name`: its title; by default the strategies' names. Raises ConfigError."""
        from tapeline.report import write_report  # noqa: PLC0415 - Plotly takes a second to import

        return write_report(path, {name or self._strategies(): self})

    def explain(self, order_id: int, strategy: str | None = None) -> "Life":
        """An order's life: sent, arrived, the queue in front of it and how that fell (cancels, fills), its fills by which rule, its end; prints as a story.

        `strategy`: the label of its row, if the run had several. From the run's journal, if it has one (`Backtest(explain=True)`), else the run's data is
        read again, up to the order's end. Raises ConfigError if there is no such order.
        """
        from tapeline.lives import explain  # noqa: PLC0415 - few ask

        return explain(self, order_id, strategy)

    def compare(self, log: Any, strategy: str | None = None) -> "OrderComparison":
        """Simulated against real fills of an order log that `tl.replay_orders` sent again; prints as one line, has `.orders` and `.agreement`.

        `strategy`: the label of the replay, if the run had several. Raises ConfigError for a log that makes no sense.
        """
        from tapeline.desk import compare_orders  # noqa: PLC0415 - needs the compiler, which no other result does

        return compare_orders(self, log, strategy)

    def to_dict(self) -> dict[str, Any]:
        """Statistics, counters and manifest as JSON knows them."""
        sizes = {name: getattr(self, name).height for name in FRAMES}
        return {"stats": self.stats.to_dict(), "rows": sizes, "counters": self.counters, "manifest": self.manifest}

    def save(self, directory: str | Path) -> Path:
        """Write the frames (Parquet) and the rest (JSON) into `directory`, and return its path.

        A result already there is replaced, whole or not at all. Raises ConfigError if the directory holds anything else, or cannot be written.
        """
        target = check_place(directory)
        work = target.with_name(f".{target.name}-{uuid.uuid4().hex[:12]}")
        try:
            work.mkdir()
            for name in FRAMES:
                _write(work, name, getattr(self, name))
            seen = self.__dict__.get("observed", self.kept)  # if anybody has asked: the data is not read for it
            if seen is not None and seen.mids is not None:
                _write(work, "mids", seen.mids)
                _write(work, "bars", seen.bars)
            index = {
                "format": _FORMAT,
                "format_version": _FORMAT_VERSION,
                "counters": self.counters,
                "contracts": self.contracts,
                "manifest": self.manifest,
                "fifo": seen.fifo if seen is not None else None,
                "missing": seen.missing if seen is not None else None,
                "files": {file.name: _digest_of(file) for file in sorted(work.iterdir())},
            }
            text = json.dumps({**index, "check": _check(index)}, indent=2, ensure_ascii=False, allow_nan=False)
            (work / _INDEX).write_text(text + "\n", encoding="utf-8", errors="surrogateescape")  # as Python has names of files that are no UTF-8
            _replace(work, target)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise ConfigError(f"{target}: cannot be written: {why(error)}") from error
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return target

    @classmethod
    def load(cls, directory: str | Path) -> "Result":
        """Read what `save` wrote. Raises ConfigError if there is no such result, or one that is damaged, or of another format."""
        path = path_of(directory, "directory")
        while True:
            identity, index = _identity(path), _read_index(path)
            if index is None:
                raise ConfigError(f"{path}: holds no saved result (no readable {_INDEX}); expected a directory written by Result.save")
            if index.get("format_version") != _FORMAT_VERSION:
                raise ConfigError(f"{path}: saved in format {index.get('format_version')}, this Tapeline reads {_FORMAT_VERSION}: run the backtest again")
            try:
                frames, kept = _read_frames(path, index)
                break
            except (OSError, ValueError, pl.exceptions.PolarsError) as error:
                if _identity(path) == identity:  # else another has come to stand there meanwhile
                    raise ConfigError(f"{path}: the saved result is damaged: {error}; run the backtest again") from error
        contracts = {symbol: Contract(*parts) for symbol, parts in index["contracts"].items()}
        return cls(**frames, counters=index["counters"], manifest=index["manifest"], contracts=contracts, kept=kept)

    def __repr__(self) -> str:
        """One line."""
        rejected = self.orders.filter(pl.col("status") == "rejected").height
        sizes = f"{tables.counted(self.fills.height, 'fill')}, {tables.counted(self.orders.height, 'order')}{f' ({rejected:,} rejected)' if rejected else ''}"
        state = ", interrupted" if self.manifest.get("interrupted") else ", stopped by an error" if self.manifest.get("error") else ""
        # from the samples, not from `stats`: a repr must not read the data
        accounts = self.accounts.filter(pl.col("symbol").is_not_null())
        totals = accounts.group_by("currency").agg(pl.col("net").sum()).sort("currency").iter_rows() if accounts.height else ()
        net = ", ".join(f"{tables.format_money(amount)} {currency}".strip() for currency, amount in totals)
        return f"Result({self._strategies()}: {sizes}; net PnL {net or 'none'}{state})"

    def _strategies(self) -> str:
        labels = [row["label"] for row in self.manifest.get("strategies", [])]
        return labels[0] if len(labels) == 1 else f"{len(labels)} strategies"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{self.stats._repr_html_()}"


def _frame(part: Sequence[tuple[Any, ...]] | Records, dtype: np.dtype[Any], key: str, make: Callable[[Columns], pl.DataFrame], rows_n: int) -> pl.DataFrame:
    """What `make` makes of a part of the journal, by row, then `key`, then as recorded; in blocks whose columns stay in a cache."""
    records = np.asarray(part, dtype)
    order, turner = order_of(records, key, rows_n), Turner(records, min(len(records), _BLOCK_ROWS))
    blocks = [make(turner.turned(order[first : first + _BLOCK_ROWS])) for first in range(0, max(len(records), 1), _BLOCK_ROWS)]
    return blocks[0] if len(blocks) == 1 else pl.concat(blocks)


def _numbers(value: Any) -> Any:
    """A parameter as a manifest has it: numbers that JSON lacks, such as inf, are text there."""
    return [_numbers(one) for one in value] if isinstance(value, list) else float(value) if isinstance(value, str) else value


def _parameter(name: str, values: list[Any]) -> pl.Series:
    try:
        return pl.DataFrame([{name: value} for value in values], infer_schema_length=None)[name]
    except pl.exceptions.PolarsError:
        return pl.Series(name, [None if value is None else str(value) for value in values])


def _read_index(path: Path) -> dict[str, Any] | None:
    try:
        index = json.loads((path / _INDEX).read_text(encoding="utf-8", errors="surrogateescape"))
    except (OSError, ValueError, RecursionError):
        return None
    return index if isinstance(index, dict) and index.get("format") == _FORMAT else None


def _identity(path: Path) -> tuple[int, int] | None:
    """Of the index in a directory: another result, even an equal one, has another."""
    try:
        found = (path / _INDEX).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _digest_of(file: Path) -> str:
    with file.open("rb") as content:
        return _digest(content)


def _digest(content: BufferedReader) -> str:
    return hashlib.file_digest(content, "sha256").hexdigest()


def _check(index: Mapping[str, Any]) -> str:
    """A digest of all else that an index says."""
    return hashlib.sha256(json.dumps({name: value for name, value in index.items() if name != "check"}).encode()).hexdigest()


def _read_frames(path: Path, index: Mapping[str, Any]) -> tuple[dict[str, Any], Observed | None]:
    """Of each file, what was checked is what is read: whatever comes to stand at its name meanwhile is not looked at.

    Raises ValueError where a file is not what was saved, and OSError where it is not there.
    """
    if index.get("check") != _check(index):
        raise ValueError(f"{_INDEX}: {_CHANGED}")
    with contextlib.ExitStack() as opened:
        files = {name: opened.enter_context((path / name).open("rb")) for name in index["files"]}
        changed = [name for name, file in files.items() if _digest(file) != index["files"][name]]
        if changed:  # Parquet does not notice a bit that has flipped
            raise ValueError(f"{', '.join(changed)}: {_CHANGED}")
        return {name: _read(files, name) for name in FRAMES}, _read_observed(files, index)


def _write(path: Path, name: str, frame: pl.DataFrame) -> None:
    with (path / f"{name}.parquet").open("wb") as file:  # which Polars opens only where names are UTF-8
        frame.write_parquet(file)


def _read(files: Mapping[str, BufferedReader], name: str) -> pl.DataFrame:
    file = files[f"{name}.parquet"]
    file.seek(0)
    return pl.read_parquet(file)


def _read_observed(files: Mapping[str, BufferedReader], index: Mapping[str, Any]) -> Observed | None:
    fifo = index["fifo"]
    if "mids.parquet" not in files:
        return None
    mids, bars = (_read(files, name) for name in ("mids", "bars"))
    return Observed(mids, bars, index.get("missing"), (fifo[0], fifo[1]) if fifo else None)


def check_place(directory: str | Path) -> Path:
    """The directory in which a result can be saved, at the end of links; its parents are made. Raises ConfigError where it holds something, or is no place."""
    try:
        target = resolved(path_of(directory, "directory"))
        _check_replaceable(target)
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{directory}: cannot be written: {why(error)}") from error
    if not os.access(target.parent, os.W_OK):
        raise ConfigError(f"{target}: cannot be written: nobody may write in {target.parent}")
    return target


def _check_replaceable(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise ConfigError(f"{target}: is a file; name a directory to save the result in")
    if target.is_dir() and any(target.iterdir()) and _read_index(target) is None:
        raise ConfigError(f"{target}: holds something that is no saved result; name a new or an empty directory")


def _replace(work: Path, target: Path) -> None:
    """Put `work` in the place of `target`, in one step: whoever loads it, or saves there too, finds one of the two, whole. What was there is then at `work`."""
    try:
        work.rename(target)  # which is not there yet, or empty
    except OSError:
        if not exchange(work, target):
            _replace_in_steps(work, target)


def _replace_in_steps(work: Path, target: Path) -> None:
    """The same where two directories cannot change places, as on network file systems: the old result is moved aside first."""
    old = work.with_name(work.name + "-old")
    target.rename(old)
    try:
        work.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
