"""Two who install capture at once: one does it, the other waits and finds it done."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from adapters.legacy.mariadb.tables import find_table
from tests.init.conftest import Started, start
from tests.init.test_engines import execute
from tests.support.waiting import wait_until
from toolkit.app import App, open_project
from toolkit.cli.starting import install_now
from toolkit.core.errors import Refused, StranglerError, UsageError
from toolkit.ports import CapturedTable, Plan

__all__ = ["start"]
TABLES = ";\n".join(f"CREATE TABLE t{at} (id INT PRIMARY KEY, name VARCHAR(20))" for at in range(12))


@pytest.fixture(params=["postgres_url", "mariadb_url"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    execute(found, TABLES)
    return found


def test_one_installs_and_the_others_find_it_installed(url: str, start: Started, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    start(url, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEGACY_URL", url)
        apps = [open_project(folder) for _ in range(3)]
    (source,) = apps[0].project.settings.legacy
    done: list[Plan | StranglerError] = []
    together = threading.Barrier(len(apps))

    def install(app: App) -> None:
        together.wait()
        try:
            done.append(install_now(app, source, lambda _: None))
        except StranglerError as error:
            done.append(error)

    threads = [threading.Thread(target=install, args=(app,)) for app in apps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [bool(one.statements) for one in done if isinstance(one, Plan)] == [True, False, False], done
    assert len(apps[0].legacy(source).capture.installed()) == 12
    assert not [hole for hole in apps[0].legacy(source).capture.holes() if hole.escapes]
    for app in apps:
        app.close()


def test_what_is_not_what_somebody_agreed_to_is_not_installed(
    url: str, start: Started, tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    start(url, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEGACY_URL", url)
        app = open_project(folder)
    with app:
        (source,) = app.project.settings.legacy
        other = Plan(statements=("SELECT 1",), removal=(), guarantees={})
        with pytest.raises(Refused, match="is not what it was"):
            install_now(app, source, lambda _: None, other)
        assert not app.legacy(source).capture.installed()


def test_a_table_that_is_altered_just_now_is_not_called_missing(mariadb_url: str) -> None:
    execute(mariadb_url, TABLES)
    engine = create_engine(mariadb_url)
    wanted = CapturedTable(table="t1", subject="id")
    waits = text(
        "SELECT count(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for table meta%'"
    )
    # It has t1 for itself, and waits for the reader of t2.
    altering = threading.Thread(target=execute, args=(mariadb_url, "RENAME TABLE t1 TO u1, t2 TO u2"))
    with engine.connect() as reader, engine.connect() as looking:
        reader.execute(text("SELECT * FROM t2"))
        altering.start()
        wait_until(lambda: looking.scalar(waits))
        looking.execute(text("SET SESSION lock_wait_timeout = 1"))
        with pytest.raises(Refused, match="another session alters it just now"):
            find_table(looking, "legacy", wanted)
        reader.rollback()
        altering.join()
        with pytest.raises(UsageError, match="there is no such table"):
            find_table(looking, "legacy", wanted)
    engine.dispose()
