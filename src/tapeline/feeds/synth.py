"""A simulated market: seeded market-by-order sessions from a real matching engine, as fast as a disk takes them.

Every order joins a FIFO queue and leaves it by cancel, modify or execution, and the records say so as CME's do. The mix of actions, the sizes, where orders are
placed, and when events come are set from an hour of CME's ES March 2024 (25 December 2023, from 23:00 UTC: 59,142 records, 46,097 events), called ESH4 below.
It is a market for testing and timing programs. Nobody in it has a reason for what he does: profits made in it mean nothing.
"""

import dataclasses
import math
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapeline.constants import PRICE_SCALE, TIME_END
from tapeline.errors import ConfigError
from tapeline.feeds.ahead import Buffers, ahead
from tapeline.feeds.dbn_write import write_mbo
from tapeline.feeds.definitions import price_units
from tapeline.feeds.synth_book import ORDER, QUEUE, RECENT, RECENT_ORDER, ROW, TOUCHED_MAX, Book, Market
from tapeline.feeds.synth_events import EVENT_RECORDS_MAX, GAP_RANGE, GAP_STEP, generate
from tapeline.feeds.synth_start import populate, snapshot
from tapeline.instruments import Tick, format_price
from tapeline.schema import MBO

CHUNK_RECORDS: Final = 1 << 15
"""1.8 MB: stays in the L2 cache between being made and being written."""
DATASET: Final = "TAPELINE.SYNTH"
ESH4_GAPS_NS: Final = (
    (0.0, 144), (0.01, 178), (0.02, 192), (0.05, 818), (0.1, 2_076), (0.15, 3_989), (0.2, 8_128), (0.25, 15_808), (0.3, 29_670), (0.35, 50_852), (0.4, 84_720),
    (0.45, 105_005), (0.5, 122_324), (0.55, 161_656), (0.6, 250_128), (0.65, 361_868), (0.7, 711_238), (0.75, 4_992_602), (0.8, 17_024_658), (0.85, 58_989_990),
    (0.9, 172_523_534), (0.95, 479_830_583), (0.97, 766_420_248), (0.99, 1_496_865_703), (0.995, 1_982_869_374), (0.999, 3_379_354_492), (1.0, 9_264_133_338),
)  # fmt: skip
"""Quantiles of the time between two events (mean 78 ms, coefficient of variation 3.8; 22 % are shorter than 10 µs)."""
_GAP_NS_MAX: Final = 100_000_000
"""Nearly surely, a session has less between two records."""
_SNAPSHOT_AGE_NS: Final = 11 * 3_600_000_000_000
"""Snapshot records keep the ts_event of the session before."""


@dataclass(frozen=True, kw_only=True)
class SynthConfig:
    """What to simulate. Shares are in [0, 1]; defaults give ESH4's.

    A stationary book has as many adds as orders that leave. ESH4's grew (33.9 % A, 30.0 % C), so both have about the mean here.
    """

    records: int
    """Besides the snapshot: that has `live_orders` + `instruments` records more."""
    seed: int = 0
    instruments: int = 1
    live_orders: int = 10_000
    """In all books together, kept within a few percent."""
    tick: Tick | Sequence[Tick] = "0.25"
    """Several are given to the instruments in turn."""
    price: Tick = 4_800
    """At the start; rounded to the tick. Half of the `levels` are below it, and above 0."""
    levels: int = 2_048
    """Prices a book can have, in ticks; the mid turns back before it comes near the ends."""
    trade_share: float = 0.062
    """Of events: aggressive orders."""
    modify_share: float = 0.238
    """Of events."""
    touch_share: float = 0.62
    """Of new orders that are not inside the spread: at the best price; the less, the further from it are the others, and the seldomer the touch changes."""
    partial_cancel_share: float = 0.01
    """Of cancels; ESH4 has none."""
    iceberg_share: float = 0.008
    """Of new orders near the best."""
    sweep_share: float = 0.03
    """Of aggressive orders: large, over several levels."""
    crossing_share: float = 0.07
    """Of aggressive orders, live ones modified into the market, tried; about half are possible."""
    gap_scale: float = 1.0
    """Times between events, as a multiple of ESH4's: 0.01 is a busy hour."""
    delay_ns: int = 80_000
    """Smallest ts_recv - ts_event."""
    start_ns: int = 1_704_236_400_000_000_000
    """ts_event of the start; default 2024-01-02 23:00 UTC."""

    def __post_init__(self) -> None:
        """Check everything. Raises ConfigError, naming the setting."""
        for name, least, most in (
            ("records", 0, 2**40), ("seed", 0, 2**63 - 1), ("instruments", 1, 1_000_000), ("live_orders", 8 * self.instruments, 2**30),
            ("levels", 64, 1 << 20), ("delay_ns", 1, 10**9), ("start_ns", 2 * _SNAPSHOT_AGE_NS, 2**62),
        ):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                each = f": 8 or more for each instrument, and there are {self.instruments:,}" if name == "live_orders" and self.instruments != 1 else ""
                raise ConfigError(f"{name}={value!r}: expected an integer from {least:,} to {most:,}{each}")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_share") and not 0.0 <= value <= 1.0:
                raise ConfigError(f"{field.name}={value!r}: expected a share from 0 to 1")
        if self.trade_share + self.modify_share > 0.9:
            raise ConfigError("trade_share + modify_share must leave room for adds and cancels: at most 0.9 together")
        if not (math.isfinite(self.gap_scale) and self.gap_scale > 0):
            raise ConfigError(f"gap_scale={self.gap_scale!r}: expected a positive number")
        if self.start_ns + self.records * _GAP_NS_MAX * self.gap_scale >= TIME_END:
            raise ConfigError(f"gap_scale={self.gap_scale!r}, records={self.records:,}: the session would not end before the year 2116: give less of either")
        self._check_prices()

    def _check_prices(self) -> None:
        """All levels of the books have prices that there are."""
        for tick in self.ticks:
            if self.lowest_price(tick) <= 0:
                lowest = format_price((self.levels // 2 + 1) * tick / PRICE_SCALE)
                raise ConfigError(
                    f"price={self.price!r}: expected {lowest} or more: a book has levels={self.levels:,} prices, half of them below the start, "
                    f"and none at 0; give a higher price, a finer tick than {format_price(tick / PRICE_SCALE)}, or fewer levels"
                )
            if self.lowest_price(tick) + tick * self.levels > 2**62:
                raise ConfigError(f"tick={self.tick!r}, price={self.price!r}, levels={self.levels}: prices do not fit into 64 bits of 1e-9")

    @property
    def ticks(self) -> list[int]:
        """In 1e-9, for the instruments in turn."""
        several = [self.tick] if isinstance(self.tick, str) or not isinstance(self.tick, Iterable) else self.tick
        return [price_units(tick, "tick") for tick in several]

    @property
    def symbols(self) -> dict[int, str]:
        """instrument_id → symbol."""
        return {i + 1: f"SYN{i + 1}" for i in range(self.instruments)}

    @property
    def end_ns(self) -> int:
        """A time by which the session will nearly surely have ended, for the metadata."""
        return self.start_ns + int(self.records * _GAP_NS_MAX * self.gap_scale) + 3_600_000_000_000

    def lowest_price(self, tick: int) -> int:
        """Of level 0."""
        return (price_units(self.price, "price") // tick - self.levels // 2) * tick


def synth(config: SynthConfig, chunk_records: int = CHUNK_RECORDS) -> Generator[NDArray[np.void], None, None]:
    """The session's records (`schema.MBO`), in chunks: first a snapshot of each book, then `config.records` more.

    The same settings give the same records, whatever the chunk size.
    """
    if chunk_records < EVENT_RECORDS_MAX:
        raise ConfigError(f"chunk_records={chunk_records}: expected at least {EVENT_RECORDS_MAX}, the most that one event can have")
    market, tables = _market(config)
    buffers = Buffers(chunk_records * MBO.itemsize)
    market.room = chunk_records
    _set_times(market, config.start_ns - _SNAPSHOT_AGE_NS, config.start_ns - 1)
    chunk = _next_chunk(market, buffers)
    while count := snapshot(market):
        yield chunk[:count]
        chunk = _next_chunk(market, buffers)
    _set_times(market, config.start_ns, config.start_ns + config.delay_ns)
    left = config.records
    while left:
        count = generate(market, left)
        left -= count
        yield chunk[:count]
        chunk = _next_chunk(market, buffers)
    del tables  # only now: the kernels have worked on their addresses


def write_synth(path: Path | str, config: SynthConfig) -> int:
    """Write a session as DBN, compressed if `path` ends in `.zst`; returns the number of records."""
    return write_mbo(path, ahead(synth(config)), dataset=DATASET, symbols=config.symbols, start_ns=config.start_ns - _SNAPSHOT_AGE_NS, end_ns=config.end_ns)


def _next_chunk(market: Market, buffers: Buffers) -> NDArray[np.void]:
    """Let the kernels write to memory that nobody looks at."""
    chunk = buffers.lend().view(MBO)
    market.out = chunk.ctypes.data
    return chunk


def _set_times(market: Market, ts_event: int, ts_recv: int) -> None:
    market.ts_event, market.ts_recv, market.delta = ts_event, ts_recv, 12_000


def _market(config: SynthConfig) -> tuple[Market, dict[str, NDArray[Any]]]:
    """The simulation with the orders that are there at the start, and the tables whose addresses it holds."""
    per_book = config.live_orders // config.instruments
    capacity = per_book + per_book // 4 + 64  # the feedback keeps the number within a few percent
    rows = config.instruments * capacity + 1
    tables = {
        "books": Book.array(config.instruments),
        "queues": np.zeros(config.instruments * config.levels, QUEUE),
        "orders": np.zeros(rows, ORDER),
        "live": np.zeros(config.instruments * capacity, ROW),
        "recent": np.zeros(config.instruments * RECENT, RECENT_ORDER),
        "free": np.arange(rows - 1, 0, -1, dtype=np.int32),
        "touched": np.zeros(TOUCHED_MAX, ROW),
        "gaps": _log_gaps(config.gap_scale),
    }
    shares = {name: getattr(config, name) for name in Market.fields_ if name.endswith("_share")}
    market = Market(
        **shares,
        **{name: table.ctypes.data for name, table in tables.items()},
        live_orders=per_book, delay_ns=config.delay_ns, levels=config.levels, capacity=capacity, book_count=config.instruments,
        random=config.seed, free_count=rows - 1, order_id=6_412_776_000_000,
    )  # fmt: skip
    books = tables["books"]
    books["instrument_id"] = list(config.symbols)
    ticks = [config.ticks[i % len(config.ticks)] for i in range(config.instruments)]
    books["tick"], books["price"] = ticks, [config.lowest_price(tick) for tick in ticks]
    for index in range(config.instruments):
        populate(market, index, per_book)
    return market, tables


def _log_gaps(scale: float) -> NDArray[np.float64]:
    """Logarithms of the gaps at equal steps of a standard normal variable: draws of it get ESH4's distribution."""
    shares, gaps = np.array(ESH4_GAPS_NS).T
    scores = np.arange(-GAP_RANGE, GAP_RANGE + GAP_STEP, GAP_STEP)
    below = [NormalDist().cdf(score) for score in scores]
    result: NDArray[np.float64] = np.interp(below, shares, np.log(gaps * scale))
    return result
