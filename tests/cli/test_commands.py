"""The command line: exit codes, JSON that parses, errors that say what, where and what to do next."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.flowing import following, prepare
from tests.support.insurer import Insurer, make_insurer, opened
from toolkit.cli.app import run
from toolkit.cli.projections import _show_rebuilt as show_rebuilt
from toolkit.loops.rebuild import Rebuilt


@pytest.fixture(scope="module")
def flowing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Insurer]:
    """A mended insurer on SQLite whose events have flowed and go on flowing."""
    insurer = make_insurer(tmp_path_factory.mktemp("insurer") / "project", {}, size=60)
    with opened(insurer) as app:
        prepare(app)
        with following(app):
            yield insurer


class Said:
    """What a command printed and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def strangler(flowing: Insurer, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str, project: Path | None = None) -> Said:
        code = run([*arguments, "--project", str(project or flowing.folder)])
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return call


READING = [
    ("check",),
    ("doctor",),
    ("catalogue",),
    ("catalogue", "show", "PolicyIssued"),
    ("catalogue", "export"),
    ("capture", "plan"),
    ("capture", "status"),
    ("versions",),
    ("status",),
    ("authority",),
    ("authority", "portal-policy"),
    ("freshness", "portal-policy"),
    ("repair", "show"),
    ("repair", "parked"),
    ("route", "show"),
    ("route", "history", "portal-policy"),
    ("archive", "status"),
    ("archive", "prune", "--dry-run"),
    ("log",),
    ("log", "--subject", "P000000001"),
    ("read", "portal-policy", "P000000001"),
    ("read", "portal-policy", "policy_no=P000000001"),
    ("read", "broker-portfolio", "BR0001"),
    ("shadow", "report", "portal-policy"),
]


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_a_command_that_reads_ends_clean_and_prints_for_people_and_machines(
    strangler: Any, command: tuple[str, ...]
) -> None:
    told = strangler(*command)
    assert (told.code, told.err) == (0, "")
    assert told.out.strip()
    machine = strangler(*command, "--json")
    assert machine.code == 0
    assert machine.json is not None
    assert machine.out.count("\n") == 1


def test_the_race_writes_only_when_it_is_told_to(strangler: Any, flowing: Insurer) -> None:
    planned = strangler("doctor", "race", "--outbox", "OUTBOX", "--json")
    assert planned.code == 0
    assert planned.json[0].startswith("CREATE TABLE strangler_race ")
    run_ = ("doctor", "race", "--outbox", "OUTBOX", "--writers", "2", "--seconds", "0.3", "--write", "--json")
    ended = strangler(*run_)
    assert (ended.code, ended.err) == (0, "")
    assert (ended.json["ours"]["lost"], ended.json["naive"]["lost"]) == (0, 0)
    assert strangler("doctor").code == 0
    again = strangler(*run_[:-1])
    assert "one writer at a time" in again.out


def test_an_answer_carries_what_it_is_worth(strangler: Any) -> None:
    reading = strangler("read", "portal-policy", "P000000001", "--json").json
    assert reading["rows"][0]["policy_no"] == "P000000001"
    for name in ("as_of", "lag", "position", "context", "read_class", "confidence", "served_by", "stage"):
        assert name in reading
    assert (reading["served_by"], reading["confidence"]) == ("legacy", "authoritative")


def test_a_shadow_run_ends_with_one_while_too_little_is_judged_and_writes_junit(
    strangler: Any, tmp_path: Path
) -> None:
    report = tmp_path / "report.xml"
    said = strangler("shadow", "run", "portal-policy", "--json", "--junit", str(report))
    assert said.code == 1
    (found,) = said.json
    assert (found["verdict"], found["evidence"]["mismatched"]) == ("insufficient", 0)
    assert found["keys"]["asked"] == found["keys"]["known"] == 60
    assert "<testsuites" in report.read_text()


def test_the_checklist_refuses_without_evidence_and_names_the_next_command(strangler: Any) -> None:
    said = strangler("checklist", "agent-case", "--to", "canary", "--json")
    assert said.code == 1
    gates = {gate["name"]: gate for gate in said.json["gates"]}
    assert gates["shadow"]["outcome"] == "insufficient"
    assert gates["shadow"]["next"] == "strangler shadow run agent-case"


def test_a_refused_move_ends_with_one_and_says_every_reason(strangler: Any) -> None:
    said = strangler("route", "apply", "claim-cover", "shadow")
    assert said.code == 1
    assert "authoritative" in said.err
    assert strangler("route", "apply", "claim-cover", "shadow", "--json").json["reasons"]


def test_what_cannot_be_compared_is_told_with_what_is_to_be_done(
    strangler: Any, flowing: Insurer, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = strangler("compare", "customer_policy", "--old", "2", "--new", "1")
    assert (said.code, said.out) == (2, "")
    assert (
        "customer_policy v1 is not built: run `strangler rebuild customer_policy --version 1` first"
        in said.err
    )
    code = flowing.folder / "customer_policy_v2.py"
    text = code.read_text()
    try:
        code.write_text(text.replace("version=2", "version=3"))
        said = strangler("compare", "customer_policy", "--old", "2", "--new", "3")
    finally:
        code.write_text(text)
    assert said.code == 2
    assert "customer_policy v2 is in the read store, and no longer in the code (which has v1, v3)" in said.err
    assert "strangler drop customer_policy --version 2" in said.err
    assert strangler("compare", "customer_policy", "--old", "2", "--new", "7").code == 2


def test_a_rebuild_that_saw_no_watermark_says_that_nothing_is_promised(
    capsys: pytest.CaptureFixture[str],
) -> None:
    done = Rebuilt(
        projection="p", version=2, events=3, parked=0, as_of=None, took=dt.timedelta(seconds=1), complete=True
    )
    show_rebuilt(done)
    assert capsys.readouterr().out.startswith("p v2: 3 events in 1.0 s; nothing is promised yet\n")


def test_verify_and_rehearse_are_evidence(strangler: Any) -> None:
    assert strangler("verify", "customer_policy").code == 0
    assert strangler("route", "rehearse", "portal-policy").code == 0
    gates = {
        one["name"]: one["outcome"]
        for one in strangler("checklist", "portal-policy", "--to", "canary", "--json").json["gates"]
    }
    assert gates["way_back"] == "passed"


def test_several_rows_are_folded_again_by_one_command(strangler: Any) -> None:
    keys = ["P000000001", "P000000002"]
    said = strangler("repair", "key", "customer_policy", *keys, "--json")
    assert said.code == 0, said.err
    assert [one["key"] for one in said.json] == keys
    assert all(one["before"] == one["after"] for one in said.json)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            ("read", "portal", "P1"),
            "there is no capability 'portal' in strangler.toml; there are: portal-policy",
        ),
        (("read", "portal-policy", "number=1"), "is asked with policy_no"),
        (("rebuild", "customer_policies"), "there is no projection customer_policies"),
        (
            ("repair", "key", "customer_polic", "1/2"),
            "there is no projection customer_polic in this project; there are:",
        ),
        (("verify", "customer_policy", "--version", "9"), "there is no projection customer_policy v9"),
        (("backfill", "--source", "core"), "there is no [legacy.core]"),
        (("shadow", "run", "portal-policy", "--version", "two"), "write PROJECTION=N"),
        (("route", "apply", "portal-policy", "canary", "--share", "200"), "not between 0 and 100"),
        (("route", "plan", "portal-policy", "canary"), "Give --share"),
        (("route", "apply", "portal-policy", "canary"), "the route is at "),
        (("route", "rollback", "portal-policy", "--to", "canary"), "Give --share"),
        (("read", "portal-policy", "P1", "--today", "tomorrow"), "write it as 2026-06-30"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_wrong_question_ends_with_two_and_says_what_is_known(
    strangler: Any, command: tuple[str, ...], words: str
) -> None:
    said = strangler(*command)
    assert said.code == 2
    assert words in said.err.replace("\n", " ")


def test_every_fault_of_the_settings_is_told_at_once(strangler: Any, tmp_path: Path) -> None:
    (tmp_path / "strangler.toml").write_text('[project]\nnam = "x"\n[legacy.a]\nurl = "${NOT_SET}"\n')
    said = strangler("check", "--json", project=tmp_path)
    assert said.code == 2
    where = [fault["where"] for fault in said.json["faults"]]
    assert {"project.nam", "project.name", "legacy.a.url", "legacy.a.context", "read_store"} <= set(where)


def with_read_store(flowing: Insurer, folder: Path, url: str) -> Path:
    """The same project and legacy database, with another read store."""
    for file in flowing.folder.glob("*.py"):
        (folder / file.name).write_text(file.read_text())
    text = (flowing.folder / "strangler.toml").read_text()
    for was, becomes in (
        ("${READ_STORE_URL:-sqlite:///read.db}", url),
        ("${LEGACY_URL:-sqlite:///legacy.db}", flowing.legacy),
        ('"sql/', f'"{flowing.folder}/sql/'),
    ):
        assert was in text
        text = text.replace(was, becomes)
    (folder / "strangler.toml").write_text(text)
    return folder


def test_a_server_that_is_not_there_ends_with_three(flowing: Insurer, strangler: Any, tmp_path: Path) -> None:
    project = with_read_store(flowing, tmp_path, "postgresql+psycopg://nobody@127.0.0.1:1/none")
    said = strangler("status", project=project)
    assert said.code == 3
    assert "127.0.0.1" in said.err


def test_the_doctor_examines_the_rest_when_a_server_is_not_there(
    flowing: Insurer, strangler: Any, tmp_path: Path
) -> None:
    project = with_read_store(flowing, tmp_path, "postgresql+psycopg://nobody@127.0.0.1:1/none")
    said = strangler("doctor", "--json", project=project)
    assert said.code == 3
    assert said.json["unreachable"] == ["state and read store"]
    assert any(name.startswith("legacy.policy_admin") for name in said.json["checks"])


def test_no_password_is_ever_printed(flowing: Insurer, strangler: Any, tmp_path: Path) -> None:
    project = with_read_store(flowing, tmp_path, "postgresql+psycopg://nobody:hunter2@127.0.0.1:1/none")
    for command in (("status",), ("setup",), ("doctor",), ("read", "portal-policy", "P000000001")):
        said = strangler(*command, project=project)
        assert "hunter2" not in said.out + said.err


def test_a_way_of_capture_that_is_not_installed_is_a_fault_of_the_project(
    strangler: Any, flowing: Insurer, tmp_path: Path
) -> None:
    copy = tmp_path / "project"
    shutil.copytree(flowing.folder, copy, ignore=shutil.ignore_patterns("*.db*"))
    settings = copy / "strangler.toml"
    text = settings.read_text()
    assert "[legacy.policy_admin]" in text
    settings.write_text(
        text.replace("[legacy.policy_admin]", '[legacy.policy_admin]\ncapture = "triger"').replace(
            'capture = "trigger"', ""
        )
    )

    said = strangler("check", project=copy)

    assert said.code == 2
    assert "legacy.policy_admin.capture: 'triger' is none of trigger, outbox, debezium" in said.err


def test_a_command_does_not_wait_for_libraries_that_few_commands_need() -> None:
    look = "import sys, toolkit.cli.app; print([one for one in ('alembic', 'deepdiff', 'pydantic') if one in sys.modules])"
    told = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


@pytest.mark.parametrize(
    ("given", "kind", "code", "what", "then"),
    [
        (["status", "--nope"], "usage", 2, "No such option", "strangler status --help"),
        (["read"], "usage", 2, "Missing argument", "strangler read --help"),
        (["freshness", "--timeout", "soon"], "usage", 2, "--timeout", "strangler freshness --help"),
        (["repair", "nothing"], "usage", 2, "No such command", "strangler repair --help"),
        (["nothing"], "usage", 2, "No such command", "strangler --help"),
        (
            ["check", "-C", "/nowhere"],
            "usage",
            2,
            "/nowhere/strangler.toml",
            "mend each fault, then strangler check",
        ),
    ],
    ids=["option", "argument", "value", "command of a group", "command", "project"],
)
def test_with_json_every_wrong_use_is_one_document_too(
    given: list[str], kind: str, code: int, what: str, then: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*given, "--json"]) == code
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert (told["kind"], told["exit_code"], told["next"]) == (kind, code, then)
    assert what in told["message"]
    assert said.err == ""


def test_without_json_a_wrong_use_is_told_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--nope"]) == 2
    said = capsys.readouterr()
    assert (said.out, "No such option" in said.err) == ("", True)


def test_an_error_says_its_kind_and_what_to_do_next(strangler: Any) -> None:
    told = strangler("freshness", "nothing", "--json")
    assert (told.json["error"], told.json["next"]) == ("UsageError", "strangler freshness --help")
    refused = strangler("route", "apply", "claim-cover", "shadow", "--json").json
    assert (refused["kind"], refused["exit_code"]) == ("findings", 1)
    assert all(one in refused["next"] for one in refused["reasons"])
