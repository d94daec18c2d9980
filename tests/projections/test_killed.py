"""kill -9, and a process that wakes up as a zombie: nothing lost, nothing doubled."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from adapters.engines import open_engine
from adapters.log.sql import SqlLog
from adapters.read_store.sql import SqlReadStore
from migrations.schema.state import metadata
from tests.support.processes import python_child
from tests.support.read_store import BOOK, PARTITIONS, TOPIC, PolicyIssued, Story
from tests.support.waiting import wait_until

EVENTS = 400


@pytest.fixture
def log_url(read_store_url: str, tmp_path: Path) -> str:
    """The log's database: that of the read models, where it may hold a log."""
    holds_a_log = read_store_url.startswith(("sqlite:", "postgresql"))
    return read_store_url if holds_a_log else f"sqlite:///{tmp_path}/log.db"


@pytest.fixture
def log(log_url: str) -> Iterator[SqlLog]:
    """The log, holding some history."""
    engine = open_engine(log_url)
    metadata.create_all(engine)
    log, story = SqlLog(engine), Story()
    log.create(TOPIC, PARTITIONS)
    log.publisher(TOPIC).publish(
        story.tell(
            *(
                PolicyIssued(policy_no=f"P-{number}", broker="B-1", premium=Decimal("1.10"))
                for number in range(EVENTS)
            )
        )
    )
    yield log
    engine.dispose()


def policies(store: SqlReadStore) -> int:
    row = store.load(BOOK, ["B-1"]).get("B-1")
    return int(str(row["policies"])) if row else 0


@pytest.mark.slow
@pytest.mark.usefixtures("log")
def test_killed_again_and_again_it_counts_every_event_once(
    read_store: SqlReadStore, read_store_url: str, log_url: str
) -> None:
    worker = ("-m", "tests.projections.worker", log_url, read_store_url)
    for _ in range(3):
        with python_child(*worker) as child:
            child.wait_for("applied")
            child.kill()
    with python_child(*worker) as last:
        wait_until(
            lambda: sum(one.sequence for one in read_store.checkpoints("broker_book", 1)) == EVENTS,
            30,
            what="the whole history",
        )
        assert policies(read_store) == EVENTS
        assert last.running


@pytest.mark.slow
@pytest.mark.usefixtures("log")
def test_a_process_that_slept_while_another_took_over_writes_nothing_more(
    read_store: SqlReadStore, read_store_url: str, log_url: str
) -> None:
    worker = ("-m", "tests.projections.worker", log_url, read_store_url)
    with python_child(*worker) as zombie:
        zombie.wait_for("applied")
        epoch = read_store.seize("broker_book", 1)
        before = policies(read_store)
        zombie.wait_for("Fenced")
        assert zombie.wait() != 0
    assert policies(read_store) == before
    assert read_store.versions("broker_book")[0].epoch == epoch
