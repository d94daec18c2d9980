"""Databases that nobody would make today: names, keys and values that a project has to put up with."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine, make_url

from adapters.legacy.reflect.database import Wanted, read_facts
from adapters.legacy.reflect.session import without_secrets
from tests.init.conftest import Started
from tests.init.test_engines import differing, execute, roles
from tests.support.flowing import following, prepare
from toolkit.app import open_project
from toolkit.cli.app import run
from toolkit.core.errors import UsageError

ODD = (Path(__file__).parent / "oddities.sql").read_text()


@pytest.fixture
def odd(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'odd one.db'}"
    execute(url, ODD)
    return url


def test_names_that_python_sql_or_the_catalogue_refuse_become_others(
    odd: str, start: Started, tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    report = start(odd, folder)
    assert run(["check", "--project", str(folder)]) == 0
    assert roles(report)["Order Items"] == ("order", "child")
    codes = folder / "codes.py"
    codes.write_text(codes.read_text().replace(": UNNAMED,", ': "named",'))
    with open_project(folder) as app:
        prepare(app)
        with following(app):
            assert not app.state.archive.parked_subjects("odd_one")
            assert differing(app, "order") == []


def test_what_cannot_be_captured_says_why_and_what_to_do(odd: str, start: Started, tmp_path: Path) -> None:
    report = start(odd, tmp_path / "project")
    (keyless,) = [one for one in report["tables"] if one["table"] == "keyless"]
    assert "no primary key and no unique index" in keyless["not_captured"]
    asked = {one["what"]: one for one in report["to_decide"]}
    (said,) = [one for what, one in asked.items() if what.startswith("keyless")]
    file, line = said["where"].split(":")
    assert "keyless" in (tmp_path / "project" / file).read_text().splitlines()[int(line) - 1]
    assert said["next"]
    assert any("customer.password is left out" in what for what in asked)
    assert any("customer.pic is left out" in what for what in asked)


def test_keys_that_differ_in_blanks_at_their_end_are_asked_about(start: Started, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'padded.db'}"
    execute(
        url,
        "CREATE TABLE policy (no VARCHAR(8) PRIMARY KEY, status TEXT);\n"
        "CREATE TABLE broker (no TEXT PRIMARY KEY, name TEXT);\n"
        "INSERT INTO policy VALUES ('A', 'x'), ('A ', 'x '), ('B ', 'y');\n"
        "INSERT INTO broker VALUES ('A ', 'x'), ('B', 'y');\n",
    )
    asked = start(url, tmp_path / "project")["to_decide"]
    (said,) = [one for one in asked if "blanks at their end" in one["what"]]
    assert said["what"].startswith("policy: the keys 'A' and 'A ' differ in nothing but blanks")
    file, line = said["where"].split(":")
    assert '"policy",' in (tmp_path / "project" / file).read_text().splitlines()[int(line) - 1]


def test_a_watermark_warns_of_what_polling_would_miss(odd: str, start: Started, tmp_path: Path) -> None:
    report = start(odd, tmp_path / "project")
    (mark,) = next(one for one in report["tables"] if one["table"] == "customer")["watermarks"]
    assert mark["column"] == "updated_at"
    assert ["no index" in mark["warnings"][0], "NULL in 1 of 2" in mark["warnings"][1]] == [True, True]


def test_nothing_that_is_there_is_overwritten(odd: str, start: Started, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "events.py").write_text("mine")
    (folder / "strangler.toml").write_text("mine, too")
    said = start(odd, folder, code=2)
    assert "events.py" in said["message"]
    assert "strangler.toml" in said["message"]
    assert (folder / "events.py").read_text() == "mine"
    assert not (folder / "translators.py").exists()


def test_what_cannot_be_reached_or_understood_is_said(start: Started, tmp_path: Path) -> None:
    there = tmp_path / "project"
    assert "no file" in start(f"sqlite:///{tmp_path / 'no.db'}", there, code=3)["message"]
    assert "--from" in start("no url", there, code=2)["message"]
    assert "cannot be read" in start("postgresql+psycopg://x@127.0.0.1:1/x", there, code=3)["message"]
    assert not there.exists()


def test_tables_and_views_are_chosen_by_name(odd: str, start: Started, tmp_path: Path) -> None:
    report = start(odd, tmp_path / "some", "--tables", "order*,Field", "--exclude", "*2", "--name", "shop")
    assert set(roles(report)) == {"order", "Order Items", "field"}
    settings = (tmp_path / "some" / "strangler.toml").read_text()
    assert 'name = "shop"' in settings
    assert start(odd, tmp_path / "none", "--tables", "nothing", code=2)["error"] == UsageError.__name__


def test_postgresql_s_schemas_cases_and_tables_without_columns(
    postgres_url: str, start: Started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(
        postgres_url,
        """CREATE SCHEMA sales;
CREATE TABLE sales.customer (id uuid PRIMARY KEY, "Name" text, tags text[], born date, note varchar(5) NOT NULL);
CREATE TABLE sales.nothing ();
CREATE TABLE sales.doubled (id integer PRIMARY KEY, "Name" text, name text);
CREATE TABLE sales."Twice" (id integer PRIMARY KEY);
CREATE TABLE sales.twice (id integer PRIMARY KEY);
INSERT INTO sales.customer VALUES ('3f2b8a52-0d0c-4b52-9e0a-111111111111', 'a', '{x,y}', 'infinity', 'n');
""",
    )
    folder = tmp_path / "project"
    report = start(postgres_url, folder, "--schema", "sales")
    reasons = {one["table"]: one["not_captured"] for one in report["tables"]}
    assert reasons["sales.nothing"] == "it has no columns"
    assert "differs only in case" in reasons["sales.twice"]
    assert "its columns Name, name differ only in case" in reasons["sales.doubled"]
    assert reasons["sales.customer"] == ""
    monkeypatch.setenv("LEGACY_URL", postgres_url)
    with open_project(folder) as app:
        prepare(app)
        with following(app):
            assert differing(app, "customer") == []


def test_a_password_is_never_written() -> None:
    url = "postgresql+psycopg://me:hunter2@db.example:5432/shop?sslpassword=hunter3&host=/tmp&options=-c%20x%3Dhunter4"
    assert without_secrets(url) == "postgresql+psycopg://me@db.example:5432/shop?host=%2Ftmp"


def test_the_database_is_read_in_bounds_and_cannot_be_written_to(odd: str) -> None:
    engine = create_engine(odd)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE big (id INTEGER PRIMARY KEY, code TEXT)")
        connection.exec_driver_sql(
            "INSERT INTO big WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)"
            " SELECT i, 'x' FROM n"
        )
    engine.dispose()
    asked: list[str] = []
    listen = (Engine, "before_cursor_execute", lambda _c, _k, statement, *_: asked.append(statement))
    event.listen(*listen)
    try:
        found = read_facts(odd, Wanted(tables=("big",)))
    finally:
        event.remove(*listen)
    (big,) = found.tables
    assert (big.rows, big.at_least) == (10_000, True)
    of_rows = [statement for statement in asked if "FROM big" in statement]
    assert of_rows
    assert all("LIMIT" in statement for statement in of_rows)
    assert not [one for one in asked if one.split()[0].upper() not in ("SELECT", "PRAGMA")]


def test_hundreds_of_tables_are_one_project(start: Started, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'many.db'}"
    execute(
        url, ";\n".join(f"CREATE TABLE thing_{at} (id INTEGER PRIMARY KEY, v{at} TEXT)" for at in range(150))
    )
    report = start(url, tmp_path / "project")
    assert len(report["tables"]) == 150
    assert run(["check", "--project", str(tmp_path / "project")]) == 0


def test_views_that_nobody_may_read_are_told_as_that_with_the_rights_they_need(
    mariadb_url: str, start: Started, tmp_path: Path
) -> None:
    url = make_url(mariadb_url)
    user = f"reader_{(url.database or '')[-6:]}"
    execute(
        mariadb_url,
        f"""CREATE TABLE client (id INT PRIMARY KEY, name VARCHAR(20));
CREATE FUNCTION shout(said VARCHAR(20)) RETURNS VARCHAR(20) DETERMINISTIC RETURN upper(said);
CREATE SQL SECURITY INVOKER VIEW loud AS SELECT id, shout(name) AS name FROM client;
CREATE USER '{user}'@'127.0.0.1';
GRANT SELECT ON `{url.database}`.* TO '{user}'@'127.0.0.1';
""",
    )
    try:
        report = start(url.set(username=user).render_as_string(hide_password=False), tmp_path / "project")
    finally:
        execute(mariadb_url, f"DROP USER '{user}'@'127.0.0.1'")
    assert "GRANT SELECT, SHOW VIEW, EXECUTE" in report["trouble"]["loud"]
    asked = [one["what"] for one in report["to_decide"]]
    assert any("the views loud may say how it is read today, and could not be read" in one for one in asked)
