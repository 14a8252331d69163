"""What each fill rule is worth: two example strategies with each rule switched off in turn, over one file, as the table of docs/assumptions.md.

python benchmarks/rules_off.py esh4-20231225.mbo.dbn.zst
"""

import argparse
import dataclasses
import typing
from collections.abc import Iterator

import polars as pl

import tapeline as tl
from tapeline.load import load_strategy

STRATEGIES = {"examples/touch_maker.py:TouchMaker": {"size": 2}, "examples/ofi_taker.py:OrderFlowTaker": {"size": 20}}
FEES = tl.Fees(maker=0.85, taker=0.85)


def variants() -> Iterator[tuple[str, tl.FillRules]]:
    """The rules as they are, and each of them switched off, or to another choice."""
    yield "all rules", tl.FillRules()
    for field, kind in typing.get_type_hints(tl.FillRules).items():
        default = getattr(tl.FillRules(), field)
        for choice in (False, True) if kind is bool else typing.get_args(kind):
            if choice != default and (field != "queue" or choice == "none"):  # estimators have a table of their own
                yield f"`{field}={choice!r}`", dataclasses.replace(tl.FillRules(), **{field: choice})


def main() -> None:
    """Run everything in one replay, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--tick-size", default="0.25")
    parser.add_argument("--multiplier", type=float, default=50.0)
    given = parser.parse_args()
    classes = {load_strategy(name): parameters for name, parameters in STRATEGIES.items()}
    rules = dict(variants())
    rows = [tl.Row(cls(**parameters), rules=chosen) for chosen in rules.values() for cls, parameters in classes.items()]
    result = tl.Backtest(given.data, tick_size=given.tick_size, multiplier=given.multiplier, fees=FEES).run(*rows)
    fills = result.fills.group_by("row").agg(pl.len().alias("fills"), pl.col("size").sum().alias("lots"))
    table = result.accounts.filter(pl.col("symbol").is_not_null()).select("row", "gross", "net").join(fills, on="row", how="left").fill_null(0).sort("row")
    lines = list(table.iter_rows(named=True))
    print("| rules |" + "".join(f" {cls.__name__}: fills | lots | gross PnL | net PnL |" for cls in classes))
    print("|---|" + "---|" * 4 * len(classes))
    for i, name in enumerate(rules):
        ours = lines[i * len(classes) : (i + 1) * len(classes)]
        print(f"| {name} |" + "".join(f" {line['fills']:,} | {line['lots']:,} | {line['gross']:,.2f} | {line['net']:,.2f} |" for line in ours))


if __name__ == "__main__":
    main()
