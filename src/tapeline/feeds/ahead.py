"""Work ahead on a thread, and the buffers that are handed over by it."""

import contextlib
import contextvars
import queue
import threading
import weakref
from collections.abc import Generator
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
T = TypeVar("T")


class Buffers:
    """Buffers that come back when the last array that looks into them is gone, so that a view never changes under its holder."""

    def __init__(self, size: int) -> None:
        """All buffers have `size` bytes."""
        self._size = size
        self._idle: list[bytearray] = []

    def lend(self) -> Bytes:
        """An array on an idle buffer, or on a new one."""
        memory = self._idle.pop() if self._idle else bytearray(self._size)
        array: Bytes = np.frombuffer(memory, np.uint8)
        # Views refer to this array and not to its memory, so it dies with the last of them.
        weakref.finalize(array, self._idle.append, memory).atexit = False
        return array


_END: Final = object()


def ahead(items: Generator[T, None, None]) -> Generator[T, None, None]:
    """The items of a generator that runs on a thread of its own, one item ahead; its errors are raised here, at their place.

    The thread has ended when this generator is exhausted or closed.
    """
    made: queue.SimpleQueue[T | BaseException | object] = queue.SimpleQueue()
    room: queue.SimpleQueue[None] = queue.SimpleQueue()  # what one with a bound would do; but such queues are written in Python, and take 20 times as long
    room.put(None)
    stop = threading.Event()

    def work() -> None:
        try:
            with contextlib.closing(items):
                for item in items:
                    room.get()
                    if stop.is_set():
                        return
                    made.put(item)
                    del item  # a chunk given away must not be kept alive from here
            end: BaseException | object = _END
        except BaseException as error:  # noqa: BLE001 - handed to the reader, who raises it
            end = error
        made.put(end)

    context = contextvars.copy_context()  # NumPy's error settings are part of it
    thread = threading.Thread(target=context.run, args=(work,), name="tapeline-read-ahead", daemon=True)
    thread.start()
    try:
        while (item := made.get()) is not _END:
            if isinstance(item, BaseException):
                raise item
            room.put(None)
            yield item  # type: ignore[misc]  # neither an error nor the end
            del item
    finally:
        stop.set()
        room.put(None)  # it may be waiting for that
        thread.join()
