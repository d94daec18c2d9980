"""What capture could not learn of a row is never taken for a value, and what it could not read is parked."""

import datetime as dt

import pytest

from toolkit.core.changes import Change, Op


def change(before: dict[str, object] | None, after: dict[str, object]) -> Change:
    return Change(
        source="s",
        table="T",
        op=Op.UPDATE,
        subject="1",
        position="1",
        captured_at=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        before=before,
        after=after,
        unknown={"NOTE": "not touched"},
    )


def test_a_column_that_is_not_known_says_why() -> None:
    with pytest.raises(KeyError, match=r"T\.NOTE is not known: not touched"):
        change(None, {"ID": 1})["NOTE"]
    with pytest.raises(KeyError, match="T has no column OTHER"):
        change(None, {"ID": 1})["OTHER"]


def test_a_column_that_was_not_touched_did_not_change() -> None:
    assert not change({"ID": 1, "A": 1}, {"ID": 1, "A": 2}).changed("NOTE")
