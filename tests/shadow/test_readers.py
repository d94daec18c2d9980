"""Asking one side: few at a time, in order, and never for ever."""

import threading

import pytest

from shadow.readers import Failure, Readers


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_answers_come_in_the_order_of_the_keys(threads: int) -> None:
    readers: Readers[int, int] = Readers(lambda number: number * 2, threads=threads)
    assert readers.read(range(100)) == [number * 2 for number in range(100)]
    assert readers.read([]) == []


@pytest.mark.parametrize("threads", [0, 2])
def test_an_exception_is_the_failure_of_its_key_alone(threads: int) -> None:
    def ask(number: int) -> int:
        return 10 // number

    found = Readers(ask, threads=threads).read([1, 0, 2])
    assert (found[0], found[2]) == (10, 5)
    assert isinstance(found[1], Failure)
    assert found[1].error == "ZeroDivisionError"


def test_no_more_reads_at_once_than_threads() -> None:
    inside, most, lock = [0], [0], threading.Lock()
    meet = threading.Barrier(2, timeout=30)

    def ask(_: int) -> None:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        meet.wait()
        with lock:
            inside[0] -= 1

    Readers(ask, threads=2).read(range(10))
    assert most[0] == 2


def test_a_side_that_hangs_is_given_up_and_not_asked_again_until_it_is_free() -> None:
    release, asked = threading.Event(), []

    def ask(number: int) -> int:
        asked.append(number)
        if number < 2:
            release.wait(60)
        return number

    readers: Readers[int, int] = Readers(ask, threads=2, patience=0.05)
    found = readers.read(range(5))
    assert [isinstance(one, Failure) for one in found] == [True] * 5
    assert sorted(asked) == [0, 1]
    readers._patience = 3_600  # what it knows to hang is not waited for again
    assert all(isinstance(one, Failure) for one in readers.read([7, 8]))
    assert sorted(asked) == [0, 1]
    release.set()
    readers = Readers(ask, threads=2, patience=30)
    assert readers.read([7, 8]) == [7, 8]


def test_one_hung_read_leaves_the_other_thread_to_the_rest() -> None:
    release = threading.Event()

    def ask(number: int) -> int:
        if number == 0:
            release.wait(60)
        return number

    found = Readers(ask, threads=2, patience=0.2).read(range(6))
    release.set()
    assert isinstance(found[0], Failure)
    assert found[1:] == [1, 2, 3, 4, 5]


def test_an_exit_in_a_read_is_raised_where_the_answer_is_awaited() -> None:
    def ask(_: int) -> int:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        Readers(ask, threads=1).read([1])
