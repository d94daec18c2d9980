"""What the read models should hold: the pure fold of every archived event, once each and in order."""

from __future__ import annotations

from toolkit.app import App
from toolkit.core.projections import Definition
from toolkit.core.records import Record


def whole_history(app: App, topic: str) -> list[Record]:
    """Every published record, by partition and sequence."""
    after: dict[int, int] = {}
    history: list[Record] = []
    while page := app.state.archive.scan(topic, after, 10_000):
        for delivery in page:
            assert isinstance(delivery.content, Record)
            after[delivery.content.partition] = delivery.content.sequence
            history.append(delivery.content)
    assert len({record.envelope.id for record in history}) == len(history)
    return history


def fold(app: App, definition: Definition, history: list[Record]) -> dict[object, dict[str, object]]:
    """The rows of a projection, folded one event at a time."""
    rows: dict[object, dict[str, object]] = {}
    for record in history:
        if record.envelope.type not in definition.handlers:
            continue
        event_type = app.project.catalogue.by_name(record.envelope.type)
        event = event_type.current(record.data, record.envelope.version)
        key = definition.key_of(event)
        row = definition.apply(rows.get(key), event, record.envelope)
        if row is None:
            del rows[key]
        else:
            rows[key] = row
    return rows


def stored(app: App, definition: Definition) -> dict[object, dict[str, object]]:
    """The rows of a projection as the read store has them."""
    rows: dict[object, dict[str, object]] = {}
    after: object | None = None
    while page := app.store.rows(definition, after, 1000):
        after = definition.key_in(page[-1])
        rows.update({definition.key_in(row): row for row in page})
    return rows


def differences_from_fold(app: App, topic: str) -> dict[str, list[object]]:
    """By projection, the keys whose stored row is not the fold of the history."""
    history = whole_history(app, topic)
    found: dict[str, list[object]] = {}
    for definition in app.running_versions():
        expected, actual = fold(app, definition, history), stored(app, definition)
        wrong = [key for key in expected.keys() | actual.keys() if expected.get(key) != actual.get(key)]
        if wrong:
            found[definition.identity] = wrong
    return found
