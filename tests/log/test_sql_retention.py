"""The end of the embedded log: what is pruned is told, never skipped, and offsets go on as if nothing had gone."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.engines import open_engine
from adapters.log import sql
from adapters.log.sql import SqlLog
from migrations.schema.state import metadata
from tests.support.state import ENGINES, SECOND, START, draft
from toolkit.core.errors import OffsetLost
from toolkit.core.records import Record, Watermark
from toolkit.ports import PrunableLog

TOPIC = "insurer.policy_admin"
SHORT = dt.timedelta(milliseconds=100)


@pytest.fixture(params=ENGINES)
def log(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqlLog]:
    monkeypatch.setattr(sql, "PRUNE_CHUNK", 4)
    url = f"sqlite:///{tmp_path}/log.db"
    engine = open_engine(request.getfixturevalue("postgres_url") if request.param == "postgres" else url)
    metadata.create_all(engine)
    log = SqlLog(engine)
    log.create(TOPIC, 1)
    yield log
    log.close()


def publish(log: SqlLog, numbers: range) -> None:
    """Event n + 1 of the only partition, at START and n seconds."""
    given = [draft(number, time=START + number * SECOND) for number in numbers]
    records = [
        Record(envelope=one.envelope, data=one.data, partition=0, sequence=number + 1)
        for number, one in zip(numbers, given, strict=True)
    ]
    log.publisher(TOPIC).publish(records)


def prune(log: SqlLog, first: int) -> list[int]:
    return list(log.prune(TOPIC, {0: first}))


def test_it_is_pruned_in_steps_and_its_bounds_tell(log: SqlLog) -> None:
    assert isinstance(log, PrunableLog)
    publish(log, range(20))
    assert prune(log, 10) == [4, 4, 2]
    assert log.bounds(TOPIC) == {0: (10, 20)}
    assert prune(log, 10) == []


def test_the_last_record_stays_so_that_the_next_offset_is_the_next(log: SqlLog) -> None:
    publish(log, range(5))
    prune(log, 99)
    assert log.bounds(TOPIC) == {0: (4, 5)}
    publish(log, range(5, 6))
    assert log.bounds(TOPIC) == {0: (4, 6)}


def test_where_an_instant_begins_is_found(log: SqlLog) -> None:
    assert log.before(TOPIC, START) == {0: 0}
    publish(log, range(20))
    prune(log, 3)
    for second, offset in ((0, 3), (7, 7), (19, 19), (99, 20)):
        assert log.before(TOPIC, START + second * SECOND) == {0: offset}


def test_an_offset_that_was_pruned_is_refused_to_who_asks_for_it(log: SqlLog) -> None:
    publish(log, range(10))
    prune(log, 6)
    consumer = log.consumer()
    with pytest.raises(OffsetLost, match=r"offset 5 is asked for, but the log holds 6 to 10 .*retention"):
        consumer.assign({(TOPIC, 0): 5})
    consumer.assign({(TOPIC, 0): 6})
    assert len(consumer.poll(100, SHORT)) == 4


def test_a_reader_that_is_overtaken_is_told_and_skips_nothing(log: SqlLog) -> None:
    publish(log, range(10))
    consumer = log.consumer()
    consumer.assign({(TOPIC, 0): 0})
    assert len(consumer.poll(3, SHORT)) == 3
    log.publisher(TOPIC).watermark({0: Watermark(as_of=START, sequence=10)})
    prune(log, 99)
    with pytest.raises(OffsetLost, match=r"offset 3 is asked for, but the log holds 9 to 10"):
        consumer.poll(100, SHORT)
