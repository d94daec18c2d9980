"""Where a capability is served by the view, a version is let serve only once it is verified and kept up to date."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from tests.support.agency import Agency
from toolkit.core.routes import Action, Move, Stage, moved
from toolkit.loops.following import version_name

TTL = dt.timedelta(minutes=9)
CAPABILITY = """
[capability.policy]
legacy = "policies"
projection = "latest"
legacy_sql = "policy.sql"
read_sql = "policy.sql"
keys_sql = "policy.sql"
key = ["policy_no"]
read_class = "operational"
"""


@pytest.fixture
def agency(tmp_path: Path) -> Agency:
    """Version 1 serves, version 2 is complete beside it, and the capability is at its default, legacy."""
    made = Agency.embedded(tmp_path)
    (made.folder / "policy.sql").write_text(
        "SELECT policy_no, premium FROM latest WHERE policy_no = :policy_no"
    )
    with (made.folder / "strangler.toml").open("a") as settings:
        settings.write(CAPABILITY)
    made.prepare()
    return made


@pytest.fixture
def strangler(agency: Agency, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> tuple[int, str]:
        code, told = agency.strangler(capsys, *arguments)
        return code, " ".join(told.split())

    return call


def move_to(agency: Agency, stage: Stage, share: int = 0) -> None:
    with agency.opened() as app:
        was = app.routes.get("policy", "*")
        move = Move(
            action=Action.FORWARD, was=was, becomes=moved(was, "*", stage, share), who="ada", why="test"
        )
        app.routes.apply(move, app.clock())


def follow(agency: Agency, *versions: int) -> None:
    """Somebody keeps these versions up to date."""
    with agency.opened() as app:
        for version in versions:
            app.state.leases.acquire(version_name("latest", version), "host:1", TTL, app.clock())


def serving(agency: Agency) -> int:
    with agency.opened() as app:
        return next(one.version for one in app.store.versions("latest") if one.serving)


@pytest.mark.parametrize("stage", [Stage.CANARY, Stage.PROJECTION])
def test_what_everybody_reads_is_not_switched_to_a_version_that_was_never_verified(
    agency: Agency, strangler: Any, stage: Stage
) -> None:
    move_to(agency, stage, 100 if stage is Stage.CANARY else 0)
    code, told = strangler("switch", "latest", "--version", "2")
    assert (code, serving(agency)) == (1, 1)
    for said in (
        "policy is served by it",
        "v2 was never verified",
        "strangler verify latest --version 2",
        "--force --why",
    ):
        assert said in told
    assert strangler("verify", "latest", "--version", "2", "--here")[0] == 0
    assert strangler("switch", "latest", "--version", "2")[0] == 0
    assert serving(agency) == 2


def test_a_verification_of_other_code_does_not_count(agency: Agency, strangler: Any) -> None:
    move_to(agency, Stage.PROJECTION)
    assert strangler("verify", "latest", "--version", "2", "--here")[0] == 0
    file = agency.folder / "projections.py"
    file.write_text(file.read_text().replace("self.times += 1", "self.times += 2"))
    code, told = strangler("switch", "latest", "--version", "2")
    assert (code, "has changed since it was verified" in told, serving(agency)) == (1, True, 1)


def test_a_version_that_nobody_follows_does_not_serve_although_it_is_verified(
    agency: Agency, strangler: Any
) -> None:
    move_to(agency, Stage.PROJECTION)
    assert strangler("verify", "latest", "--version", "2", "--here")[0] == 0
    follow(agency, 1)
    code, told = strangler("switch", "latest", "--version", "2")
    assert (code, "no process keeps v2 up to date" in told, serving(agency)) == (1, True, 1)
    assert "restart `strangler run` with the new code" in told
    follow(agency, 2)
    assert strangler("switch", "latest", "--version", "2")[0] == 0


def test_the_way_back_needs_no_verification(agency: Agency, strangler: Any) -> None:
    assert strangler("switch", "latest", "--version", "2")[0] == 0
    move_to(agency, Stage.PROJECTION)
    assert strangler("switch", "latest", "--version", "1")[0] == 0
    assert serving(agency) == 1


def test_who_forces_it_says_why_and_that_is_kept(agency: Agency, strangler: Any) -> None:
    move_to(agency, Stage.PROJECTION)
    code, told = strangler("switch", "latest", "--version", "2", "--force")
    assert (code, "--why" in told, serving(agency)) == (2, True, 1)
    forced = ("switch", "latest", "--version", "2", "--force", "--why", "v1 is wrong", "--who", "grace")
    assert strangler(*forced)[0] == 0
    with agency.opened() as app:
        [line, first] = app.state.serving.history("latest")
    assert (line.version, line.who, line.why) == (2, "grace", "v1 is wrong")
    assert "v2 was never verified" in line.forced[0]
    assert (first.version, first.forced) == (1, [])
    assert strangler("switch", "latest", "--version", "1")[0] == 0
    assert strangler("switch", "latest", "--version", "2")[0] == 1, "what was forced has proved nothing"


def test_where_nobody_is_served_by_the_view_a_switch_is_free(agency: Agency, strangler: Any) -> None:
    move_to(agency, Stage.SHADOW)
    follow(agency, 1)
    assert strangler("switch", "latest", "--version", "2")[0] == 0
    assert serving(agency) == 2
