"""A source of which nothing is captured: who runs it is told, and what is old is not called fresh."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bank import SOURCE as BANK
from tests.support.bank import Bank
from tests.support.flowing import prepare
from tests.support.insurer import SOURCE, Insurer, make_insurer, opened
from toolkit.cli.app import run
from toolkit.diagnosis import USUAL
from toolkit.questions.doctor.flowing import watermark


@pytest.fixture
def insurer(tmp_path: Path) -> Insurer:
    return make_insurer(tmp_path / "project", {}, size=5)


@pytest.mark.parametrize("command", ["run", "relay"])
def test_what_runs_before_capture_is_installed_says_so(
    insurer: Insurer, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(insurer) as app:
        app.setup()
    assert run([command, "--once", "--project", str(insurer.folder)]) == 1
    said = capsys.readouterr().out
    assert f"nothing of {SOURCE} is captured: run `strangler capture install` first" in " ".join(said.split())


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    """A small project of which nothing is set up."""
    legacy, state = (f"sqlite:///{tmp_path}/{name}.db" for name in ("legacy", "state"))
    made = Bank(tmp_path / "bank", name="bank", legacy=legacy, log="sql:", state=state)
    yield made
    made.engine.dispose()


def install(bank: Bank) -> None:
    with bank.opened() as app:
        app.setup()
        capture = app.legacy(BANK).capture
        capture.install(capture.plan(app.project.captured(BANK)))


def test_what_runs_before_the_backfill_says_what_waits_and_what_to_do(
    bank: Bank, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--project", str(bank.folder))
    waits = (
        "the backfill of ACCOUNT, ENTRY was not begun: their changes wait, and nothing is promised; "
        "next: strangler backfill --source bank"
    )
    install(bank)
    for command in ("run", "relay", "project"):
        assert run([command, "--once", *where]) == 0
        assert f"! {waits}" in " ".join(capsys.readouterr().out.split())
        assert run([command, "--once", "--json", *where]) == 0
        told = json.loads(capsys.readouterr().out).values()
        assert [one["waits"] for one in told if "waits" in one] == [waits]
    with bank.opened() as app:
        (told,) = watermark(app.around, BANK, USUAL)
    assert (waits in told.what, told.next) == (True, "strangler backfill --source bank")
    assert run(["backfill", *where]) == 0
    capsys.readouterr()
    for command in ("relay", "project"):
        assert run([command, "--once", *where]) == 0
        assert "backfill" not in capsys.readouterr().out


def test_a_backfill_of_what_is_looked_at_says_where_the_history_comes_from(
    bank: Bank, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--project", str(bank.folder))
    settings = bank.folder / "strangler.toml"
    settings.write_text(settings.read_text().replace("shards = 1", 'capture = "snapshot"'))
    install(bank)
    assert run(["backfill", *where]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"{BANK}: nothing to read here, and done: the relay's first look at all rows finds it" in said
    assert "0 rows read" not in said
    assert run(["relay", "--once", *where]) == 0
    capsys.readouterr()
    assert run(["backfill", "--json", *where]) == 0
    assert json.loads(capsys.readouterr().out)[BANK]["history"].endswith("has found it")


def test_a_view_whose_capture_was_removed_is_not_fresh(
    insurer: Insurer, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--project", str(insurer.folder))
    with opened(insurer) as app:
        prepare(app)
    assert run(["run", "--once", *where]) == 0
    assert run(["status", *where]) == 0
    with opened(insurer) as app:
        capture = app.legacy(SOURCE).capture
        capture.remove(capture.plan(app.project.captured(SOURCE)))
    capsys.readouterr()
    assert run(["status", "--json", *where]) == 1
    told = json.loads(capsys.readouterr().out)
    assert {one["lag"]["confidence"] for one in told} == {"unknown"}


def test_who_installs_capture_again_is_told_what_no_backfill_finds_and_what_does(
    insurer: Insurer, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--yes", "--project", str(insurer.folder))
    with opened(insurer) as app:
        app.setup()
    assert run(["capture", "install", *where]) == 0
    assert "deleted" not in capsys.readouterr().out, "the first time, nothing was missed"
    with opened(insurer) as app:
        prepare(app)
    assert run(["capture", "install", "--json", *where]) == 0
    assert json.loads(capsys.readouterr().out)[SOURCE]["missed"] == ""
    assert run(["capture", "remove", *where]) == 0
    capsys.readouterr()
    time.sleep(0.01)  # an installation is known by its instant
    assert run(["capture", "install", *where]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "rows that were deleted stay in the views, since no event tells of them" in said
    assert run(["capture", "install", "--json", *where]) == 0
    told = json.loads(capsys.readouterr().out)[SOURCE]
    assert "POLMAST, POLEND" in told["missed"]
    assert all(" ".join(step.split()) in said for step in told["next"])
    assert told["next"][0].startswith("strangler backfill")
    assert any("strangler shadow run portal-policy --keys 0" in step for step in told["next"])
