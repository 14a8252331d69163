"""This measurement against an earlier one: a change counts where it is larger than both spreads."""

from collections.abc import Mapping
from typing import Any, Final

TOLERANCE: Final = 0.03
"""Changes of the ratio to the floor below this are never told: layout of code and memory alone does as much."""


def changes(baseline: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per work on a stream that both have: the ratios to the floor, by how much they differ, and whether that is beyond the spread measured."""
    before = {(line["stream"], line["name"]): line for line in baseline["results"]}
    lines = []
    for line in now["results"]:
        old = before.get((line["stream"], line["name"]))
        if old is None or line["name"] == "floor":
            continue
        change = line["floor_multiple"] / old["floor_multiple"] - 1.0
        allowed = max(old["spread"] + line["spread"], TOLERANCE)
        what = "same" if abs(change) <= allowed else "slower" if change > 0 else "faster"
        numbers = {"before": old["floor_multiple"], "now": line["floor_multiple"], "change": round(change, 4), "spread": round(allowed, 4)}
        lines.append({"stream": line["stream"], "name": line["name"], **numbers, "verdict": what})
    return lines
