"""The benchmark suite's own arithmetic. The suite itself runs in CI: `tapeline bench --quick`."""

from pathlib import Path

import numpy as np
import pytest

from tapeline.bench import before_after, compare, suite
from tapeline.bench.streams import Stream, cached_share, tiled
from tapeline.bench.timing import Timing, alternate
from tapeline.feeds.dbn import DbnInput, records
from tapeline.feeds.synth import SynthConfig, write_synth


def test_candidates_take_turns() -> None:
    """Every round runs each once, in another order, after one round that does not count; seconds that a candidate tells are taken instead of the clock's."""
    order: list[str] = []

    def candidate(name: str) -> object:
        def work() -> float:
            order.append(name)
            return 0.5

        return work

    timings = alternate({"a": (candidate("a"), 10), "b": (candidate("b"), 5)}, lambda: None, 10, 2)
    assert order == ["a", "b", "a", "b", "b", "a"]
    assert (timings["a"].ns, timings["b"].ns) == (0.05e9, 0.1e9)
    assert 0.0 < timings["floor"].to_dict()["cpu_share"] < 1.5
    assert timings["b"].floor_multiple == pytest.approx(2 * timings["a"].floor_multiple)


def test_spread_leaves_out_the_extremes() -> None:
    """Of five ratios the least and the greatest do not count."""
    assert Timing("x", 1, [1.0] * 5, [1.0, 9.0, 10.0, 11.0, 99.0]).spread == pytest.approx(0.1)


def test_changes_count_beyond_both_spreads() -> None:
    """A ratio that moved by less is the same; what only one of the two has is left out, and so is the floor."""

    def line(name: str, multiple: float, spread: float = 0.05) -> dict:
        return {"stream": "s", "name": name, "floor_multiple": multiple, "spread": spread}

    baseline = {"results": [line("a", 10), line("b", 10), line("c", 10), line("gone", 1), line("floor", 1)]}
    now = {"results": [line("a", 10.9), line("b", 11.2), line("c", 8), line("new", 1), line("floor", 2)]}
    assert [(found["name"], found["verdict"]) for found in compare.changes(baseline, now)] == [("a", "same"), ("b", "slower"), ("c", "faster")]


def test_criteria_say_what_was_met() -> None:
    """Only targets whose work was timed; at least and at most are told apart."""
    results = [
        {"stream": "live-10k", "name": "pipeline", "per_second": 16e6, "floor_multiple": 9.0},
        {"stream": "live-10k", "name": "replay", "per_second": 50e6, "floor_multiple": 5.0},
    ]
    met = {line["name"]: line["met"] for line in suite.criteria(results)}
    expected = {"full pipeline, 10 M records/s": True, "full pipeline, 15 M records/s": True, "full pipeline, 17 M records/s": False}
    expected |= {"full pipeline, 18 M records/s": False, "replay, 10k live orders": False, "full pipeline against the floor": True}
    assert met == expected


def test_a_tiled_session_goes_on(tmp_path: Path) -> None:
    """Times never run back by more than within a tile, ids of one tile are none of another's, and there are as many records as asked for."""
    path = tmp_path / "one.dbn"
    write_synth(path, SynthConfig(records=500, live_orders=50))
    stream = tiled(path, tmp_path, 1_300)
    rows = np.concatenate([run.copy() for run, _ in records(DbnInput([stream.dbn]))])
    assert len(rows) == stream.n == 1_300
    first, second = rows[:551], rows[551:1102]
    assert second["ts_recv"].min() > first["ts_recv"].max()
    assert not set(first["order_id"]) & set(second["order_id"]) - {0}
    assert (first["price"] == second["price"]).all()


def test_the_page_cache_is_asked(tmp_path: Path) -> None:
    """A file just written lies in it; one that is not there cannot be asked about."""
    path = tmp_path / "file"
    path.write_bytes(bytes(100_000))
    assert cached_share(path) in (1.0, None)
    assert cached_share(tmp_path / "none") is None


def test_before_and_after_give_the_same(tmp_path: Path) -> None:
    """Every fault does the same work as its remedy; no torn snapshot is read."""
    stream = Stream("small", tmp_path, SynthConfig(records=2_000, live_orders=100))
    stream.make(all_kinds=False)
    lines = [before_after.measure(pair, 1) for pair in before_after.pairs(stream, 1_000)]
    assert [line["name"] for line in lines if not line["equal"]] == []
    assert len(lines) == 6
