"""Two helpers for work that runs beside the model: reading ahead, and writing behind.

Used by `runners.py` and `tiled.py`. While the model computes, the next tiles are read and the
last ones are blended, merged and written; on two cores that keeps the model busy. Both helpers
are bounded, hand errors over to the calling thread, and stop when it stops.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

_END = object()
POLL_SECONDS = 0.1  # how soon a waiting thread notices that the other side has stopped


def read_ahead(items: Iterable[Any], depth: int) -> Iterator[Any]:
    """Yield `items`, produced in a thread of their own, at most `depth` of them ahead.

    An error of the producer is raised here, after the items before it. Closing the generator
    stops the producer before its next item and waits for it.

    Args:
        items: Iterated in the other thread only.
        depth: At least 1.
    """
    ready: queue.Queue = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: Any) -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=POLL_SECONDS)
                return True
            except queue.Full:
                continue
        return False

    def produce() -> None:
        try:
            for item in items:
                if not put((item, None)):
                    return
            put((_END, None))
        except BaseException as error:  # handed over, not swallowed: raised by the consumer
            put((_END, error))

    thread = threading.Thread(target=produce, name="read ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stopped.set()
        thread.join()


class WorkBehind:
    """Calls a function on items in a thread of its own, in order; a context manager.

    Leaving the block waits for all items; leaving it by an error drops those not yet begun.

    Args:
        work: Called with one item at a time, never twice at once.
        depth: Items that may wait; `put` blocks beyond that.
    """

    def __init__(self, work: Callable[[Any], None], depth: int) -> None:
        self._work = work
        self._waiting: queue.Queue = queue.Queue(depth)
        self._dropping = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="work behind", daemon=True)

    def put(self, item: Any) -> None:
        """Hand an item over; raises what the function raised on an earlier one."""
        while True:
            if self._error is not None:
                raise self._error
            try:
                self._waiting.put(item, timeout=POLL_SECONDS)
                return
            except queue.Full:
                continue

    def __enter__(self) -> "WorkBehind":
        self._thread.start()
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        if error_type is not None:
            self._dropping.set()
        # Always room for the end: the thread takes items out even when it only drops them.
        self._waiting.put(_END)
        self._thread.join()
        if error_type is None and self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (item := self._waiting.get()) is not _END:
            if self._dropping.is_set() or self._error is not None:
                continue
            try:
                self._work(item)
            except BaseException as error:  # handed over, not swallowed: raised by `put`
                self._error = error
