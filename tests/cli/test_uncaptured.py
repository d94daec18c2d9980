"""A source of which nothing is captured: who runs it is told, and what is old is not called fresh."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.flowing import prepare
from tests.support.insurer import SOURCE, Insurer, make_insurer, opened
from toolkit.cli.app import run


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
