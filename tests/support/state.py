"""A fresh state database on each engine, and events to put into it."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.state.store import State, open_state
from migrations.schema.state import metadata
from toolkit.core.records import Draft, Envelope, Record, event_id, partition_of

START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
SOURCE = "policy_admin"
ENGINES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(params=ENGINES)
def state_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database, on SQLite and on PostgreSQL."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/state.db"


@pytest.fixture
def state(state_url: str) -> Iterator[State]:
    """The state database with its tables."""
    opened = open_state(state_url)
    metadata.create_all(opened.engine)
    yield opened
    opened.close()


def draft(
    number: int,
    subject: str = "P-1",
    *,
    time: dt.datetime = START,
    source: str = SOURCE,
    kind: str = "PolicyIssued",
) -> Draft:
    """The event that the legacy change of this number gives."""
    position = f"POLMAST:{number}"
    return Draft(
        envelope=Envelope(
            id=event_id(source, position, kind, 0),
            source=source,
            type=kind,
            subject=subject,
            time=time,
            version=1,
            meaning=1,
            position=position,
            transaction=str(number),
        ),
        data=b'{"policy_no":"%s","number":%d}' % (subject.encode(), number),
    )


def records(numbers: range, partitions: int, subjects: int = 7) -> list[Record]:
    """Events as an archive would give them: in order, a gapless sequence per partition."""
    last: dict[int, int] = {}
    made = []
    for number in numbers:
        one = draft(number, f"P-{number % subjects}")
        partition = partition_of(one.envelope.subject, partitions)
        last[partition] = last.get(partition, 0) + 1
        made.append(
            Record(envelope=one.envelope, data=one.data, partition=partition, sequence=last[partition])
        )
    return made
