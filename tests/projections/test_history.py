"""What a rebuild may promise: everything it needs is asked for before it begins, in the archive or in the log."""

import datetime as dt
import threading

import pytest

from adapters.read_store.sql import SqlReadStore
from tests.projections.test_rebuild import SECOND_VIEW, World, issued
from tests.support.log import as_archive
from tests.support.read_store import CATALOGUE, POLICY, SECOND, START, TOPIC, TOPICS
from toolkit.core.errors import HistoryGone, OffsetLost, Refused
from toolkit.core.records import Delivery, Record
from toolkit.loops.history import Origin
from toolkit.loops.replay import reproject
from toolkit.loops.verify import verify


@pytest.fixture
def world(read_store: SqlReadStore) -> World:
    world = World(read_store)
    world.happen(*(issued(number) for number in range(12)))
    world.promise(1)
    while world.first.advance().deliveries:
        pass
    world.archive.watermark = None
    return world


def test_from_an_archive_without_its_beginning_nothing_is_begun(world: World) -> None:
    world.archive.gone = 2
    with pytest.raises(Refused, match=r"(?s)event 1 is needed, .* begins with event 3.*--from log"):
        world.rebuild().run()
    assert [one.version for one in world.store.versions("policy_view")] == [1]


def test_the_log_is_as_good_a_history_while_it_has_all(world: World) -> None:
    world.archive.gone = 2
    done = world.rebuild(origin=Origin.LOG).run()
    assert (done.complete, done.events, done.as_of) == (True, 12, START + SECOND)
    world.archive.gone = 0
    assert world.store.digest(SECOND_VIEW).rows == 12


def test_when_neither_reaches_back_it_says_what_is_left_to_do(world: World) -> None:
    world.archive.gone = 2
    world.log.forget((TOPIC, 0), 1)
    with pytest.raises(Refused, match=r"(?s)the log begins with offset 1.*read the history anew"):
        world.rebuild(origin=Origin.LOG).run()
    with pytest.raises(Refused, match=r"(?s)the archive begins with event 3.*read the history anew"):
        world.rebuild().run()


def test_a_rebuild_that_is_past_what_was_pruned_goes_on(world: World) -> None:
    stop = threading.Event()
    world.rebuild(batch=99).run(stop, lambda _: stop.set())
    world.archive.gone = 1
    assert world.rebuild().run().complete


def test_what_is_pruned_while_a_rebuild_begins_is_noticed(world: World) -> None:
    def create(*given: object, **named: object) -> object:
        world.archive.gone = 1  # between the first question and the second
        return real(*given, **named)  # type: ignore[arg-type]

    real, world.store.create = world.store.create, create  # type: ignore[method-assign,assignment]
    with pytest.raises(Refused, match="event 1 is needed"):
        world.rebuild().run()


def test_what_is_pruned_under_a_rebuild_fails_it_aloud(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def scan(*_: object) -> list[Delivery]:
        raise HistoryGone("event 4 is asked for, but the archive was pruned up to event 9")

    monkeypatch.setattr(world.archive, "scan", scan)
    with pytest.raises(Refused, match="pruned up to event 9"):
        world.rebuild().run()
    assert world.state(2) == "failed"


def test_a_stopped_rebuild_from_the_log_goes_on_where_it_was(world: World) -> None:
    stop = threading.Event()
    done = world.rebuild(origin=Origin.LOG).run(stop, lambda _: stop.set())
    assert not done.complete
    assert world.rebuild(origin=Origin.LOG).run().complete
    assert world.store.digest(SECOND_VIEW).rows == 12


class Source:
    """A legacy source with a clock, and one transaction that may be open."""

    def __init__(self) -> None:
        self.now, self.open = START + 5 * SECOND, False
        self.capture = self

    def clock(self) -> dt.datetime:
        return self.now

    def writers(self) -> str:
        return "one" if self.open else ""

    def ended(self, token: str) -> bool:
        return not (token and self.open)


def test_it_ends_with_a_promise_that_was_made_after_it_began(world: World) -> None:
    world.promise(5)  # the instant of a pass that began before the rebuild did
    world.archive.watermark = None
    done = world.rebuild(sources={TOPIC: Source()}).run()
    assert (done.complete, done.as_of) == (False, START + 5 * SECOND)
    world.promise(6)
    assert world.rebuild(sources={TOPIC: Source()}).run().complete


def test_it_does_not_end_while_a_transaction_is_open_that_is_older(world: World) -> None:
    source = Source()
    source.open = True
    world.promise(9)
    done = world.rebuild(sources={TOPIC: source}, patience=SECOND / 10).run()
    assert not done.complete
    assert "is still open in the source of insurer.policy_admin" in done.detail
    source.open = False
    assert world.rebuild(sources={TOPIC: source}).run().complete


def test_what_needs_the_whole_history_is_refused_before_it_begins(world: World) -> None:
    world.archive.gone = 3
    archive = as_archive(world.archive)
    with pytest.raises(Refused, match=r"(?s)policy_view v1 cannot be verified: the archive was pruned.*anew"):
        verify(POLICY, CATALOGUE, world.store, archive, world.clock)
    epochs = {one.epoch for one in world.store.versions("policy_view")}
    with pytest.raises(Refused, match=r"'P-1' cannot be folded anew: the archive was pruned"):
        reproject(POLICY, CATALOGUE, world.store, archive, "P-1", world.clock)
    assert {one.epoch for one in world.store.versions("policy_view")} == epochs, "nobody was fenced for it"


def test_what_is_pruned_while_a_row_is_folded_anew_leaves_the_row_as_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_subject(*_: object) -> list[Record]:
        world.archive.gone = 12  # after the first question; what is cut is not given any more
        return []

    monkeypatch.setattr(world.archive, "of_subject", of_subject)
    before = world.store.load(POLICY, ["P-1"])
    with pytest.raises(Refused, match=r"'P-1' cannot be folded anew: the archive was pruned"):
        reproject(POLICY, CATALOGUE, world.store, as_archive(world.archive), "P-1", world.clock)
    assert world.store.load(POLICY, ["P-1"]) == before


def test_a_projector_whose_place_is_lost_says_which_version_has_to_be_rebuilt(world: World) -> None:
    for number in range(TOPICS[TOPIC]):
        world.log.forget((TOPIC, number), 99)
    with pytest.raises(
        OffsetLost, match=r"policy_view v1 stands still: .*`strangler rebuild policy_view --version 2`"
    ):
        world.projector(POLICY).run(threading.Event())
    assert world.state(1) == "failed"
