"""Groups with one feed latency read a notice together, as long as the times at which notices were received do not run back."""

import random
from dataclasses import replace

import pytest
from duels import Case, Player
from streams import Stream

import tapeline as tl
from tapeline.constants import UNDEFINED_TIMESTAMP
from tapeline.verify import Comparison, compare

TS, RECV, IN_DELTA = 4, 12, 13


def in_order(stream: Stream, n: int) -> Stream:
    """A stream whose first `n` records were received in their order."""
    latest = 0
    for i, row in enumerate(stream.rows[:n]):
        latest = max(latest, row[TS] if row[RECV] == UNDEFINED_TIMESTAMP else row[RECV])
        stream.rows[i] = (*row[:RECV], latest, 0, *row[IN_DELTA + 1 :])
    return stream


def with_feeds(case: Case, feeds: list[int]) -> Case:
    """A case in which the players' feed latencies are these, in turn."""

    def of(player: Player, feed: int) -> Player:
        return replace(player, venue=player.venue | {"latency": replace(player.venue["latency"], feed=feed)})

    return replace(case, players=[of(player, feeds[i % len(feeds)]) for i, player in enumerate(case.players)])


def compared(seed: int, feeds: list[int], share: float, path, events_max: int = 300) -> Comparison:
    """A random run, of which this share of the records was received in order, through both engines."""
    case = with_feeds(Case.seeded(seed, events_max), feeds)
    stream = case.stream()
    in_order(stream, int(share * len(stream.rows))).write(path / "case.dbn", version=case.version)
    return compare(case.run(path / "case.dbn", "compiled"), case.run(path / "case.dbn", "reference"))


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_what_is_read_together_is_told_to_each(share, tmp_path):
    """Runs of all kinds of strategies that share one feed latency or two agree with the reference: in order to the end, or until times run back."""
    rng = random.Random(1)
    found = [compared(seed, [rng.choice((0, 3, 70, 400)) for _ in range(rng.choice((1, 1, 2)))], share, tmp_path) for seed in range(12)]
    assert [str(comparison) for comparison in found if not comparison.is_equal] == []
    assert sum(comparison.lines["signals"] for comparison in found) > 1_000


@pytest.mark.nojit
def test_what_is_read_together_is_told_to_each_without_the_jit(tmp_path):
    """The same, for kernels that run as plain Python."""
    found = compared(1, [70], 0.5, tmp_path, events_max=40)
    assert found.is_equal, str(found)


class Idle(tl.Strategy):
    """Is told of every change of the touch."""

    calls: tl.int64

    def on_book(self, market, orders, account):
        """Another."""
        self.calls += 1


class Listener(tl.Strategy):
    """Is told of trades alone."""

    calls: tl.int64

    def on_trade(self, trade, market, orders, account):
        """Another."""
        self.calls += 1


def test_a_notice_is_due_when_the_last_was_that_concerned_the_group(tmp_path):
    """Where times run back, who was not told of the notice before need not wait for it: a trade that was received earlier is told earlier."""
    stream = Stream()
    stream.add(1, "B", 99, 5, ts=1_000, recv=1_001).add(2, "A", 101, 5, ts=1_010, recv=1_500)
    stream.trade("B", 101, 1, ts=1_020, recv=1_021).quiet(1_100).quiet(2_000)
    stream.write(tmp_path / "s.dbn")
    settings = {"tick_size": "1", "multiplier": 1.0, "equity_every": 1, "latency": tl.Latency(feed=10)}
    ours, theirs = (tl.Backtest(tmp_path / "s.dbn", engine=engine, **settings).run(Idle(), Listener()) for engine in ("compiled", "reference"))
    assert str(compare(ours, theirs)) == str(compare(theirs, theirs))
    assert ours.counters["clock_clamps"] == theirs.counters["clock_clamps"] == 0
