"""The compiled engine records what the reference records, to the last bit: random markets and venues, strategies that do anything and look at everything."""

import os

import pytest
from duels import Case, assert_agree

SEEDS = int(os.environ.get("TAPELINE_SEEDS", "48"))
"""How many random runs; set it to some thousands to search for differences."""
BLOCK = 12


@pytest.mark.parametrize("block", range(SEEDS // BLOCK))
def test_random_runs_agree(block, tmp_path):
    """Fills, orders, equity, signals and counters of a random run are equal in both engines. Signals hold a digest of every value that strategies can see."""
    lines = [assert_agree(Case(seed), tmp_path).lines for seed in range(block * BLOCK, (block + 1) * BLOCK)]
    for frame in ("fills", "orders", "equity", "signals"):
        assert sum(count[frame] for count in lines) > 0, f"no {frame} in {BLOCK} runs: the test tests nothing"


@pytest.mark.parametrize("version", [1, 2])
def test_older_versions_agree(version, tmp_path):
    """DBN of versions 1 and 2 is read as version 3 is."""
    assert_agree(Case(1000, version=version), tmp_path)


@pytest.mark.nojit
@pytest.mark.parametrize("seed", range(2000, 2012))
def test_random_runs_agree_without_the_jit(seed, tmp_path):
    """The same holds for kernels that run as plain Python; without the JIT this compares the kernels' text with the reference, with it their compiled form."""
    assert_agree(Case(seed, records=100), tmp_path)
