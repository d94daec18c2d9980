"""One event and many rows: all of them or none, no matter how events are batched, repeated, or cut by a restart."""

import datetime as dt
import re
import tempfile
import threading
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.read_store.sql import SqlReadStore, open_read_store
from migrations.schema.read_store import metadata
from tests.projections.test_project import Ticking
from tests.support.log import ListArchive, ListLog, as_archive, as_log
from tests.support.orders import (
    LINE,
    ORDERS,
    STOP,
    TAG,
    Line,
    LinesAdded,
    LineShipped,
    OrderHeld,
    OrderLine,
    OrderPlaced,
    OrderRouted,
    OrderTagged,
    OrderWithdrawn,
)
from tests.support.read_store import SECOND, START, TOPIC, TOPICS, Story
from toolkit.core.compatibility import Grade
from toolkit.core.compatibility_of_projections import changes_of_projections
from toolkit.core.contracts import contracts
from toolkit.core.errors import ProjectError, UsageError
from toolkit.core.events import Event
from toolkit.core.projections import DELETE, Definition, Projection, Verb, on
from toolkit.core.records import Coordinates, Delivery
from toolkit.loops.keeping import Advanced, Keeper, Pace
from toolkit.loops.project import Projector
from toolkit.loops.rebuild import Rebuild
from toolkit.loops.replay import replay_parked, reproject
from toolkit.loops.verify import code_hash, verify
from toolkit.ports import Batch


def clock() -> dt.datetime:
    return START


def told() -> Story:
    return Story(catalogue=ORDERS)


def projector(store: Any, log: ListLog, definition: Definition = LINE, **pace: Any) -> Projector:
    given = {"patience": 0.0, "smallest": 3, "largest": 6, **pace}
    return Projector(definition, ORDERS, store, as_log(log), log.topics, clock, Pace(**given))


def run(running: Projector) -> None:
    """Until the log gives no more; a batch is folded while the one before is written."""
    stop = threading.Event()

    def report(done: Advanced) -> None:
        if not done.deliveries:
            stop.set()

    running.run(stop, report=report)


def happened(store: SqlReadStore, story: Story, *events: Event, definition: Definition = LINE) -> None:
    """Tell it, and let a projector that has just started read it."""
    story.tell(*events)
    log = ListLog(TOPICS)
    log.put(TOPIC, *story.records)
    run(projector(store, log, definition))


def lines(store: SqlReadStore) -> dict[Any, str]:
    return {LINE.key_in(row): str(row["article"]) for row in store.rows(LINE, None, 999)}


def order(order_no: str, *numbers: int, article: str = "book") -> OrderPlaced:
    return OrderPlaced(order_no=order_no, lines=[Line(number, article) for number in numbers])


def test_a_list_becomes_rows_and_what_it_does_not_name_any_more_goes(read_store: SqlReadStore) -> None:
    story = told()
    happened(read_store, story, order("A", 1, 2, 3), order("B", 1))
    assert sorted(lines(read_store)) == [("A", 1), ("A", 2), ("A", 3), ("B", 1)]
    happened(read_store, story, order("A", 3, 4))
    assert sorted(lines(read_store)) == [("A", 3), ("A", 4), ("B", 1)]
    happened(read_store, story, LinesAdded(order_no="A", lines=[Line(9, "pen")]), order("B"))
    assert sorted(lines(read_store)) == [("A", 3), ("A", 4), ("A", 9)]
    happened(read_store, story, OrderPlaced(order_no="A", lines=None))
    assert len(lines(read_store)) == 3, "a list that is not told says nothing"


def test_an_event_may_speak_of_all_rows_that_there_are(read_store: SqlReadStore) -> None:
    story = told()
    happened(read_store, story, order("A", 1, 2), order("B", 1), OrderHeld(order_no="A"))
    held = {LINE.key_in(row): row["held"] for row in read_store.rows(LINE, None, 9)}
    assert held == {("A", 1): True, ("A", 2): True, ("B", 1): False}
    happened(read_store, story, OrderWithdrawn(order_no="A"), OrderHeld(order_no="none"))
    assert list(lines(read_store)) == [("B", 1)]
    assert read_store.parked("order_line", 1) == []


def test_elements_may_be_values_or_objects_named_by_their_place(read_store: SqlReadStore) -> None:
    story = told()
    happened(read_store, story, OrderTagged(order_no="A", tags=["new", "red"]), definition=TAG)
    happened(read_store, story, OrderTagged(order_no="A", tags=["red", "rush"]), definition=TAG)
    assert [row["tag"] for row in read_store.rows(TAG, None, 9)] == ["red", "rush"]
    stops = OrderRouted(order_no="A", stops=[{"city": "Ulm"}, {"city": "Linz"}, {"city": "Ulm"}])
    happened(read_store, story, stops, definition=STOP)
    assert [(row["number"], row["city"]) for row in read_store.rows(STOP, None, 9)] == [
        (1, "Ulm"),
        (2, "Linz"),
        (3, "Ulm"),
    ]


def wrong(number: int) -> LinesAdded:
    return LinesAdded(order_no="A", lines=[Line(1, "new"), Line(number, "wrong", Decimal(-1))])


def test_what_fails_for_one_row_is_done_to_none_and_holds_its_parent_back(read_store: SqlReadStore) -> None:
    story = told()
    happened(
        read_store,
        story,
        order("A", 1, 2),
        order("B", 1),
        wrong(7),
        LineShipped(order_no="A", line=2),
        LineShipped(order_no="B", line=1),
        order("A"),
    )
    assert lines(read_store) == dict.fromkeys([("A", 1), ("A", 2), ("B", 1)], "book")
    shipped = {LINE.key_in(row): row["shipped"] for row in read_store.rows(LINE, None, 9)}
    assert shipped == {("A", 1): False, ("A", 2): False, ("B", 1): True}
    parked = read_store.parked("order_line", 1)
    assert [(one.key, one.held) for one in parked] == [("A", False), ("A", True), ("A", True)]
    assert "a price is not negative (row A/7)" in parked[0].reason


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (
            LinesAdded(order_no="A", lines=[Line(3, "a"), Line(3, "b")]),
            "lines of LinesAdded names the row ('A', 3) twice",
        ),
        (OrderHeld(order_no="A"), "it left already (row A/2)"),
        (LineShipped(order_no="A", line=5), "no row for order_no, line_no = ('A', 5)"),
    ],
)
def test_whatever_fails_of_many_rows_parks_the_event_and_changes_nothing(
    read_store: SqlReadStore, event: Event, reason: str
) -> None:
    story = told()
    happened(read_store, story, order("A", 1), LinesAdded(order_no="A", lines=[Line(2, "unholdable")]))
    before = read_store.rows(LINE, None, 9)
    happened(read_store, story, event, order("A", 8))
    assert read_store.rows(LINE, None, 9) == before
    assert [(one.key, reason in one.reason, one.held) for one in read_store.parked("order_line", 1)] == [
        ("A", True, False),
        ("A", False, True),
    ]


def test_an_element_without_its_key_waits_with_its_parent(read_store: SqlReadStore) -> None:
    class ByName(Projection, version=1, context="shipping", key=("order_no", "name")):
        order_no: str
        name: str

        @on(OrderRouted, creates=True, each="stops", key=("order_no", "each.name"))
        def routed(self, event: OrderRouted, stop: dict[str, Any]) -> None: ...

    event = OrderRouted(order_no="A", stops=[{"name": "port"}, {"city": "Ulm"}])
    happened(read_store, told(), event, definition=ByName.definition)
    (parked,) = read_store.parked("by_name", 1)
    assert parked.key == "A"
    assert "name, is not told: the element has no 'name' (element 2 of stops)" in parked.reason
    assert read_store.rows(ByName.definition, None, 9) == []


def test_parked_events_of_many_rows_are_applied_once_the_rule_is_mended(read_store: SqlReadStore) -> None:
    class Mended(OrderLine, version=1, context="shipping", key=("order_no", "line_no"), name="order_line"):
        def _take(self, line: Line) -> None:
            self.article, self.price = line.article, abs(line.price)
            self.changes += 1

    story = told()
    happened(read_store, story, order("A", 1, 2), wrong(7), OrderHeld(order_no="A"), order("A", 7, 8))
    done = replay_parked(Mended.definition, ORDERS, read_store, clock)
    assert (done.applied, done.waiting) == (3, ())
    changes = {LINE.key_in(row): (row["changes"], row["held"]) for row in read_store.rows(LINE, None, 9)}
    assert changes == {("A", 7): (3, True), ("A", 8): (1, False)}


def test_a_row_is_folded_anew_with_all_others_of_its_parent(read_store: SqlReadStore) -> None:
    story = told()
    happened(read_store, story, order("A", 1, 2), OrderHeld(order_no="A"), order("B", 1), order("A", 2, 3))
    right = read_store.rows(LINE, None, 9)
    drifted = [{**right[0], "article": "drift"}, {**right[0], "line_no": 66}]
    epoch = read_store.seize("order_line", 1)
    read_store.commit(LINE, Batch(upserts=drifted, deletes=[("A", 3)]), epoch=epoch, now=START)
    archive = as_archive(ListArchive(TOPIC, story.records))
    done = reproject(LINE, ORDERS, read_store, archive, "A/2", clock)
    assert done.before is not None
    assert done.before["article"] == "drift"
    assert (done.after, done.events) == (right[0], 3)
    assert read_store.rows(LINE, None, 9) == right
    with pytest.raises(UsageError, match="no event that it has seen tells of one"):
        reproject(LINE, ORDERS, read_store, archive, "A/77", clock)


def test_many_rows_of_one_event_are_verified(read_store: SqlReadStore) -> None:
    story = told()
    happened(
        read_store,
        story,
        *(order(f"O-{at}", *range(at % 4)) for at in range(20)),
        *(OrderHeld(order_no=f"O-{at}") for at in range(0, 20, 3)),
        *(order(f"O-{at}", 2, 3) for at in range(0, 20, 2)),
        *(OrderWithdrawn(order_no=f"O-{at}") for at in range(0, 20, 5)),
    )
    archive = as_archive(ListArchive(TOPIC, story.records))
    done = verify(LINE, ORDERS, read_store, archive, clock, batches=(50, 3))
    assert done.findings == ()
    assert done.record.digest == read_store.digest(LINE).digest
    assert done.rows > 10


def test_a_rebuild_comes_to_the_same_rows(read_store: SqlReadStore) -> None:
    class Second(OrderLine, version=2, context="shipping", key=("order_no", "line_no"), name="order_line"):
        pass

    story = told()
    happened(
        read_store,
        story,
        *(order(f"O-{at % 7}", *range(at % 5)) for at in range(20)),
        *(OrderHeld(order_no=f"O-{at}") for at in range(0, 7, 2)),
        *(order(f"O-{at}", 2, 3) for at in range(0, 7, 3)),
    )
    log, archive = ListLog(TOPICS), ListArchive(TOPIC, story.records)
    log.put(TOPIC, *story.records)
    log.mark(TOPIC, START + SECOND)
    archive.watermark = START
    rebuild = Rebuild(
        Second.definition,
        ORDERS,
        read_store,
        as_archive(archive),
        as_log(log),
        TOPICS,
        Ticking(),
        batch=3,
        patience=SECOND,
        pace=Pace(patience=0, known_rows=2),
    )
    assert rebuild.run().complete
    assert read_store.digest(Second.definition).digest == read_store.digest(LINE).digest
    assert len(read_store.rows(LINE, None, 99)) > 10


@pytest.mark.parametrize("restart", [False, True], ids=["from an empty table", "after a restart"])
def test_rows_that_are_remembered_no_more_are_still_rows_of_their_parent(
    read_store: SqlReadStore, restart: bool
) -> None:
    story, log = told(), ListLog(TOPICS)
    running = projector(read_store, log, known_rows=2)

    def happen(*events: Event) -> None:
        log.put(TOPIC, *story.tell(*events))
        running.advance()

    running.start()
    happen(order("A", 1, 2, 3))
    if restart:
        running = projector(read_store, log, known_rows=2)
        running.start()
    happen(LinesAdded(order_no="A", lines=[Line(4, "pen")]))
    happen(OrderHeld(order_no="A"))
    happen(order("B", 1, 2), order("C", 1, 2))
    happen(LinesAdded(order_no="A", lines=[Line(5, "pen")]))
    happen(order("A", 5))
    assert sorted(lines(read_store)) == [("A", 5), ("B", 1), ("B", 2), ("C", 1), ("C", 2)]
    assert running.definition.parent == ("order_no",)


def test_what_is_not_written_yet_is_not_read_anew_with_its_parent(read_store: SqlReadStore) -> None:
    story = told()
    happened(read_store, story, order("A", 1, 2, 3))
    keeper = Keeper(LINE, ORDERS, read_store, clock, Pace())
    keeper.take_over()
    works = []
    for event in (
        LinesAdded(order_no="A", lines=[Line(1, "pen")]),
        LineShipped(order_no="A", line=1),
        OrderPlaced(order_no="A", lines=[Line(1, "pen"), Line(2, "pen")]),
        OrderHeld(order_no="A"),
    ):
        (record,) = story.tell(event)
        at = Coordinates(topic=TOPIC, partition=record.partition, offset=record.sequence - 1)
        works.append(keeper.fold([Delivery(at=at, content=record)]))
    for work in works:
        keeper.write(work)
    rows = [
        (row["line_no"], row["article"], row["shipped"], row["held"])
        for row in read_store.rows(LINE, None, 9)
    ]
    assert rows == [(1, "pen", True, True), (2, "pen", False, True)]


@pytest.mark.parametrize("event", [OrderHeld(order_no="A"), order("A", 1), OrderWithdrawn(order_no="A")])
def test_an_event_about_more_rows_than_a_parent_may_have_is_parked_with_what_to_do(
    read_store: SqlReadStore, event: Event
) -> None:
    few, story = replace(LINE, parent_limit=3), told()
    story_so_far = (
        LinesAdded(order_no="A", lines=[Line(n, "pen") for n in range(1, 6)]),
        order("B", 1, 2, 3),
    )
    happened(read_store, story, *story_so_far, event, OrderHeld(order_no="B"), definition=few)
    (parked,) = read_store.parked("order_line", 1)
    said = r"order_no = 'A', and has more than 3 .*parent_limit.*join it in the read.*strangler repair events"
    assert re.search(said, parked.reason), parked.reason
    assert (parked.key, len(lines(read_store))) == ("A", 8)
    assert replay_parked(LINE, ORDERS, read_store, clock).applied == 1, "once the limit is raised"


def test_no_more_of_a_parents_rows_are_read_than_show_that_they_are_too_many(
    read_store: SqlReadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, story = replace(LINE, parent_limit=3), told()
    happened(read_store, story, LinesAdded(order_no="A", lines=[Line(n, "pen") for n in range(1, 60)]))
    read: list[int] = []

    def counted(*given: Any, **options: Any) -> dict[object, dict[str, object]]:
        found = load_under(*given, **options)
        read.append(len(found))
        return found

    load_under = read_store.load_under
    monkeypatch.setattr(read_store, "load_under", counted)
    happened(read_store, story, OrderHeld(order_no="A"), definition=few)
    assert read == [4]
    assert len(read_store.parked("order_line", 1)) == 1


class Slip(Projection, version=1, context="shipping", key=("order_no", "line_no"), parent_limit=3):
    order_no: str
    line_no: int
    held: bool = False

    @on(LinesAdded, creates=True, each="lines", key=("order_no", "each.line_no"))
    def added(self, event: LinesAdded, line: Line) -> None: ...

    @on(LineShipped, key=("order_no", "line"))
    def shipped(self, event: LineShipped) -> Verb:
        return DELETE

    @on(OrderHeld, every=True, key="order_no")
    def put_on_hold(self, event: OrderHeld) -> None:
        self.held = True


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "folded ahead of the writing"])
@pytest.mark.parametrize(("shipped", "left"), [([1], 4), ([1, 2], 3), ([1, 5], 3)])
def test_rows_that_went_just_before_do_not_count(
    read_store: SqlReadStore, shipped: list[int], left: int, together: bool
) -> None:
    story, slip = told(), Slip.definition
    added = LinesAdded(order_no="A", lines=[Line(n, "pen") for n in range(1, 6)])
    happened(read_store, story, added, definition=slip)
    keeper = Keeper(slip, ORDERS, read_store, clock, Pace())
    keeper.take_over()
    records = story.tell(*(LineShipped(order_no="A", line=n) for n in shipped), OrderHeld(order_no="A"))
    deliveries = [
        Delivery(at=Coordinates(topic=TOPIC, partition=one.partition, offset=one.sequence - 1), content=one)
        for one in records
    ]
    for work in [keeper.fold(some) for some in ([deliveries] if together else [[one] for one in deliveries])]:
        keeper.write(work)
    rows = read_store.rows(slip, None, 9)
    assert [row["held"] for row in rows] == [left <= 3] * left
    assert len(read_store.parked("slip", 1)) == (left > 3)


# --- any batching

LINES = st.lists(
    st.builds(
        Line,
        line_no=st.integers(1, 4),
        article=st.sampled_from([*(["book", "pen"] * 6), "unholdable"]),
        price=st.sampled_from([*map(Decimal, range(1, 20)), Decimal(-1)]),
    ),
    max_size=3,
    unique_by=lambda line: line.line_no,
)
ORDER = st.sampled_from(["A", "B", "C"])
HAPPENINGS = st.lists(
    st.one_of(
        st.builds(OrderPlaced, order_no=ORDER, lines=st.none() | LINES),
        st.builds(LinesAdded, order_no=ORDER, lines=LINES),
        st.builds(LineShipped, order_no=ORDER, line=st.just(1)),
        st.builds(OrderHeld, order_no=ORDER, held=st.booleans()),
        st.builds(OrderWithdrawn, order_no=ORDER),
    ),
    max_size=25,
)
Lines = dict[int, list[Any]]
"""By number: article, price, shipped, held, changes."""


def plainly(events: list[Any], limit: int) -> tuple[dict[str, Lines], list[int]]:
    """What ought to come of the events, one by one; and which of them wait."""
    rows: dict[str, Lines] = {}
    waiting: list[int] = []
    stuck: set[str] = set()
    for at, event in enumerate(events):
        before = rows.get(event.order_no, {})
        after = (
            None
            if event.order_no in stuck or too_many(before, event, limit)
            else applied({no: [*row] for no, row in before.items()}, event)
        )
        if after is None:
            stuck.add(event.order_no)
            waiting.append(at)
        else:
            rows[event.order_no] = after
    return rows, waiting


def too_many(rows: Lines, event: Any, limit: int) -> bool:
    """Is it about all of the order's lines, and are they more than it may be about?"""
    if isinstance(event, OrderHeld | OrderWithdrawn):
        return len(rows) > limit
    whole = isinstance(event, OrderPlaced) and event.lines is not None
    return whole and len({*rows, *(line.line_no for line in event.lines)}) > limit


def applied(rows: Lines, event: Any) -> Lines | None:
    """The order's lines after the event; None where it cannot be applied."""
    match event:
        case OrderWithdrawn():
            return {}
        case OrderHeld():
            if any(row[0] == "unholdable" for row in rows.values()):
                return None
            return {no: [*row[:3], event.held, row[4] + 1] for no, row in rows.items()}
        case LineShipped():
            if event.line not in rows:
                return None
            rows[event.line][2] = True
            rows[event.line][4] += 1
            return rows
    stated: list[Line] | None = event.lines
    if stated is None:
        return rows
    if any(line.price < 0 for line in stated):
        return None
    for line in stated:
        row = rows.get(line.line_no, ["", Decimal(0), False, False, 0])
        rows[line.line_no] = [line.article, line.price, *row[2:4], row[4] + 1]
    named = {line.line_no for line in stated}
    return {no: row for no, row in rows.items() if no in named or isinstance(event, LinesAdded)}


@settings(max_examples=60, deadline=None)
@given(
    events=HAPPENINGS,
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 9)),
    known=st.integers(0, 6),
    restart=st.booleans(),
    repeated=st.lists(st.integers(0, 24), max_size=6),
    limit=st.sampled_from([1, 2, 3, 10_000]),
)
def test_any_batching_of_events_about_many_rows_is_the_fold_one_by_one(
    events: list[Event], sizes: tuple[int, int], known: int, restart: bool, repeated: list[int], limit: int
) -> None:
    expected, waiting = plainly(events, limit)
    definition = replace(LINE, parent_limit=limit)
    story, log = Story(1, catalogue=ORDERS), ListLog({TOPIC: 1})
    records = story.tell(*events)
    log.put(TOPIC, *(one for at, record in enumerate(records) for one in [record] * (1 + repeated.count(at))))
    log.put(TOPIC, *records[:7])
    pace: dict[str, Any] = {"smallest": sizes[0], "largest": sum(sizes), "known_rows": known}
    with tempfile.TemporaryDirectory() as folder:
        store = open_read_store(f"sqlite:///{folder}/read.db")
        metadata.create_all(store.engine)
        if restart:
            first = projector(store, log, definition, **pace)
            first.start()
            first.advance(5)
        run(projector(store, log, definition, **pace))
        found: dict[str, Lines] = {}
        for row in store.rows(LINE, None, 999):
            values = [row[name] for name in ("article", "price", "shipped", "held", "changes")]
            found.setdefault(str(row["order_no"]), {})[int(str(row["line_no"]))] = values
        parked = [one.record.envelope.id for one in store.parked("order_line", 1)]
        store.close()
    assert found == {order_no: rows for order_no, rows in expected.items() if rows}
    assert parked == [records[at].envelope.id for at in waiting]


# --- what is declared


def test_faults_of_many_rows_are_told_together() -> None:
    with pytest.raises(ProjectError) as caught:

        class Wrong(Projection, version=1, context="shipping", key=("order_no", "line_no")):
            order_no: str
            line_no: int

            @on(OrderPlaced, creates=True, each="lines", key=("order_no", "each.number"))
            def placed(self, event: OrderPlaced, line: Line) -> None: ...

            @on(LinesAdded, creates=True, each="rows", key=("each.order_no", "each.line_no"))
            def added(self, event: LinesAdded) -> None: ...

            @on(OrderTagged, each="order_no", key=("order_no", "each"))
            def tagged(self, event: OrderTagged, tag: str) -> None: ...

            @on(OrderHeld, every=True)
            def held(self, event: OrderHeld) -> None: ...

            @on(OrderWithdrawn, every=True, creates=True, whole=True, key="order_no")
            def withdrawn(self, event: OrderWithdrawn) -> None: ...

    said = str(caught.value)
    for part in (
        "Line has no field 'number' to find the row by",
        "LinesAdded has no field 'rows'",
        "is not given the elements of rows",
        "LinesAdded has to tell the first part (the parent)",
        "OrderTagged.order_no is <class 'str'>, not a list",
        "every=True is about all rows of a parent, and the key of OrderHeld has 2 of 2 columns",
        "every=True finds the rows that there are, it creates none",
        "whole=True says something of a list",
        "name their parent by different columns",
    ):
        assert part in said, said


def test_what_is_promised_of_many_rows_is_part_of_the_contract() -> None:
    class Other(OrderLine, version=1, context="shipping", key=("order_no", "line_no"), name="order_line"):
        @on(OrderPlaced, creates=True, each="lines", key=("order_no", "each.line_no"))
        def placed(self, event: OrderPlaced, line: Line) -> None:
            self._take(line)

    before, after = (contracts("shop", ORDERS, [one]) for one in (LINE, Other.definition))
    read = before.projections["order_line"]["1"].reads["OrderPlaced"]
    assert (read.each, read.whole, read.key) == ("lines", True, ["order_no", "each.line_no"])
    (change,) = changes_of_projections(before, after)
    assert (change.grade, change.what) == (Grade.BREAKING, "makes other rows of OrderPlaced")
    assert code_hash(LINE) != code_hash(Other.definition)
