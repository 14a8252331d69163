"""An order book in plain dicts that checks a stream of MBO records; knows nothing of how the stream was made."""

from collections import Counter, defaultdict
from itertools import groupby

BID, ASK = ord("B"), ord("A")
LAST, SNAPSHOT = 128, 32
Row = dict


class BookCheck:
    """One instrument's book. Every broken rule is in `faults`; the numbers that describe the market are in `counts`."""

    def __init__(self):
        """An empty book."""
        self.orders = {}  # order_id → [side, price, size]
        self.queues = defaultdict(dict)  # (side, price) → {order_id: None}, in order of priority
        self.prices = {BID: Counter(), ASK: Counter()}  # orders per price
        self.faults = []
        self.counts = Counter()

    def event(self, rows):
        """Apply the records of one event."""
        kinds = "".join(chr(row["action"]) for row in rows)
        flags = [row["flags"] for row in rows]
        self._expect(flags[-1] & LAST and not any(flag & LAST for flag in flags[:-1]), "LAST on the last record, and there only", rows)
        self._expect(len({(row["ts_event"], row["sequence"]) for row in rows}) == 1 or flags[0] & SNAPSHOT, "one ts_event and sequence per event", rows)
        if "T" in kinds:
            self._trade(rows)
        filled = Counter()
        for row in rows:
            if row["action"] == ord("F") and row["order_id"] != self._aggressor(rows):
                filled[row["order_id"]] += row["size"]
        for row in rows:
            self._apply(row, filled)
        best_bid, best_ask = self.best(BID), self.best(ASK)
        self._expect(best_bid is not None and best_ask is not None, "both sides have orders", rows)
        self._expect(best_bid is None or best_ask is None or best_bid < best_ask, "the book is not crossed at the end of an event", rows)

    def best(self, side):
        """Best price of a side, None where there is none."""
        prices = self.prices[side]
        return (max if side == BID else min)(prices) if prices else None

    def _aggressor(self, rows):
        return next((row["order_id"] for row in rows if row["action"] == ord("T")), None)

    def _trade(self, rows):
        """Per T: its passive F's sum up to it, are at the front of the queue in order, and at the best price left."""
        aggressor, taken, gone = self._aggressor(rows), 0, set()
        front = []
        end = {"action": ord("T"), "size": 0, "price": None, "side": 0, "order_id": aggressor}
        for row in [*rows, end]:
            if row["action"] == ord("T"):
                self._expect(taken == 0, "the F's of a T sum up to its size", rows)
                taken, passive = row["size"], ASK if row["side"] == BID else BID
                front = [i for i in self.queues.get((passive, row["price"]), ()) if i not in gone]
                self._expect(row["size"] > 0 or row["price"] is None, "a T has a size", rows)
            elif row["action"] == ord("F") and row["order_id"] == aggressor:
                self._expect(aggressor in self.orders, "an aggressor with an F of its own was live", rows)
                self._expect(row["size"] == taken, "its F has the size of the T", rows)
                self.counts["own_fills"] += 1
            elif row["action"] == ord("F"):
                known = self.orders.get(row["order_id"])
                self._expect(known is not None, "the passive order is known", rows)
                self._expect(bool(front) and front.pop(0) == row["order_id"], "the first in the queue is filled first", rows)
                if known is not None and row["size"] > known[2]:
                    self.counts["fills_beyond_displayed"] += 1
                taken -= row["size"]
                gone.add(row["order_id"])

    def _apply(self, row, filled):
        order_id, side, price, size = (row[name] for name in ("order_id", "side", "price", "size"))
        match chr(row["action"]):
            case "R":
                self.orders.clear()
                self.queues.clear()
                self.prices = {BID: Counter(), ASK: Counter()}
            case "A":
                self._expect(order_id not in self.orders, "a new order has a new id", [row])
                self._put(order_id, side, price, size)
            case "C":
                known = self.orders.get(order_id)
                self._expect(known is not None and size <= known[2], "a cancel is of a known order and of what it has", [row])
                if known is not None and size < known[2]:
                    known[2] -= size
                    self.counts["partial_cancels"] += 1
                elif known is not None:
                    self._take(order_id)
            case "M":
                self._modify(row, filled)

    def _modify(self, row, filled):
        order_id = row["order_id"]
        known = self.orders.get(order_id)
        self._expect(known is not None, "a modify is of a known order", [row])
        if known is None:
            return
        left = known[2] - filled[order_id]
        if row["price"] == known[1] and row["size"] <= left:
            known[2] = row["size"]
            return
        if filled[order_id] and row["price"] == known[1]:
            self.counts["refills"] += 1
        self._take(order_id)
        self._put(order_id, row["side"], row["price"], row["size"])

    def _put(self, order_id, side, price, size):
        self._expect(size > 0 and side in (BID, ASK), "an order has a size and a side", [])
        self.orders[order_id] = [side, price, size]
        self.queues[side, price][order_id] = None
        self.prices[side][price] += 1

    def _take(self, order_id):
        side, price, _ = self.orders.pop(order_id)
        del self.queues[side, price][order_id]
        self.prices[side][price] -= 1
        if not self.prices[side][price]:
            del self.prices[side][price]

    def _expect(self, holds, rule, rows):
        if not holds:
            self.faults.append((rule, [tuple(row.values()) for row in rows[:40]]))


def rows_of(records):
    """Records as dicts of plain integers."""
    names = records.dtype.names
    return [dict(zip(names, row, strict=True)) for row in records.tolist()]


def events_of(rows):
    """Lists of records up to each LAST."""
    event = []
    for row in rows:
        event.append(row)
        if row["flags"] & LAST:
            yield event
            event = []
    if event:
        yield event


def check(records, after=None):
    """Run a stream through a book per instrument; `after(book, event)` is called behind each event. Returns the books by instrument id."""
    books = defaultdict(BookCheck)
    for event in events_of(rows_of(records)):
        for instrument_id, rows in groupby(event, key=lambda row: row["instrument_id"]):
            books[instrument_id].event(list(rows))
            if after is not None:
                after(books[instrument_id], event)
    return dict(books)
