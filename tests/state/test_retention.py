"""The end of the archive: what is cut is gone at once and for good, nothing else is, and nothing comes back as new."""

import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, text, update

from adapters.engines import open_engine
from adapters.state.retention import SqlRetention
from adapters.state.store import State
from adapters.state.time_partitions import spans
from migrations.schema import state as tables
from tests.support.state import SECOND, SOURCE, START, draft
from tests.support.waiting import wait_until
from toolkit.core.errors import HistoryGone, Infrastructure
from toolkit.core.records import Record, Run
from toolkit.loops.relay import lease_name

TOPIC = "insurer.policy_admin"
DAY = dt.timedelta(days=1)
TODAY = dt.datetime.now(dt.UTC).date()


@pytest.fixture
def epoch(state: State) -> int:
    return state.leases.acquire(lease_name(SOURCE), "test", 60 * SECOND, START)


@pytest.fixture
def retention(state: State) -> SqlRetention:
    return SqlRetention(state.engine, chunk=3, rest=0)


def archive(state: State, epoch: int, numbers: range, *, days_ago: int = 0, publish: bool = True) -> None:
    """Events of one partition, with the sequences number + 1, that were archived some days ago."""
    given = [draft(number, f"P-{number % 4}", time=START + number * SECOND) for number in numbers]
    records = state.archive.append(SOURCE, TOPIC, given, partitions=1, epoch=epoch)
    first = records[0].sequence
    with state.engine.begin() as connection:
        aged = update(tables.event).where(tables.event.c.sequence >= first)
        connection.execute(aged.values(archived_on=TODAY - days_ago * DAY))
    if publish:
        run = Run(partition=0, sequence=first, offset=99 + first, count=len(records))
        state.archive.published(TOPIC, [run], source=SOURCE, epoch=epoch)


def sequences(state: State, after: int = 0) -> list[int]:
    found = state.archive.scan(TOPIC, {0: after}, 1000)
    return [one.content.sequence for one in found if isinstance(one.content, Record)]


def rows(state: State) -> int:
    with state.engine.connect() as connection:
        return len(connection.execute(select(tables.event.c.sequence)).all())


def sweep(retention: SqlRetention) -> int:
    return sum(one.events for one in retention.sweep())


def test_a_page_never_leaves_out_what_went_while_it_was_read(state: State, epoch: int) -> None:
    """A time partition is gone for every statement that begins later, whatever the snapshot of its transaction."""
    archive(state, epoch, range(10))
    with state.engine.begin() as connection:
        connection.execute(text("DELETE FROM strangler_event WHERE sequence BETWEEN 4 AND 6"))
    with pytest.raises(HistoryGone, match="is asked for"):
        state.archive.scan(TOPIC, {}, 100)
    with pytest.raises(HistoryGone, match="is asked for"):
        state.archive.scan(TOPIC, {}, 100, ["PolicyIssued"])


def test_what_is_cut_is_gone_at_once_and_the_rest_is_there(
    state: State, epoch: int, retention: SqlRetention
) -> None:
    archive(state, epoch, range(10))
    retention.cut(TOPIC, {0: 4})
    for _ in range(2):
        assert sequences(state, after=4) == [5, 6, 7, 8, 9, 10]
        assert state.archive.pruned(TOPIC) == {0: 4}
        assert [one.sequence for one in state.archive.of_subject(TOPIC, "P-1")] == [6, 10]
        with pytest.raises(HistoryGone, match=r"event 1 is asked for, but .* up to event 4"):
            state.archive.scan(TOPIC, {}, 10)
        with pytest.raises(HistoryGone, match=r"event 1 is asked for, but .* up to event 4"):
            state.archive.scan(TOPIC, {}, 10, ["PolicyIssued"])
        sweep(retention)
    assert rows(state) == 6
    assert state.archive.last_sequences(TOPIC) == {0: 10}
    (kept,) = retention.kept(TOPIC)
    assert (kept.pruned, kept.published, kept.events, kept.since) == (4, 10, 6, START + 4 * SECOND)


def test_an_event_that_comes_again_after_it_was_pruned_adds_nothing(
    state: State, epoch: int, retention: SqlRetention
) -> None:
    archive(state, epoch, range(10))
    retention.cut(TOPIC, {0: 10})
    sweep(retention)
    again = [draft(number, f"P-{number % 4}") for number in range(8, 12)]
    new = state.archive.append(SOURCE, TOPIC, again, partitions=1, epoch=epoch)
    assert [(one.envelope.id, one.sequence) for one in new] == [
        (draft(10).envelope.id, 11),
        (draft(11).envelope.id, 12),
    ]


def test_an_id_that_an_application_gave_twice_does_not_stop_the_pruning(
    state: State, epoch: int, retention: SqlRetention
) -> None:
    """An outbox row that was deleted and written again, with the same contents, is one fact told twice."""
    same = [draft(1, "P-1", time=START)] * 2
    for _ in range(2):
        state.archive.append(SOURCE, TOPIC, same, partitions=1, epoch=epoch, doubtful=False)
    run = Run(partition=0, sequence=1, offset=0, count=4)
    state.archive.published(TOPIC, [run], source=SOURCE, epoch=epoch)
    retention.cut(TOPIC, {0: 3})
    assert sweep(retention) == 3
    assert rows(state) == 1


def test_where_the_log_has_an_event_is_known_also_when_it_was_pruned(
    state: State, epoch: int, retention: SqlRetention
) -> None:
    archive(state, epoch, range(10))
    retention.cut(TOPIC, {0: 10})
    sweep(retention)
    assert state.archive.offsets(TOPIC, {0: 1}) == {0: 100}
    assert state.archive.offsets(TOPIC, {0: 11, 1: 1}) == {}


def test_nothing_is_cut_that_is_not_published_and_no_cut_moves_back_by_itself(
    state: State, epoch: int, retention: SqlRetention
) -> None:
    archive(state, epoch, range(5))
    archive(state, epoch, range(5, 8), days_ago=9, publish=False)
    assert retention.before(TOPIC, TODAY) == {0: 0}
    retention.cut(TOPIC, {0: 6})
    assert state.archive.pruned(TOPIC) == {0: 0}
    retention.cut(TOPIC, {0: 5})
    retention.cut(TOPIC, {0: 2})
    assert state.archive.pruned(TOPIC) == {0: 5}
    sweep(retention)
    assert [one.sequence for one in state.archive.unpublished(TOPIC, 10)] == [6, 7, 8]


def test_a_cut_is_taken_back_as_far_as_nothing_was_removed(
    state: State, epoch: int, retention: SqlRetention
) -> None:
    archive(state, epoch, range(10))
    retention.cut(TOPIC, {0: 4})
    retention.uncut(TOPIC, {0: 1})
    assert state.archive.pruned(TOPIC) == {0: 1}
    retention.cut(TOPIC, {0: 4})
    next(iter(retention.sweep()))
    retention.cut(TOPIC, {0: 7})
    retention.uncut(TOPIC, {0: 1})
    assert state.archive.pruned(TOPIC) == {0: 4}


def test_what_was_interrupted_goes_on(state: State, epoch: int, retention: SqlRetention) -> None:
    archive(state, epoch, range(20))
    retention.cut(TOPIC, {0: 14})
    for one in retention.sweep():
        assert one.events <= 3
        break
    assert rows(state) == 17
    sweep(retention)
    assert (rows(state), sequences(state, after=14)) == (6, [15, 16, 17, 18, 19, 20])


def test_age_is_told_by_the_day_of_archiving(state: State, epoch: int, retention: SqlRetention) -> None:
    archive(state, epoch, range(7), days_ago=40)
    archive(state, epoch, range(7, 12), days_ago=20)
    archive(state, epoch, range(12, 15))
    for days, last in ((50, 0), (39, 7), (30, 7), (20, 7), (19, 12), (0, 12), (-1, 15)):
        assert retention.before(TOPIC, TODAY - days * DAY) == {0: last}, days


# --- time partitions


def test_time_partitions_follow_each_other_without_a_gap() -> None:
    found = spans(dt.date(2026, 11, 24), dt.date(2027, 1, 5), monthly=True)
    assert [(one.since, one.until) for one in found] == [
        (dt.date(2026, 11, 24), dt.date(2026, 12, 1)),
        (dt.date(2026, 12, 1), dt.date(2027, 1, 1)),
        (dt.date(2027, 1, 1), dt.date(2027, 2, 1)),
    ]
    assert len(spans(TODAY, TODAY + 7 * DAY, monthly=False)) == 8


@pytest.fixture
def postgres(state: State) -> State:
    if state.engine.dialect.name != "postgresql":
        pytest.skip("only PostgreSQL has partitions by time")
    return state


def tables_of(state: State) -> dict[str, int]:
    sql = "SELECT tableoid::regclass::text, count(*) FROM strangler_event GROUP BY 1"
    with state.engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(text(sql))}


def test_partitions_are_there_before_their_day_and_making_them_again_makes_none(
    postgres: State, epoch: int, retention: SqlRetention
) -> None:
    made = retention.prepare(TODAY, monthly=False)
    assert len(made) == 8
    assert retention.prepare(TODAY, monthly=False) == []
    assert len(retention.prepare(TODAY + DAY, monthly=False)) == 1
    archive(postgres, epoch, range(3))
    assert tables_of(postgres) == {made[0]: 3}
    assert retention.stray() == 0
    monthly = retention.prepare(TODAY, monthly=True)
    assert len(monthly) >= 2, "another span goes on where the last partition ends"


@pytest.mark.parametrize("work", ["published", "cut", "sweep"])
def test_the_relay_and_a_prune_lock_partitions_in_one_order(
    postgres: State, epoch: int, retention: SqlRetention, work: str
) -> None:
    """In two orders each would wait for the other, until the server ends one of them."""
    given = [draft(number, f"P-{number}") for number in range(8)]
    made = postgres.archive.append(SOURCE, TOPIC, given, partitions=2, epoch=epoch)
    runs = [Run(partition=at, sequence=1, offset=0, count=1) for at in (1, 0)]
    assert {one.partition for one in made} == {0, 1}
    if work != "published":
        postgres.archive.published(TOPIC, runs, source=SOURCE, epoch=epoch)
    if work == "sweep":
        retention.cut(TOPIC, {1: 1})
        retention.cut(TOPIC, {0: 1})  # comes behind the other one where the table is read from its beginning
    do: dict[str, Callable[[], object]] = {
        "published": lambda: postgres.archive.published(TOPIC, runs, source=SOURCE, epoch=epoch),
        "cut": lambda: retention.cut(TOPIC, {1: 1, 0: 1}),
        "sweep": lambda: list(retention.sweep()),
    }
    row = "SELECT 1 FROM strangler_sequence WHERE partition = {} FOR UPDATE {}"
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with ThreadPoolExecutor(1) as thread, postgres.engine.begin() as holding:
        holding.execute(text(row.format(1, "")))
        done = thread.submit(do[work])
        with postgres.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as looking:
            wait_until(lambda: bool(looking.scalar(text(waits))), 10, what="it to wait")
            assert looking.execute(text(row.format(0, "SKIP LOCKED"))).all() == []
        holding.rollback()
        done.result(10)


def test_an_event_whose_day_has_no_partition_is_kept_told_and_pruned_like_any(
    postgres: State, epoch: int, retention: SqlRetention
) -> None:
    archive(postgres, epoch, range(5))
    assert retention.stray() == 5
    made = retention.prepare(TODAY, monthly=False)
    assert made, "beginning with tomorrow: today's may be on their way"
    assert all(f"{TODAY:%Y%m%d}" not in name for name in made)
    archive(postgres, epoch, range(5, 7), days_ago=-1)
    retention.cut(TOPIC, {0: 6})
    sweep(retention)
    assert sequences(postgres, after=6) == [7]


def test_a_day_that_began_elsewhere_before_its_partition_was_made_stays_where_it_is(
    postgres: State, epoch: int, retention: SqlRetention
) -> None:
    """A clock is ahead, or it is midnight: the other days get theirs, and nobody fails."""
    archive(postgres, epoch, range(2), days_ago=-1)
    made = retention.prepare(TODAY, monthly=False)
    assert len(made) == 6
    assert all(f"{TODAY + DAY:%Y%m%d}" not in name for name in made)
    assert sequences(postgres) == [1, 2]


def test_a_time_partition_goes_whole_once_nothing_else_is_in_it(
    postgres: State, epoch: int, retention: SqlRetention
) -> None:
    retention.prepare(TODAY - 2 * DAY, monthly=False)
    for day in range(3):
        archive(postgres, epoch, range(day * 4, day * 4 + 4), days_ago=2 - day)
    assert retention.whole(TODAY) == TODAY
    retention.cut(TOPIC, {0: 6})
    done = [one for one in retention.sweep() if one.events]
    assert [(one.events, bool(one.dropped)) for one in done] == [(4, True), (2, False)]
    assert sorted(tables_of(postgres).values()) == [2, 4]
    assert sequences(postgres, after=6) == [7, 8, 9, 10, 11, 12]
    again = [draft(number, f"P-{number % 4}") for number in range(12)]
    assert postgres.archive.append(SOURCE, TOPIC, again, partitions=1, epoch=epoch) == []


def test_a_day_within_a_time_partition_waits_for_the_end_of_it(
    postgres: State, retention: SqlRetention
) -> None:
    retention.prepare(dt.date(2026, 1, 15), monthly=True)
    assert retention.whole(dt.date(2026, 2, 20)) == dt.date(2026, 2, 1)
    assert retention.whole(dt.date(2025, 12, 20)) == dt.date(2025, 12, 20)


def test_who_may_not_make_time_partitions_is_told_whose_work_it_is(postgres: State) -> None:
    role = "relay_only"
    with postgres.engine.begin() as owner:
        owner.execute(text(f"CREATE ROLE {role} LOGIN"))
        owner.execute(text(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"))
    theirs = open_engine(postgres.engine.url.set(username=role).render_as_string(hide_password=False))
    try:
        with pytest.raises(Infrastructure, match=r"belong to somebody else.*`strangler setup`"):
            SqlRetention(theirs).prepare(TODAY, monthly=True)
    finally:
        theirs.dispose()
        with postgres.engine.begin() as owner:
            owner.execute(text(f"DROP OWNED BY {role}"))
            owner.execute(text(f"DROP ROLE {role}"))


def test_who_holds_a_time_partition_is_not_waited_for_and_nothing_waits_behind(
    postgres: State, epoch: int, retention: SqlRetention, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.state.time_partitions.TRIES", 2)
    (name, *_) = retention.prepare(TODAY, monthly=False)
    archive(postgres, epoch, range(4))
    retention.cut(TOPIC, {0: 4})
    with postgres.engine.begin() as reader:
        reader.execute(text("SELECT count(*) FROM strangler_event"))
        assert name in {one.busy for one in retention.sweep()}
    assert rows(postgres) == 0
