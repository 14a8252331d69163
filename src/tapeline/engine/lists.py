"""Where our orders stand: a list per price level (in order of arrival), lists of a row's resting orders (by time, and in line), and the nodes by order id."""

import numpy as np

from tapeline.engine.account import ACCOUNT, LINE, line_at
from tapeline.engine.records import NODE, ROW
from tapeline.jit import kernel, leaf
from tapeline.market.book import side_of
from tapeline.market.ladder import CELL, FAR_CELL, LEVEL_NONE, cell_at, far_drop_empty, far_place
from tapeline.memory import address_of, record_at, unlikely
from tapeline.record import Record, int32, int64


class Place(Record):
    """Where the number of a node stands."""

    index: int32


class Ticket(Record):
    """What strategies mostly ask of a live order, beside those of its row's orders before and after it: two to a cache line."""

    order_id: int64  # 0: nobody's
    price_requested: int64  # 1e-9
    index: int32  # of its node
    cancelling: int64  # 0: no cancel is under way for it; 1: one of its own is; more: a mass cancel, the row's number of it


PLACE, TICKET = Place.dtype_, Ticket.dtype_
LINE_NEXT, LINE_PREV, ROW_NEXT = (np.int64(NODE.fields[name][1]) for name in ("line_next", "line_prev", "row_next"))
NODE_SIZE = np.int64(NODE.itemsize)
LINE_LAST, ROW_RESTING = np.int64(LINE.fields["last"][1]), np.int64(ROW.fields["resting"][1])


@leaf
def node_at(engine, index):
    """A node by its number."""
    return record_at(engine.nodes, np.int64(index), NODE)


@leaf
def row_at(engine, index):
    """A row by its number."""
    return record_at(engine.rows, np.int64(index), ROW)


@leaf
def link(engine, cell, node, index):
    """Put a node at the end of its level's list, whose head is in the level's cell. The list is circular backwards: the head's `prev` is the tail."""
    node.next = 0
    if cell.own == 0:
        cell.own = index
        node.prev = index
    else:
        head = node_at(engine, cell.own)
        node_at(engine, head.prev).next = index
        node.prev = head.prev
        head.prev = index


@leaf
def unlink(engine, book, node, index):
    """Take a node out of its level's list."""
    ladder = side_of(book, node.side)
    level = np.int64(node.level)
    cell = cell_at(ladder, level)
    head_index = cell.own
    if head_index == index:
        cell.own = node.next
        node_at(engine, node.next).prev = node.prev  # of node 0, if there is none: nobody looks, and whether there is is as good as a coin
    else:
        node_at(engine, node.prev).next = node.next
        tail_holder = node.next if node.next != 0 else head_index
        node_at(engine, tail_holder).prev = node.prev
    if not ladder.base < level < ladder.base + ladder.width:
        far_drop_empty(ladder, level)


@leaf
def link_resting(engine, row, node, index):
    """Put an order at the head of its row's resting orders, and in line."""
    node.row_prev = 0
    node.row_next = row.resting
    node_at(engine, row.resting).row_prev = index  # as in unlink
    row.resting = index
    link_in_line(engine, account_at(row, node), node, index)


@leaf
def unlink_resting(engine, row, node):
    """Take an order out of its row's resting orders, and out of line."""
    before, behind, nodes = np.int64(node.row_prev), np.int64(node.row_next), engine.nodes
    forward = address_of(row) + ROW_RESTING if before == 0 else nodes + before * NODE_SIZE + ROW_NEXT  # a select, which a load would make a branch
    record_at(forward, 0, PLACE).index = behind
    record_at(nodes, behind, NODE).row_prev = before  # as in unlink
    unlink_from_line(engine, account_at(row, node), node)


@leaf
def account_at(row, node):
    """The account that an order of a row is for."""
    return record_at(row.accounts, np.int64(node.instrument), ACCOUNT)


@leaf
def account_of(engine, node):
    """The account that an order is for."""
    return account_at(row_at(engine, node.row), node)


@leaf
def first_in_line(account, side):
    """The resting order of a row that is best, and there earliest, on a side of a book; 0: none rests there."""
    return np.int64(line_at(account, side).first)


@leaf
def stands_before(a, b):
    """Whether one order of a row is filled before another on its side."""
    return a.level > b.level or (a.level == b.level and (a.priority, a.arrival) < (b.priority, b.arrival))


@leaf
def link_in_line(engine, account, node, index):
    """Put a resting order, which is in its level's list, in its row's line on its side of the book.

    Nearly always that is behind the order before it at its level, or at an end of the line; only a level between others is searched for.
    """
    line = line_at(account, node.side)
    before = np.int64(line.last)
    behind = np.int64(0)
    if before != 0 and stands_before(node, node_at(engine, before)):
        before = np.int64(node.prev)
        neighbour = node_at(engine, before)
        behind = np.int64(neighbour.line_next)
        is_own = neighbour.order_id != 0 and neighbour.row == node.row and stands_before(neighbour, node)
        if not is_own or behind == 0 or not stands_before(node, node_at(engine, behind)):
            before, behind = np.int64(0), np.int64(line.first)
            while stands_before(node_at(engine, behind), node):
                before, behind = behind, np.int64(node_at(engine, behind).line_next)
    node.line_prev = before
    node.line_next = behind
    join_in_line(engine, line, before, index, index, behind)


@leaf
def unlink_from_line(engine, account, node):
    """Take an order out of its row's line."""
    line = line_at(account, node.side)
    before, behind = np.int64(node.line_prev), np.int64(node.line_next)
    join_in_line(engine, line, before, behind, before, behind)


@leaf
def join_in_line(engine, line, before, its_next, its_previous, behind):  # noqa: PLR0913, PLR0917 - an argument is a register, a field of a record is memory
    """What comes behind one order of a line, and before another; or (0) is its first and last. Selects: who stands at an end is as good as a coin."""
    nodes = engine.nodes
    forward = address_of(line) if before == 0 else nodes + before * NODE_SIZE + LINE_NEXT
    back = address_of(line) + LINE_LAST if behind == 0 else nodes + behind * NODE_SIZE + LINE_PREV
    record_at(forward, 0, PLACE).index = its_next
    record_at(back, 0, PLACE).index = its_previous


@kernel
def find_own_best(engine, instrument, side):
    """The best level at which an order of ours rests, looked up afresh; LEVEL_NONE if there is none."""
    best = LEVEL_NONE
    for r in range(engine.rows_n):
        index = first_in_line(record_at(row_at(engine, r).accounts, instrument, ACCOUNT), side)
        if index != 0:
            best = max(best, np.int64(node_at(engine, index).level))
    return best


@leaf
def ticket_at(row, place):
    """The ticket at one of a row's places."""
    return record_at(row.places, np.int64(place), TICKET)


@leaf
def place_of(row, order_id, d):
    """The d-th of a row's places at which an order's ticket may lie. The first is where the id says: those of the latest lie side by side.

    Steps are odd, so that they lead to every place, and the golden ratio of all: whatever run of ids rests for long, few steps lead out of it (Knuth 6.4).
    """
    return (order_id + d * row.step) & row.mask


@leaf
def find_ticket(row, order_id):
    """The ticket of a row's order; an empty one if the order has ended or never was. Nearly always it lies where the id says."""
    ticket = ticket_at(row, order_id & row.mask)
    if ticket.order_id == order_id:
        return ticket
    return find_displaced(row, order_id)


@kernel
def find_displaced(row, order_id):
    """As find_ticket, for ids that had to make way, and those of orders that are not live."""
    if row.displacement_max != 0 and 0 < order_id <= row.last_id:
        for d in range(1, row.displacement_max + 1):
            ticket = ticket_at(row, place_of(row, order_id, d))
            if ticket.order_id == order_id:
                return ticket
    return ticket_at(row, -1)  # which is nobody's


@leaf
def find_node(row, order_id):
    """Number of the node of a row's order; 0 if the order has ended or never was."""
    return np.int64(find_ticket(row, order_id).index)


@leaf
def claim_node(engine, row, order_id, price):
    """The node for a new order, of the row's free ones that which was freed last: its lines are at hand. The row has fewer orders than nodes.

    Which is free after it is told by the distance, so that nodes of zeros are free ones, and take no memory before they are used.
    """
    index = row.nodes_free
    node = node_at(engine, index)
    row.nodes_free = index + 1 + node.next
    place = order_id & row.mask
    if unlikely(ticket_at(row, place).order_id != 0):
        place = displaced(row, order_id)
    ticket = ticket_at(row, place)
    ticket.order_id = order_id
    ticket.price_requested = price
    ticket.index = index
    node.place = place
    return index


@kernel
def displaced(row, order_id):
    """The first free place for the ticket of an order whose first is taken."""
    d = np.int64(1)
    while ticket_at(row, place_of(row, order_id, d)).order_id != 0:
        d += 1
    row.displacement_max = max(row.displacement_max, d)
    return place_of(row, order_id, d)


@leaf
def free_node(row, node, index):
    """Give back the node of an order that is over, as its row knows."""
    ticket = ticket_at(row, node.place)
    ticket.order_id = 0
    ticket.price_requested = 0
    ticket.index = 0
    ticket.cancelling = 0
    node.order_id = 0
    node.next = row.nodes_free - index - 1
    row.nodes_free = index


@kernel
def own_at(ladder, level):
    """Head of the list at a level of the window or beyond, without making a cell."""
    i = level - ladder.base
    if 0 < i < ladder.width:
        return record_at(ladder.cells, i, CELL).own
    place = far_place(ladder, level)
    if place < ladder.far_count:
        found = record_at(ladder.far, place, FAR_CELL)
        if found.level == level:
            return found.cell.own
    return np.int32(0)
