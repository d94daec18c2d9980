"""What `init` writes runs on each engine that can be the read store, whatever the keys are."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from tests.init.conftest import Started
from tests.init.test_engines import execute
from tests.support.flowing import following, prepare
from toolkit.app import App, open_project
from toolkit.cli.app import run
from toolkit.router.paths import ReadPaths

KEYS = """
CREATE TABLE counted (id BIGINT PRIMARY KEY, name VARCHAR(20));
CREATE TABLE priced (price DECIMAL(8,2) PRIMARY KEY, name VARCHAR(20));
CREATE TABLE dated (day DATE PRIMARY KEY, name VARCHAR(20));
CREATE TABLE worded (word VARCHAR(20) PRIMARY KEY, name VARCHAR(20));
INSERT INTO counted VALUES (9007199254740993, 'above a double'), (9007199254740992, 'its neighbour');
INSERT INTO priced VALUES (10.50, 'ten and a half');
INSERT INTO dated VALUES ('2026-02-28', 'a saturday');
INSERT INTO worded VALUES ('10', 'ten');
"""
VIEWS = """
CREATE VIEW seen AS SELECT c.id AS id, c.name AS name FROM counted c;
CREATE VIEW computed AS SELECT max(c.id) AS id, c.name AS name FROM counted c GROUP BY c.name;
"""
TYPED = {
    "counted": "9007199254740993",
    "priced": "10.5",
    "dated": "2026-02-28",
    "worded": "10",
    "seen": "9007199254740993",
    "computed": "9007199254740993",
}
NAMES = {
    "counted": "above a double",
    "priced": "ten and a half",
    "dated": "a saturday",
    "worded": "ten",
    "seen": "above a double",
    "computed": "above a double",
}
TODAY = dt.date(2026, 1, 1)


@pytest.fixture(params=["sqlite", "postgres_url", "mariadb_url"])
def read_store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'read store.db'}"
    url: str = request.getfixturevalue(request.param)
    return url


def found(app: App, capability: str) -> set[object]:
    """What is read with a key as it is typed, and with the same as the legacy source gives it."""
    (source,) = app.sources
    paths = ReadPaths(app.project, capability, app.legacy(source), app.store)
    typed, column = TYPED[capability], app.project.settings.capability[capability].key[0]
    given = [key for key in paths.keys(TODAY) if str(key[column]) == typed]
    assert given
    asked: list[dict[str, object]] = [{column: typed}, *given]
    rows = [paths.view(paths.asked(key, today=TODAY)).rows for key in asked]
    return {tuple(row["name"] for row in some) for some in rows}


@pytest.mark.parametrize("script", [KEYS, KEYS + VIEWS], ids=["tables", "views"])
def test_what_is_written_finds_every_kind_of_key_on_each_read_store(
    script: str, read_store: str, start: Started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    legacy = f"sqlite:///{tmp_path / 'keys.db'}"
    execute(legacy, script)
    monkeypatch.setenv("READ_STORE_URL", read_store)
    folder = tmp_path / "project"
    asked = start(legacy, folder)["capabilities"]
    assert set(asked) == ({"seen", "computed"} if "VIEW" in script else TYPED.keys() - {"seen", "computed"})
    assert run(["check", "--project", str(folder)]) == 0
    with open_project(folder) as app:
        prepare(app)
        with following(app):
            assert {one: found(app, one) for one in asked} == {one: {(NAMES[one],)} for one in asked}


def test_a_mariadb_read_store_gets_a_state_of_its_own_and_others_are_told_how(
    start: Started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    legacy = f"sqlite:///{tmp_path / 'keys.db'}"
    execute(legacy, KEYS)
    start(legacy, tmp_path / "usual")
    assert "\n# [state]\n# url = " in (tmp_path / "usual" / "strangler.toml").read_text()
    monkeypatch.setenv("READ_STORE_URL", "mariadb+pymysql://reader@127.0.0.1/views")
    start(legacy, tmp_path / "own")
    assert "\n[state]\nurl = " in (tmp_path / "own" / "strangler.toml").read_text()
    assert run(["check", "--project", str(tmp_path / "own")]) == 0


def test_a_project_that_would_not_load_is_not_written(
    start: Started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    legacy = f"sqlite:///{tmp_path / 'keys.db'}"
    execute(legacy, KEYS)
    monkeypatch.setenv("READ_STORE_URL", "oracle://reader@127.0.0.1/views")
    assert "state.url" in str(start(legacy, tmp_path / "project", code=2))
    assert not (tmp_path / "project").exists()
