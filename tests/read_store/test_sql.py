"""What a read store promises, on every engine."""

import datetime as dt
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from adapters.read_store.sql import SqlReadStore, open_read_store
from tests.support.read_store import BOOK, PARTITIONS, POLICY, SECOND, START, TOPIC, TOPICS, Story
from tests.support.read_store import PolicyIssued as Issued
from toolkit.core.errors import BadValue, Fenced, ReadTimeout, Refused, UsageError
from toolkit.core.projections import Definition, Projection, on
from toolkit.ports import Batch, Checkpoint, ParkedEvent

SOON = 5 * SECOND
CHANGED = dt.datetime(2024, 2, 3, 4, 5, 6, 789, tzinfo=dt.UTC)


def row(policy_no: str = "P-1", **values: object) -> dict[str, object]:
    return {
        "policy_no": policy_no,
        "premium": Decimal("1234567890123456.70"),
        "status": "in_force",
        "reason": "Ünïcödé 'quoted' %s",
        "ends_on": dt.date(2024, 2, 29),
        "open": True,
        "changes": 2**62,
        "history": [{"a": [1, None, "x"]}, "y"],
        "changed_at": CHANGED,
        **values,
    }


class Writer:
    """One owner of one version."""

    def __init__(self, store: SqlReadStore, definition: Definition = POLICY) -> None:
        store.create(definition, TOPICS, START)
        self.store, self.definition = store, definition
        self.epoch = store.seize(definition.name, definition.version)

    def write(self, *rows: dict[str, object], **changes: Any) -> None:
        batch = Batch(upserts=list(rows), **changes)
        self.store.commit(self.definition, batch, epoch=self.epoch, now=START)


@pytest.fixture
def writer(read_store: SqlReadStore) -> Writer:
    return Writer(read_store)


def version_two() -> Definition:
    class Second(Projection, version=2, context="service", key="policy_no", name="policy_view"):
        policy_no: str
        premium: Decimal

        @on(Issued, creates=True)
        def issued(self, event: Issued) -> None:
            self.premium = event.premium

    return Second.definition


def test_a_row_comes_back_as_it_was_written(writer: Writer) -> None:
    empty = row("P-2", reason=None, ends_on=None, changed_at=None, open=False, changes=-1, history=[])
    writer.write(row(), empty)
    assert writer.store.load(POLICY, ["P-1", "P-2", "P-3"]) == {"P-1": row(), "P-2": empty}


@pytest.mark.parametrize("number", ["0", "0.00", "1.50", "-3.10", "12345678901234567890.12345", "0.1", "100"])
def test_a_decimal_keeps_its_places(writer: Writer, number: str) -> None:
    writer.write(row(premium=Decimal(number)))
    found = writer.store.load(POLICY, ["P-1"])["P-1"]["premium"]
    assert (type(found), str(found)) == (Decimal, number)


@pytest.mark.parametrize("count", [3, 500], ids=["few", "many"])
def test_a_batch_inserts_updates_and_deletes(writer: Writer, count: int) -> None:
    writer.write(*(row(f"P-{number}") for number in range(count)))
    writer.write(*(row(f"P-{number}", changes=1) for number in range(1, count + 1)), deletes=["P-0"])
    rows = writer.store.rows(POLICY, None, count + 5)
    assert {one["policy_no"]: one["changes"] for one in rows} == {
        f"P-{number}": 1 for number in range(1, count + 1)
    }


def test_rows_come_in_the_order_of_code_points(writer: Writer) -> None:
    names = ["a", "B", "Ä", "z", "_", "10", "9", "\U0001f600", "￰"]
    writer.write(*map(row, names))
    found: list[object] = []
    while page := writer.store.rows(POLICY, found[-1] if found else None, 2):
        found += [one["policy_no"] for one in page]
    assert found == sorted(names)


def test_rows_checkpoints_and_parked_events_change_together_or_not_at_all(writer: Writer) -> None:
    record = Story().tell(Issued(policy_no="P-1", broker="B", premium=Decimal(1)))[0]
    parked = ParkedEvent(record=record, topic=TOPIC, key="P-1", reason="why", held=False, parked_at=START)
    moved = Checkpoint(topic=TOPIC, partition=1, next_offset=8, sequence=5, as_of=CHANGED)
    nowhere = Checkpoint(topic="other", partition=0)
    with pytest.raises(UsageError):
        writer.write(row(), checkpoints=[moved, nowhere], parked=[parked])
    assert writer.store.rows(POLICY, None, 9) == []
    writer.write(row(), checkpoints=[moved], parked=[parked])
    assert writer.store.checkpoints("policy_view", 1) == [Checkpoint(topic=TOPIC, partition=0), moved]
    assert writer.store.parked("policy_view", 1) == [parked]
    writer.write(unparked=[record.envelope.id])
    assert writer.store.parked("policy_view", 1) == []


def test_a_zombies_commit_is_refused_whole(writer: Writer) -> None:
    writer.write(row())
    writer.store.seize("policy_view", 1)
    with pytest.raises(Fenced, match="policy_view v1"):
        writer.write(row(changes=9), checkpoints=[Checkpoint(topic=TOPIC, partition=0, sequence=9)])
    with pytest.raises(Fenced):
        writer.store.set_state("policy_view", 1, "failed", "", epoch=writer.epoch, now=START)
    assert writer.store.load(POLICY, ["P-1"])["P-1"] == row()
    assert writer.store.checkpoints("policy_view", 1)[0].sequence == 0


def test_parking_again_keeps_the_place_and_takes_the_new_reason(writer: Writer) -> None:
    story = Story(1)
    records = story.tell(*(Issued(policy_no=f"P-{n}", broker="B", premium=Decimal(1)) for n in range(3)))

    def parked(at: int, reason: str, when: dt.datetime) -> ParkedEvent:
        return ParkedEvent(
            record=records[at],
            topic=TOPIC,
            key=None if at else "P-0",
            reason=reason,
            held=False,
            parked_at=when,
        )

    writer.write(parked=[parked(2, "a", START), parked(0, "b", START)])
    writer.write(parked=[parked(0, "c", CHANGED)])
    assert writer.store.parked("policy_view", 1) == [parked(0, "c", START), parked(2, "a", START)]


def test_creating_again_changes_nothing_but_adds_new_partitions(writer: Writer) -> None:
    writer.write(row(), checkpoints=[Checkpoint(topic=TOPIC, partition=0, next_offset=3, sequence=3)])
    writer.store.create(POLICY, TOPICS | {"second": 1}, START)
    assert writer.store.load(POLICY, ["P-1"])["P-1"] == row()
    assert [(one.topic, one.sequence) for one in writer.store.checkpoints("policy_view", 1)] == [
        (TOPIC, 3),
        (TOPIC, 0),
        ("second", 0),
    ]


def test_columns_that_changed_without_a_new_version_are_refused(writer: Writer) -> None:
    class Changed(Projection, version=1, context="service", key="policy_no", name="policy_view"):
        policy_no: str
        premium: int

        @on(Issued, creates=True)
        def issued(self, event: Issued) -> None: ...

    with pytest.raises(UsageError, match="version=2"):
        writer.store.create(Changed.definition, TOPICS, START)


def ask(store: SqlReadStore, sql: str, parameters: dict[str, object] | None = None, **options: Any) -> Any:
    return store.query(sql, parameters or {}, projections=["policy_view"], timeout=SOON, **options)


def test_a_read_has_its_rows_positions_and_held_keys_of_one_instant(writer: Writer) -> None:
    record = Story(1).tell(Issued(policy_no="P-7", broker="B", premium=Decimal(1)))[0]
    held = [
        ParkedEvent(record=record, topic=TOPIC, key=key, reason="", held=False, parked_at=START)
        for key in ("P-1",)
    ]
    writer.write(
        row(), parked=held, checkpoints=[Checkpoint(topic=TOPIC, partition=0, sequence=4, as_of=CHANGED)]
    )
    answer = ask(
        writer.store,
        "SELECT policy_no, open, ends_on FROM policy_view WHERE policy_no = :key",
        {"key": "P-1"},
    )
    assert answer.rows == [{"policy_no": "P-1", "open": True, "ends_on": dt.date(2024, 2, 29)}]
    assert answer.versions == {"policy_view": 1}
    assert [(one.sequence, one.as_of) for one in answer.checkpoints["policy_view"]] == [
        (4, CHANGED),
        (0, None),
    ]
    assert answer.held == {"policy_view": ["P-1"]}
    unknown = [ParkedEvent(record=record, topic=TOPIC, key=None, reason="", held=False, parked_at=START)]
    writer.write(parked=unknown)
    assert ask(writer.store, "SELECT 1 AS one FROM policy_view").held == {"policy_view": ["P-7"]}


def test_a_read_gives_the_same_types_on_every_engine(writer: Writer) -> None:
    writer.write(row(premium=Decimal("10.50")))
    assert ask(writer.store, "SELECT * FROM policy_view").rows == [row(premium=Decimal("10.5"))]


def test_money_is_compared_sorted_and_summed_as_numbers(writer: Writer) -> None:
    prices = ["9.00", "10.10", "0.20", "100.30", "0.10"]
    writer.write(*(row(f"P-{at}", premium=Decimal(price)) for at, price in enumerate(prices)))
    answer = ask(
        writer.store,
        "SELECT premium FROM policy_view WHERE premium >= :least ORDER BY premium",
        {"least": Decimal("0.20")},
    )
    assert [one["premium"] for one in answer.rows] == [
        Decimal(price) for price in ("0.20", "9", "10.1", "100.3")
    ]
    total = ask(
        writer.store, "SELECT sum(premium) AS total, max(premium) AS most, count(*) AS n FROM policy_view"
    ).rows
    assert total == [{"total": Decimal("119.70"), "most": Decimal("100.30"), "n": 5}]


def test_a_sum_of_many_cents_is_exact(writer: Writer) -> None:
    writer.write(*(row(f"P-{at}", premium=Decimal("1000000.01")) for at in range(3000)))
    sql = "SELECT sum(premium) AS total, avg(premium) AS mean, sum(1) AS n FROM policy_view"
    assert ask(writer.store, sql).rows == [
        {"total": Decimal("3000000030.00"), "mean": Decimal("1000000.01"), "n": 3000}
    ]
    running = (
        "SELECT sum(premium) OVER (ORDER BY policy_no) AS total FROM policy_view ORDER BY policy_no LIMIT 3"
    )
    assert [one["total"] for one in ask(writer.store, running).rows] == [
        Decimal("1000000.01"),
        Decimal("2000000.02"),
        Decimal("3000000.03"),
    ]


def test_parameters_may_be_dates_instants_and_truths(writer: Writer) -> None:
    writer.write(row())
    sql = "SELECT 1 AS found FROM policy_view WHERE ends_on = :day AND changed_at <= :then AND open = :open"
    paris = CHANGED.astimezone(dt.timezone(dt.timedelta(hours=2)))
    assert ask(writer.store, sql, {"day": dt.date(2024, 2, 29), "then": paris, "open": True}).rows
    earlier = paris - dt.timedelta(microseconds=1)
    assert not ask(writer.store, sql, {"day": dt.date(2024, 2, 29), "then": earlier, "open": True}).rows


def test_the_first_version_serves_until_another_is_switched_to(writer: Writer) -> None:
    writer.write(row())
    second = Writer(writer.store, version_two())
    second.write({"policy_no": "P-1", "premium": Decimal(2)})
    sql = "SELECT * FROM policy_view"
    assert len(ask(writer.store, sql).rows[0]) == 9
    other = ask(writer.store, sql, versions={"policy_view": 2})
    assert (other.rows, other.versions) == ([{"policy_no": "P-1", "premium": Decimal(2)}], {"policy_view": 2})
    assert len(ask(writer.store, sql).rows[0]) == 9, "the look at the other version leaves no trace"
    writer.store.switch("policy_view", 2)
    after = ask(writer.store, sql)
    assert (after.rows, after.versions) == (other.rows, {"policy_view": 2})
    writer.store.switch("policy_view", 1)
    assert [(one.version, one.serving) for one in writer.store.versions("policy_view")] == [
        (1, True),
        (2, False),
    ]
    assert len(ask(writer.store, sql).rows[0]) == 9


def test_a_read_during_a_switch_has_rows_and_positions_of_one_version(writer: Writer) -> None:
    writer.write(row(premium=Decimal(1)))
    Writer(writer.store, version_two()).write({"policy_no": "P-1", "premium": Decimal(2)})
    stop = threading.Event()

    def switch_to_and_fro() -> None:
        while not stop.is_set():
            writer.store.switch("policy_view", 2)
            writer.store.switch("policy_view", 1)

    switching = threading.Thread(target=switch_to_and_fro)
    switching.start()
    try:
        answers = [ask(writer.store, "SELECT premium FROM policy_view") for _ in range(150)]
    finally:
        stop.set()
        switching.join()
    seen = {(answer.versions["policy_view"], answer.rows[0]["premium"]) for answer in answers}
    assert seen == {(1, Decimal(1)), (2, Decimal(2))}


def test_a_serving_version_is_not_dropped_and_another_leaves_nothing(writer: Writer) -> None:
    second = Writer(writer.store, version_two())
    with pytest.raises(Refused, match="switch"):
        writer.store.drop("policy_view", 1)
    second.write({"policy_no": "P-1", "premium": Decimal(2)})
    writer.store.drop("policy_view", 2)
    assert [one.version for one in writer.store.versions()] == [1]
    with pytest.raises(UsageError, match="no policy_view v2"):
        writer.store.seize("policy_view", 2)
    Writer(writer.store, version_two())
    assert writer.store.rows(version_two(), None, 5) == []


@pytest.mark.parametrize(
    ("sql", "parameters", "says"),
    [
        ("SELECT * FROM nothing_here", {}, "strangler project"),
        ("SELECT nowhere FROM policy_view", {}, "nowhere"),
        ("SELEC 1", {}, "cannot be run"),
        ("SELECT 1 AS a FROM policy_view WHERE policy_no = :key", {}, "key"),
        ("SELECT a.*, b.* FROM policy_view a, policy_view b", {}, "two columns"),
        ("DELETE FROM policy_view__v1", {}, "cannot be run"),
    ],
)
def test_a_read_that_cannot_work_says_why(
    writer: Writer, sql: str, parameters: dict[str, object], says: str
) -> None:
    writer.write(row())
    with pytest.raises(UsageError, match=says):
        ask(writer.store, sql, parameters)
    assert len(writer.store.rows(POLICY, None, 9)) == 1
    writer.write(row("P-2"))


def test_a_value_that_the_server_refuses_is_told_from_a_fault_of_the_statement(
    writer: Writer,
) -> None:
    if writer.store.engine.dialect.name != "postgresql":
        pytest.skip("only PostgreSQL refuses to compare a number with another text")
    writer.write(row())
    with pytest.raises(BadValue, match='"P-1"'):
        ask(writer.store, "SELECT 1 AS one FROM policy_view WHERE 1 = CAST(:key AS integer)", {"key": "P-1"})


def test_a_projection_that_never_ran_says_so(read_store: SqlReadStore) -> None:
    with pytest.raises(UsageError, match="strangler project"):
        ask(read_store, "SELECT 1 AS one")


def test_a_read_that_takes_too_long_is_cancelled(writer: Writer) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS c FROM n"
    with pytest.raises(ReadTimeout, match="longer than"):
        writer.store.query(endless, {}, projections=["policy_view"], timeout=SECOND / 20)
    assert ask(writer.store, "SELECT count(*) AS n FROM policy_view").rows == [{"n": 0}]


def test_the_state_of_a_version_is_kept_with_when_it_was_built(writer: Writer) -> None:
    def told(state: str, detail: str, now: dt.datetime) -> None:
        writer.store.set_state("policy_view", 1, state, detail, epoch=writer.epoch, now=now)

    assert writer.store.versions()[0].state == "building"
    told("running", "", START)
    told("waiting", "for 7", CHANGED)
    told("running", "", CHANGED)
    found = writer.store.versions("policy_view")[0]
    assert (found.state, found.detail, found.built_at, found.updated_at) == ("running", "", START, CHANGED)


def test_a_digest_tells_content_not_the_way_it_came(read_store: SqlReadStore) -> None:
    def digest(*writes: Callable[[Writer], None]) -> tuple[str, int]:
        writer = Writer(read_store, second)
        for write in writes:
            write(writer)
        found = read_store.digest(second)
        read_store.drop("policy_view", 2)
        return found.digest, found.rows

    Writer(read_store)
    second = version_two()
    a, b = ({"policy_no": name, "premium": Decimal("1.50")} for name in "ab")
    assert digest(lambda w: w.write(a, b)) == digest(lambda w: w.write(b), lambda w: w.write(a))
    assert digest(lambda w: w.write(a)) != digest(lambda w: w.write(b))
    assert digest(lambda w: w.write(a))[1] == 1


def test_a_digest_comes_with_its_positions_and_parked_events(writer: Writer) -> None:
    record = Story(1).tell(Issued(policy_no="P-1", broker="B", premium=Decimal(1)))[0]
    parked = ParkedEvent(record=record, topic=TOPIC, key="P-1", reason="", held=False, parked_at=START)
    writer.write(parked=[parked], checkpoints=[Checkpoint(topic=TOPIC, partition=0, sequence=4)])
    found = writer.store.digest(POLICY)
    assert [one.sequence for one in found.checkpoints] == [4, 0]
    assert found.parked == [record.envelope.id]
    assert len(found.checkpoints) == PARTITIONS


def test_two_projections_are_read_together(read_store: SqlReadStore) -> None:
    Writer(read_store).write(row())
    Writer(read_store, BOOK).write({"broker": "B", "policies": 1, "premium": Decimal(3)})
    answer = read_store.query(
        "SELECT p.policy_no, b.policies FROM policy_view p, broker_book b",
        {},
        projections=["policy_view", "broker_book"],
        timeout=SOON,
    )
    assert answer.rows == [{"policy_no": "P-1", "policies": 1}]
    assert answer.versions == {"policy_view": 1, "broker_book": 1}


@pytest.mark.postgres
def test_a_switch_keeps_who_may_read_the_view(postgres_url: str) -> None:
    from migrations.schema.read_store import metadata

    store = open_read_store(postgres_url)
    metadata.create_all(store.engine)
    Writer(store)
    with store.engine.begin() as connection:
        connection.execute(text("GRANT SELECT ON policy_view TO PUBLIC"))
    Writer(store, version_two())
    store.switch("policy_view", 2)
    with store.engine.begin() as connection:
        acl = connection.scalar(text("SELECT relacl::text FROM pg_class WHERE relname = 'policy_view'"))
    store.close()
    assert "=r/" in acl


def test_a_database_that_cannot_be_a_read_store_is_named() -> None:
    with pytest.raises(UsageError, match="mssql"):
        open_read_store("mssql+pyodbc://localhost/read")
