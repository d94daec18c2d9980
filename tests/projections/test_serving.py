"""Which version serves is a decision of people: it outlives the read store, and what was dropped does not come back by itself."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.agency import Agency


@pytest.fixture
def agency(tmp_path: Path) -> Agency:
    made = Agency.embedded(tmp_path)
    made.prepare()
    return made


@pytest.fixture
def strangler(agency: Agency, capsys: pytest.CaptureFixture[str]) -> Any:
    return partial(agency.strangler, capsys)


def lose_the_read_store(agency: Agency) -> None:
    for file in Path(agency.read_store.removeprefix("sqlite:///")).parent.glob("read.db*"):
        file.unlink()
    with agency.opened() as app:
        app.setup()


def versions(agency: Agency) -> dict[int, bool]:
    """Of `latest`: which ones there are, and whether they serve."""
    with agency.opened() as app:
        return {one.version: one.serving for one in app.store.versions("latest")}


def without_version_2(agency: Agency) -> None:
    file = agency.folder / "projections.py"
    before, rest = file.read_text().split("class LatestAndTimes")
    file.write_text(f"{before}class Totals{rest.partition('class Totals')[2]}")


def test_a_version_that_was_dropped_does_not_come_back_when_the_read_store_is_lost(
    agency: Agency, strangler: Any
) -> None:
    assert strangler("drop", "latest", "--version", "2", "--yes")[0] == 0
    lose_the_read_store(agency)
    assert strangler("project", "--once")[0] == 0
    assert versions(agency) == {1: True}


def test_the_version_that_people_let_serve_is_the_one_that_is_made_again(
    agency: Agency, strangler: Any
) -> None:
    assert strangler("switch", "latest", "--version", "2")[0] == 0
    assert strangler("switch", "latest", "--version", "1")[0] == 0
    lose_the_read_store(agency)
    assert strangler("project", "--once")[0] == 0
    assert versions(agency) == {1: True}


def test_what_served_first_is_known_although_nobody_has_switched(agency: Agency, strangler: Any) -> None:
    assert strangler("project", "--once")[0] == 0
    lose_the_read_store(agency)
    with agency.opened() as app:
        assert [one.version for one in app.running_versions("latest")] == [1]


def test_a_version_that_is_rebuilt_into_an_empty_read_store_serves_only_by_decision(
    agency: Agency, strangler: Any
) -> None:
    assert strangler("project", "--once")[0] == 0
    lose_the_read_store(agency)
    with agency.opened() as app:
        app.rebuild(app.project.definition("latest", 2))
        app.store.create(app.project.definition("latest", 2), app.project.topics, app.clock())
    assert versions(agency) == {1: True, 2: False}


def test_where_the_code_has_not_what_served_nothing_serves_until_somebody_decides(
    agency: Agency, strangler: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert strangler("switch", "latest", "--version", "2")[0] == 0
    without_version_2(agency)
    lose_the_read_store(agency)
    strangler("project", "--once")
    assert versions(agency) == {}
    said = "latest: v2 served"
    assert said in caplog.text
    assert said in " ".join(strangler("versions")[1].split())
    code, told = strangler("rebuild", "latest", "--version", "1")
    assert (code, "strangler switch latest --version 1" in " ".join(told.split())) == (1, True)
    assert strangler("switch", "latest", "--version", "1")[0] == 0
    assert strangler("project", "--once")[0] == 0
    assert versions(agency) == {1: True}


def test_a_projection_that_never_served_begins_with_its_newest_version(tmp_path: Path) -> None:
    new = Agency.embedded(tmp_path)
    with new.opened() as app:
        app.setup()
        assert [one.version for one in app.running_versions("latest")] == [2]
