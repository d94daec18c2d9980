"""From Debezium's topics to a projection: fixtures of others in, the tables they describe out."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from adapters.legacy.debezium.capture import open_capture
from migrations.schema.state import event
from tests.support.debezium import DATA, Broker, key, lines, table_of
from tests.support.shop import write_shop
from tests.support.waiting import wait_until
from toolkit import registry
from toolkit.app import App, open_project

LAYOUT = """
[legacy.shop.outbox_columns.outboxevent]
id = "event_id"
aggregate_id = "aggregate_key"
type = "kind"
payload = "body"
"""


@pytest.fixture
def broker(kafka_bootstrap: str) -> Broker:
    return Broker(kafka_bootstrap)


@pytest.fixture
def topics(broker: Broker, topic_name: str) -> dict[str, str]:
    return {
        table: broker.create(f"{topic_name}.inventory.{table}", 2)
        for table in ("products", "customers", "outboxevent")
    }


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[App]]:
    monkeypatch.setattr(registry, "capture", lambda _: open_capture)
    apps: list[App] = []
    yield apps
    for app in apps:
        app.close()


def prepare(
    folder: Path,
    opened: list[App],
    broker: Broker,
    prefix: str,
    more: str = "",
    layout: str = "",
    subject: str = "aggregateid",
) -> App:
    section = f'bootstrap = "{broker.bootstrap}"\nprefix = "{prefix}"\nin_flight = "500ms"\n{more}'
    app = open_project(write_shop(folder, section, outbox_columns=layout, subject=subject))
    opened.append(app)
    app.setup()
    capture = app.legacy("shop").capture
    capture.install(capture.plan(app.project.captured("shop")))
    return app


def relay(app: App) -> None:
    translation = app.translation("shop")
    leader = app.relay("shop", translation)
    leader.lead()
    backfill = app.backfill("shop", translation)
    while backfill.step(leader.epoch) is not None:
        pass
    leader.drain()
    leader.resign()


def project(app: App) -> None:
    for definition in app.running_versions():
        projector = app.projector(definition)
        projector.start()
        while projector.advance().deliveries:
            pass
        projector.close()


def rows(app: App, projection: str) -> dict[str, dict[str, object]]:
    definition = app.project.definition(projection, 1)
    return {str(row["number"]): row for row in app.store.rows(definition, None, 100)}


def events(app: App) -> list[Any]:
    with app.state.engine.connect() as connection:
        return list(connection.execute(select(event).order_by(event.c.partition, event.c.sequence)))


# --- the 20 changes -------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["debezium-json.txt", "debezium-json-with-schema.txt"])
def test_the_20_changes_become_the_views_that_their_source_describes(
    form: str, tmp_path: Path, opened: list[App], broker: Broker, topics: dict[str, str], topic_name: str
) -> None:
    tables: dict[str, dict[str, Any]] = {"products": {}, "customers": {}}
    for line in lines(form):
        payload = json.loads(line, parse_float=Decimal)
        payload = payload.get("payload", payload)
        row = payload["after"] or payload["before"]
        tables[table_of(line)][str(row["id"])] = payload["after"]
        broker.send(topics[table_of(line)], (key(id=row["id"]), line), partition=row["id"] % 2)
    app = prepare(tmp_path, opened, broker, topic_name)

    relay(app)
    project(app)

    assert rows(app, "customers") == {
        number: {"number": number, "name": row["name"], "phone": row["phone_number"]}
        for number, row in tables["customers"].items()
    }
    assert rows(app, "products") == {
        number: {
            "number": number,
            "name": row["name"],
            "description": row["description"],
            "weight": row["weight"],
            "extra": row["json_c"],
        }
        for number, row in tables["products"].items()
        if row is not None
    }
    assert len(rows(app, "products")) == 10
    assert app.state.archive.parked("shop") == []
    # Nothing in these messages tells when they were committed, so nothing is promised.
    assert app.state.archive.last_watermark(app.project.topic("shop")) is None


# --- the outbox -----------------------------------------------------------------------------------


def documented() -> tuple[bytes, bytes, dict[str, Any]]:
    """The row of Debezium's documentation as its change event, its routed value, and the payload that both carry.

    The header's id in the documentation is not the one of the row beside it; the row's is meant.
    """
    text = (DATA / "debezium" / "outbox-event-router.adoc").read_text()
    raw = next(
        block
        for block in re.findall(r"^----\n(.*?)^----$", text, re.MULTILINE | re.DOTALL)
        if '"op": "c"' in block
    )
    change = raw[raw.index("{") :].replace("{debezium-version}", "3.0")
    escaped = json.loads(change)["after"]["payload"]
    return change.encode(), json.dumps(escaped).encode(), json.loads(escaped)


EVENT_ID = "406c07f3-26f0-4eea-a50c-109940064b8f"
EXPECTED = {
    "number": "1",
    "customer": 123,
    "lines": ["Debezium in Action", "Debezium for Dummies"],
    "placed_on": "2019-01-31T12:13:01",
}


def the_event(app: App) -> Any:
    (row,) = events(app)
    assert (row.type, row.subject) == ("OrderCreated", "1")
    assert msgspec.json.decode(row.data) == EXPECTED
    return row


def test_the_documented_outbox_row_is_published_as_its_routed_message_would_be(
    tmp_path: Path, opened: list[App], broker: Broker, topics: dict[str, str], topic_name: str
) -> None:
    change, _, _ = documented()
    broker.send(topics["outboxevent"], (key(id=EVENT_ID), change))
    app = prepare(tmp_path, opened, broker, topic_name)
    relay(app)
    row = the_event(app)
    assert EVENT_ID in row.position
    assert row.position.startswith("postgresql/584/24064704/1556890294448/c/OUTBOXEVENT/")
    project(app)
    assert rows(app, "orders") == {"1": {"number": "1", "customer": 123}}


HEADERS = [("id", EVENT_ID.encode()), ("eventType", b"OrderCreated")]


@pytest.mark.parametrize(
    ("of", "value", "headers"),
    [
        (b"1", "escaped", HEADERS),
        (b"1", "expanded", HEADERS),
        (b'"1"', "with schema", [("id", b'"%s"' % EVENT_ID.encode()), ("eventType", b'"OrderCreated"')]),
        (b'{"schema":{"type":"string"},"payload":"1"}', "beside", HEADERS[:1]),
    ],
)
def test_a_message_that_the_event_router_made_is_the_same_event(
    of: bytes,
    value: str,
    headers: list[tuple[str, str | bytes | None]],
    tmp_path: Path,
    opened: list[App],
    broker: Broker,
    topics: dict[str, str],
    topic_name: str,
) -> None:
    _, escaped, payload = documented()
    forms = {
        "escaped": escaped,
        "expanded": json.dumps(payload).encode(),
        "with schema": json.dumps({"schema": {"type": "string"}, "payload": json.loads(escaped)}).encode(),
        "beside": json.dumps({"payload": json.loads(escaped), "eventType": "OrderCreated"}).encode(),
    }
    routed = broker.create(f"outbox.event.{topic_name}")
    broker.send(routed, (of, forms[value]), (of, forms[value]), headers=headers)
    more = f'routed = true\ntopics = {{ "{routed}" = "outboxevent" }}'
    app = prepare(tmp_path, opened, broker, topic_name, more)
    relay(app)
    assert the_event(app).position == f"outbox/{EVENT_ID}/c/OUTBOXEVENT/{EVENT_ID}"


def test_an_outbox_may_call_its_columns_otherwise(
    tmp_path: Path, opened: list[App], broker: Broker, topics: dict[str, str], topic_name: str
) -> None:
    change = json.loads(documented()[0])
    names = {"id": "event_id", "aggregateid": "aggregate_key", "type": "kind", "payload": "body"}
    change["after"] = {names.get(name, name): value for name, value in change["after"].items()}
    broker.send(topics["outboxevent"], (key(event_id=EVENT_ID), json.dumps(change).encode()))
    app = prepare(tmp_path, opened, broker, topic_name, layout=LAYOUT, subject="aggregate_key")
    relay(app)
    the_event(app)


def test_an_update_of_an_outbox_row_is_parked_until_the_settings_say_otherwise(
    tmp_path: Path, opened: list[App], broker: Broker, topics: dict[str, str], topic_name: str
) -> None:
    change = json.loads(documented()[0])
    updated = {**change, "op": "u", "source": {**change["source"], "lsn": 24064800}}
    deleted = {
        **change,
        "op": "d",
        "before": change["after"],
        "after": None,
        "source": {**change["source"], "lsn": 24064900},
    }
    for one in (change, updated, deleted):
        broker.send(topics["outboxevent"], (key(id=EVENT_ID), json.dumps(one).encode()))
    app = prepare(tmp_path, opened, broker, topic_name)
    relay(app)
    the_event(app)
    (parked,) = app.state.archive.parked("shop")
    assert "an outbox row was updated" in parked.reason

    text = (tmp_path / "strangler.toml").read_text()
    (tmp_path / "strangler.toml").write_text(
        text + '\n[legacy.shop.outbox_columns.outboxevent]\nupdate = "ignore"\n'
    )
    mended = open_project(tmp_path)
    opened.append(mended)
    leader = mended.relay("shop", mended.translation("shop"))
    leader.lead()
    mended.translation("shop").replay(leader.epoch)
    assert mended.state.archive.parked("shop") == []
    the_event(mended)


# --- what is promised reaches the view ------------------------------------------------------------


def test_a_committed_change_makes_the_view_as_old_as_it_is(
    tmp_path: Path, opened: list[App], broker: Broker, topics: dict[str, str], topic_name: str
) -> None:
    change = json.loads(documented()[0])
    change["source"]["name"] = "shop"
    broker.send(topics["outboxevent"], (key(id=EVENT_ID), json.dumps(change).encode()))
    app = prepare(tmp_path, opened, broker, topic_name)
    relay(app)

    def promised() -> bool:
        relay(app)
        at = app.state.archive.last_watermark(app.project.topic("shop"))
        return at is not None and at.year == 2019

    wait_until(promised, timeout=30, what="the promise")
    project(app)
    checkpoints = app.store.checkpoints("orders", 1)
    assert {one.as_of.isoformat() for one in checkpoints if one.as_of} == {"2019-05-03T13:31:34.447000+00:00"}
