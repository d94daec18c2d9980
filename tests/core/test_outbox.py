"""Outbox rows in one form: whatever their columns are called, and whatever happens to them."""

import datetime as dt

import msgspec
import pytest

from toolkit.core.changes import Change, Op
from toolkit.core.outbox import UPDATED, Layout, facts

NAMES = {"EVENT_ID": "ID", "BODY": "PAYLOAD"}
LAYOUTS = {"OUTBOX": Layout(names=NAMES)}


def change(op: Op, table: str = "OUTBOX") -> Change:
    row = {"EVENT_ID": "7", "BODY": "{}", "ID": 1, "EXTRA": 2}
    return Change(
        source="s",
        table=table,
        op=op,
        subject="1",
        position="1",
        captured_at=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        after=row,
        key=("EVENT_ID",),
    )


@pytest.mark.parametrize("op", [Op.INSERT, Op.SNAPSHOT])
def test_columns_get_the_names_that_translators_know(op: Op) -> None:
    (told,) = facts([change(op)], LAYOUTS)
    assert told.after == {"ID": "7", "PAYLOAD": "{}", "EXTRA": 2}
    assert told.key == ("ID",)
    assert facts([told], LAYOUTS) == [told]


def test_a_row_that_is_deleted_was_tidied_away() -> None:
    assert facts([change(Op.DELETE)], LAYOUTS) == []


def test_a_row_that_is_updated_is_parked_or_ignored_as_the_settings_say() -> None:
    (parked,) = facts([change(Op.UPDATE)], LAYOUTS)
    assert parked.fault == UPDATED
    ignoring = {"OUTBOX": msgspec.structs.replace(LAYOUTS["OUTBOX"], park_updates=False)}
    assert facts([parked], ignoring) == []


def test_other_tables_are_left_alone() -> None:
    assert facts([change(Op.DELETE, "POLMAST")], LAYOUTS) == [change(Op.DELETE, "POLMAST")]
