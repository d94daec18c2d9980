"""The catalogue on the command line: what covers the archive, golden examples, and changes that a pipeline refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.flowing import following, prepare
from tests.support.insurer import Insurer, make_insurer, opened
from toolkit.cli.app import run


@pytest.fixture(scope="module")
def flowing(tmp_path_factory: pytest.TempPathFactory) -> Insurer:
    """A mended insurer whose events have flowed, without any golden example."""
    insurer = make_insurer(tmp_path_factory.mktemp("insurer") / "project", {}, size=40)
    shutil.rmtree(insurer.folder / "golden", ignore_errors=True)
    with opened(insurer) as app:
        prepare(app)
        with following(app):
            pass
    return insurer


@pytest.fixture
def strangler(flowing: Insurer, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str, project: Path | None = None) -> tuple[int, Any]:
        code = run([*arguments, "--project", str(project or flowing.folder), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return call


def test_coverage_tells_what_is_missing_until_the_examples_are_written(
    flowing: Insurer, strangler: Any
) -> None:
    code, found = strangler("catalogue", "coverage")
    assert code == 1
    issued = next(one for one in found if one["event"] == "PolicyIssued")
    assert (issued["version"], issued["meaning"], issued["events"], issued["path"]) == (1, 1, 40, "current")
    assert "customer_policy v2" in issued["read_by"]
    assert issued["findings"] == ["no golden example: golden/PolicyIssued/v1.m1.json"]

    code, written = strangler("catalogue", "examples")
    assert (code, {one["written"] for one in written}) == (0, {"yes"})
    example = (flowing.folder / "golden/CustomerRegistered/v1.m1.json").read_text()
    assert json.loads(example)["name"].strip("Xx -.'") == "", "people are masked"

    assert strangler("catalogue", "coverage")[0] == 0
    assert strangler("catalogue", "examples") == (0, [])
    code, checked = strangler("check")
    assert (code, checked["golden"]) == (0, len(written)), checked["evolution"]


def edited(flowing: Insurer, folder: Path, *changes: tuple[str, str, str]) -> Path:
    """The same project, with changes of its files, and without examples, whoever has written some."""
    shutil.copytree(flowing.folder, folder, ignore=shutil.ignore_patterns("__pycache__", "golden"))
    for name, was, becomes in changes:
        text = (folder / name).read_text()
        assert was in text
        (folder / name).write_text(text.replace(was, becomes))
    return folder


def test_a_kind_that_the_project_forgets_is_a_finding(
    flowing: Insurer, strangler: Any, tmp_path: Path
) -> None:
    raised = edited(
        flowing,
        tmp_path / "project",
        ("events.py", "class CustomerRegistered", "class CustomerRegisteredOtherwise"),
        ("translators.py", "CustomerRegistered", "CustomerRegisteredOtherwise"),
        ("projections.py", "CustomerRegistered", "CustomerRegisteredOtherwise"),
        (
            "events.py",
            '@policies.event(\n    subject="policy_no",\n    means="The term was extended',
            '@policies.event(\n    subject="policy_no",\n    meaning=2,\n    version=2,\n    means="The term was extended',
        ),
    )
    code, found = strangler("catalogue", "coverage", project=raised)
    told = {one["event"]: " / ".join(one["findings"]) for one in found}
    assert code == 1
    assert "it is in no catalogue" in told["CustomerRegistered"]
    assert "no upcaster from version 1 to 2" in told["PolicyRenewed"]
    assert "nobody says what meaning 1 means" in told["PolicyRenewed"]
    assert told["PolicyIssued"] == "no golden example: golden/PolicyIssued/v1.m1.json"


def test_a_pipeline_refuses_a_change_that_nothing_makes_safe(
    flowing: Insurer, strangler: Any, tmp_path: Path
) -> None:
    kept = tmp_path / "catalogue.json"
    assert strangler("catalogue", "export", "--to", str(kept))[0] == 0
    assert strangler("catalogue", "diff", str(kept)) == (0, [])
    other = edited(
        flowing,
        tmp_path / "project",
        (
            "events.py",
            "Premiums are settled up to and including `paid_to`.",
            "Premiums are settled until `paid_to`.",
        ),
    )
    code, found = strangler("catalogue", "diff", str(kept), project=other)
    assert code == 1
    assert [(one["where"], one["grade"], one["safe"]) for one in found] == [
        ("event PremiumSettled", "meaning", False)
    ]
    answered = ("catalogue", "diff", str(kept), "--same-meaning", "PremiumSettled")
    assert strangler(*answered, project=other)[0] == 0
    assert strangler("catalogue", "diff", str(kept), "--same-meaning", "Nobody")[0] == 2
    assert strangler("catalogue", "diff", "no-such-thing")[0] == 2


def test_the_examples_as_they_are_are_written_only_when_somebody_says_so(
    flowing: Insurer, strangler: Any, tmp_path: Path
) -> None:
    assert strangler("catalogue", "examples", "--as-they-are")[0] == 2


def test_authority_tells_the_meaning_that_the_view_reads(strangler: Any) -> None:
    _, (found,) = strangler("authority", "claim-cover")
    events = [event for contract in found["contracts"] for event in contract["events"]]
    cancelled = next(event for event in events if event["name"] == "PolicyCancelled")
    assert (cancelled["meaning"], cancelled["means"][:23]) == (2, "The policy is cancelled")
