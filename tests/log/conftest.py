"""The log on every engine: one suite for all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.engines import open_engine
from adapters.log.kafka import KafkaLog
from adapters.log.sql import SqlLog
from migrations.schema.state import metadata
from tests.support.state import ENGINES
from toolkit.ports import Log

LOGS = [*ENGINES, pytest.param("kafka", marks=pytest.mark.kafka)]


@pytest.fixture(params=LOGS)
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    """The embedded log on SQLite and on PostgreSQL, and Apache Kafka."""
    if request.param == "kafka":
        kafka = KafkaLog(request.getfixturevalue("kafka_bootstrap"))
        yield kafka
        kafka.close()
        return
    url = f"sqlite:///{tmp_path}/log.db"
    engine = open_engine(request.getfixturevalue("postgres_url") if request.param == "postgres" else url)
    metadata.create_all(engine)
    yield SqlLog(engine)
    engine.dispose()
