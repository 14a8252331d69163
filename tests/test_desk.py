"""A desk's own orders: taken out of the tape, sent again, compared."""

import copy
import pickle
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from against_mbo_queue import read, simulated
from against_own_orders import again, filled_orders, log_of

import tapeline as tl
from tapeline.desk import _checked, _kept, _same

ES = Path(__file__).resolve().parents[2] / "shared" / "data" / "databento" / "esh4-20231225.mbo.dbn.zst"
START = int(np.datetime64("2023-12-25T23:00:01", "ns").astype(np.int64))
LOG = pl.DataFrame(
    {
        "ts": [20, 30, 40, 35],
        "order_id": [7, 7, 7, 7],
        "action": ["new", "modify", "cancel", "fill"],
        "side": ["buy", None, None, None],
        "price": [100.25, 100.0, None, 100.0],
        "size": [3, 2, None, 1],
    }
)


def test_a_log_becomes_messages_in_order_of_time():
    """Lines of a log, in any order: each names its order by the number that the gateway will give it; prices stay as they are."""
    messages = _checked(LOG)
    assert messages["ts"].to_list() == [20, 30, 35, 40]
    assert messages["order"].to_list() == [1, 1, 1, 1]
    assert messages["side"].to_list() == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"action": ["new", "amend", "cancel", "fill"]}, "row 2: action='amend': expected one of new"),
        ({"action": ["new", None, "cancel", "fill"]}, "row 2: action=None: expected one of new"),
        ({"side": ["up", None, None, None]}, "row 1: side='up'"),
        ({"order_id": [7, 8, 7, 7]}, "row 2: modify of order 8, which is not new before"),
        ({"size": [None, 2, None, 1]}, "row 1: size=None"),
        ({"action": ["new", "new", "cancel", "fill"], "side": ["buy", "buy", None, None]}, "order 7 is new 2 times"),
        ({"size": [1.5, 2, None, 1]}, "row 1: size=1.5: expected whole lots"),
        ({"price": [100_250_000_000, 100, None, 100]}, "row 1: price=100250000000: expected price units"),
        ({"price": [float("nan"), 100.0, None, 100.0]}, "row 1: price=nan: expected price units"),
        ({"price": ["100.25", "100", None, "100"]}, "column 'price' is String: expected numbers"),
        ({"ts": ["2024-01-02T03:04:05"] * 4}, "column 'ts' is String: expected datetimes, or whole nanoseconds since the epoch; of text, pl.col"),
        ({"ts": [date(2024, 1, 2)] * 4}, "column 'ts' is Date: expected datetimes"),
    ],
)
def test_logs_that_make_no_sense_are_refused(change, message):
    """The error names the line, what is there, and what was expected."""
    columns = LOG.to_dict(as_series=False) | change
    with pytest.raises(tl.ConfigError, match=message.replace("(", r"\(")):
        tl.replay_orders(pl.DataFrame(columns, strict=False))
    with pytest.raises(tl.ConfigError, match=r"not 'log.csv': read the file first, such as pl.read_csv\('log.csv', try_parse_dates=True\)"):
        tl.replay_orders("log.csv")
    with pytest.raises(tl.ConfigError, match="column 'price' is missing"):
        tl.replay_orders(LOG.drop("price"))


def test_prices_are_sent_as_they_are_written():
    """A float means the number that it prints: 17464845.38 in 1e-9 has more digits than it, and is no multiple of a cent when it is multiplied out."""
    replay = tl.replay_orders(LOG.with_columns(price=pl.Series([17464845.38, 0.1, None, 1.0])))
    assert _kept[int(replay.entries)]["price"].tolist()[:2] == [17_464_845_380_000_000, 100_000_000]


def test_a_log_is_kept_once():
    """A process that makes replays of one log again and again, or gets them pickled or copied, does not grow; another log has its own messages."""
    replay = tl.replay_orders(LOG)
    before = len(_kept)
    others = [tl.replay_orders(LOG), pickle.loads(pickle.dumps(replay)), copy.deepcopy(replay)]  # noqa: S301 - it is our own
    assert {int(one.entries) for one in others} == {int(replay.entries)}
    assert len(_kept) == before
    assert int(tl.replay_orders(LOG.head(1)).entries) != int(replay.entries)


def test_a_replay_takes_its_log_along(tmp_path):
    """Pickled, as for a process of its own, or copied, it has the messages themselves: with the address alone such a process read what lies there, and died."""
    path = simulated(tmp_path, 3)
    stream = read(path)
    replay = tl.replay_orders(log_of(stream, filled_orders(stream, 0)).head(200))
    parcel, of_first = pickle.dumps(replay), int(replay.entries)
    _kept[of_first][:] = 0  # nobody else's memory is to be read
    _same.clear()  # as in another process
    other = pickle.loads(parcel)  # noqa: S301 - it is our own
    assert int(other.entries) != of_first
    assert _kept[int(other.entries)]["order"].any()
    assert tl.Backtest(path, tick_size=0.25, multiplier=1, limits=tl.Limits(orders_live_max=1000)).run(other).orders.height > 0


def test_orders_sent_again_are_filled_as_they_were(tmp_path):
    """In a simulated session, where every fill is the first in its queue, orders that are taken out and sent again, each alone, get their fills again."""
    path = simulated(tmp_path, 3)
    stream = read(path)
    log = log_of(stream, filled_orders(stream, 0))
    plain = log.group_by("order_id", maintain_order=True).agg(pl.col("action") == "modify").filter(~pl.col("action").list.any())["order_id"].to_list()
    found = pl.concat([again(path, stream, [order_id], "0.25").orders for order_id in plain[:40]])
    assert found["fill_agrees"].all()
    assert found["size_agrees"].all()
    assert found["time_agrees"].all()


def test_times_agree_to_the_precision_of_the_log(tmp_path):
    """A log in microseconds, as from CSV, or in milliseconds, agrees with a run wherever one in nanoseconds does: the digits that it lacks tell nothing."""
    path = simulated(tmp_path, 5)
    stream = read(path)
    ids = filled_orders(stream, 0)[:60]
    log = log_of(stream, ids).with_columns(pl.col("ts").cast(pl.Datetime("ns")))
    result = tl.Backtest(path, tick_size=0.25, multiplier=1, exclude_orders=ids, limits=tl.Limits(orders_live_max=64)).run(tl.replay_orders(log))
    exact, *coarse = (result.compare(log.with_columns(pl.col("ts").cast(pl.Datetime(unit)))) for unit in ("ns", "us", "ms"))
    assert exact.agreement["time"] > 0.5
    for one in coarse:
        assert (one.orders["time_agrees"] >= exact.orders["time_agrees"]).all()
        assert one.orders.columns == exact.orders.columns


def test_both_engines_send_a_log_alike(tmp_path):
    """Compiled and reference: the same orders taken out, the same log sent again, the same fills."""
    path = simulated(tmp_path, 5)
    stream = read(path)
    ids = filled_orders(stream, 0)[:60]
    log = log_of(stream, ids)
    settings = {"tick_size": "0.25", "multiplier": 1.0, "exclude_orders": ids, "limits": tl.Limits(orders_live_max=64)}
    one, other = (tl.Backtest(path, engine=engine, **settings).run(tl.replay_orders(log)) for engine in ("compiled", "reference"))
    assert one.orders.equals(other.orders)
    assert one.fills.equals(other.fills)
    assert one.compare(log).agreement["fill"] > 0.9
    assert "orders" in repr(one.compare(log))


@pytest.mark.skipif(not ES.is_file(), reason="no ES data here")
def test_esh4s_own_orders_sent_again():
    """All 5,101 orders of ESH4 that joined after 23:00:01 and were filled, taken out and sent again at once by one desk."""
    stream = read(ES)
    found = again(ES, stream, filled_orders(stream, START), "0.25")
    assert found.orders.height == 5_101
    assert found.agreement["fill"] > 0.99
    assert found.agreement["size"] > 0.985
    assert found.agreement["time"] > 0.975


def test_a_tape_has_no_order_ids(tmp_path):
    """Orders cannot be taken out of a tape that has none: the error says what to do."""
    path = simulated(tmp_path, 1)
    tl.write_tape(path, tmp_path / "x.tape", tick_size="0.25")
    with pytest.raises(tl.ConfigError, match="run on the DBN files"):
        tl.Backtest(tmp_path / "x.tape", tick_size="0.25", multiplier=1.0, exclude_orders=[1]).run(tl.replay_orders(LOG))
