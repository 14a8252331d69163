"""Fills against those of mbo-queue, which rebuilds CME's queues by rules and code of its own."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mboq", reason="mbo-queue is not installed (pip install -e .[dev])")

from against_mbo_queue import compare, estimators, mbo_queue, read, simulated
from fifo_counts import count_fills

ES = Path(__file__).resolve().parents[3] / "shared" / "data" / "databento" / "esh4-20231225.mbo.dbn.zst"
START = int(np.datetime64("2023-12-25T23:00:01", "ns").astype(np.int64))


def test_every_fill_on_esh4_is_mbo_queues():
    """Of 7,198 orders the same 4,659 are filled, each at the same nanosecond; 8 of them in the event after their 60 s, up to which mbo-queue keeps orders."""
    if not ES.is_file():
        pytest.skip("no ES data here")
    found = compare(ES, "0.25", START)
    shadows = found.truth.shadows
    assert (len(found.at), int(shadows["true_filled"].sum())) == (7_198, 4_659)
    assert round(found.truth.fifo, 3) == 0.945
    assert len(found.unexplained) == 0, found
    assert np.array_equal(found.differ, np.flatnonzero(found.overtime)), found
    assert len(found.differ) == 8


@pytest.mark.parametrize("block", range(4))
def test_every_fill_in_simulated_sessions_is_mbo_queues(block, tmp_path):
    """Where every fill is the first in its queue, with icebergs and partial cancels, all fills and times are equal: 20 sessions of about 1,000 orders."""
    for seed in range(5 * block, 5 * block + 5):
        found = compare(simulated(tmp_path, seed), "0.25")
        assert found.truth.fifo == 1.0
        assert int(found.truth.shadows["true_filled"].sum()) > 500
        assert len(found.unexplained) == 0, found
        assert np.array_equal(found.differ, np.flatnonzero(found.overtime)), found


def test_fifo_consistency_is_mbo_queues(tmp_path):
    """Of as many passive fills as many hit the front of their queue: 5,913 of 6,257 on ESH4; in simulated sessions all, with icebergs and partial cancels."""
    for seed in range(3):
        path = simulated(tmp_path, seed)
        found = count_fills(path, tick_size="0.25")
        assert found.share == mbo_queue(read(path), 250_000_000, np.empty(0, np.int64)).fifo == 1.0
        assert found.fills > 500
    if not ES.is_file():
        pytest.skip("no ES data here")
    found = count_fills(ES, tick_size="0.25")
    assert (found.fills, found.first) == (6_257, 5_913)
    assert found.share == mbo_queue(read(ES), 250_000_000, np.empty(0, np.int64)).fifo


def test_every_estimated_fill_is_mbo_queues(tmp_path):
    """Each of the six estimators fills the same orders at the same nanosecond as mbo-queue's does, but for those that mbo-queue fills after their 60 s."""
    found = estimators(ES, "0.25", START) if ES.is_file() else estimators(simulated(tmp_path, 4), "0.25")
    assert len({int((estimate.ours >= 0).sum()) for estimate in found}) == 6, "the estimators do not differ: the test tests little"
    for estimate in found:
        assert (estimate.ours >= 0).sum() > 500
        assert estimate.differ == 0, estimate
