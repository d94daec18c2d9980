"""What changes in events meets a running projection: parked when live, a reason to stop in a rebuild, applied once mended."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from adapters.read_store.sql import SqlReadStore, open_read_store
from migrations.schema.read_store import metadata
from tests.support.log import ListArchive, ListLog, as_archive, as_log
from tests.support.read_store import START, TOPIC, TOPICS, Story
from tests.support.read_store import PolicyIssued as SupportIssued
from toolkit import Context, Event, Projection, on
from toolkit.core.errors import Refused
from toolkit.core.events import Catalogue
from toolkit.core.projections import Definition
from toolkit.core.records import Record
from toolkit.loops.project import Pace, Projector
from toolkit.loops.rebuild import Rebuild
from toolkit.loops.replay import replay_parked
from toolkit.loops.verify import verify


class PolicyIssued(Event):
    policy_no: str
    broker: str
    premium: Decimal


def catalogue(meaning: int = 1) -> Catalogue:
    """One event type, whose premium is net since meaning 2."""
    made = Context("policies")
    made.event(subject="policy_no", version=2, meaning=meaning, means="Cover was agreed.")(PolicyIssued)
    made.upcast(PolicyIssued, from_version=1)(lambda data: {"broker": "", **data})
    if meaning > 1:
        made.formerly(PolicyIssued, meaning=1, means="Cover was agreed; the premium includes tax.")
    return Catalogue.of([made])


class Premium(Projection, version=1, context="sales", key="policy_no"):
    policy_no: str
    premium: Decimal

    @on(PolicyIssued, creates=True)
    def issued(self, event: PolicyIssued) -> None:
        self.premium = event.premium


class PremiumNow(Premium, version=1, context="sales", key="policy_no", name="premium"):
    @on(PolicyIssued, creates=True, meaning=(1, 2))
    def issued(self, event: PolicyIssued) -> None:
        self.premium = event.premium


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlReadStore]:
    opened = open_read_store(f"sqlite:///{tmp_path}/read.db")
    metadata.create_all(opened.engine)
    yield opened
    opened.close()


def clock() -> dt.datetime:
    return START


class World:
    def __init__(self, store: SqlReadStore) -> None:
        self.store, self.story, self.log = store, Story(), ListLog(TOPICS)

    def happen(self, number: str, *, version: int = 2, meaning: int = 1, name: str = "PolicyIssued") -> None:
        (told,) = self.story.tell(SupportIssued(policy_no=number, broker="B", premium=Decimal(10)))
        envelope = msgspec.structs.replace(told.envelope, version=version, meaning=meaning, type=name)
        record: Record = msgspec.structs.replace(told, envelope=envelope)
        self.story.records[-1] = record
        self.log.put(TOPIC, record)

    def project(self, definition: Definition, known: Catalogue) -> None:
        projector = Projector(
            definition, known, self.store, as_log(self.log), TOPICS, clock, Pace(patience=0.0)
        )
        projector.start()
        while projector.advance().deliveries:
            pass
        projector.close()

    def rebuild(self, definition: Definition, known: Catalogue) -> None:
        archive = as_archive(ListArchive(TOPIC, self.story.records))
        Rebuild(definition, known, self.store, archive, as_log(self.log), TOPICS, clock).run()


UNKNOWN = {
    "type": ({"name": "PolicyTeleported"}, "PolicyTeleported is not in the catalogue"),
    "version": ({"version": 3}, "version 3 is newer than this project's version 2"),
    "meaning": ({"meaning": 2}, "meaning 2 is newer than this project's meaning 1"),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_an_unknown_kind_is_parked_when_live_and_holds_its_subject_alone(
    store: SqlReadStore, what: str
) -> None:
    world, (told, says) = World(store), UNKNOWN[what]
    world.happen("P-1", **told)  # type: ignore[arg-type]
    world.happen("P-1")
    world.happen("P-2")
    world.project(Premium.definition, catalogue())
    first, second = store.parked("premium", 1)
    assert says in first.reason
    assert (first.held, second.held) == (False, True)
    assert list(store.load(Premium.definition, ["P-1", "P-2"])) == ["P-2"]


@pytest.mark.parametrize("what", UNKNOWN)
def test_an_unknown_kind_stops_a_rebuild_at_its_place(store: SqlReadStore, what: str) -> None:
    world, (told, says) = World(store), UNKNOWN[what]
    world.happen("P-2")
    world.happen("P-1", **told)  # type: ignore[arg-type]
    with pytest.raises(Refused, match=says.replace("'", ".")) as refused:
        world.rebuild(Premium.definition, catalogue())
    assert "mend the code, then run" in str(refused.value)


def test_a_new_meaning_waits_for_a_handler_that_reads_it(store: SqlReadStore) -> None:
    world = World(store)
    world.happen("P-1", version=1)
    world.happen("P-2", meaning=2)
    world.project(Premium.definition, catalogue(2))
    (parked,) = store.parked("premium", 1)
    assert "premium v1 reads PolicyIssued in meaning 1, and this event has meaning 2" in parked.reason
    assert not verify(
        Premium.definition, catalogue(2), store, as_archive(ListArchive(TOPIC, world.story.records)), clock
    ).findings

    assert replay_parked(PremiumNow.definition, catalogue(2), store, clock).applied == 1
    assert set(store.load(Premium.definition, ["P-1", "P-2"])) == {"P-1", "P-2"}


def test_once_a_type_is_declared_its_parked_events_are_let_go(store: SqlReadStore) -> None:
    world = World(store)
    world.happen("P-1", name="PolicyPrinted")
    world.project(Premium.definition, catalogue())
    assert len(store.parked("premium", 1)) == 1
    made = Context("policies")
    for cls in (PolicyIssued, type("PolicyPrinted", (Event,), {"__annotations__": {"policy_no": str}})):
        made.event(subject="policy_no", means="It happened.")(cls)
    replay_parked(Premium.definition, Catalogue.of([made]), store, clock)
    assert store.parked("premium", 1) == []
