"""A migration off MariaDB from end to end: captured, backfilled, followed, compared, and capture taken away again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from tests.support.flowing import following, prepare, reach_now
from tests.support.folds import differences_from_fold
from tests.support.scripts import statements
from toolkit.app import App, open_project
from toolkit.cli.shadows import run_one

pytestmark = pytest.mark.mariadb
LONG = dt.timedelta(seconds=20)
MADE = ("CREATE TABLE", "ALTER TABLE", "INSERT")


@pytest.fixture
def shop(mariadb_url: str) -> Iterator[Engine]:
    engine = create_engine(mariadb_url)
    with engine.begin() as connection:
        for statement in statements("debezium-inventory/mariadb_inventory"):
            if statement.startswith(MADE):
                connection.exec_driver_sql(statement.replace("%", "%%"))
    yield engine
    engine.dispose()


@pytest.fixture
def app(shop: Engine, mariadb_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    monkeypatch.setenv("LEGACY_URL", mariadb_url)
    monkeypatch.setenv("READ_STORE_URL", f"sqlite:///{tmp_path}/reads.db")
    with open_project(Path(__file__).parent / "project") as opened:
        yield opened


def write(shop: Engine, *changes: str) -> None:
    with shop.begin() as connection:
        for change in changes:
            connection.execute(text(change))


def test_what_the_shop_does_is_what_the_view_shows(app: App, shop: Engine) -> None:
    before = app.legacy("shop").query("SHOW TRIGGERS", {}, timeout=LONG)
    prepare(app)
    with following(app):
        write(
            shop,
            "UPDATE customers SET last_name = 'Bailey-Hatch' WHERE id = 1002",
            "UPDATE addresses SET city = 'Bedford Falls' WHERE customer_id = 1001 AND type = 'BILLING'",
        )
        write(
            shop, "DELETE FROM addresses WHERE id = 16", "UPDATE customers SET email = 'gone' WHERE id = 1004"
        )
        write(shop, "INSERT INTO addresses VALUES (default, 1004, 'a', 'Zürich 𝄞', 's', 'z', 'LIVING')")
        reach_now(app)
        found = run_one(app, "customer")
    assert found.counts == {"match": 4}
    assert app.legacy("shop").capture.holes() == []
    topic = app.project.topic("shop")
    assert differences_from_fold(app, topic) == {}
    assert app.state.archive.parked("shop") == []
    capture = app.legacy("shop").capture
    capture.remove(capture.plan(app.project.captured("shop")))
    after = app.legacy("shop").query("SHOW TRIGGERS", {}, timeout=LONG)
    assert (before.rows, after.rows) == ([], [])
