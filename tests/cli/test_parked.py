"""What is parked by the dozen: all of it can be seen, and one command tries or skips what has one reason."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from adapters.engines import open_engine
from tests.support.flowing import following, prepare
from tests.support.insurer import Insurer, make_insurer, opened
from toolkit.cli.app import run

Call = Callable[..., tuple[int, Any]]
EMPTY = "last_change_reason may not be empty"


def write(insurer: Insurer, *statements: str) -> None:
    engine = open_engine(insurer.legacy)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@pytest.fixture(scope="module")
def insurer(tmp_path_factory: pytest.TempPathFactory) -> Insurer:
    """Version 1 of the insurer, which parks endorsements without a reason; and three changes that mean nothing."""
    made = make_insurer(tmp_path_factory.mktemp("insurer") / "project", {}, size=100, mended=False)
    with opened(made) as app:
        prepare(app)
        write(
            made,
            "UPDATE POLMAST SET STAT_CD = 'Q' WHERE POL_NO IN ('P000000003', 'P000000004')",
            "UPDATE POLMAST SET PREM_CENTS = 5 WHERE POL_NO = 'P000000003'",
            "UPDATE BRKMAST SET BRK_ST = '?' WHERE BRK_CD = 'BR0001'",
        )
        with following(app):
            pass
    return made


@pytest.fixture
def call(insurer: Insurer, capsys: pytest.CaptureFixture[str]) -> Call:
    def said(*arguments: str) -> tuple[int, Any]:
        code = run([*arguments, "--project", str(insurer.folder), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return said


def test_rows_that_differ_in_nothing_but_which_row_it_is_share_a_reason_and_each_can_be_seen(
    call: Call,
) -> None:
    code, reasons = call("repair", "parked")
    assert code == 1
    changes = [one for one in reasons if one["where"] == "changes of policy_admin"]
    assert [(one["count"], one["held"]) for one in changes][:1] == [(2, 1)]
    _, ones = call("repair", "parked", "--all")
    assert len(ones) == sum(one["count"] + one["held"] for one in reasons)
    _, some = call("repair", "parked", "--all", "--parked-for", "STAT_CD = 'Q'")
    assert sorted((one["subject"], one["held"]) for one in some) == [
        ("P000000003", False),
        ("P000000003", True),
        ("P000000004", False),
    ]
    assert call("repair", "parked", "--parked-for", "no such reason") == (0, [])


def test_changes_parked_for_one_reason_are_tried_alone_with_all_of_their_subjects(call: Call) -> None:
    code, done = call("repair", "changes", "--parked-for", "STAT_CD = 'Q'")
    assert (code, done["policy_admin"]) == (1, {"tried": 3, "events": 0, "parked": 3})
    code, error = call("repair", "changes", "--parked-for", "no such reason")
    assert (code, error["kind"]) == (2, "usage")


def test_events_parked_for_one_reason_are_skipped_by_one_command_once_somebody_says_yes(call: Call) -> None:
    skip = ("repair", "skip", "customer_policy", "--owner", "ada", "--reason", "from before 2023")
    _, ones = call("repair", "parked", "portal-policy", "--all", "--parked-for", EMPTY)
    roots = {one["id"] for one in ones if not one["held"]}
    assert len(roots) > 1
    code, error = call(*skip, "--parked-for", EMPTY)
    assert (code, error["message"]) == (2, "nothing was done: say yes, or give --yes")
    _, done = call(*skip, "--parked-for", EMPTY, "--yes")
    assert set(done["skipped"]) == roots
    _, left = call("repair", "parked", "portal-policy", "--all", "--parked-for", EMPTY)
    assert roots.isdisjoint(one["id"] for one in left)
    assert call(*skip)[0] == 2, "neither events nor a reason"
    assert call(*skip, "--parked-for", "no such reason", "--yes")[0] == 2
