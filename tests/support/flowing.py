"""A project whose events flow: set up, captured, backfilled, and followed in the background."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.waiting import wait_until
from toolkit.app import App
from toolkit.cli.flow import projectors, relays
from toolkit.loops.supervise import Supervisor


def prepare(app: App) -> None:
    """Set up, install capture, backfill every source."""
    app.setup()
    for name in app.project.settings.legacy:
        capture = app.legacy(name).capture
        capture.install(capture.plan(app.project.captured(name)))
        translation = app.translation(name)
        relay = app.relay(name, translation)
        relay.lead()
        backfill = app.backfill(name, translation)
        while backfill.step(relay.epoch) is not None:
            relay.keep_leading()
        relay.drain()
        relay.resign()


@contextmanager
def following(app: App, timeout: float = 120) -> Iterator[None]:
    """Relay and project in threads of this process, caught up before the test goes on."""
    stop = threading.Event()
    supervisor = Supervisor(lambda: {**relays(app, ""), **projectors(app, "")}, look_every=0.1)
    thread = threading.Thread(target=supervisor.run, args=(stop,), daemon=True)
    thread.start()
    try:
        reach_now(app, timeout)
        yield
    finally:
        stop.set()
        thread.join(timeout=60)
    assert supervisor.failures == {}


def reach_now(app: App, timeout: float = 120) -> None:
    """Wait until every running version contains what is committed in every source now."""
    instants = {app.project.topic(name): app.legacy(name).clock() for name in app.project.settings.legacy}

    def reached() -> bool:
        for definition in app.running_versions():
            known = {one.version for one in app.store.versions(definition.name)}
            checkpoints = app.store.checkpoints(definition.name, definition.version) if known else []
            if not checkpoints:
                return False
            if any(one.as_of is None or one.as_of < instants[one.topic] for one in checkpoints):
                return False
        return True

    wait_until(reached, timeout=timeout, every=0.1, what="every view to contain what is committed now")
