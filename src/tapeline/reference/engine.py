"""The engine: walks the tape on the exchange's clock, lets happen what is due on the strategies' clock, and calls them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from tapeline.config import RowSpec
from tapeline.errors import DataError
from tapeline.instruments import Instruments
from tapeline.reference.book import ExchangeBook
from tapeline.reference.journal import Journal
from tapeline.reference.market import PerInstrument
from tapeline.reference.messages import FillReport
from tapeline.reference.normaliser import TAPE_COUNTERS, tape
from tapeline.reference.orders import Orders
from tapeline.reference.publisher import Publisher
from tapeline.reference.records import Chunks
from tapeline.reference.row import Row
from tapeline.reference.schedule import Arrival, Beginning, Clock, Delivery, Due, PatienceEnds, PhaseNews, Response, Schedule
from tapeline.reference.tape import TapeEvent
from tapeline.reference.window import Window
from tapeline.schema import Journals

COUNTERS: Final = ("crossed_events", "clock_clamps", "records_after_arrival", "callbacks", "notices")


def run(  # noqa: PLR0913 - settings by keyword, as in Backtest
    chunks: Chunks, instruments: Instruments, rows: Sequence[RowSpec], equity_every_ns: int, *, explain: bool = False, window: Window | None = None
) -> Journals:
    """Replay the input for all rows, and return what was recorded; with `explain`, also what happened to the queues in front of their orders.

    `window`: the time in which strategies live.

    Memory grows with the input's books and with what is recorded: there are no tables here, so the limits on tables do not apply.
    Raises DataError at a price that cannot be; its `result` has what was recorded before.
    """
    counters: dict[str, int] = {}
    window = window or Window()
    engine = Engine(instruments, rows, equity_every_ns, counters, explain=explain, start_ns=window.start_ns)
    return _run(engine, tape(window.chunks(chunks, from_sending=instruments.from_sending), instruments, counters), window)


def replay(  # noqa: PLR0913 - as above
    events: Iterable[TapeEvent], instruments: Instruments, rows: Sequence[RowSpec], equity_every_ns: int, *, explain: bool = False, window: Window | None = None
) -> Journals:
    """The same for tape events; whoever gives them registers instruments before their first event."""
    counters = dict.fromkeys(("events", *TAPE_COUNTERS.values()), 0)
    window = window or Window()

    def counted() -> Iterator[TapeEvent]:
        for event in window.events(events):
            counters[TAPE_COUNTERS[event.kind]] += 1
            counters["events"] += event.is_last
            yield event

    return _run(Engine(instruments, rows, equity_every_ns, counters, explain=explain, start_ns=window.start_ns), counted(), window)


def _run(engine: "Engine", events: Iterable[TapeEvent], window: Window) -> Journals:
    try:
        for event in events:
            engine.apply(event)
    except DataError as damage:
        damage.result = engine.end()
        raise
    return engine.end(window.closing_ns)


class Engine:
    """One run."""

    def __init__(  # noqa: PLR0913 - what a run is made of
        self, instruments: Instruments, specs: Sequence[RowSpec], equity_every_ns: int, counters: dict[str, int], *, explain: bool, start_ns: int | None = None
    ) -> None:
        """Start before the first tape event. Until `start_ns` strategies sleep."""
        self._instruments = instruments
        self._counters = counters
        counters.update(dict.fromkeys(COUNTERS, 0))
        self._clock = Clock()
        self._schedule = Schedule()
        self._rows = [Row(index, spec, self._clock, self._schedule) for index, spec in enumerate(specs)]
        self._publisher = Publisher(self._rows, self._schedule)
        self._journal = Journal(self._rows, equity_every_ns)
        for row in self._rows:
            row.steps = self._journal.steps if explain else None
        self._books: list[ExchangeBook] = []
        self._arrival_last: list[int | None] = []
        """Per book, the latest arrival let in."""
        self._parked: list[Arrival] = []
        self._time_last: int | None = None
        """The greatest time of an ordinary event; None before the first."""
        self._start_ns = start_ns
        self._is_asleep = False

    # ------------------------------------------------------------------ the exchange's clock

    def apply(self, event: TapeEvent) -> None:
        """One step of history."""
        self._open_books()
        book = self._books[event.instrument]
        if not event.is_snapshot:
            self._move_clocks(event, book)
        book.go_to(event.ts_event)
        for row in self._rows:
            row.desks[event.instrument].before(event)
        book.apply(event)
        if not event.is_snapshot:
            self._clock.feed_delay = event.ts_recv - event.ts_event
        for row in self._rows:
            row.desks[event.instrument].after(event)
        self._publisher.publish(event, book)
        self._counters["crossed_events"] += event.is_last and not event.is_snapshot and book.was_crossed

    def _move_clocks(self, event: TapeEvent, book: ExchangeBook) -> None:
        """Before the first tape event of an event, all that is due before it happens; inside an event, nothing."""
        if self._time_last is None:
            self._begin(event.ts_event)
            self._time_last = event.ts_event
        if not book.is_inside_event:
            self._let_in_parked(event.instrument, event.ts_event)
            self._run_until(event.ts_event, event.instrument)
            if book.is_void:
                for row in self._rows:
                    row.desks[event.instrument].find_place(event)
                book.is_void = False
        self._clock.watermark = max(self._clock.watermark, event.ts_event)
        arrival_last = self._arrival_last[event.instrument]
        self._counters["records_after_arrival"] += arrival_last is not None and event.ts_event < arrival_last
        self._time_last = max(self._time_last, event.ts_event, event.ts_recv)

    def _open_books(self) -> None:
        for instrument in self._instruments.known[len(self._books) :]:
            book = ExchangeBook(instrument)
            self._books.append(book)
            self._arrival_last.append(None)
            self._publisher.open_book(instrument)
            for row in self._rows:
                row.open_book(book, self._publisher.group_of[row.index].markets[-1])

    def _begin(self, now: int) -> None:
        """The first event is next: it is where the run starts, unless its window does later. Then that is due when the last nanosecond before is over."""
        if self._start_ns is not None and now < self._start_ns:
            self._is_asleep = True
            self._schedule.add(self._start_ns - 1, Due.TIMER, Beginning())
        else:
            self._start(now)

    def _start(self, now: int) -> None:
        self._is_asleep = False
        self._clock.advance(now, is_told=False)
        self._journal.start(self._clock.now)
        for row in self._rows:
            self._call(row, "on_start", 0)

    def end(self, closing_ns: int | None = None) -> Journals:
        """What is due happens; what is under way is booked, or lost; strategies say goodbye. Up to `closing_ns` time passes, even after the last event."""
        self._open_books()
        if self._time_last is not None and not self._is_asleep:
            end = self._time_last if closing_ns is None else max(self._time_last, closing_ns)
            for arrival in self._parked:
                if not self._books[arrival.request.instrument].is_inside_event:
                    self._let_in_late(arrival)
            self._parked.clear()
            self._run_until(max(self._time_last + 1, end), None)
            self._clock.now = max(self._clock.now, end)
            self._journal.before_delivery(self._clock.now)
            self._book_responses()
            for row in self._rows:
                self._call(row, "on_end", 0)
            self._book_responses()
            self._journal.sample(self._clock.now, everything=True)
        self._counters["clock_clamps"] = self._clock.clamps
        self._counters["notices"] = self._publisher.notices
        return self._journal.finish(self._counters)

    def _book_responses(self) -> None:
        """At the end, responses still under way are booked without callbacks."""
        for item in self._schedule.pop_all():
            if isinstance(item, Response):
                self._learn(item)

    # ------------------------------------------------------------------ the queue

    def _run_until(self, time: int, next_book: int | None) -> None:
        """Let happen, in order, all that is due before a time. `next_book` is the book whose event is next; None: no event is."""
        while (due := self._schedule.pop_before(time)) is not None:
            at, item = due
            if isinstance(item, Arrival):
                self._arrive(item, next_book)
            elif isinstance(item, PatienceEnds):
                self._lose_patience(item.arrival)
            elif isinstance(item, Response):
                self._respond(item, at)
            elif isinstance(item, Delivery):
                self._deliver(item, at)
            elif isinstance(item, PhaseNews):
                self._deliver_phase(item, at)
            elif isinstance(item, Beginning):
                self._start(at + 1)
            elif item.row.timer is item:
                item.row.timer = None
                self._advance(at)
                self._call(item.row, "on_timer", 0)

    def _arrive(self, arrival: Arrival, next_book: int | None) -> None:
        """An arrival comes after every record of its book with its time: it is let in where that is sure, and parked where other books go first."""
        book = arrival.request.instrument
        if next_book in (None, book) and not self._books[book].is_inside_event:
            self._let_in(arrival)
        else:
            self._parked.append(arrival)
            self._parked.sort(key=lambda parked: (parked.time, parked.order))  # what the exchange reminds itself of may be older than what came before it
            self._schedule.put_back(arrival.time + arrival.row.connection.response_least_ns, Due.ARRIVAL, arrival.order, PatienceEnds(arrival))

    def _let_in_parked(self, book: int, time: int) -> None:
        """A book's next event lets in what was parked before it."""
        ready = [arrival for arrival in self._parked if arrival.request.instrument == book and arrival.time < time]
        self._parked = [arrival for arrival in self._parked if arrival not in ready]
        for arrival in ready:
            self._let_in_late(arrival)

    def _lose_patience(self, arrival: Arrival) -> None:
        """A quiet book answers in time, unless it is inside an event; and no request overtakes one of its row that had to stay."""
        book = arrival.request.instrument
        of_row = [a for a in self._parked if a.row is arrival.row and a.request.instrument == book]
        if of_row and of_row[0] is arrival and not self._books[book].is_inside_event:
            self._parked.remove(arrival)
            self._let_in_late(arrival)

    def _let_in_late(self, arrival: Arrival) -> None:
        with arrival.row.connection.answering_late():
            self._let_in(arrival)

    def _let_in(self, arrival: Arrival) -> None:
        book = arrival.request.instrument
        last = self._arrival_last[book]
        self._arrival_last[book] = arrival.time if last is None else max(last, arrival.time)
        self._books[book].go_to(arrival.time)
        arrival.row.desks[book].receive(arrival.request, arrival.time)

    # ------------------------------------------------------------------ the strategies' clock

    def _advance(self, due: int, *, is_told: bool = True) -> None:
        self._clock.advance(due, is_told=is_told)
        self._journal.before_delivery(self._clock.now)

    def _respond(self, response: Response, due: int) -> None:
        """Accounts and orders are brought up to date first, then the strategy is told."""
        callback = "on_fill" if isinstance(response.answer, FillReport) else "on_order"
        self._advance(due, is_told=response.row.has(callback))
        self._learn(response)
        if isinstance(response.answer, FillReport):
            self._watch_loss(response.row)
        self._call(response.row, callback, response.answer.instrument, response.answer)

    def _learn(self, response: Response) -> None:
        response.row.gateway.learn(response.answer, self._clock.now)
        if isinstance(response.answer, FillReport):
            self._journal.fill(response.row, response.answer, self._clock.now)

    def _deliver(self, delivery: Delivery, due: int) -> None:
        """A notice replaces the group's copy of the market, then wakes the rows that ask for it."""
        self._advance(due)
        notice = delivery.notice
        delivery.group.markets[notice.instrument].show(notice)
        for row in delivery.group.rows:
            self._watch_loss(row)
        for row in delivery.group.rows:
            self._call(row, notice.callback, notice.instrument, *(() if notice.subject is None else (notice.subject,)))

    def _deliver_phase(self, news: PhaseNews, due: int) -> None:
        """News of a phase of trading is shown, and told; the next sets out."""
        self._advance(due)
        instrument = self._instruments.known[news.instrument]
        number, notice = news.group.show_phase(instrument, news.number, self._clock.now)
        news.group.send_phase(instrument, number + 1, due)
        for row in news.group.rows:
            self._call(row, "on_status", news.instrument, notice)

    def _watch_loss(self, row: Row) -> None:
        """Stop a row that has lost too much."""
        beyond = row.stop_at_loss()
        if beyond is not None:
            self._journal.stop(row, self._clock.now, *beyond)

    def _call(self, row: Row, callback: str, instrument: int, *subject: Any) -> None:
        """Call a strategy, if it has the callback, is awake and was not stopped, and keep what it signals."""
        if self._is_asleep or row.is_stopped or not row.has(callback):
            return
        markets, count = self._publisher.group_of[row.index].markets, len(self._books)
        arguments: tuple[Any, ...] = (markets[0], Orders(row.gateway, 0, count), row.accounts[0])
        if self._instruments.several:
            arguments = (PerInstrument(markets, instrument), Orders(row.gateway, None, count), PerInstrument(row.accounts, instrument))
        self._counters["callbacks"] += 1
        getattr(row.strategy, callback)(*subject, *arguments)
        self._journal.signals(row, self._clock.now)
