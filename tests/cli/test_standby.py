"""Several processes: who has nothing to lead says so, once, and is not told to stop who leads."""

from __future__ import annotations

import datetime as dt
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.flowing import prepare
from tests.support.insurer import SOURCE, make_insurer, opened
from tests.support.waiting import wait_until
from toolkit.app import App, open_project
from toolkit.cli.app import run
from toolkit.cli.flow import relays
from toolkit.cli.telling import Standby
from toolkit.core.errors import Fenced
from toolkit.loops.relay import lease_name
from toolkit.loops.supervise import Supervisor

TTL = dt.timedelta(seconds=600)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """An insurer on SQLite that is ready to be relayed."""
    insurer = make_insurer(tmp_path / "project", {}, size=5)
    with opened(insurer) as found:
        prepare(found)
        yield found


@pytest.fixture
def divided(app: App) -> Path:
    """The same, its source in two shards."""
    toml = app.project.folder / "strangler.toml"
    section = f"[legacy.{SOURCE}]\n"
    toml.write_text(toml.read_text().replace(section, f"{section}shards = 2\n"))
    return app.project.folder


def lead_elsewhere(app: App, owner: str = "elsewhere:1") -> dict[str, int]:
    """Another process leads all there is."""
    names = [lease_name(SOURCE, shard) for shard in app.shards(SOURCE)]
    whole = lease_name(SOURCE)
    return {name: app.state.leases.acquire(name, owner, TTL, app.clock(), whole=whole) for name in names}


def standing_by(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if "stands by" in one.getMessage()]


def test_who_finds_no_free_shard_says_so_once_with_the_one_that_leads_and_again_when_that_is_another(
    divided: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with open_project(divided) as app:
        held, standby = lead_elsewhere(app), Standby()
        for _ in range(3):
            assert f"relay of {SOURCE} 0/2" not in relays(app, SOURCE, standby=standby)
        said = f"relay of {SOURCE} stands by: its shards are led by "
        assert standing_by(caplog) == [f"{said}elsewhere:1"]
        for name, epoch in held.items():
            app.state.leases.release(name, epoch, app.clock())
        lead_elsewhere(app, "elsewhere:2")
        relays(app, SOURCE, standby=standby)
        assert standing_by(caplog) == [f"{said}elsewhere:1", f"{said}elsewhere:2"]


def test_who_stands_by_is_not_told_to_stop_who_leads_and_who_cannot_go_on_is(
    app: App, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    lead_elsewhere(app)
    stop = threading.Event()
    loop = relays(app, SOURCE)[f"relay of {SOURCE}"]
    thread = threading.Thread(target=loop, args=(stop,))
    thread.start()
    wait_until(lambda: bool(standing_by(caplog)), 30, what="the relay to stand by")
    stop.set()
    thread.join()
    [said] = standing_by(caplog)
    assert f"{lease_name(SOURCE)} is held by elsewhere:1 until" in said
    assert "stop it" not in said

    where = ("--project", str(app.project.folder))
    assert run(["relay", "--once", *where]) == 3
    assert "if that process lives, stop it first" in capsys.readouterr().err
    assert run(["relay", "--once", "--json", *where]) == 3
    told = json.loads(capsys.readouterr().out)
    assert "held by elsewhere:1" in told["message"]
    assert "stop it first" in told["next"]


def test_a_fenced_loop_begins_again_and_tells_what_fenced_it(caplog: pytest.LogCaptureFixture) -> None:
    stop, begun = threading.Event(), 0

    def loop(stop: threading.Event) -> None:
        nonlocal begun
        begun += 1
        if begun == 2:
            stop.set()
            return
        raise Fenced("the slot stands elsewhere than a moment ago")

    supervisor = Supervisor(lambda: {"relay of crm": loop}, look_every=0.001, after_fenced=0)
    supervisor.run(stop)
    said = [one.getMessage() for one in caplog.records]
    assert (begun, supervisor.failures) == (2, {})
    assert ["the slot stands elsewhere" in one for one in said] == [True]
    assert "another process" not in said[0]


@pytest.mark.parametrize("command", ["run", "relay", "project"])
def test_before_the_first_setup_there_is_nothing_to_wait_for(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    insurer = make_insurer(tmp_path / "project", {}, size=5)
    assert run([command, "--project", str(insurer.folder)]) == 2
    assert "run `strangler setup` first" in capsys.readouterr().err
