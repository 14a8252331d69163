"""itch-book: its books from the stream as ITCH 5.0 messages, with a row for every change of the best bid or offer, and without."""

import datetime as dt
import sys
from pathlib import Path
from typing import Any

import itch_book
from serve import serve

PATH = str(Path(sys.argv[1]) / "stream.itch")
DATE = dt.date.fromisoformat(sys.argv[3])


def replay(tables: tuple[str, ...]) -> dict[str, Any]:
    """Read the file."""
    counted: dict[str, Any] = {}
    with itch_book.open(PATH, date=DATE) as feed:
        for batch in feed.batches(tables=tables):
            if tables and len(batch.bbo["bid_px"]):
                counted = {"bid": float(batch.bbo["bid_px"][-1]), "ask": float(batch.bbo["ask_px"][-1])}
        return counted | {"messages": int(feed.stats["messages"])}


serve(["itch-book", "numpy"], {"replay": lambda: replay(("bbo",)), "replay, books only": lambda: replay(())})
