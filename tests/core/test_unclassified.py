"""Changes that gave nothing are counted by shape, unless they are declared to mean nothing."""

import datetime as dt

import pytest

from toolkit.core.changes import Change, Op
from toolkit.core.unclassified import Meaningless, Shape, meaningless, shape_of, tally

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
TOUCHED = Meaningless(table="POLMAST", columns=frozenset({"LST_UPD", "UPD_USR"}), why="bookkeeping")


def change(
    op: Op, before: dict[str, object] | None, after: dict[str, object] | None, position: str = "change:1"
) -> Change:
    return Change(
        source="policy_admin",
        table="POLMAST",
        op=op,
        subject="P-1",
        position=position,
        captured_at=NOON,
        before=before,
        after=after,
    )


def test_the_shape_of_an_update_is_what_it_touched() -> None:
    given = change(Op.UPDATE, {"A": 1, "B": 2, "C": 3}, {"A": 1, "B": 9, "D": 4})

    assert shape_of(given) == Shape(table="POLMAST", op=Op.UPDATE, columns=("B", "C", "D"))
    assert str(shape_of(given)) == "POLMAST update of B, C, D"
    assert str(shape_of(change(Op.INSERT, None, {"A": 1}))) == "POLMAST insert"


@pytest.mark.parametrize(
    ("op", "columns", "means_nothing"),
    [
        (Op.UPDATE, ("LST_UPD",), True),
        (Op.UPDATE, ("LST_UPD", "UPD_USR"), True),
        (Op.UPDATE, ("LST_UPD", "STAT_CD"), False),
        (Op.UPDATE, (), True),
        (Op.INSERT, (), False),
        (Op.DELETE, (), False),
    ],
)
def test_only_what_is_declared_means_nothing(op: Op, columns: tuple[str, ...], means_nothing: bool) -> None:
    assert meaningless(Shape(table="POLMAST", op=op, columns=columns), [TOUCHED]) is means_nothing


def test_columns_of_several_declarations_add_up() -> None:
    other = Meaningless(table="POLMAST", columns=frozenset({"PRINTED"}), why="printing")

    assert meaningless(Shape(table="POLMAST", op=Op.UPDATE, columns=("LST_UPD", "PRINTED")), [TOUCHED, other])
    assert not meaningless(Shape(table="CLMNTF", op=Op.UPDATE, columns=("LST_UPD",)), [TOUCHED])


def test_a_table_without_meaning_is_declared_whole() -> None:
    whole = Meaningless(table="POLMAST", columns=frozenset(), why="a work table of the night run")

    assert meaningless(Shape(table="POLMAST", op=Op.DELETE), [whole])


def test_changes_are_counted_by_shape_with_the_latest_example() -> None:
    silent = [
        change(Op.UPDATE, {"STAT_CD": "A"}, {"STAT_CD": "H"}, "change:1"),
        change(Op.UPDATE, {"LST_UPD": 1}, {"LST_UPD": 2}, "change:2"),
        change(Op.UPDATE, {"STAT_CD": "H"}, {"STAT_CD": "A"}, "change:3"),
    ]

    (found,) = tally("policy_admin", silent, [TOUCHED], NOON)

    assert (str(found.shape), found.count, found.position) == ("POLMAST update of STAT_CD", 2, "change:3")
    assert found.open
