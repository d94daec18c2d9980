"""Databases that are away: what can be told is told, and what cannot is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.insurer import make_insurer
from toolkit.app import open_project
from toolkit.cli.app import run

NOWHERE = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"


@pytest.mark.parametrize(
    ("away", "code"),
    [("READ_STORE_URL", 3), ("LEGACY_URL", 0), ("", 0)],
    ids=["read store", "legacy", "none"],
)
def test_who_is_right_is_told_whatever_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], away: str, code: int
) -> None:
    insurer = make_insurer(tmp_path / "project", {}, size=1)
    monkeypatch.setenv("STATE_URL", f"sqlite:///{tmp_path}/state.db")
    with open_project(insurer.folder) as app:
        app.setup()
    if away:
        monkeypatch.setenv(away, NOWHERE)
    where = ("--project", str(insurer.folder))
    assert run(["authority", "--json", *where]) == code
    told = json.loads(capsys.readouterr().out)
    assert {one["capability"]: one["answers"]["*"] for one in told}["portal-policy"] == "legacy policy_admin"
    assert all(("read store" in one["problems"]) is (code == 3) for one in told)
    assert run(["authority", *where]) == code
    shown = capsys.readouterr().out
    assert "system of record" in shown
    assert ("! read store: cannot be told: " in shown) is (code == 3)


@pytest.mark.parametrize("away", ["LEGACY_URL", ""])
def test_where_nothing_is_known_that_is_said_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], away: str
) -> None:
    insurer = make_insurer(tmp_path / "project", {}, size=1)
    with open_project(insurer.folder) as app:
        app.setup()
        app.projector(app.project.definition("claim", 1)).start()
    if away:
        monkeypatch.setenv(away, NOWHERE)
    where = ("--project", str(insurer.folder))
    run(["status", *where])
    run(["freshness", *where])
    shown = capsys.readouterr().out
    assert "agent-case: unknown (objective 30.0 s), nothing is promised yet, by" in shown
    assert "committed -> published cannot be told; " in shown
    assert "claim v1 never written (building)" in shown
    for unsaid in ("as of -", "- behind", "published -;", "written at -", "- ago"):
        assert unsaid not in shown
