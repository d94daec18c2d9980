"""`strangler relay` as a process: told to stop, told to pause, before a log that does not answer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.servers.kafka import KafkaServer
from tests.support import Child, wait_until
from tests.support.insurer import SOURCE, Insurer, make_insurer, opened
from toolkit.app import App
from toolkit.loops.relay import lease_name


@pytest.fixture
def insurer(tmp_path: Path) -> Insurer:
    return make_insurer(tmp_path / "project", {}, size=60)


@pytest.fixture
def app(insurer: Insurer) -> Iterator[App]:
    """Set up and captured; the history is not read."""
    with opened(insurer) as app:
        app.setup()
        capture = app.legacy(SOURCE).capture
        capture.install(capture.plan(app.project.captured(SOURCE)))
        relay = app.relay(SOURCE, app.translation(SOURCE))
        relay.lead()
        app.backfill(SOURCE, app.translation(SOURCE)).skip(relay.epoch)
        relay.resign()
        yield app


def commit(insurer: Insurer, times: int) -> None:
    """Change every policy so many times."""
    engine = create_engine(insurer.legacy)
    for _ in range(times):
        with engine.begin() as connection:
            connection.execute(text("UPDATE POLMAST SET PREM_CENTS = PREM_CENTS + 1"))
    engine.dispose()


def watermark(app: App) -> dt.datetime | None:
    return app.state.archive.last_watermark(app.project.topic(SOURCE))


def leads(app: App) -> bool:
    found = {one.name: one for one in app.around.leases.leases()} if app.around.leases else {}
    return found[lease_name(SOURCE)].expires_at > app.clock()


def ended(child: Child) -> int:
    assert child.running
    return child.terminate()


def test_a_signal_ends_the_batch_gives_the_lease_back_and_the_exit_code_is_0(
    insurer: Insurer, app: App
) -> None:
    commit(insurer, 50)
    with insurer.running("relay") as child:
        wait_until(lambda: leads(app), 30)
        assert ended(child) == 0, child.output
    assert not leads(app)
    topic = app.project.topic(SOURCE)
    assert app.state.archive.backlog(topic) == 0, "what was begun was published"


def test_paused_it_rests_and_says_so_and_resumed_it_goes_on(insurer: Insurer, app: App) -> None:
    with insurer.running("relay") as child:
        wait_until(lambda: watermark(app) is not None, 30)
        with insurer.running("relay", "pause", "--who", "Ada", "--why", "maintenance") as told:
            assert told.wait() == 0
        commit(insurer, 1)
        with insurer.running("freshness", "portal-policy") as told:
            told.wait_for("paused by Ada")
        with insurer.running("relay", "resume") as told:
            assert told.wait() == 0
        wait_until(lambda: not app.legacy(SOURCE).capture.behind(app.legacy(SOURCE).capture.horizon()), 30)
        assert ended(child) == 0, child.output


@pytest.mark.kafka
def test_a_broker_that_hangs_is_waited_for_and_nothing_is_lost(tmp_path: Path) -> None:
    server = KafkaServer()
    server.start()
    insurer = make_insurer(tmp_path / "project", {"LOG_URL": f"kafka://{server.bootstrap}"}, size=60)
    settings = insurer.folder / "strangler.toml"
    settings.write_text(settings.read_text() + "\n")
    try:
        with opened(insurer) as app:
            app.setup()
            _frozen(insurer, app, server)
    finally:
        server.stop()


def _frozen(insurer: Insurer, app: App, server: KafkaServer) -> None:
    capture, topic = app.legacy(SOURCE).capture, app.project.topic(SOURCE)
    capture.install(capture.plan(app.project.captured(SOURCE)))
    with insurer.running("backfill", "--skip") as told:
        assert told.wait() == 0, told.output
    with insurer.running("relay") as child:
        wait_until(lambda: watermark(app) is not None, 30)
        server.process.pause()
        commit(insurer, 100)
        wait_until(lambda: app.state.archive.backlog(topic) > 0, 30)
        assert child.running
        server.process.resume()
        wait_until(lambda: not capture.behind(capture.horizon()), 60)
        assert ended(child) == 0, child.output
    assert app.state.archive.backlog(topic) == 0
    ends = {number: end for number, (_, end) in app.log.bounds(topic).items()}
    last = app.state.archive.last_sequences(topic)
    assert all(ends[number] >= sequence for number, sequence in last.items())
    assert sum(last.values()) >= 60 * 100
