"""The ledger of changes that gave nothing."""

import datetime as dt

import pytest

from adapters.state.store import State
from tests.support.state import SECOND, SOURCE, START
from toolkit.core.changes import Op
from toolkit.core.errors import UsageError
from toolkit.core.unclassified import Shape, Unclassified
from toolkit.loops.relay import lease_name

STATUS = Shape(table="POLMAST", op=Op.UPDATE, columns=("LST_UPD", "STAT_CD"))
DELETED = Shape(table="POLMAST", op=Op.DELETE)


def seen(shape: Shape, count: int, at: dt.datetime) -> Unclassified:
    return Unclassified(
        source=SOURCE,
        shape=shape,
        count=count,
        subject=f"P-{count}",
        position=f"change:{count}",
        first_at=at,
        last_at=at,
    )


def note(state: State, *found: Unclassified) -> None:
    epoch = state.leases.acquire(lease_name(SOURCE), "test", SECOND, START + note_at(found))
    state.archive.append(SOURCE, "topic", [], partitions=1, epoch=epoch, unclassified=found)
    state.leases.release(lease_name(SOURCE), epoch, START)


def note_at(found: tuple[Unclassified, ...]) -> dt.timedelta:
    return found[0].last_at - START


def test_shapes_are_counted_up_with_their_latest_example(state: State) -> None:
    note(state, seen(STATUS, 2, START), seen(DELETED, 1, START))
    note(state, seen(STATUS, 3, START + SECOND))

    first, second = state.unclassified.of(SOURCE)

    assert (first.shape, first.count, first.subject) == (STATUS, 5, "P-3")
    assert (first.first_at, first.last_at) == (START, START + SECOND)
    assert (second.shape, second.count) == (DELETED, 1)
    assert state.unclassified.of("another") == []


def test_an_answer_holds_until_it_comes_again(state: State) -> None:
    note(state, seen(STATUS, 2, START))
    state.unclassified.answer(SOURCE, STATUS, "ann", "holds say it", START + SECOND)
    (answered,) = state.unclassified.of(SOURCE)
    note(state, seen(STATUS, 1, START + 2 * SECOND))
    (again,) = state.unclassified.of(SOURCE)

    assert (answered.owner, answered.reason, answered.open) == ("ann", "holds say it", False)
    assert again.open


def test_nobody_answers_for_what_never_came(state: State) -> None:
    with pytest.raises(UsageError, match="POLMAST delete"):
        state.unclassified.answer(SOURCE, DELETED, "ann", "why not", START)
