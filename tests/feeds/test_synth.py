"""The simulated market obeys the rules of a real one, and looks like an hour of ES."""

from collections import Counter

import databento_dbn
import numpy as np
import pytest
from dbn_files import read
from market_check import ASK, BID, check

from tapeline.errors import ConfigError
from tapeline.feeds.definitions import survey
from tapeline.feeds.synth import ESH4_GAPS_NS, SynthConfig, synth, write_synth

SNAPSHOT, LAST = 32, 128
ESH4_MIX = {"A": 33.93, "C": 29.95, "M": 20.32, "F": 10.77, "T": 5.03}
"""Percent of its 59,142 records from 23:00 UTC on."""


def session(chunk_records=1 << 15, **shape):
    """All records of a session."""
    return np.concatenate([chunk.copy() for chunk in synth(SynthConfig(**shape), chunk_records)])


def ordinary(records):
    """What comes behind the snapshot."""
    return records[records["flags"] & SNAPSHOT == 0]


@pytest.fixture(scope="module")
def standard():
    """50,000 records with all settings as they come."""
    return session(records=50_000, seed=5)


def test_rules_of_the_book(standard):
    """An independent book finds no unknown id, fills in FIFO order that sum up to their trade, LAST where an event ends, and no crossed book there."""
    (book,) = check(standard).values()
    assert book.faults == []
    for seen in ("partial_cancels", "own_fills", "refills", "fills_beyond_displayed"):
        assert book.counts[seen] > 0, seen


@pytest.mark.parametrize("seed", range(4))
def test_rules_hold_in_small_and_wild_markets(seed):
    """Few orders, few levels, many trades, icebergs and sweeps, several instruments: the rules still hold."""
    shape = {"trade_share": 0.3, "modify_share": 0.3, "iceberg_share": 0.3, "sweep_share": 0.4, "crossing_share": 0.3, "partial_cancel_share": 0.3}
    records = session(records=20_000, seed=seed, instruments=3, live_orders=24 + 100 * seed, levels=64, tick=["0.01", 5], price=165, **shape)
    books = check(records)
    assert [book.faults for book in books.values()] == [[], [], []]
    assert all(book.counts["refills"] for book in books.values())


def test_live_orders_are_stationary(standard):
    """The number of live orders stays within 3 % of what was asked for, and neither side empties."""
    live, sides = [], []

    def after(book, _):
        live.append(len(book.orders))
        sides.append(min(book.prices[BID].total(), book.prices[ASK].total()))

    check(standard, after)
    live = np.array(live[1:])
    assert (abs(live - 10_000) < 300).all()
    assert abs(live[-5_000:].mean() - 10_000) < 150
    assert min(sides[1:]) > 4_000


def test_mix_is_esh4s():
    """The actions' shares are ESH4's within 1 point, but for A and C: that hour added orders, a stationary book cannot, so they are at its mean."""
    actions = ordinary(session(records=300_000, seed=9))["action"]
    share = {name: 100 * np.count_nonzero(actions == ord(name)) / len(actions) for name in ESH4_MIX}
    for name in "MFT":
        assert abs(share[name] - ESH4_MIX[name]) < 1.0, (name, share)
    mean = (ESH4_MIX["A"] + ESH4_MIX["C"]) / 2
    for name in "AC":
        assert abs(share[name] - mean) < 1.0, (name, share)
        assert abs(share[name] - ESH4_MIX[name]) < 2.6, (name, share)


def test_bursts_are_esh4s():
    """Times between events have ESH4's quantiles, share of short ones, variation and memory."""
    records = ordinary(session(records=300_000, seed=4))
    gaps = np.diff(records["ts_event"][records["flags"] & LAST != 0])
    assert (gaps > 0).all()
    assert abs(gaps.mean() / 78.1e6 - 1) < 0.15
    assert abs(gaps.std() / gaps.mean() - 3.8) < 0.6
    for limit, share in ((1_000, 0.058), (10_000, 0.216), (100_000, 0.433), (1_000_000, 0.714), (100_000_000, 0.874)):
        assert abs((gaps < limit).mean() - share) < 0.02, limit
    for share, gap in ESH4_GAPS_NS[3:24:4]:
        assert abs(np.log(np.quantile(gaps, share) / gap)) < 0.35, share
    ranks = np.argsort(np.argsort(gaps))
    for lag, memory in ((1, 0.42), (5, 0.19), (20, 0.06)):
        assert abs(np.corrcoef(ranks[:-lag], ranks[lag:])[0, 1] - memory) < 0.06, lag


def test_prices_move(standard):
    """The best prices wander, and the spread is a tick nearly always."""
    middle, spread = [], []

    def after(book, _):
        middle.append(book.best(BID) + book.best(ASK))
        spread.append(book.best(ASK) - book.best(BID))

    check(standard, after)
    assert len(set(middle)) > 10
    assert np.mean(np.array(spread) == 250_000_000) > 0.8


def test_snapshot(standard):
    """A session starts with R and the orders by side, level and priority, all flagged SNAPSHOT and BAD_TS_RECV, the last LAST, with an old ts_event."""
    shot = standard[standard["flags"] & SNAPSHOT != 0]
    assert len(shot) == 10_001
    assert (chr(shot["action"][0]), shot["price"][0]) == ("R", 2**63 - 1)
    assert set(shot["action"][1:].tolist()) == {ord("A")}
    assert set(shot["flags"][:-1].tolist()) == {40}
    assert shot["flags"][-1] == 40 | LAST
    assert shot["ts_event"].max() < standard["ts_event"][len(shot)] - 10 * 3_600 * 10**9
    bids, asks = (shot["price"][1:][shot["side"][1:] == side] for side in (BID, ASK))
    assert (np.diff(bids) <= 0).all()
    assert (np.diff(asks) >= 0).all()


def test_times(standard):
    """ts_recv never runs backwards and is after ts_event; sequence numbers and ts_event grow from event to event."""
    assert (np.diff(standard["ts_recv"]) >= 0).all()
    events = ordinary(standard)
    delays = events["ts_recv"] - events["ts_event"]
    assert delays.min() >= 80_000
    assert 90_000 < np.median(delays) < 200_000
    last = events[events["flags"] & LAST != 0]
    assert (np.diff(last["sequence"].astype(np.int64)) == 1).all()
    assert (events["ts_in_delta"] > 0).all()


def test_same_seed_same_bytes(standard):
    """A session depends on its settings alone, not on the chunks it is made in; another seed gives another session."""
    assert session(1_000, records=50_000, seed=5).tobytes() == standard.tobytes()
    assert session(records=5_000, seed=6).tobytes() != session(records=5_000, seed=7).tobytes()


@pytest.mark.parametrize("count", [0, 1, 7, 200, 1_234])
def test_ends_where_asked(count):
    """There are as many records as asked for behind the snapshot, and the last one ends an event."""
    records = session(records=count, live_orders=50)
    assert len(ordinary(records)) == count
    assert len(records) == count + 51
    assert records["flags"][-1] & LAST


def test_many_instruments():
    """Thousands of books, each with its own snapshot and at least some events, live side by side."""
    records = session(records=60_000, instruments=5_000, live_orders=40_000, levels=64)
    shot = Counter(records["instrument_id"][records["flags"] & SNAPSHOT != 0].tolist())
    assert len(shot) == 5_000
    assert set(shot.values()) == {9}
    assert len(set(ordinary(records)["instrument_id"].tolist())) > 3_000


@pytest.mark.parametrize("name", ["x.dbn", "x.dbn.zst"])
def test_written_sessions_read_back(tmp_path, name):
    """A written session is a valid DBN file, for us and for databento_dbn, with symbols and the grid it was asked to have."""
    config = SynthConfig(records=5_000, instruments=2, live_orders=100, tick=["0.25", "0.01"])
    assert write_synth(tmp_path / name, config) == 5_102
    found, error, source = read(tmp_path / name)
    assert error is None
    assert found.tobytes() == session(records=5_000, instruments=2, live_orders=100, tick=["0.25", "0.01"]).tobytes()
    assert source.symbols == {1: "SYN1", 2: "SYN2"}
    assert [one.gcd for one in survey(source).values()] == [250_000_000, 10_000_000]
    decoder = databento_dbn.DBNDecoder(compression=databento_dbn.Compression.ZSTD if name.endswith("zst") else databento_dbn.Compression.NONE)
    decoder.write((tmp_path / name).read_bytes())
    assert len(decoder.decode()) == 5_103


def test_a_price_without_room_below_is_refused():
    """Half of a book's levels are below the price at which it starts: a price that is too low is told with the least that will do, and not raised to that."""
    assert SynthConfig(records=1, price="10.25", tick="0.01").lowest_price(10_000_000) == 10_000_000
    with pytest.raises(ConfigError, match=r"^price='10.24': expected 10.25 or more: .* a finer tick than 0.01, or fewer levels$"):
        SynthConfig(records=1, price="10.24", tick="0.01")


@pytest.mark.parametrize("wrong", [{"records": -1}, {"live_orders": 1}, {"tick": "0"}, {"trade_share": 1.5}, {"gap_scale": 0}, {"levels": 3}, {"seed": 0.5}])
def test_settings_are_checked(wrong):
    """A setting that makes no sense is named."""
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))}"):
        SynthConfig(**{"records": 10, **wrong})
    with pytest.raises(ConfigError, match="from 16,000 to 1,073,741,824: 8 or more for each instrument, and there are 2,000"):
        SynthConfig(records=10, instruments=2_000)
