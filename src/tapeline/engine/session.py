"""The Python side of the engine: owns its tables, lets the compiled loop run over chunks of tape events, and does what it asks for."""

import math
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from tapeline import precompile, schema
from tapeline.config import RowSpec
from tapeline.constants import UNDEFINED_PRICE, Kind, QueueModel
from tapeline.delays import Delay
from tapeline.engine.account import Account, Accounts
from tapeline.engine.beginning import UNITS as OF_WINDOWS
from tapeline.engine.core import core
from tapeline.engine.deliver import record_open, sample
from tapeline.engine.due import wake
from tapeline.engine.estimators import note_event, settle_event
from tapeline.engine.gateway import Gateway, Orders
from tapeline.engine.groups import Groups, power_of_two
from tapeline.engine.latency import new_ways, travel
from tapeline.engine.limits import guard
from tapeline.engine.lists import TICKET
from tapeline.engine.notices import NOTICES_PER_EVENT_MAX
from tapeline.engine.phases import deliver_phase, follow_phases
from tapeline.engine.readers import copy_runs
from tapeline.engine.recording import Recording
from tapeline.engine.records import (
    DUE,
    GROW_JOURNAL,
    GROW_NOTICES,
    GUESS,
    MESSAGE,
    NEED_SPECIAL,
    NEVER,
    NODE,
    NOT_YET,
    ROW,
)
from tapeline.engine.requests import send_cancel, send_modify, send_new
from tapeline.engine.rows import fill_row
from tapeline.engine.rules import meet_history
from tapeline.engine.special import UNITS as SPECIAL_UNITS
from tapeline.engine.state import Counters, Engine
from tapeline.engine.steps import note_fills_ahead, note_step
from tapeline.engine.venue import let_in
from tapeline.errors import InvariantError, LimitError
from tapeline.fees import RowFees
from tapeline.instruments import Instrument
from tapeline.jit import JIT
from tapeline.market.activity import ACTIVITY_FEATURES
from tapeline.market.book import DONE, MAKE_ROOM, MARKET, Markets
from tapeline.market.books import Books, Looks, blank_market, set_plan
from tapeline.market.ladder import LEVEL
from tapeline.memory import address_of, field
from tapeline.pages import aligned
from tapeline.runner import build, compile_runner, is_kept, uses
from tapeline.tape.records import EVENT_SIZE, SNAPSHOT

_LINE_BYTES: Final = 64
_PLACES_PER_LINE: Final = _LINE_BYTES // TICKET.itemsize
_GOLDEN: Final = (math.sqrt(5) - 1) / 2


class Session:
    """A run of rows over one stream of tape events: of all rows of a run, or of its share, where several sessions see the same (`team.py`)."""

    _accounts: np.ndarray[Any, Any]
    _samples: np.ndarray[Any, Any]
    _markets: np.ndarray[Any, Any]
    _market_levels: np.ndarray[Any, Any]

    def __init__(  # noqa: PLR0913 - what a run is made of
        self,
        rows: Sequence[RowSpec],
        numbers: Sequence[int] | None = None,
        *,
        several: bool,
        equity_every_ns: int,
        explain: bool = False,
        start_ns: int | None = None,
    ) -> None:
        """Build all tables, and the runner of the rows' classes. `explain`: record what happens to the queues in front of their orders.

        `numbers`: which rows are this session's, None: all. Classes and who sees what are those of all rows: each session has, and counts, the same news.
        `start_ns`: until then rows sleep; None: until the first event.
        """
        self._classes: list[type] = list(dict.fromkeys(type(r.strategy) for r in rows))
        mine = range(len(rows)) if numbers is None else numbers
        self.numbers = [i for c in self._classes for i in mine if type(rows[i].strategy) is c]
        self._rows_spec = [rows[i] for i in self.numbers]
        self._limits = rows[0].venue.limits
        self._keep: list[Any] = []
        self.engine = Engine.array(1)[0]
        self.engine.explains, self.engine.several = explain, several
        self.engine.starts = NOT_YET if start_ns is None else start_ns
        self.seconds_compiling = 0.0
        """While tape events waited for what few runs need."""
        self._instruments: list[Instrument] = []
        self._currencies: dict[str, int] = {}  # and the first instrument of each
        self._fees = RowFees(row.venue for row in self._rows_spec)
        self._groups, self.recording = Groups(rows, self._classes, self.numbers), Recording(self.engine, self._limits)
        self._build_plan()
        self._build_rows()
        self._build_rest(equity_every_ns)
        self._strategies = [np.array([r.strategy for r in self._rows_spec if type(r.strategy) is c], c.dtype_) for c in self._classes]  # type: ignore[attr-defined]
        self._several = several
        self._module = build(self._classes, several=several)
        self._run: Callable[[], int] = partial(self._module.run, self.engine, *self._strategies)
        self._events, self._at, self._end = field(self.engine.plan, "events"), field(self.engine, "at"), field(self.engine, "end")
        self._broken, self._full, self._no_message = field(self.engine, "broken"), field(self.engine, "full"), field(self.engine.agenda, "full")

    @property
    def is_compiled(self) -> bool:
        """Whether the runner's code is there already."""
        return not JIT or is_kept(self._module)

    def compile(self, helper: "subprocess.Popen[bytes] | None" = None) -> None:
        """Compile what is not kept from before. Raises CompileError, naming the user's file and line, if a strategy cannot be compiled.

        `helper`: what `precompile.start` answered, for those who asked it earlier.
        """
        if not JIT:
            return
        helper = helper or precompile.start()
        try:
            for kernel in (core, let_in, meet_history):
                kernel.place(self.engine)
            if any(row.ways for row in self._rows):
                travel.place(self.engine)
            if self.engine.guarded:
                guard.place(self.engine)
            for kernel in OF_WINDOWS if self.engine.starts != NOT_YET else ():
                kernel.place(self.engine)
            for kernel in (note_step, note_fills_ahead) if self.engine.explains else ():
                kernel.place(self.engine)
            for kernel in (send_new, send_cancel, send_modify):
                kernel.place(self._gateway)
            self._run = compile_runner(self._module, self._classes, self.engine, self._strategies, several=self._several)
        finally:
            precompile.finish(helper)
        for kernel in (wake, *((note_event, settle_event) if not self.engine.exact else ())):
            kernel.place(self.engine)

    # ------------------------------------------------------------------ building

    def _flat(self, n: int, dtype: Any) -> np.ndarray[Any, Any]:
        """Memory at the start of a cache line, for as long as this is there."""
        array = aligned(n, dtype)
        self._keep.append(array)
        return array

    def _build_plan(self) -> None:
        engine = self.engine
        set_plan(engine.plan, [Looks.of(c) for c in self._classes], self._keep, told=True)
        for bit, cls in enumerate(self._classes):
            if hasattr(cls, "on_book"):
                engine.book_classes |= np.uint64(1 << bit)
            if hasattr(cls, "on_event"):
                engine.event_classes |= np.uint64(1 << bit)
            if hasattr(cls, "on_trade"):
                engine.trade_classes |= np.uint64(1 << bit)
        by_latency = any(isinstance(leg, Delay) and leg.model == "feed" for r in self._rows_spec for leg in r.venue.latency.legs)
        engine.followed = by_latency or int(engine.event_classes) != 0 or (int(engine.plan.features) & int(ACTIVITY_FEATURES)) != 0
        self.books = Books(engine.plan, self._limits.ladder_levels_max)
        if JIT and int(engine.plan.features):
            copy_runs.place(engine.plan)

    def _build_rows(self) -> None:
        engine = self.engine
        orders_max = [r.venue.limits.orders_live_max for r in self._rows_spec]
        nodes_n = [n | 1 for n in orders_max]  # odd, and a line of nobody's before places: at powers of two the first of all rows lie in few sets of a cache
        places_n = [max(_PLACES_PER_LINE, power_of_two(2 * n)) for n in orders_max]
        self._nodes = self._flat(1 + sum(nodes_n) + self._limits.takes_max, NODE)
        address = self._flat(sum(places_n) + len(places_n) * _PLACES_PER_LINE, TICKET).ctypes.data + _LINE_BYTES
        self._rows = self._flat(len(self._rows_spec), ROW)
        self._asks_ahead = {cls: uses(cls, "ahead") for cls in self._classes}
        first = 1
        for index, row in enumerate(self._rows):
            self._fill_row(row, index)
            row.nodes_free = first
            row.places, row.mask, row.step = address, places_n[index] - 1, int(places_n[index] * _GOLDEN) | 1
            first += nodes_n[index]
            address += places_n[index] * TICKET.itemsize + _LINE_BYTES
        engine.shows_ahead = bool(engine.explains) or any(row.asks_ahead for row in self._rows)
        engine.guarded = any(r.venue.limits.loss_max < math.inf for r in self._rows_spec)
        engine.nodes, engine.rows, engine.rows_n = self._nodes.ctypes.data, self._rows.ctypes.data, len(self._rows)
        engine.exact = all(r.venue.rules.queue_model <= QueueModel.EXACT for r in self._rows_spec)
        if not engine.exact:
            engine.guesses = self._flat(first, GUESS).ctypes.data
            engine.told_all = SNAPSHOT
        engine.takes_first = engine.takes_top = first
        engine.takes_end = len(self._nodes)

    def _fill_row(self, row: Any, index: int) -> None:
        """A row, and the memory that its limits and latencies need."""
        spec, number = self._rows_spec[index], self.numbers[index]
        fill_row(row, index, self._groups.of_row[number], spec, asks_ahead=self._asks_ahead[type(spec.strategy)])
        if row.rate_max:
            row.rate_times = self._flat(int(row.rate_max), np.int64).ctypes.data
        if spec.venue.latency.varies:
            ways, points = new_ways(number, spec.venue.latency)
            self._keep += [ways, *points]
            row.ways = ways.ctypes.data

    def _build_rest(self, equity_every_ns: int) -> None:
        engine = self.engine
        agenda, messages = engine.agenda, self._limits.messages_in_flight_max + 1
        pool, heap = self._flat(messages, MESSAGE), self._flat(messages, DUE)
        pool[0]["due"] = pool[0]["turn"] = heap[0]["time"] = heap[0]["turn"] = NEVER
        agenda.messages, agenda.capacity, agenda.heap = pool.ctypes.data, messages, heap.ctypes.data
        agenda.free, agenda.end = agenda.messages + MESSAGE.itemsize, agenda.messages + messages * MESSAGE.itemsize
        for lane in agenda.lanes:
            lane.head, lane.link, lane.due, lane.due_last = agenda.messages, address_of(lane), NEVER, NOT_YET
        self._groups.build(engine, self._classes, self._flat)
        gateway, markets, accounts = Orders.array(1), Markets.array(1), Accounts.array(1)
        self._keep += [gateway, markets, accounts]
        self._gateway: Gateway = gateway.view(Gateway.dtype_)[0]
        self._gateway.engine, self._gateway.nodes = address_of(engine), engine.nodes
        engine.gateway, engine.markets, engine.accounts = gateway.ctypes.data, markets.ctypes.data, accounts.ctypes.data
        engine.now = engine.latest.ts_event = engine.latest.ts_recv = engine.ts_end = -(2**62)
        engine.closes = NOT_YET
        engine.sample_every = equity_every_ns
        engine.agenda.next_due = NOT_YET
        engine.signals_per_callback = sum(len(type(r.strategy).signals) for r in self._rows_spec)
        self._kind_counts = self._flat(8, np.int64)
        engine.kind_counts = self._kind_counts.ctypes.data
        self._capacity = 0
        self._grow_instruments(1)
        self._grow_journals()

    # ------------------------------------------------------------------ growing

    def _grow_instruments(self, n: int) -> None:
        """Room for accounts, samples and markets of `n` instruments."""
        if n <= self._capacity:
            return
        before, self._capacity = self._capacity, power_of_two(n)
        rows, groups, n = len(self._rows), len(self._groups), self._capacity
        depth = int(self.engine.depth)
        accounts, samples = self._flat(rows * n, Account.dtype_).reshape(rows, n), np.zeros((rows, n), schema.EQUITY)
        samples["mark"] = UNDEFINED_PRICE
        markets, levels = np.zeros((groups, n), MARKET), np.zeros((groups, n, 2 * depth), LEVEL)
        if before:
            accounts[:, :before], samples[:, :before] = self._accounts, self._samples
            markets[:, :before], levels[:, :before] = self._markets, self._market_levels
        self._accounts, self._samples, self._markets, self._market_levels = accounts, samples, markets, levels
        for g, group in enumerate(self._groups.records):
            markets[g, before:] = blank_market(int(group.depth), int(group.features))
            group.markets = group.market = markets[g].ctypes.data
        levels["price"][:, before:] = UNDEFINED_PRICE
        markets["levels"] = levels.ctypes.data + np.arange(groups * n).reshape(groups, n) * (2 * depth * LEVEL.itemsize)
        accounts["market"] = markets.ctypes.data + (self._rows["group"][:, None] * n + np.arange(n)) * MARKET.itemsize
        self._rows["accounts"] = accounts.ctypes.data + np.arange(rows) * (n * accounts.itemsize)
        self.engine.samples, self.engine.accounts_stride = samples.ctypes.data, n
        self._orders = Orders.array(n)
        self._gateway.each = self._orders.ctypes.data

    def open(self, instrument: Instrument) -> None:
        """A new instrument: its book, its market in every group, an account in every row."""
        if instrument.index >= self._limits.instruments_max:
            raise LimitError(f"more than Limits(instruments_max={self._limits.instruments_max}) instruments")
        before = self._capacity
        self._grow_instruments(instrument.index + 1)
        self._instruments.append(instrument)
        self.books.open(instrument)
        self.engine.books = self.books.address
        i = instrument.index
        self.engine.instruments = i + 1
        self._groups.set_tick(instrument.tick)
        self._markets["tick"][:, i], self._markets["instrument"][:, i] = instrument.tick, i
        self._accounts["tick_price"][:, i], self._accounts["tick_value"][:, i] = instrument.grid / 1e9, instrument.grid / 1e9 * instrument.multiplier
        self._accounts["currency"][:, i] = self._currencies.setdefault(instrument.currency, i)
        fees = self._fees.of(instrument)
        self._accounts["maker_fee"][:, i], self._accounts["taker_fee"][:, i], self._accounts["fee_in_bps"][:, i] = fees.maker, fees.taker, fees.in_bps
        if instrument.phases:
            self._groups.records["in_ring"] = 0  # of which notices know nothing
            if JIT and not self.engine.deliver_phase:
                deliver_phase.place(self.engine)
            follow_phases(self.engine, i)
        if self._capacity > before:
            self._grow_journals()

    def _grow_journals(self, more: int = 0) -> None:
        self.recording.grow(len(self._rows) * self._capacity, more)

    # ------------------------------------------------------------------ running

    @property
    def module(self) -> Any:
        """The runner's module."""
        return self._module

    def chunk(self, address: int, n: int) -> None:
        """Let `n` tape events at an address happen."""
        self._events.value = self._at.value = address
        self._end.value = address + n * EVENT_SIZE
        while (status := self._run()) != DONE:
            self._serve(status)
        if self._broken.value | self._full.value | self._no_message.value:
            self._check_tables()

    def _serve(self, status: int) -> None:
        engine = self.engine
        if status == MAKE_ROOM:
            self.books.make_room(int(engine.room_instrument), int(engine.room_side), int(engine.room_level))
        elif status == GROW_NOTICES:
            if self.recording.lacks_steps:
                self._grow_journals()
            elif engine.notices_fit < NOTICES_PER_EVENT_MAX:
                self._groups.grow_notices()
            else:
                self._groups.grow_shown()
        elif status == NEED_SPECIAL:
            self._compile_special()
        elif status == GROW_JOURNAL:
            self._grow_journals()
            self._check_tables()

    def _compile_special(self) -> None:
        engine, begun = self.engine, time.perf_counter()
        for kernel in SPECIAL_UNITS if JIT else ():
            kernel.place(engine)
        engine.let_in_special = engine.let_in_special or 1  # without the JIT nobody calls by address
        engine.find_places = engine.find_places or 1
        self.seconds_compiling += time.perf_counter() - begun

    def _check_tables(self) -> None:
        if self._broken.value:
            node = self._nodes[self._broken.value - 1]
            raise InvariantError(f"the queue ahead of order {int(node.order_id)} of row {int(node.row)} fell below zero")
        if self._full.value | self._no_message.value:
            name = "messages_in_flight_max" if self._no_message.value else "takes_max"
            raise LimitError(f"a table is full: raise Limits({name}=…), now {getattr(self._limits, name)}")

    def finish(self, closing_ns: int | None = None) -> None:
        """The input has ended: what is due happens, answers under way are booked, on_end is called, what is open is recorded.

        `closing_ns`: time passes up to there, even where the last tape event was earlier.
        """
        engine = self.engine
        if not engine.started or engine.asleep:
            return
        if closing_ns is not None:
            engine.closes = closing_ns
        engine.at_end = 1
        self.chunk(0, 0)
        self._grow_journals()
        sample(engine, int(engine.ts_end), True)
        orders = self._nodes[: int(engine.takes_first)]
        still_there = np.flatnonzero(orders["order_id"])  # in the order in which nodes happened to be free
        still_there = still_there[np.lexsort((orders["order_id"][still_there], orders["row"][still_there]))]
        self._grow_journals(len(still_there))
        record_open(engine, still_there)

    @property
    def called(self) -> RowSpec:
        """The row that was called last."""
        return self._rows_spec[(int(self._gateway.row) - self._rows.ctypes.data) // self._rows.itemsize]

    def journals(self) -> dict[str, np.ndarray[Any, Any]]:
        """What was recorded so far, by name, with the rows' numbers as given."""
        return self.recording.journals(self.numbers)

    @property
    def counters(self) -> dict[str, int]:
        """What the engine counted so far."""
        return counters_of([self])

    @property
    def counted(self) -> dict[str, int]:
        """The same, before it is put together."""
        counted = {name: int(getattr(self.engine.counters, name)) for name in Counters.fields_}
        return counted | {f"tape_{kind.name}": int(self._kind_counts[kind]) for kind in Kind}


def counters_of(sessions: Sequence[Session]) -> dict[str, int]:
    """What sessions that share the rows of a run counted: of their rows each its own, and the same of the market, which they all see."""
    counted = sessions[0].counted
    for name in ("callbacks", "late_to_rows"):
        counted[name] = sum(session.counted[name] for session in sessions)
    counted["clock_clamps"] = counted.pop("late_news") + counted.pop("late_to_rows")
    return counted
