"""Journals (integers, as the engines write them) to polars frames (units and names, as people read them).

Conventions of all frames: times are Datetime("ns", "UTC"); enumerations are polars Enums of lower-case names; what does not exist
is null. A price is one Float64 column in price units. That is exact enough to go back: a price is k · grid with |k| < 2³¹, and a
double holds 53 bits, so `round(price * 1e9 / grid)` is k again; a second column of integers would only invite mixing the two.
Money is Float64 in the instrument's currency: ticks × lots × (grid / 1e9 × multiplier).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property, lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from tapeline.columns import Columns, Ints
from tapeline.config import RowSpec, Venue
from tapeline.constants import (
    MARKET,
    POST_ONLY,
    PRICE_SCALE,
    REDUCE_ONLY,
    STOP,
    TIF_BITS,
    UNDEFINED_PRICE,
    FillRule,
    QueueStep,
    Reason,
    Side,
    Status,
    TimeInForce,
)
from tapeline.errors import InvariantError
from tapeline.fees import Rates, RowFees
from tapeline.instruments import Instrument
from tapeline.load import parameter_types, words_of

Floats = npt.NDArray[np.float64]

TIME: Final = pl.Datetime("ns", "UTC")
LARGE_SHARE: Final = 0.5
"""A fill of more than this share of what it traded against is flagged `is_large`: there, "history does not react" (rule 6) is a bold assumption."""


class Row(NamedTuple):
    """One strategy instance of a run."""

    label: str
    strategy: str
    """Name of its class."""
    parameters: dict[str, Any]
    words: dict[str, str]
    """Of parameters that are members of an enumeration, their names."""
    venue: Venue
    signals: tuple[str, ...] = ()

    @classmethod
    def of(cls, spec: RowSpec) -> "Row":
        """The row of an instance, as its parameters are before the run."""
        kind = type(spec.strategy)
        parameters = {name: np.array(spec.strategy[name]).tolist() for name in parameter_types(kind)}
        words = {name: word for name, word in words_of(spec.strategy).items() if name in parameters}
        return cls(spec.label, kind.__name__, parameters, words, spec.venue, tuple(getattr(kind, "signals", ())))


class Contract(NamedTuple):
    """What money in an instrument is made of."""

    currency: str
    """"" where unknown."""
    multiplier: float
    """Currency per price unit and lot."""
    tick: float
    """Price units."""


@dataclass(frozen=True)
class Context:
    """What the numbers in the journals refer to."""

    instruments: Sequence[Instrument]
    rows: Sequence[Row]

    @cached_property
    def labels(self) -> list[str]:
        """A name for each row; equal labels are told apart by the row's number."""
        return labels_of(self.rows)

    @cached_property
    def symbols(self) -> list[str]:
        """A name for each instrument; without a symbol its id. Equal symbols are told apart by publisher, or by id: a continuous one has several."""
        names = [i.symbol or str(i.instrument_id) for i in self.instruments]
        publishers, ids = [f"@{i.publisher_id}" for i in self.instruments], [f"@{i.instrument_id}" for i in self.instruments]
        return _distinct(names, publishers, ids, [publisher + number for publisher, number in zip(publishers, ids, strict=True)])

    @property
    def contracts(self) -> dict[str, Contract]:
        """By symbol, in order of the index."""
        return {name: Contract(i.currency, i.multiplier, i.tick / PRICE_SCALE) for name, i in zip(self.symbols, self.instruments, strict=True)}

    @cached_property
    def grid(self) -> Ints:
        """(instruments,) of grids, 1e-9."""
        return np.array([i.grid for i in self.instruments], np.int64)

    @cached_property
    def tick_value(self) -> Floats:
        """(instruments,) of what one tick of one lot is worth, in currency."""
        return np.array([i.grid / PRICE_SCALE * i.multiplier for i in self.instruments], np.float64)

    @cached_property
    def instrument_id(self) -> npt.NDArray[np.uint32]:
        """(instruments,) of the venue's numbers; of their type in the data, so that frames of the market join."""
        return np.array([i.instrument_id for i in self.instruments], np.uint32)

    @cached_property
    def _rates(self) -> tuple[Ints, Rates]:
        """The column of each row in tables of rates, and these: a line per instrument."""
        fees = RowFees(row.venue for row in self.rows)
        return fees.column, fees.table(self.instruments)

    def fees(self, part: Columns, lots: tuple[Ints, Ints], notional: tuple[Ints, Ints]) -> Floats:
        """Fees in currency of (maker, taker) lots and notionals (ticks × lots), by the fees of each record's row in its instrument."""
        column, rates = self._rates
        which = column.take(part["row"]) + part["instrument"].astype(np.int64) * rates.maker.shape[1]
        in_bps = rates.in_bps.take(which)
        total = np.zeros(len(part), np.float64)
        for rate, n, traded in zip((rates.maker.take(which), rates.taker.take(which)), lots, notional, strict=True):
            counted = np.where(in_bps, traded * self.tick_value[part["instrument"]] * 1e-4, n) if in_bps.any() else n
            total += rate * counted
        return total


def labels_of(rows: Sequence[Row]) -> list[str]:
    """A name for each row; equal labels are told apart by the row's number."""
    return _distinct([row.label for row in rows], [f"#{i}" for i in range(len(rows))])


def _distinct(names: list[str], *kinds: list[str]) -> list[str]:
    """The names, those that are equal with the first kind of suffix that tells them apart; the last tells all apart."""
    while len(set(names)) < len(names):  # again, where a name that was made is the name of another
        alike = defaultdict[str, list[int]](list)
        for place, name in enumerate(names):
            alike[name].append(place)
        names = list(names)
        for places in alike.values():
            kind = next((kind for kind in kinds if len({kind[place] for place in places}) == len(places)), kinds[-1])
            for place in places if len(places) > 1 else ():
                names[place] += kind[place]
    return names


def fills_frame(fills: Columns, context: Context, position: Ints) -> pl.DataFrame:
    """One line per fill; `position` is the row's position in the instrument after it, `notional` (absolute) and `fee` are in currency."""
    size, maker = fills["size"], fills["is_maker"]
    taker = ~maker
    notional = np.abs(fills["price"] // context.grid[fills["instrument"]]) * size
    return pl.DataFrame(
        [
            _time("ts_event", fills["ts_event"]),
            _time("ts_local", fills["ts_local"]),
            *_who(fills, context),
            pl.Series("order_id", fills["order_id"]),
            _side(fills["side"]),
            price_column("price", fills["price"]),
            pl.Series("size", size),
            pl.Series("size_left", fills["size_left"]),
            pl.Series("position", position),
            pl.Series("is_maker", maker),
            _enum("rule", fills["rule"], FillRule),
            pl.Series("market_size", fills["market_size"]),
            pl.Series("is_large", size > LARGE_SHARE * fills["market_size"]),
            pl.Series("notional", notional * context.tick_value[fills["instrument"]]),
            pl.Series("fee", context.fees(fills, (size * maker, size * taker), (notional * maker, notional * taker))),
        ]
    )


def orders_frame(orders: Columns, context: Context) -> pl.DataFrame:
    """One line per order from birth to end; prices and sizes as last accepted. No tif where nobody knows the instruction of an order that was refused."""
    instruction, status = orders["instruction"], orders["status"]
    tif, kind = instruction & TIF_BITS, (instruction & (MARKET | STOP)) // MARKET  # of MARKET 1, of STOP 4
    return pl.DataFrame(
        [
            pl.Series("order_id", orders["order_id"]),
            *_who(orders, context),
            _side(orders["side"]),
            _coded("type", np.array([0, 1, 4, 4, 2, 3], np.uint32)[kind], ("limit", "market", "stop_limit", "stop")),
            _enum("tif", tif, TimeInForce, lower=False, may_be_null=status == Status.REJECTED),
            pl.Series("post_only", (instruction & POST_ONLY) != 0),
            pl.Series("reduce_only", (instruction & REDUCE_ONLY) != 0),
            price_column("price", orders["price"]),
            price_column("stop", orders["stop"]),
            pl.Series("size", orders["size"]),
            pl.Series("filled", orders["filled"]),
            _enum("status", status, Status),
            _enum("reason", orders["reason"], Reason, none=Reason.NONE),
            _time("ts_sent", orders["ts_sent"]),
            _time("ts_arrived", orders["ts_arrived"]),
            _time("ts_triggered", orders["ts_triggered"]),
            _time("ts_end", orders["ts_end"]),
            _time("ts_end_local", orders["ts_end_local"]),
            _optional("ahead_at_entry", orders["ahead_at_entry"]),
            _optional("ahead_at_end", orders["ahead_at_end"]),
            pl.Series("gaps", orders["gaps"]),
            pl.Series("modifies", orders["modifies"]),
            pl.Series("requests_refused", orders["requests_refused"]),
        ]
    )


def equity_frame(equity: Columns, context: Context) -> pl.DataFrame:
    """One line per sample. `cash` is without fees; gross = cash + position × mark = realised + unrealised, net = gross − fees, all in currency.

    `average_price` is that of the open position, null when flat. `mark` is the mid last seen: null before the first, and then `unrealised` is 0.
    """
    value = context.tick_value[equity["instrument"]]
    fees = context.fees(equity, (equity["maker_lots"], equity["taker_lots"]), (equity["maker_notional"], equity["taker_notional"]))
    realised = (equity["cash"] + equity["cost"]) * value
    unmarked = equity["mark"] == UNDEFINED_PRICE
    mark = np.where(unmarked, 0, equity["mark"])
    # In half ticks and integers: where the terms are large and nearly cancel, nothing is lost, and even overflow cancels.
    gross = np.where(unmarked, realised, (2 * equity["cash"] + equity["position"] * mark) * 0.5 * value)
    return pl.DataFrame(
        [
            _time("ts", equity["ts"]),
            *_who(equity, context),
            pl.Series("position", equity["position"]),
            pl.Series("cash", equity["cash"] * value),
            pl.Series("fees", fees),
            _masked("mark", mark * context.grid[equity["instrument"]] / (2 * PRICE_SCALE), unmarked),
            _masked("average_price", _quotient(equity["cost"], equity["position"]) * context.grid[equity["instrument"]] / PRICE_SCALE, equity["position"] == 0),
            pl.Series("realised", realised),
            pl.Series("unrealised", np.where(unmarked, 0.0, (equity["position"] * mark * 0.5 - equity["cost"]) * value)),
            pl.Series("gross", gross),
            pl.Series("net", gross - fees),
            pl.Series("maker_lots", equity["maker_lots"]),
            pl.Series("taker_lots", equity["taker_lots"]),
            pl.Series("maker_notional", equity["maker_notional"] * value),
            pl.Series("taker_notional", equity["taker_notional"] * value),
        ]
    )


def _quotient(whole: Floats, parts: Ints) -> Floats:
    """Whole / parts; 0 where there are none."""
    return np.divide(whole, parts, out=np.zeros(len(whole)), where=parts != 0)


def signals_frame(signals: Columns, context: Context) -> pl.DataFrame:
    """One line per value that a strategy recorded; `signal` is the name it declared."""
    names = list(dict.fromkeys(name for row in context.rows for name in row.signals))
    place = {name: i for i, name in enumerate(names)}
    width = max((len(row.signals) for row in context.rows), default=0)
    codes = np.full((len(context.rows), max(width, 1)), len(names), np.uint32)
    for i, row in enumerate(context.rows):
        codes[i, : len(row.signals)] = [place[name] for name in row.signals]
    return pl.DataFrame(
        [
            _time("ts", signals["ts"]),
            *_who(signals, context, instrument=False),
            _coded("signal", codes[signals["row"], signals["signal"]], names),
            pl.Series("value", signals["value"]),
        ]
    )


def stops_frame(stops: Columns, context: Context) -> pl.DataFrame:
    """One line per row that was stopped: when, why, and its net PnL by then beside the limit, both in `currency`."""
    currencies = list(dict.fromkeys(i.currency for i in context.instruments))
    place = np.array([currencies.index(i.currency) for i in context.instruments], np.int64)
    return pl.DataFrame(
        [
            _time("ts", stops["ts"]),
            *_who(stops, context, instrument=False),
            _enum("reason", stops["reason"], Reason, none=Reason.NONE),
            pl.Series("net", stops["net"]),
            pl.Series("limit", stops["limit"]),
            _coded("currency", place[stops["instrument"]], currencies),
        ]
    )


def steps_frame(steps: Columns, context: Context) -> pl.DataFrame:
    """One line per change of the queue in front of an order, in its order: what, lots (negative: fewer), lots in front afterwards.

    `price`: of the place that it took. `stamp`: of the order that came, left or was executed.
    """
    placed = steps["what"] == QueueStep.PLACED
    return pl.DataFrame(
        [
            *_who(steps, context, instrument=False),
            pl.Series("order_id", steps["order_id"]),
            _time("ts_event", steps["ts_event"]),
            _enum("what", steps["what"], QueueStep),
            pl.Series("size", steps["size"]),
            pl.Series("ahead", steps["ahead"]),
            _masked("price", steps["stamp"] / PRICE_SCALE, ~placed),
            _masked("stamp", steps["stamp"], placed | (steps["what"] > QueueStep.FILLED)),
        ]
    )


def signed_size(fills: Columns) -> Ints:
    """(fills,) of lots, buys positive."""
    return np.where(fills["side"] == Side.BID, fills["size"], -fills["size"])


def _who(part: Columns, context: Context, *, instrument: bool = True) -> Iterable[pl.Series]:
    rows = part["row"]
    yield _coded("strategy", rows, context.labels)
    yield pl.Series("row", rows)
    if instrument:
        places = part["instrument"]
        yield _coded("symbol", places, context.symbols)
        yield pl.Series("instrument_id", context.instrument_id[places])


def _time(name: str, values: Ints) -> pl.Series:
    return _optional(name, values).cast(TIME)


def _optional(name: str, values: Ints) -> pl.Series:
    return _masked(name, values, values == -1)


def price_column(name: str, values: Ints) -> pl.Series:
    """Prices in 1e-9 in price units, the undefined null."""
    absent = values == UNDEFINED_PRICE
    if len(absent) and absent.all():  # as nearly all stop prices are
        return pl.Series(name, [None], dtype=pl.Float64).new_from_index(0, len(absent))
    return _masked(name, values / PRICE_SCALE, absent)


def _masked(name: str, values: npt.NDArray[Any], absent: npt.NDArray[np.bool_]) -> pl.Series:
    series = pl.Series(name, values)
    return series.zip_with(pl.Series(~absent), pl.Series([None], dtype=series.dtype)) if absent.any() else series


def _side(values: npt.NDArray[np.uint8]) -> pl.Series:
    return _coded("side", values == Side.ASK, ("buy", "sell"))


def _enum(  # noqa: PLR0913 - how names are written, and what is null
    name: str, values: npt.NDArray[Any], members: type[IntEnum], *, lower: bool = True, none: int | None = None, may_be_null: Any = False
) -> pl.Series:
    """Names of the members; `none` is the member that means null. A number that is no member is null where it may be, else an InvariantError."""
    table, names = _codes_of(members, lower=lower, none=none)
    codes = table.take(values)  # in half the time of table[values]
    if len(codes) and codes.max() > len(names):
        unknown = codes > len(names)
        if (unknown & ~np.asarray(may_be_null)).any():
            raise InvariantError(f"journal: {name} = {values[unknown & ~np.asarray(may_be_null)][0]} is no {members.__name__}")
        codes[unknown] = len(names)
    return _coded(name, codes, names)


@lru_cache(maxsize=32)
def _codes_of(members: type[IntEnum], *, lower: bool, none: int | None) -> tuple[npt.NDArray[np.uint32], tuple[str, ...]]:
    """By number what `_coded` takes: how many names there are for `none`, and more for what is no member; and the names of the others."""
    kept = [member for member in members if member != none]
    table = np.full(256, len(kept) + 1, np.uint32)
    table[[int(member) for member in members]] = len(kept)
    table[[int(member) for member in kept]] = np.arange(len(kept))
    return table, tuple(m.name.lower() if lower else m.name for m in kept)


def _coded(name: str, codes: npt.NDArray[Any], names: Sequence[str]) -> pl.Series:
    """A polars Enum column of `names[code]`; the code behind the last is null. Gathered, since casts from integers changed between polars versions."""
    series = _names_and_null(tuple(names))
    least, most = (codes.min(), codes.max()) if len(codes) else (0, 0)
    if least == most:  # one strategy, one symbol, one type: twenty times as fast
        return series.new_from_index(int(least), len(codes)).alias(name)
    if most < len(names):  # twice as fast as where some are null
        series = series.head(len(names))
    return series[codes.astype(np.uint32, copy=False)].alias(name)


@lru_cache(maxsize=128)
def _names_and_null(names: tuple[str, ...]) -> pl.Series:
    """What codes are told by; a run's result has 29 columns of them."""
    return pl.Series([*names, None], dtype=pl.Enum(names))
