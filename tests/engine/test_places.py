"""Where the nodes of a row's orders are, by id, and which one a new order gets."""

import numpy as np
import pytest

from tapeline.engine.lists import TICKET, claim_node, find_node, free_node, node_at
from tapeline.engine.records import NODE, Row
from tapeline.engine.state import Engine
from tapeline.jit import entry

ORDERS_MAX, PLACES = 24, 64


@entry
def claim(engine, row, order_id):
    """A node for a new order."""
    index = claim_node(engine, row, order_id, 0)
    node_at(engine, index).order_id = order_id
    return index


@entry
def find(row, order_id):
    """The node of an order."""
    return find_node(row, order_id)


@entry
def free(engine, row, index):
    """An order is over."""
    free_node(row, node_at(engine, index), index)


@pytest.mark.nojit
@pytest.mark.parametrize("rests", [lambda _: False, lambda i: i <= ORDERS_MAX - 2, lambda i: i % 3 == 0, lambda i: i % PLACES == 0])
def test_every_live_order_is_found_and_no_other(rests):
    """Whichever orders rest for ever while others come and go: ids find their own nodes as long as they live, and a new order gets the node freed last."""
    nodes, places = np.zeros(1 + ORDERS_MAX, NODE), np.zeros(1 + PLACES, TICKET)
    engine, row = Engine.array(1)[0], Row.array(1)[0]
    engine.nodes = nodes.ctypes.data
    row.places, row.mask, row.step, row.nodes_free = places.ctypes.data + TICKET.itemsize, PLACES - 1, 39, 1
    live: dict[int, int] = {}
    resting, freed = 0, 0
    for order_id in range(1, 400):
        row.last_id = order_id
        index = claim(engine, row, order_id)
        assert index not in live.values()
        assert freed in {0, index}
        live[order_id] = index
        if rests(order_id) and resting < ORDERS_MAX - 2:
            resting += 1
            freed = 0
        else:
            freed = live.pop(order_id)
            free(engine, row, freed)
        ids = {0, -1, order_id, order_id + 1, max(1, order_id - PLACES), *live}
        assert {i: find(row, i) for i in ids} == {i: live.get(i, 0) for i in ids}
    assert np.count_nonzero(places["index"]) == len(live)
