"""Runs side by side, in threads and in processes."""

import subprocess
import sys
from pathlib import Path

import pytest
from strategy_files import tiny_session

PROGRAM = """
import concurrent.futures, multiprocessing, sys
import polars as pl
import tapeline as tl

DATA, HOW, WHEN = sys.argv[1:]


class Buyer(tl.Strategy):
    size: tl.int64 = 1
    sent: tl.int64

    def on_book(self, market, orders, account):
        if self.sent == 0 and market.has_ask:
            self.sent = orders.buy(market.ask_price, self.size)


def positions(size):
    result = tl.Backtest(DATA, tick_size="0.25", multiplier=50, threads=1).run(Buyer(size=size))
    return result.fills["size"].sum()


if __name__ == "__main__":
    if WHEN == "after Polars":
        pl.DataFrame({"a": [1, 2]}).group_by("a").len()
    if HOW == "threads":
        pool = concurrent.futures.ThreadPoolExecutor(2)
    else:
        pool = concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(HOW))
    with pool:
        print(list(pool.map(positions, [1, 2, 3])))
"""


@pytest.mark.parametrize(("how", "when"), [("threads", "after Polars"), ("spawn", "after Polars"), ("fork", "before Polars"), ("fork", "after Polars")])
def test_runs_side_by_side(tmp_path: Path, how: str, when: str) -> None:
    """Threads and processes give what single runs give; where a forked one would wait for Polars' threads for ever, that is an error."""
    program, data = tmp_path / "program.py", tiny_session(tmp_path / "tiny.dbn")
    program.write_text(PROGRAM)
    done = subprocess.run([sys.executable, program, data, how, when], capture_output=True, text=True, timeout=300, check=False)
    if (how, when) == ("fork", "after Polars"):
        assert "ConfigError: this process was forked" in done.stderr
    else:
        assert (done.returncode, done.stdout) == (0, "[1, 2, 3]\n"), done.stderr
