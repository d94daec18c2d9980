"""Topics of Debezium's as a source of changes: from Kafka into the inbox, in order, once, and what may be promised of it."""

import datetime as dt
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewPartitions

from adapters.legacy.debezium.capture import DebeziumCapture, before_second_snapshot
from adapters.state.store import State, open_state
from migrations.schema.state import metadata
from tests.support.debezium import Broker, envelope, key
from tests.support.relaying import Fuse, Killed
from tests.support.waiting import wait_until
from toolkit.core.changes import Change, Op
from toolkit.core.errors import Fenced, OffsetLost, UsageError
from toolkit.inbox import Fetching, Inbox
from toolkit.ports import CapturedTable
from toolkit.settings import DebeziumSection, LegacySection

SOURCE = "shop"
ORDERS = CapturedTable(table="ORDERS", subject="ID")
LINES = CapturedTable(table="LINES", subject="ORDER_ID")
START_MS = 1_700_000_000_000


class Shop:
    """A broker with a connector's topics, and captures that read them."""

    def __init__(self, bootstrap: str, prefix: str, state: State) -> None:
        self.broker = Broker(bootstrap)
        self.prefix, self.state = prefix, state
        self.inbox: Inbox = state.inbox(SOURCE)
        self.time = 0.0
        self.opened: list[DebeziumCapture] = []
        self._place = itertools.count(1)

    def topic(self, table: str, partitions: int = 1) -> str:
        return self.broker.create(f"{self.prefix}.shop.{table}", partitions)

    def capture(
        self, *tables: CapturedTable, inbox: Inbox | None = None, **settings: object
    ) -> DebeziumCapture:
        section = LegacySection(
            url="sqlite:///x",
            context="shop",
            capture="debezium",
            tables=[one.table for one in tables],
            debezium=DebeziumSection(
                bootstrap=self.broker.bootstrap,
                prefix=self.prefix,
                in_flight="1s",
                **settings,  # type: ignore[arg-type]
            ),
        )
        made = DebeziumCapture(
            Fetching(source=SOURCE, url="sqlite:///x", section=section, inbox=inbox or self.inbox),
            monotonic=lambda: self.time,
        )
        made.install(made.plan(tables))
        self.opened.append(made)
        return made

    def message(
        self,
        op: str,
        table: str,
        row: Mapping[str, object] | None,
        *,
        place: int | None = None,
        before: Mapping[str, object] | None = None,
        **more: object,
    ) -> tuple[bytes, bytes]:
        """One change with the next place in the source's log (or the given one), a second apart."""
        at = next(self._place) if place is None else place
        source = {
            "connector": "mysql",
            "name": self.prefix,
            "table": table,
            "file": "bin.000001",
            "pos": at,
            "row": 0,
            "ts_ms": START_MS + 1000 * at,
            "snapshot": "true" if op == "r" else "false",
        }
        after = None if op == "d" else row
        if op == "d":
            before = row
        of = {"id": (row or before or {})["id"]}
        return key(**of), envelope(op, before, after, source=source, **more)

    def close(self) -> None:
        for one in self.opened:
            one.close()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = open_state(f"sqlite:///{tmp_path}/state.db")
    metadata.create_all(opened.engine)
    yield opened
    opened.close()


@pytest.fixture
def shop(kafka_bootstrap: str, topic_name: str, state: State) -> Iterator[Shop]:
    made = Shop(kafka_bootstrap, topic_name, state)
    yield made
    made.close()


def fetch(capture: DebeziumCapture, count: int, limit: int = 100) -> list[Change]:
    """The next changes, marked; waits until as many have come."""
    found: list[Change] = []

    def came() -> bool:
        changes = capture.pending(limit, [])
        found.extend(changes)
        capture.mark([one.number for one in changes])
        return len(found) >= count

    wait_until(came, timeout=30, every=0.0, what=f"{count} changes")
    return found


def nothing_more(capture: DebeziumCapture) -> None:
    for _ in range(5):
        assert capture.pending(100, []) == []


def ids(changes: list[Change]) -> list[object]:
    return [one["ID"] for one in changes]


def as_of(milliseconds: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=milliseconds)


def until(capture: DebeziumCapture, reached: Callable[[], bool], limit: int = 100) -> None:
    def step() -> bool:
        capture.mark([one.number for one in capture.pending(limit, [])])
        return reached()

    wait_until(step, timeout=30, every=0.0, what="it")


# --- changes --------------------------------------------------------------------------------------


def test_the_changes_of_a_topic_become_changes_of_its_table(shop: Shop) -> None:
    topic = shop.topic("orders")
    row = {"id": 1, "status": "new"}
    shop.broker.send(
        topic,
        shop.message("r", "orders", row),
        shop.message("u", "orders", {**row, "status": "paid"}, before=row),
        shop.message("d", "orders", {**row, "status": "paid"}),
        (key(id=1), None),
    )
    read, paid, gone = fetch(shop.capture(ORDERS), 3)
    assert [one.op for one in (read, paid, gone)] == [Op.SNAPSHOT, Op.UPDATE, Op.DELETE]
    assert [one.subject for one in (read, paid, gone)] == ["1", "1", "1"]
    assert paid.became("STATUS", "paid")
    assert paid.position == f"mysql/bin.000001/2/0/{START_MS + 2000}/u/ORDERS/1"
    assert paid.captured_at == as_of(START_MS + 2000)
    assert (paid.key, paid.transaction) == (("ID",), None)
    assert gone.before == paid.after
    assert shop.opened[0].ignored() == {"tombstone": 1}


def test_another_process_goes_on_where_the_last_one_stopped(shop: Shop) -> None:
    topic = shop.topic("orders", 3)
    for number in range(30):
        shop.broker.send(topic, shop.message("c", "orders", {"id": number}), partition=number % 3)
    found = fetch(shop.capture(ORDERS), 10, limit=5)
    shop.opened[0].close()
    rest = fetch(shop.capture(ORDERS), 30 - len(found), limit=7)
    assert sorted(map(str, ids(found + rest))) == sorted(str(number) for number in range(30))


def test_a_crash_at_any_call_of_the_inbox_loses_nothing_and_doubles_nothing(shop: Shop) -> None:
    topic = shop.topic("orders")
    row: dict[str, object] = {"id": 1, "n": 0}
    shop.broker.send(topic, shop.message("c", "orders", row))
    for number in range(1, 6):
        shop.broker.send(
            topic, shop.message("u", "orders", {"id": 1, "n": number}, before={"id": 1, "n": number - 1})
        )
    for blow_at in itertools.count(1):
        inbox = shop.state.inbox(f"{SOURCE}{blow_at}")
        fuse = Fuse(blow_at)
        given: dict[str, object] = {}
        for one in (fuse.guard(inbox, "put", "mark", "pending"), inbox):
            capture: DebeziumCapture | None = None
            try:
                capture = shop.capture(ORDERS, inbox=one)
                while len(given) < 6 or inbox.waiting():
                    changes = capture.pending(2, [])
                    # Translated again after a crash, a change has the same position, so that its events have the same ids.
                    assert all(given.get(change.position, change["N"]) == change["N"] for change in changes)
                    given |= {change.position: change["N"] for change in changes}
                    capture.mark([change.number for change in changes])
            except Killed:
                continue
            finally:
                if capture is not None:
                    capture.close()
        assert list(given.values()) == list(range(6)), fuse.where
        assert inbox.last() == 6, fuse.where
        if not fuse.where:
            break
    assert blow_at > 15


def test_what_the_connector_sends_again_is_dropped(shop: Shop) -> None:
    topic = shop.topic("orders")
    sent = [shop.message("c", "orders", {"id": 1})]
    sent += [shop.message("u", "orders", {"id": 1, "n": number}) for number in range(4)]
    shop.broker.send(topic, *sent[:4])
    first = fetch(shop.capture(ORDERS), 4)
    shop.opened[0].close()
    shop.broker.send(topic, *sent[2:4], sent[4])
    capture = shop.capture(ORDERS)
    assert [one["N"] for one in fetch(capture, 1)] == [3]
    nothing_more(capture)
    assert capture.ignored() == {"sent again": 2}
    assert len({one.position for one in first}) == 4


def test_beyond_the_window_a_change_that_is_sent_again_has_its_position_again(shop: Shop) -> None:
    topic = shop.topic("orders")
    sent = [shop.message("c", "orders", {"id": number}) for number in range(5)]
    shop.broker.send(topic, *sent)
    capture = shop.capture(ORDERS, window=2)
    first = fetch(capture, 5)
    for number in (8, 9):
        shop.broker.send(topic, shop.message("c", "orders", {"id": number}))
        fetch(capture, 1)
    shop.broker.send(topic, sent[0])
    (again,) = fetch(capture, 1)
    assert again.position == first[0].position


def test_rows_of_one_log_record_are_told_apart(shop: Shop) -> None:
    topic = shop.topic("orders")
    shop.broker.send(topic, *(shop.message("c", "orders", {"id": number}, place=7) for number in range(3)))
    assert ids(fetch(shop.capture(ORDERS), 3)) == [0, 1, 2]


def test_what_cannot_be_understood_is_a_change_with_its_fault_and_the_rest_goes_on(shop: Shop) -> None:
    topic = shop.topic("orders")
    shop.broker.send(topic, (key(id=1), b"\x00\x00avro"), shop.message("c", "orders", {"id": 2}))
    broken, fine = fetch(shop.capture(ORDERS), 2)
    assert "offset 0: not JSON" in broken.fault
    assert (fine["ID"], fine.fault) == (2, "")


def test_a_row_that_moves_leaves_one_subject_and_comes_to_another(shop: Shop) -> None:
    topic = shop.topic("lines")
    before, after = {"id": 1, "order_id": 7}, {"id": 1, "order_id": 8}
    shop.broker.send(topic, shop.message("u", "lines", after, before=before))
    left, came = fetch(shop.capture(LINES), 2)
    assert (left.op, left.subject, left["ORDER_ID"]) == (Op.DELETE, "7", 7)
    assert (came.op, came.subject, came["ORDER_ID"]) == (Op.INSERT, "8", 8)


def test_a_subject_of_several_columns_is_joined_and_told_only_by_all_of_them(shop: Shop) -> None:
    lines = CapturedTable(table="LINES", subject=("SHOP", "ORDER_ID"))
    first = {"id": 7, "shop": "a/b", "order_id": 1}
    shop.broker.send(
        shop.topic("lines"),
        shop.message("c", "lines", first),
        shop.message("u", "lines", {**first, "order_id": 2}, before=first),
        shop.message("d", "lines", {"id": 7, "shop": "a/b"}),
    )
    told = [(one.op, one.subject, bool(one.fault)) for one in fetch(shop.capture(lines), 4)]
    assert told == [
        (Op.INSERT, "a%2Fb/1", False),
        (Op.DELETE, "a%2Fb/1", False),
        (Op.INSERT, "a%2Fb/2", False),
        (Op.DELETE, "", True),
    ]


def test_another_subject_is_refused_aloud_because_the_history_would_not_come_under_it(shop: Shop) -> None:
    shop.topic("orders")
    capture = shop.capture(ORDERS)
    plan = capture.plan([CapturedTable(table="ORDERS", subject=("SHOP", "ID"))])
    assert "is to be with SHOP, ID" in plan.holes[0].what
    with pytest.raises(UsageError, match="begin a source under a new name"):
        capture.install(plan)
    assert capture.installed() == ("ORDERS",)
    capture.remove(plan)
    capture.install(capture.plan([CapturedTable(table="ORDERS", subject=("SHOP", "ID"))]))


def test_a_deletion_without_its_subject_is_a_fault(shop: Shop) -> None:
    topic = shop.topic("lines")
    shop.broker.send(topic, shop.message("d", "lines", {"id": 1}))
    (gone,) = fetch(shop.capture(LINES), 1)
    assert "does not have the subject column ORDER_ID" in gone.fault


# --- order ----------------------------------------------------------------------------------------


def test_tables_of_one_subject_come_in_the_order_of_the_source(shop: Shop) -> None:
    orders, lines = shop.topic("orders", 2), shop.topic("lines")
    for number in range(20):
        shop.broker.send(orders, shop.message("c", "orders", {"id": number}), partition=number % 2)
        shop.broker.send(lines, shop.message("c", "lines", {"id": number, "order_id": number}))
    found = fetch(shop.capture(ORDERS, LINES), 40, limit=7)
    assert [(one.table, one.subject) for one in found] == [
        (table, str(number)) for number in range(20) for table in ("ORDERS", "LINES")
    ]


def test_a_partition_that_is_added_is_read_from_its_beginning(shop: Shop) -> None:
    topic = shop.topic("orders")
    capture = shop.capture(ORDERS, start="latest")
    nothing_more(capture)
    shop.broker.send(topic, shop.message("c", "orders", {"id": 1}))
    assert ids(fetch(capture, 1)) == [1]
    for future in shop.broker.admin.create_partitions([NewPartitions(topic, 2)]).values():
        future.result()
    Broker(shop.broker.bootstrap).send(topic, shop.message("c", "orders", {"id": 2}), partition=1)
    shop.time += 20  # now and then it is looked for topics and partitions
    assert ids(fetch(capture, 1)) == [2]


def test_a_second_snapshot_does_not_drag_the_first_behind_a_change() -> None:
    def change(op: Op, subject: str) -> Change:
        return Change(
            source="s", table="T", op=op, subject=subject, position="p", captured_at=as_of(0), after={}
        )

    read, other, update = change(Op.SNAPSHOT, "1"), change(Op.SNAPSHOT, "2"), change(Op.UPDATE, "1")
    assert before_second_snapshot([read, update, other, read, update]) == [read, update, other]
    assert before_second_snapshot([read, read, update]) == [read, read, update]


def test_two_processes_do_not_fetch_at_once(shop: Shop) -> None:
    topic = shop.topic("orders")
    first, second = shop.capture(ORDERS), shop.capture(ORDERS)
    nothing_more(first)
    nothing_more(second)
    shop.broker.send(topic, shop.message("c", "orders", {"id": 1}))
    assert ids(fetch(first, 1)) == [1]
    with pytest.raises(Fenced):
        fetch(second, 1)
    assert shop.inbox.last() == 1


# --- transactions ---------------------------------------------------------------------------------


def boundary(status: str, id_: str, **counts: int) -> tuple[None, bytes]:
    body: dict[str, object] = {"status": status, "id": id_, "ts_ms": 1}
    if status == "END":
        body["event_count"] = sum(counts.values())
        body["data_collections"] = [
            {"data_collection": f"shop.{table}", "event_count": count} for table, count in counts.items()
        ]
    return None, json.dumps(body).encode()


def test_a_transaction_is_complete_when_its_end_says_so(shop: Shop) -> None:
    orders, lines = shop.topic("orders"), shop.topic("lines")
    meta = shop.broker.create(f"{shop.prefix}.transaction")
    shop.broker.send(meta, boundary("BEGIN", "7"))
    of = {"id": "7", "data_collection_order": 1}
    first = shop.message("c", "orders", {"id": 1}, transaction={**of, "total_order": 1})
    second = shop.message("c", "lines", {"id": 5, "order_id": 1}, transaction={**of, "total_order": 2})
    third = shop.message("u", "orders", {"id": 1, "n": 2}, transaction={**of, "total_order": 3})
    alone = shop.message("c", "orders", {"id": 9}, transaction={"id": "8", "total_order": 1})
    shop.broker.send(orders, first, third, alone)
    capture = shop.capture(ORDERS, LINES, transactions=meta)
    nothing_more(capture)
    shop.broker.send(meta, boundary("END", "7", orders=2, lines=1, others=4), boundary("BEGIN", "8"))
    nothing_more(capture)
    assert [hole.what for hole in capture.holes()] == ["transaction 7: 2 of 3 changes have come"]
    capture.close()  # another process begins before the transaction that is not complete

    again = shop.capture(ORDERS, LINES, transactions=meta)
    shop.broker.send(lines, second)
    found = fetch(again, 3)
    assert [(one.table, one.transaction) for one in found] == [
        ("ORDERS", "7"),
        ("LINES", "7"),
        ("ORDERS", "7"),
    ]
    shop.broker.send(meta, boundary("END", "8", orders=1))
    assert [(one["ID"], one.transaction) for one in fetch(again, 1)] == [(9, "8")]
    assert again.holes() == []


# --- what may be promised (R3) --------------------------------------------------------------------


def test_nothing_is_promised_before_a_change_tells_how_far_the_connector_is(shop: Shop) -> None:
    topic = shop.topic("orders")
    shop.broker.send(topic, shop.message("r", "orders", {"id": 1}))
    capture = shop.capture(ORDERS)
    fetch(capture, 1)
    shop.time += 100
    nothing_more(capture)
    assert capture.behind(capture.horizon()) > 0


def test_a_change_promises_the_instant_before_it_once_what_was_on_its_way_has_come(shop: Shop) -> None:
    topic = shop.topic("orders", 2)
    capture = shop.capture(ORDERS)
    unproved = capture.horizon()
    shop.broker.send(topic, shop.message("c", "orders", {"id": 1}, place=100), partition=0)
    fetch(capture, 1)
    nothing_more(capture)
    assert capture.behind(capture.horizon()) > 0
    # Committed before, sent before, and later in Kafka: another partition, another connection.
    late = [shop.message("c", "orders", {"id": number}, place=number) for number in range(20, 40)]
    shop.broker.send(topic, *late, partition=1)
    shop.time += 1.5
    until(capture, lambda: capture.behind(unproved) == 0, limit=1)
    horizon = capture.horizon()
    assert horizon.instant == as_of(START_MS + 100_000 - 1)
    assert shop.inbox.last() == 21
    assert int(horizon.token) == 21
    assert capture.behind(horizon) == 0


def test_what_is_not_marked_is_behind(shop: Shop) -> None:
    topic = shop.topic("orders")
    capture = shop.capture(ORDERS)
    shop.broker.send(topic, shop.message("c", "orders", {"id": 1}))
    fetch(capture, 1)
    nothing_more(capture)
    shop.broker.send(topic, shop.message("c", "orders", {"id": 2}))
    wait_until(lambda: capture.pending(10, []), timeout=30, what="the second change")

    def proved() -> bool:
        capture._fetch(10)  # a leader that is slow to translate goes on fetching
        return capture.horizon().token == "2"

    nothing_marked = shop.inbox.waiting()
    capture._fetch(10)
    shop.time += 2
    wait_until(proved, timeout=30, every=0.0, what="the proof")
    assert nothing_marked == 1
    assert capture.behind(capture.horizon()) == 1


def test_a_heartbeat_table_makes_an_idle_source_fresh(shop: Shop) -> None:
    shop.topic("orders")
    beats = shop.broker.create(f"{shop.prefix}.shop.heartbeat")
    capture = shop.capture(ORDERS, heartbeat=[beats])
    for place in (50, 60):
        shop.broker.send(beats, shop.message("u", "heartbeat", {"id": 1}, place=place))
        until(capture, lambda: capture.ignored().get("heartbeat", 0) > 0)
        nothing_more(capture)
        shop.time += 2
        until(capture, lambda at=place: capture.horizon().instant == as_of(START_MS + 1000 * at - 1))  # type: ignore[misc]
    assert shop.inbox.last() == 0


@pytest.mark.parametrize(("lag", "promised"), [("", None), ("10s", START_MS - 10_000 - 1)])
def test_the_connectors_own_heartbeat_promises_only_what_the_settings_vouch_for(
    shop: Shop, lag: str, promised: int | None
) -> None:
    shop.topic("orders")
    beats = shop.broker.create(f"__debezium-heartbeat.{shop.prefix}")
    shop.broker.send(beats, (key(serverName=shop.prefix), json.dumps({"ts_ms": START_MS}).encode()))
    capture = shop.capture(ORDERS, heartbeat=[beats], connector_lag=lag)
    until(capture, lambda: capture.ignored().get("heartbeat") == 1)
    nothing_more(capture)
    shop.time += 2
    nothing_more(capture)
    if promised is None:
        assert capture.behind(capture.horizon()) > 0
    else:
        assert capture.horizon().instant == as_of(promised)


def test_truncate_is_a_hole_that_stops_every_promise(shop: Shop) -> None:
    topic = shop.topic("orders")
    _, wiped = shop.message("t", "orders", {"id": 0})
    shop.broker.send(topic, shop.message("c", "orders", {"id": 1}), (None, wiped))
    capture = shop.capture(ORDERS)
    fetch(capture, 1)
    until(capture, lambda: bool(capture.holes()))
    shop.time += 100
    nothing_more(capture)
    (hole,) = capture.holes()
    assert (hole.where, "was truncated" in hole.what, "remember" in hole.next) == ("ORDERS", True, True)
    assert capture.behind(capture.horizon()) > 0


def test_a_topic_that_is_not_there_is_a_hole_and_nothing_is_promised_until_it_is(shop: Shop) -> None:
    topic = shop.topic("orders")
    shop.broker.send(topic, shop.message("c", "orders", {"id": 1}))
    capture = shop.capture(ORDERS, LINES)
    assert ids(fetch(capture, 1)) == [1]
    assert [hole.where for hole in capture.holes()] == [f"{shop.prefix}.*.LINES"]
    shop.time += 100
    nothing_more(capture)
    assert capture.behind(capture.horizon()) > 0

    shop.broker.send(shop.topic("lines"), shop.message("c", "lines", {"id": 5, "order_id": 1}))
    shop.time += 100
    assert [one.table for one in fetch(capture, 1)] == ["LINES"]
    assert capture.holes() == []


# --- what is lost ---------------------------------------------------------------------------------


def test_what_retention_removed_before_it_was_read_is_refused_with_what_to_do(shop: Shop) -> None:
    topic = shop.topic("orders")
    shop.broker.send(topic, *(shop.message("c", "orders", {"id": number}) for number in range(10)))
    fetch(shop.capture(ORDERS), 10)
    shop.opened[0].close()
    shop.broker.send(topic, *(shop.message("c", "orders", {"id": number}) for number in range(10, 20)))
    for future in shop.broker.admin.delete_records([TopicPartition(topic, 0, 15)]).values():
        future.result()
    capture = shop.capture(ORDERS)
    with pytest.raises(
        OffsetLost, match=r"offset 10 .* holds 15 to 20 .*retention.*new snapshot.*capture install"
    ):
        capture.pending(10, [])
    assert ["offset 10 is next" in hole.what for hole in capture.holes()] == [True]


def test_a_topic_that_was_made_anew_is_refused(shop: Shop) -> None:
    topic = shop.topic("orders")
    shop.broker.send(topic, shop.message("c", "orders", {"id": 1}))
    fetch(shop.capture(ORDERS), 1)
    shop.opened[0].close()
    for future in shop.broker.admin.delete_topics([topic]).values():
        future.result()
    wait_until(lambda: topic not in shop.broker.admin.list_topics(timeout=5).topics, what="no topic")
    shop.topic("orders")
    shop.broker.send(topic, *(shop.message("c", "orders", {"id": number}) for number in range(5)))
    with pytest.raises(OffsetLost, match="made anew"):
        shop.capture(ORDERS).pending(10, [])


# --- what is remembered ---------------------------------------------------------------------------


def test_a_remembered_row_fills_in_what_the_message_does_not_tell(shop: Shop) -> None:
    topic = shop.topic("orders")
    row = {"id": 1, "status": "new", "note": "long"}
    shop.broker.send(
        topic,
        shop.message("c", "orders", row),
        shop.message("u", "orders", {"id": 1, "status": "paid", "note": "__debezium_unavailable_value"}),
        shop.message("d", "orders", {"id": 1}),
    )
    created, paid, gone = fetch(shop.capture(ORDERS, remember=["ORDERS"]), 3)
    assert paid.before == created.after
    assert paid.after == {"ID": 1, "STATUS": "paid", "NOTE": "long"}
    assert (paid.unknown, paid.changed("NOTE")) == ({}, False)
    assert gone.before == paid.after


def test_a_remembered_table_knows_what_truncate_took_and_what_a_snapshot_repeats(shop: Shop) -> None:
    topic = shop.topic("orders")
    rows: list[dict[str, object]] = [{"id": number, "n": 0} for number in range(3)]
    shop.broker.send(topic, *(shop.message("r", "orders", row) for row in rows))
    fetch(shop.capture(ORDERS, remember=["ORDERS"]), 3)
    shop.opened[0].close()
    capture = shop.capture(ORDERS, remember=["ORDERS"])
    again: list[dict[str, object]] = [rows[0], {"id": 1, "n": 5}, rows[2]]
    shop.broker.send(topic, *(shop.message("r", "orders", row) for row in again))
    assert [(one.op, one["ID"], one["N"]) for one in fetch(capture, 1)] == [(Op.SNAPSHOT, 1, 5)]
    _, wiped = shop.message("t", "orders", {"id": 0})
    shop.broker.send(topic, (None, wiped))
    gone = fetch(capture, 3)
    assert sorted((one.op.value, str(one["ID"]), str(one["N"])) for one in gone) == [
        ("delete", "0", "0"),
        ("delete", "1", "5"),
        ("delete", "2", "0"),
    ]
    assert capture.holes() == []
