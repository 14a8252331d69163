"""Phases of trading from a status file, in both engines: pre-open, auctions, halts, the end of a session."""

import polars as pl
import pytest
import scripts
from scripts import BUY, BUY_MARKET, BUY_STOP, BUY_STOP_LIMIT, CANCEL, MODIFY, SELL, play, script
from status_files import CLOSE, HALT, PRE_OPEN, SSR, TRADING, write_status
from streams import Stream

import tapeline as tl
from tapeline.constants import Phase
from tapeline.feeds.status import read_status

P = 10**9


def book() -> Stream:
    """Bids 100: 5 (id 1), 99: 7 (id 3). Asks 101: 4 (id 4), 102: 6 (id 5)."""
    return Stream().add(1, "B", 100, 5, ts=100).add(3, "B", 99, 7).add(4, "A", 101, 4).add(5, "A", 102, 6)


def run(path, stream, changes, *steps, **settings):
    """What a script is told but for ACCEPTED."""
    return scripts.run(path, stream, *steps, status=write_status(path / "status.dbn", changes), **settings)


def test_status_files_are_read(tmp_path):
    """By publisher and instrument, in order of time; actions that change no phase are passed over, the last of one time counts."""
    changes = [(500, 1, CLOSE), (100, 1, PRE_OPEN), (200, 2, HALT), (200, 1, SSR), (300, 1, HALT), (300, 1, TRADING)]
    phases = read_status([write_status(tmp_path / "status.dbn", changes)])
    assert phases == {(1, 1): ((100, Phase.AUCTION, 105), (300, Phase.TRADING, 305), (500, Phase.CLOSED, 505)), (1, 2): ((200, Phase.HALTED, 205),)}


def test_files_without_status_are_refused(tmp_path):
    """A file of another schema holds none; a truncated one says so."""
    with pytest.raises(tl.DataError, match="no status records"):
        read_status([write_status(tmp_path / "none.dbn", [])])
    path = write_status(tmp_path / "cut.dbn", [(100, 1, HALT)])
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(tl.DataError, match="truncated"):
        read_status([path])


@pytest.mark.parametrize(("changes", "told"), [([(300, 2, HALT)], r"\(1, 2\)"), ([(300, 1, SSR)], "nothing")])
def test_a_status_file_of_nothing_in_the_run_says_so(tmp_path, changes, told):
    """Of another id, or without a phase of any: the run is as without the file, and says so. Where one of several instruments has phases, nothing is said."""
    with pytest.warns(UserWarning, match=rf"status: tells of phases of {told} \(publisher, id\), and of none of I1 \(1, 1\)"):
        lines = run(tmp_path, book().quiet(900), changes, (310, BUY, 101 * P, 1))
    assert lines == [("FILL", 1, 101, 310, 1)]


def test_a_halted_market_takes_no_orders_but_cancels(tmp_path):
    """Halted from 300 to 400: new orders and modifies are refused, a cancel is not; from 400 on all is as before."""
    steps = ((200, BUY, 99 * P, 1), (210, BUY, 99 * P, 1), (310, BUY, 99 * P, 1), (320, MODIFY, 1, 98 * P, 1), (330, CANCEL, 1), (410, BUY, 101 * P, 1))
    lines = run(tmp_path, book().quiet(900), [(300, 1, HALT), (400, 1, TRADING)], *steps)
    assert lines == [
        ("REJECTED", 3, "HALTED", 310, -1), ("MODIFY_REJECTED", 1, "HALTED", 320, -1), ("CANCELLED", 1, "REQUESTED", 330, -1), ("FILL", 4, 101, 410, 1),
    ]  # fmt: skip


def test_a_phase_holds_from_its_time_on(tmp_path):
    """An order that arrives at the very time of a halt is refused, one a nanosecond earlier is not."""
    lines = run(tmp_path, book().quiet(900), [(300, 1, HALT)], (299, BUY, 99 * P, 1), (300, BUY, 99 * P, 1))
    assert lines == [("REJECTED", 2, "HALTED", 300, -1)]


def test_history_fills_nobody_while_halted(tmp_path):
    """Bids *1 at 100: prints and fills of a halted or closed market are none of ours."""
    stream = book().execute(3, 1, ts=350).quiet(900)
    assert run(tmp_path, stream, [(300, 1, HALT)], (200, BUY, 100 * P, 1)) == []
    assert run(tmp_path, stream, [(300, 1, CLOSE)], (200, BUY, 100 * P, 1)) == []


def test_nothing_takes_before_the_open_and_the_auction_fills(tmp_path):
    """Pre-open: a buy at 102 rests, though asks 101: 4 are displayed; a market order expires. The cross at 101 fills the buy there; then trading begins."""
    stream = book().trade("N", 101, 2, ts=400, last=False).fill(4, 2, last=False).cancel(4, 2).quiet(500).quiet(900)
    steps = ((200, BUY, 102 * P, 3), (210, BUY_MARKET, 1), (600, BUY, 101 * P, 1))
    lines = run(tmp_path, stream, [(50, 1, PRE_OPEN), (450, 1, TRADING)], *steps)
    assert lines == [("EXPIRED", 2, "NO_LIQUIDITY", 210, -1), ("FILL", 1, 101, 400, 3), ("FILL", 3, 101, 600, 1)]


def test_a_stop_reached_in_an_auction_is_triggered_behind_it(tmp_path):
    """The auction trades at the stop price, at 400. From 450 on the next event, whether it trades or not, triggers it, and so does a modify."""
    stream, changes = book().trade("N", 101, 2, ts=400).quiet(500).quiet(900), [(50, 1, PRE_OPEN), (450, 1, TRADING)]
    assert run(tmp_path, stream, changes, (200, BUY_STOP, 101 * P, 1)) == [("TRIGGERED", 1, "NONE", 500, -1), ("FILL", 1, 101, 500, 1)]
    lines = run(tmp_path, stream, changes, (200, BUY_STOP_LIMIT, 101 * P, 103 * P, 1), (470, MODIFY, 1, 102 * P, 1))
    assert lines == [("MODIFIED", 1, "NONE", 470, -1), ("TRIGGERED", 1, "NONE", 470, 0), ("FILL", 1, 101, 470, 1)]


def test_an_auction_at_its_price_goes_by_stamp(tmp_path):
    """Pre-open, asks 101: 4 *2: the FILL of a 3 (id 6) behind us at 101 fills our 2."""
    stream = book().add(6, "A", 101, 3, ts=300).trade("N", 101, 3, ts=400, last=False).fill(6, 3, last=False).cancel(6, 3).quiet(900)
    assert run(tmp_path, stream, [(50, 1, PRE_OPEN)], (200, SELL, 101 * P, 2)) == [("FILL", 1, 101, 400, 2)]


def test_stops_wait_for_trading(tmp_path):
    """A stop at 105 is not triggered by a trade of the auction, but by the end of the first event of the session: the last trade is still there."""
    stream = book().trade("N", 105, 1, ts=300).quiet(400).quiet(500).quiet(900)
    lines = run(tmp_path, stream, [(50, 1, PRE_OPEN), (450, 1, TRADING)], (200, BUY_STOP, 105 * P, 1))
    assert lines == [("TRIGGERED", 1, "NONE", 500, -1), ("FILL", 1, 101, 500, 1)]


def test_day_orders_end_with_the_session(tmp_path):
    """DAY orders, resting or waiting, expire when the market closes; GTC ones stay. One of the next session ends with that."""
    steps = ((200, BUY, 99 * P, 1, tl.DAY), (210, BUY_STOP, 105 * P, 1, tl.DAY), (220, BUY, 98 * P, 1), (610, BUY, 99 * P, 1, tl.DAY))
    changes = [(400, 1, CLOSE), (500, 1, PRE_OPEN), (600, 1, TRADING), (800, 1, CLOSE)]
    lines = run(tmp_path, book().quiet(900), changes, *steps)
    assert lines == [("EXPIRED", 1, "EXPIRY", 400, -1), ("EXPIRED", 2, "EXPIRY", 400, -1), ("EXPIRED", 4, "EXPIRY", 800, -1)]


def test_day_orders_where_no_end_is_known(tmp_path):
    """Without a status file the session ends with the input."""
    result = play(tmp_path, book().quiet(900), script((200, BUY, 99 * P, 1, tl.DAY)))
    assert result.orders["status"].to_list() == ["open"]
    assert result.orders["tif"].to_list() == ["DAY"]


class Listener(tl.Strategy):
    """Notes the phases that it is told, and the one it sees at each change of the book."""

    signals = ("told", "at", "since", "seen")

    def on_status(self, status, market, orders, account):
        """A change."""
        self.signal(0, status.phase)
        self.signal(1, orders.now)
        self.signal(2, status.ts_event)

    def on_book(self, market, orders, account):
        """A look."""
        self.signal(3, market[0].phase)


def signals(result, name, row=0):
    """What a row signalled by one name."""
    return result.signals.filter((pl.col("signal") == name) & (pl.col("row") == row))["value"].to_list()


def test_strategies_are_told_of_phases(tmp_path):
    """A change reaches a strategy at ts_recv + feed; until then it sees the phase before. Of those that are there at the start, the last is told."""
    stream = book().add(6, "B", 98, 1, ts=402).cancel(1, 5, ts=404, recv=405).cancel(3, 7, ts=420).quiet(900)
    changes = [(10, 1, CLOSE), (50, 1, PRE_OPEN), (400, 1, TRADING), (401, 1, HALT), (800, 1, CLOSE)]
    status = write_status(tmp_path / "status.dbn", changes)
    result = play(tmp_path, stream, Listener(), tl.Row(Listener(), latency=tl.Latency(feed=3)), status=status)
    names = [Phase(int(phase)).name for phase in signals(result, "told")]
    assert names == ["AUCTION", "TRADING", "HALTED", "CLOSED"]
    assert signals(result, "at") == [100, 405, 406, 805]
    assert signals(result, "since") == [50, 400, 401, 800]
    assert signals(result, "at", 1) == [100, 408, 409, 808]
    assert signals(result, "seen") == [Phase.AUCTION] * 3 + [Phase.HALTED]  # at 405 news of the market come first


def test_phases_are_of_instruments(tmp_path):
    """With several instruments on_status tells which; the others' phases stay."""
    stream = book().add(7, "B", 100, 5, ts=150, instrument=2).add(8, "A", 103, 5, ts=500, instrument=2).quiet(900)
    status = write_status(tmp_path / "status.dbn", [(300, 1, HALT), (400, 2, CLOSE)])
    result = play(tmp_path, stream, Both(), status=status, instruments=[1, 2])
    assert signals(result, "which") == [0, 1]
    assert signals(result, "first") == [Phase.HALTED, Phase.HALTED]
    assert signals(result, "second") == [Phase.TRADING, Phase.CLOSED]


class Both(tl.Strategy):
    """Notes whose phase changed, and both phases."""

    signals = ("which", "first", "second")

    def on_status(self, status, market, orders, account):
        """A change."""
        self.signal(0, status.instrument)
        self.signal(1, market[0].phase)
        self.signal(2, market[1].phase)
