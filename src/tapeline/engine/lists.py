"""Where our orders stand: a list per price level (in order of arrival), a list of resting orders per row, and the nodes by order id."""

import numpy as np

from tapeline.engine.records import FREE, NODE, ROW
from tapeline.jit import kernel, leaf
from tapeline.market.book import side_of
from tapeline.market.ladder import CELL, FAR_CELL, LEVEL_NONE, cell_at, far_drop_empty, far_place
from tapeline.memory import record_at


@leaf
def node_at(engine, index):
    """A node by its number."""
    return record_at(engine.nodes, np.int64(index), NODE)


@leaf
def row_at(engine, index):
    """A row by its number."""
    return record_at(engine.rows, np.int64(index), ROW)


@kernel
def link(engine, book, index):
    """Put a node at the end of its level's list; the level has room. The list is circular backwards: the head's `prev` is the tail."""
    node = node_at(engine, index)
    ladder = side_of(book, node.side)
    cell = cell_at(ladder, np.int64(node.level))
    node.next = 0
    if cell.own == 0:
        cell.own = index
        node.prev = index
    else:
        head = node_at(engine, cell.own)
        node_at(engine, head.prev).next = index
        node.prev = head.prev
        head.prev = index
    if node.order_id != 0:
        ladder.own_best = max(ladder.own_best, np.int64(node.level))


@kernel
def unlink(engine, book, index):
    """Take a node out of its level's list."""
    node = node_at(engine, index)
    ladder = side_of(book, node.side)
    level = np.int64(node.level)
    cell = cell_at(ladder, level)
    head_index = cell.own
    if head_index == index:
        cell.own = node.next
        if node.next != 0:
            node_at(engine, node.next).prev = node.prev
    else:
        node_at(engine, node.prev).next = node.next
        tail_holder = node.next if node.next != 0 else head_index
        node_at(engine, tail_holder).prev = node.prev
    if not ladder.base < level < ladder.base + ladder.width:
        far_drop_empty(ladder, level)


@kernel
def link_resting(engine, row, index):
    """Put an order at the head of its row's resting orders."""
    node = node_at(engine, index)
    node.row_prev = 0
    node.row_next = row.resting
    if row.resting != 0:
        node_at(engine, row.resting).row_prev = index
    row.resting = index


@kernel
def unlink_resting(engine, row, index):
    """Take an order out of its row's resting orders."""
    node = node_at(engine, index)
    if node.row_prev != 0:
        node_at(engine, node.row_prev).row_next = node.row_next
    else:
        row.resting = node.row_next
    if node.row_next != 0:
        node_at(engine, node.row_next).row_prev = node.row_prev


@kernel
def find_own_best(engine, instrument, side):
    """The best level at which an order of ours rests, looked up afresh; LEVEL_NONE if there is none."""
    best = LEVEL_NONE
    for r in range(engine.rows_n):
        index = row_at(engine, r).resting
        while index != 0:
            node = node_at(engine, index)
            if node.instrument == instrument and node.side == side:
                best = max(best, np.int64(node.level))
            index = node.row_next
    return best


@leaf
def find_node(engine, row, order_id):
    """Number of the node of a row's order; 0 if the order has ended or never was."""
    if order_id <= 0 or order_id > row.last_id:
        return np.int64(0)
    mask = row.capacity - 1
    for d in range(row.displacement_max + 1):
        index = row.first_node + ((order_id + d) & mask)
        node = node_at(engine, index)
        if node.order_id == order_id and node.local_state != FREE:
            return index
    return np.int64(0)


@kernel
def claim_node(engine, row, order_id):
    """A free node for a new order; the row has fewer orders than nodes."""
    mask = row.capacity - 1
    d = np.int64(0)
    while node_at(engine, row.first_node + ((order_id + d) & mask)).local_state != FREE:
        d += 1
    row.displacement_max = max(row.displacement_max, d)
    return row.first_node + ((order_id + d) & mask)


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
