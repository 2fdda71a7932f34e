"""Reading ahead and working behind: order, bounds, errors, and stopping."""

import threading

import pytest

from landslide_rcnn.inference.threads import WorkBehind, read_ahead


def counting(limit, made):
    for number in range(limit):
        made.append(number)
        yield number


def test_items_arrive_in_order_from_another_thread():
    threads = set()

    def items():
        threads.add(threading.current_thread())
        yield from range(50)

    assert list(read_ahead(items(), 3)) == list(range(50))
    assert threading.current_thread() not in threads


def test_no_more_is_read_ahead_than_asked_for():
    made = []
    stream = read_ahead(counting(100, made), 2)
    assert next(stream) == 0
    stream.close()  # waits for the thread: what is made now is all that will ever be
    # One handed over, two waiting, one in the producer's hand.
    assert len(made) <= 4


def test_an_error_of_the_producer_comes_after_its_items():
    def items():
        yield 1
        raise ValueError("no more")

    stream = read_ahead(items(), 5)
    assert next(stream) == 1
    with pytest.raises(ValueError, match="no more"):
        next(stream)


def test_work_is_done_in_order_and_awaited():
    done = []
    with WorkBehind(done.append, 2) as behind:
        for number in range(20):
            behind.put(number)
    assert done == list(range(20))


def test_an_error_of_the_work_stops_the_caller():
    def work(number):
        if number == 3:
            raise ValueError("three")

    with pytest.raises(ValueError, match="three"), WorkBehind(work, 1) as behind:
        for number in range(100):
            behind.put(number)


def test_an_error_at_the_last_item_is_not_lost():
    def work(_):
        raise ValueError("the only one")

    with pytest.raises(ValueError, match="only"), WorkBehind(work, 1) as behind:
        behind.put(0)


def test_an_error_of_the_caller_drops_what_waits():
    begun, gate, done = threading.Event(), threading.Event(), []

    def work(number):
        begun.set()
        gate.wait(10)
        done.append(number)

    with pytest.raises(KeyboardInterrupt), WorkBehind(work, 5) as behind:
        for number in range(5):
            behind.put(number)
        begun.wait(10)
        threading.Timer(0.05, gate.set).start()
        raise KeyboardInterrupt
    assert done == [0]
