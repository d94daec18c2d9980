"""A fresh read store on each engine, and a small world of events and projections to put into it."""

import datetime as dt
import os
import uuid
from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from adapters.read_store.sql import SqlReadStore, open_read_store
from examples.read_store.documents import open_documents
from migrations.schema.read_store import metadata
from toolkit import registry
from toolkit.core.events import Catalogue, Context, Event
from toolkit.core.projections import DELETE, Projection, Verb, on
from toolkit.core.records import Envelope, Record, event_id, partition_of
from toolkit.ports import ReadStore

START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
TOPIC = "insurer.policy_admin"
SOURCE = "policy_admin"
PARTITIONS = 2
TOPICS = {TOPIC: PARTITIONS}
ENGINES = [
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.postgres),
    pytest.param("mariadb", marks=pytest.mark.mariadb),
]
THIRD = os.environ.get("STRANGLER_TEST_READ_STORE", "")
"""URL of a read store that somebody else wrote, found by its entry point: `{folder}` and `{name}` in it are new for each test."""
STORES = [*ENGINES, "documents", *([pytest.param(THIRD, id="third")] if THIRD else [])]
"""What implements the port: the SQL stores, the example without SQL, and whatever is to be tried."""

policies = Context("policy-administration")


class Reason(StrEnum):
    REQUEST = "request"
    NON_PAYMENT = "non_payment"


@policies.event(subject="policy_no", means="Cover was agreed.", version=2)
class PolicyIssued(Event):
    policy_no: str
    broker: str
    premium: Decimal


@policies.upcast(PolicyIssued, from_version=1)
def premium_from_cents(data: dict[str, object]) -> dict[str, object]:
    return {**data, "premium": str(Decimal(str(data["cents"])) / 100)}


@policies.event(subject="policy_no", means="Another premium was agreed.")
class PremiumAgreed(Event):
    policy_no: str
    premium: Decimal


@policies.event(subject="policy_no", means="Cover ends.")
class PolicyCancelled(Event):
    policy_no: str
    reason: Reason
    on: dt.date


@policies.event(subject="policy_no", means="There never was a policy.")
class PolicyAnnulled(Event):
    policy_no: str


@policies.event(subject="policy_no", means="Something nobody projects.")
class PolicyPrinted(Event):
    policy_no: str


CATALOGUE = Catalogue.of([policies])


class PolicyView(Projection, version=1, context="service", key="policy_no"):
    """State-carrying: a row takes the event's values."""

    policy_no: str
    premium: Decimal
    status: Literal["in_force", "cancelled"] = "in_force"
    reason: str | None = None
    ends_on: dt.date | None = None
    open: bool = True
    changes: int = 0
    history: list[str] = []  # noqa: RUF012 - a column with its default; the toolkit copies it
    changed_at: dt.datetime | None = None

    @on(PolicyIssued, creates=True)
    def issued(self, event: PolicyIssued, envelope: Envelope) -> None:
        self.premium = event.premium
        self._note(envelope)

    @on(PremiumAgreed)
    def agreed(self, event: PremiumAgreed, envelope: Envelope) -> None:
        if event.premium < 0:
            raise ValueError("a premium is not negative")
        self.premium = event.premium
        self._note(envelope)

    @on(PolicyCancelled)
    def cancelled(self, event: PolicyCancelled, envelope: Envelope) -> None:
        self.status, self.reason, self.ends_on, self.open = "cancelled", event.reason, event.on, False
        self._note(envelope)

    @on(PolicyAnnulled)
    def annulled(self, event: PolicyAnnulled) -> Verb:
        return DELETE

    def _note(self, envelope: Envelope) -> None:
        self.changes += 1
        self.history = [*self.history, envelope.type][-3:]
        self.changed_at = envelope.time


class BrokerBook(Projection, version=1, context="sales", key="broker"):
    """Counting: an event applied twice, or not at all, would show."""

    broker: str
    policies: int = 0
    premium: Decimal = Decimal(0)

    @on(PolicyIssued, creates=True)
    def issued(self, event: PolicyIssued) -> None:
        self.policies += 1
        self.premium += event.premium


POLICY = PolicyView.definition
BOOK = BrokerBook.definition


@pytest.fixture(params=ENGINES)
def read_store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database, on each engine."""
    return _empty(request, tmp_path)


def _empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param != "sqlite":
        return str(request.getfixturevalue(f"{request.param}_url"))
    return f"sqlite:///{tmp_path}/read.db"


@pytest.fixture
def read_store(read_store_url: str) -> Iterator[SqlReadStore]:
    """The read store with its bookkeeping tables."""
    opened = open_read_store(read_store_url)
    metadata.create_all(opened.engine)
    yield opened
    opened.close()


@pytest.fixture(params=ENGINES)
def sql_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlReadStore]:
    """The same, where `read_store` is one of any kind."""
    opened = open_read_store(_empty(request, tmp_path))
    metadata.create_all(opened.engine)
    yield opened
    opened.close()


@pytest.fixture(params=STORES)
def any_store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where there is nothing yet, for each read store that there is."""
    if "://" in request.param:
        return str(request.param).format(folder=tmp_path, name=f"t{uuid.uuid4().hex}")
    if request.param == "documents":
        return f"documents://{tmp_path}/read.documents"
    return _empty(request, tmp_path)


@pytest.fixture
def any_store(any_store_url: str) -> Iterator[ReadStore]:
    """Each read store, ready to be used."""
    opened = open_any_store(any_store_url)
    yield opened
    opened.close()


def open_any_store(url: str) -> ReadStore:
    """Open a read store as the toolkit does; ours with their bookkeeping tables."""
    if url.startswith("documents:"):
        return open_documents(url)
    opened: ReadStore = registry.adapter(registry.READ_STORE, url)(url)
    if isinstance(opened, SqlReadStore):
        metadata.create_all(opened.engine)
    return opened


class Story:
    """Records in the order in which an archive would number them."""

    def __init__(
        self, partitions: int = PARTITIONS, topic: str = TOPIC, catalogue: Catalogue = CATALOGUE
    ) -> None:
        self.topic, self.catalogue = topic, catalogue
        self.partitions = partitions
        self.records: list[Record] = []
        self._last: dict[int, int] = {}

    def tell(self, *events: Event) -> list[Record]:
        """Number events as they come; gives back their records."""
        return [self._add(event, msgspec.json.encode(event)) for event in events]

    def tell_raw(self, type_: str, subject: str, data: bytes, version: int = 1) -> Record:
        """An event whose data nobody promises to be readable."""
        return self._number(type_, subject, data, version)

    def _add(self, event: Event, data: bytes) -> Record:
        kind = self.catalogue.of_event(event)
        return self._number(kind.name, kind.subject_of(event), data, kind.version)

    def _number(self, type_: str, subject: str, data: bytes, version: int) -> Record:
        partition = partition_of(subject, self.partitions)
        sequence = self._last[partition] = self._last.get(partition, 0) + 1
        position = f"POLMAST:{len(self.records) + 1}"
        record = Record(
            envelope=Envelope(
                id=event_id(SOURCE, position, type_, 0),
                source=SOURCE,
                type=type_,
                subject=subject,
                time=START + len(self.records) * SECOND,
                version=version,
                meaning=1,
                position=position,
            ),
            data=data,
            partition=partition,
            sequence=sequence,
        )
        self.records.append(record)
        return record
