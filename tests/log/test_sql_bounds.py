"""Where the embedded log begins and ends costs two probes of an index, however much of it there is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from adapters.engines import open_engine
from adapters.log.sql import SqlLog
from migrations.schema.state import metadata
from tests.support.plans import asked, most_read

TOPIC = "insurer.policy_admin"
RECORDS = 3000

pytestmark = pytest.mark.postgres


@pytest.fixture
def full(postgres_url: str) -> Iterator[tuple[SqlLog, Engine]]:
    """A log that has just been filled: of its table PostgreSQL has no statistics yet."""
    engine = open_engine(postgres_url)
    metadata.create_all(engine)
    log = SqlLog(engine)
    log.create(TOPIC, 1)
    with engine.begin() as connection:
        fill = (
            "INSERT INTO strangler_log_record SELECT :topic, 0, i, '' FROM generate_series(0, :last) AS s(i)"
        )
        connection.execute(text(fill), {"topic": TOPIC, "last": RECORDS - 1})
    yield log, engine
    log.close()


def test_the_bounds_of_a_log_that_was_just_filled_are_found_without_reading_it(
    full: tuple[SqlLog, Engine],
) -> None:
    log, engine = full
    found = asked(engine, "strangler_log_record", lambda: log.bounds(TOPIC))
    assert log.bounds(TOPIC) == {0: (0, RECORDS)}
    assert [most_read(engine, *one) for one in found] == [1]
