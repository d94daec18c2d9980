"""Each leader of a shard is offered the changes of its own subjects, and no leader those of another, on every engine."""

from __future__ import annotations

import pytest
from sqlalchemy import bindparam, text

from adapters.legacy.shards import share
from tests.support.legacy import NAMES, TABLES, Legacy, hold, policy
from toolkit.core.records import partition_of
from toolkit.core.shards import shards_of
from toolkit.loops.batches import Ahead
from toolkit.ports import Capture, Cursor, Divisible

ODD = [
    "",
    "P-1",
    "ä",
    "naïve ☃",
    "𝄞",
    "a'b",
    'q"uote',
    "P000123",
    "x" * 500,
    "back\\slash",
    "two words",
    "tab\there",
]


def divided(legacy: Legacy, count: int, partitions: int = 4) -> list[Capture]:
    capture = legacy.source.capture
    assert isinstance(capture, Divisible)
    return [capture.only(shard) for shard in shards_of(count, partitions)]


@pytest.mark.parametrize(("count", "partitions"), [(2, 4), (3, 7), (7, 7)])
def test_the_database_computes_the_same_partition_of_a_subject_as_the_toolkit(
    captured: Legacy, count: int, partitions: int
) -> None:
    schema = "strangler." if captured.postgres else ""
    insert = text(
        f"INSERT INTO {schema}strangler_change (table_name, op, subject, captured_at)"
        " VALUES ('T', 'insert', :subject, '2024-01-01 00:00:00')"
    ).bindparams(bindparam("subject"))
    with captured.engine.begin() as connection:
        connection.execute(insert, [{"subject": one} for one in ODD])
    engine = captured.source.capture._engine  # type: ignore[attr-defined]
    for shard in shards_of(count, partitions):
        where = share(engine.dialect.name, shard)
        asked = text(f"SELECT c.subject FROM {schema}strangler_change c WHERE c.table_name = 'T' AND {where}")
        with engine.connect() as connection:
            found = sorted(connection.scalars(asked))
        assert found == sorted(one for one in ODD if shard.has(partition_of(one, partitions)))


def test_every_change_is_offered_to_the_leader_of_its_subject_and_counted_there_alone(
    captured: Legacy,
) -> None:
    captured.run(*(policy(number) for number in range(1, 13)))
    captured.run(*(hold(number, of=number) for number in range(1, 13)))
    whole = captured.source.capture.pending(100, [])
    horizon = captured.source.capture.horizon()
    found = []
    for shard, capture in zip(shards_of(2, 4), divided(captured, 2), strict=True):
        mine = capture.pending(100, [])
        assert [one.number for one in mine] == [one.number for one in whole if shard.owns(one.subject)]
        assert capture.behind(horizon) == len(mine)
        found += mine
    assert sorted(one.number for one in found) == [one.number for one in whole]
    first, second = divided(captured, 2)
    theirs = second.pending(100, [])
    first.mark([one.number for one in first.pending(100, [])])
    assert first.behind(horizon) == 0
    assert first.pending(100, []) == []
    assert second.pending(100, []) == theirs


def test_what_a_transaction_did_to_a_subject_is_whole_whatever_it_did_to_subjects_of_another_shard(
    captured: Legacy,
) -> None:
    if captured.sqlite:
        pytest.skip("SQLite shows no transactions")
    for shard, capture in zip(shards_of(2, 4), divided(captured, 2), strict=True):
        captured.run("DELETE FROM POLHOLD", "DELETE FROM POLMAST")
        everything = captured.source.capture
        everything.mark([one.number for one in everything.pending(1000, [])])
        captured.run(
            *(policy(number) for number in range(1, 9)),
            *(hold(number, of=number) for number in range(1, 9)),
        )
        own = {f"P{number:04}" for number in range(1, 9) if shard.owns(f"P{number:04}")}
        taken: dict[str, int] = {}
        while some := capture.pending(3, []):
            for one in some:
                assert one.subject not in taken, "cut in two"
            for one in some:
                taken.setdefault(one.subject, len(taken))
            assert all(sum(one.subject == other.subject for other in some) == 2 for one in some)
            capture.mark([one.number for one in some])
        assert taken.keys() == own


def test_a_leader_reads_ahead_among_its_own(captured: Legacy) -> None:
    for number in range(1, 13):
        captured.run(policy(number))
    for shard, capture in zip(shards_of(2, 4), divided(captured, 2), strict=True):
        if not isinstance(capture, Ahead):
            pytest.skip("reads one batch after the other")
        mine = capture.pending(100, [])
        taken = [one.number for one in mine[:2]]
        assert capture.pending_beyond(100, [], taken) == mine[2:]
        assert all(shard.owns(one.subject) for one in mine)


def test_a_cursor_from_before_capture_was_installed_anew_counts_for_nothing(captured: Legacy) -> None:
    """A leader remembers how far the history is read; that it is another capture by now, the database tells."""
    capture = captured.source.capture
    cursor = Cursor(tables=NAMES, done=True, installation=capture.installation(NAMES) or "")
    captured.run(policy(1))
    assert len(capture.pending(10, [cursor])) == 1
    other = captured.open()
    plan = other.capture.plan(TABLES)
    other.capture.remove(plan)
    other.capture.install(other.capture.plan(TABLES))
    other.close()
    captured.run(policy(2))
    assert capture.pending(10, [cursor]) == []
    assert len(capture.pending(10, [])) == 1
