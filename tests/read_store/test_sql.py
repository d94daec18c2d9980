"""What a read store promises that answers SQL, on every engine."""

import datetime as dt
import threading
import time
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from adapters.read_store.sql import SqlReadStore, open_read_store
from tests.read_store.test_store import CHANGED, Writer, row, version_two
from tests.support.parameters import FACTS, GIVEN, parameters
from tests.support.read_store import BOOK, POLICY, SECOND, START, TOPIC, Story
from tests.support.read_store import PolicyIssued as Issued
from toolkit.core.errors import BadValue, Fenced, ReadTimeout, UsageError
from toolkit.ports import Checkpoint, ParkedEvent, ReadStore, SqlReads

SOON = 5 * SECOND


@pytest.fixture
def writer(read_store: SqlReadStore) -> Writer:
    return Writer(read_store)


def ask(
    store: ReadStore,
    sql: str,
    parameters: dict[str, object] | None = None,
    *,
    timeout: dt.timedelta = SOON,
    **options: Any,
) -> Any:
    assert isinstance(store, SqlReads)
    return store.query(sql, parameters or {}, projections=["policy_view"], timeout=timeout, **options)


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


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_a_parameter_means_what_it_means_to_the_caller(
    writer: Writer, given: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Pacific/Chatham")
    time.tzset()
    writer.write(
        row(
            reason=FACTS["text"],
            premium=FACTS["amount"],
            changes=FACTS["number"],
            ends_on=FACTS["day"],
            changed_at=FACTS["at"],
        )
    )
    sql = "SELECT count(*) AS n FROM policy_view WHERE reason = :text AND premium = :amount AND changes = :number"
    sql += " AND ends_on = :day AND changed_at = :at"
    try:
        assert ask(writer.store, sql, parameters(given)).rows == [{"n": 1}]
    finally:
        monkeypatch.undo()
        time.tzset()


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


def test_a_version_whose_table_somebody_dropped_begins_anew_and_serves_on(writer: Writer) -> None:
    store = writer.store
    assert isinstance(store, SqlReadStore)
    moved = Checkpoint(topic=TOPIC, partition=0, next_offset=5, sequence=5, as_of=CHANGED)
    writer.write(row(), checkpoints=[moved])
    store.set_state("policy_view", 1, "running", "", epoch=writer.epoch, now=START)
    cascade = " CASCADE" if store.engine.dialect.name == "postgresql" else ""
    with store.engine.begin() as connection:
        connection.execute(text(f"DROP TABLE policy_view__v1{cascade}"))
    again = Writer(store)
    assert [(one.sequence, one.as_of) for one in store.checkpoints("policy_view", 1)] == [
        (0, None),
        (0, None),
    ]
    one = store.versions("policy_view")[0]
    assert (one.state, one.built_at, one.serving) == ("building", None, True)
    with pytest.raises(Fenced):
        writer.write(row())
    again.write(row())
    assert len(ask(store, "SELECT * FROM policy_view").rows) == 1


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
    assert isinstance(writer.store, SqlReadStore)
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
        ask(writer.store, endless, timeout=SECOND / 20)
    assert ask(writer.store, "SELECT count(*) AS n FROM policy_view").rows == [{"n": 0}]


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
