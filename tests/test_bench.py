"""The benchmark suite's own arithmetic. The suite itself runs in CI: `tapeline bench --quick`."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from command_line import invoke
from peers import conversion

from tapeline import terminal
from tapeline.bench import before_after, compare, stages, suite
from tapeline.bench.streams import Stream, cached_share, tiled
from tapeline.bench.timing import Timing, alternate
from tapeline.conversion import write_tape
from tapeline.errors import ConfigError
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
    assert timings["a"].to_dict()["whole_ns"] < timings["a"].ns
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


@pytest.mark.parametrize("text", ["5", "[]", '{"results": 5}', '{"results": [7]}', '{"results": [{"stream": "a", "name": "b"}]}', "{}", "no JSON"])
def test_a_baseline_that_is_none_is_told_before_anything_is_measured(text: str, tmp_path: Path) -> None:
    """A file that no earlier measurement has printed is named at once, and not after minutes."""
    (tmp_path / "x.json").write_text(text)
    done = invoke("bench", "--quick", "--compare", tmp_path / "x.json")
    assert done.exit_code == terminal.Exit.USAGE
    assert "--compare" in done.stderr
    assert "making" not in done.stderr


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


@pytest.mark.parametrize("kind", ["dbn", "tape"])
def test_stages_are_those_of_a_run(tmp_path: Path, kind: str) -> None:
    """A profile names each stage of a run once, from reading to the strategy; what the stages take is together what the run takes."""
    path = tmp_path / "session.dbn"
    write_synth(path, SynthConfig(records=2_000, live_orders=200))
    if kind == "tape":
        write_tape(path, tmp_path / "session.tape", tick_size="0.25", multiplier=50)
        path = tmp_path / "session.tape"
    found = stages.plain(stages.profile(suite.strategy("Maker"), path, {"tick_size": "0.25", "multiplier": 50}, rounds=1))
    first = ["read", "normalise"] if kind == "dbn" else ["read tape"]
    assert [line["stage"] for line in found] == [*first, "books and views", "idle run", "strategy", "sum"]
    assert found[-1]["ns"] == pytest.approx(sum(line["ns"] for line in found[:-1]))
    assert sum(line["share"] for line in found[:-1]) == pytest.approx(1.0, abs=1e-3)
    with pytest.raises(ConfigError, match="compiled engine"):
        stages.profile(suite.strategy("Maker"), path, {"engine": "reference"})


def test_an_idle_twin_looks_at_the_same() -> None:
    """The strategy that stands for the event loop alone has the same callbacks and view."""
    twin = stages.idle_twin(suite.strategy("Maker").__class__)
    assert twin.features == suite.strategy("Maker").features
    assert [name for name in vars(twin) if name.startswith("on_")] == ["on_book"]
    assert stages.idle_twin(suite.strategy("Follower").__class__).on_trade.__code__.co_argcount == 5


@pytest.mark.nojit
def test_peers_get_the_same_stream(tmp_path: Path) -> None:
    """The stream as hftbacktest's events and as ITCH messages has the orders of the DBN records: sizes that rest, by price and side, are equal at the end."""
    path = tmp_path / "session.dbn"
    write_synth(path, SynthConfig(records=3_000, live_orders=200, partial_cancel_share=0.2, trade_share=0.2))
    stream = np.concatenate([run.copy() for run, _ in records(DbnInput([path]))])
    wanted: Counter[tuple[int, bool]] = Counter()
    for _, before, after, _ in conversion.steps(stream):
        for order, sign in ((before, -1), (after, 1)):
            wanted.update({(order.price, order.side == ord("B")): sign * order.size} if order is not None else {})
    found: Counter[tuple[int, bool]] = Counter()
    live: dict[int, tuple[int, int, bool]] = {}
    for event in conversion.to_hftbacktest(stream):
        kind, order_id = int(event["ev"]) & 0xFF, int(event["order_id"])
        if kind in {conversion.ADD, conversion.MODIFY}:
            live[order_id] = round(event["px"] * 1e9), int(event["qty"]), bool(int(event["ev"]) >> 29 & 1)
        elif kind == conversion.KINDS[ord("C")]:
            del live[order_id]
    for price, size, is_bid in live.values():
        found[price, is_bid] += size
    assert +found == +wanted
    assert +resting(conversion.to_itch(stream, int(stream["ts_recv"].min()) - 10**13)[0]) == +wanted


def resting(messages: bytes) -> "Counter[tuple[int, bool]]":
    """Lots per price and side (True: bids) that ITCH 5.0 messages leave."""
    live: dict[int, tuple[int, int, bool]] = {}
    place = 0
    while place < len(messages):
        body = messages[place + 2 : place + 2 + int.from_bytes(messages[place : place + 2])]
        place += 2 + len(body)
        kind, reference = chr(body[0]), int.from_bytes(body[11:19])
        if kind == "A":
            live[reference] = int.from_bytes(body[32:36]) * 100_000, int.from_bytes(body[20:24]), body[19:20] == b"B"
        elif kind in "XE":
            price, size, is_bid = live[reference]
            live[reference] = price, size - int.from_bytes(body[19:23]), is_bid
        elif kind == "U":
            live[int.from_bytes(body[19:27])] = int.from_bytes(body[31:35]) * 100_000, int.from_bytes(body[27:31]), live.pop(reference)[2]
        if kind == "D" or (reference in live and live[reference][1] == 0):
            del live[reference]
    found: Counter[tuple[int, bool]] = Counter()
    for price, size, is_bid in live.values():
        found[price, is_bid] += size
    return found
