"""The documents say what the code does: every key, every command, every link, every named test."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.legacy.debezium import capture as debezium_capture
from adapters.legacy.mariadb import capture as mariadb_capture
from adapters.legacy.postgresql import capture as postgresql_capture
from adapters.legacy.sqlite import capture as sqlite_capture
from adapters.legacy.wal import capture as wal_capture
from tests.docs.commands import TARGET, commands, render, takes_value
from toolkit import commands as spelled
from toolkit import settings
from toolkit.loader import load

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "examples").rglob("README.md"),
    ]
)
SECTIONS: dict[str, type[settings.Section]] = {
    "[project]": settings.ProjectSection,
    "[legacy.NAME]": settings.LegacySection,
    "[legacy.NAME.table.TABLE]": settings.TableSection,
    "[legacy.NAME.wal]": settings.WalSection,
    "[legacy.NAME.poll]": settings.PollSection,
    "[legacy.NAME.snapshot]": settings.SnapshotSection,
    "[legacy.NAME.outbox_columns.TABLE]": settings.OutboxColumns,
    "[legacy.NAME.debezium]": settings.DebeziumSection,
    "[log]": settings.LogSection,
    "[archive]": settings.ArchiveSection,
    "[read_store]": settings.ReadStoreSection,
    "[state]": settings.StateSection,
    "[capability.NAME]": settings.CapabilitySection,
    "[capability.NAME.compare]": settings.CompareRule,
    "[capability.NAME.gates]": settings.GateSection,
}
MADE_FOLDERS = (
    "toolkit/",
    "adapters/",
    "shadow/",
    "migrations/",
    "tests/",
    "examples/",
    "benchmarks/",
    "docs/",
)

every_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix()
)


def fenced(text: str) -> Iterator[tuple[str, str]]:
    """Language and content of each fenced block."""
    yield from re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def tables(text: str) -> dict[str, dict[str, list[str]]]:
    """Heading to the keys of the table below it, each with its further cells."""
    found: dict[str, dict[str, list[str]]] = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", body, re.MULTILINE)
        found[heading.strip("` ")] = {key: cells.split(" | ") for key, cells in rows}
    return found


def faults_of(line: str) -> list[str]:
    """What is wrong with a `strangler ...` line, without executing it."""
    words = shlex.split(line, comments=True)
    known = commands()
    name = next((" ".join(words[:size]) for size in (3, 2) if " ".join(words[:size]) in known), None)
    if name is None:
        return [] if words[1:] in (["--version"], ["--help"]) else [f"{line!r}: there is no such command"]
    command, rest = known[name], words[len(name.split()) :]
    options = {opt: one for one in command.params if one.param_type_name == "option" for opt in one.opts}
    options |= {"--help": None, "-h": None}
    given, faults, seen = 0, [], set()
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            given += 1
            continue
        option, equals, _ = word.partition("=")
        seen.add(option)
        if option not in options:
            faults.append(f"{line!r}: {name} has no option {option}")
        elif options[option] is not None and takes_value(command, options[option]) and not equals:
            rest = rest[1:]
    return [*faults, *_missing(line, command, given, seen)]


def _missing(line: str, command: Any, given: int, seen: set[str]) -> list[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    needed = sum(one.required for one in arguments)
    most = 1000 if any(one.nargs == -1 for one in arguments) else len(arguments)
    faults = [] if needed <= given <= most else [f"{line!r}: {given} arguments, not {needed} to {most}"]
    required = [one for one in command.params if one.param_type_name == "option" and one.required]
    return faults + [
        f"{line!r}: {one.opts[0]} is missing" for one in required if not seen.intersection(one.opts)
    ]


def command_lines(text: str) -> Iterator[str]:
    """Every command in fenced blocks."""
    for language, block in fenced(text):
        if language in ("sh", "console", ""):
            for line in block.splitlines():
                if line.removeprefix("$ ").startswith("strangler "):
                    yield line.removeprefix("$ ")


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_key_of_the_settings_is_documented_with_its_default_and_no_other(heading: str) -> None:
    documented = tables((ROOT / "docs/configuration.md").read_text())[heading]
    fields = {field.name: field for field in msgspec.structs.fields(SECTIONS[heading])}
    assert documented.keys() == fields.keys()
    for name, field in fields.items():
        said = documented[name][1].strip("`")
        assert (said == "required") == field.required, name
        if isinstance(field.default, bool):
            assert said == str(field.default).lower(), name
        elif isinstance(field.default, int | float) or (isinstance(field.default, str) and field.default):
            assert said == str(field.default), name


def test_every_section_of_the_settings_is_documented() -> None:
    headings = set(tables((ROOT / "docs/configuration.md").read_text()))
    assert headings == SECTIONS.keys()
    assert {heading.strip("[]").split(".")[0] for heading in headings} == {
        field.name for field in msgspec.structs.fields(settings.Settings)
    }


def test_the_command_reference_is_what_the_commands_say() -> None:
    assert TARGET.read_text() == render(), "run `make docs`"
    for name, command in commands().items():
        assert command.help, f"{name} says nothing of itself"
        assert f"## `{name}`\n" in TARGET.read_text()


@every_document
def test_every_command_line_names_a_command_with_its_options(document: Path) -> None:
    if document == TARGET:  # made from the commands, with placeholders
        return
    faults = [fault for line in command_lines(document.read_text()) for fault in faults_of(line)]
    assert not faults


def test_a_command_that_does_not_exist_is_noticed() -> None:
    assert not faults_of("strangler route apply portal-policy canary --share 5  # a comment")
    assert faults_of("strangler routes show")
    assert faults_of("strangler route apply portal-policy canary --percent 5")
    assert faults_of("strangler route apply portal-policy")
    assert faults_of("strangler compare customer_policy --old 1")


def test_every_command_that_messages_tell_to_run_exists() -> None:
    told = [
        value for value in vars(spelled).values() if isinstance(value, str) and value.startswith("strangler ")
    ]
    makers = [one for _, one in inspect.getmembers(spelled, inspect.isfunction)]
    for make in makers:
        parameters = inspect.signature(make).parameters.values()
        # Annotations are text there; a version is a number, everything else a word.
        told.append(make(*("2" if "int" in str(one.annotation) else "word" for one in parameters)))
    assert len(told) > 10
    faults = [fault for line in told for fault in faults_of(line)]
    assert not faults


@every_document
def test_every_link_leads_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text())
    missing = [one for one in targets if "://" not in one and not (document.parent / one).exists()]
    assert not missing


@every_document
def test_every_path_of_the_checkout_exists(document: Path) -> None:
    text = document.read_text()
    spoken = re.findall(r"`([\w./-]+)`", text)
    spoken += [
        word for _, block in fenced(text) for word in re.findall(r"(?<![\w./-])[\w-]+/[\w./-]+", block)
    ]
    missing = [
        one for one in spoken if one.startswith(MADE_FOLDERS) and not (ROOT / one.rstrip(".")).exists()
    ]
    # A user's project, too, may have folders that are called like ours.
    assert not [one for one in missing if one not in ("migrations/", "adapters/")]


def test_every_promise_names_tests_that_exist() -> None:
    text = (ROOT / "docs/guarantees.md").read_text()
    both = text + (ROOT / "docs/capture.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", both)
    assert len(named) > 20
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (ROOT / file).is_file() or f"def {test}(" not in (ROOT / file).read_text()
    ]
    assert not missing
    promises = re.split(r"^## ", text, flags=re.MULTILINE)
    without = [part.splitlines()[0] for part in promises if re.match(r"R\d", part) and "::" not in part]
    assert not without


def test_the_example_of_the_project_page_is_a_project(tmp_path: Path) -> None:
    text = (ROOT / "docs/project.md").read_text()
    modules, queries = ["events.py", "translators.py", "projections.py"], ["legacy", "read", "keys"]
    pythons = [block for language, block in fenced(text) if language == "python" and "from toolkit" in block]
    (tmp_path / "strangler.toml").write_text(
        next(block for language, block in fenced(text) if language == "toml")
    )
    for name, block in zip(modules, pythons, strict=True):
        (tmp_path / name).write_text(block)
    (tmp_path / "sql").mkdir()
    for name, block in zip(
        queries,
        [one for language, one in fenced(text.partition("## SQL files")[2]) if language == "sql"],
        strict=True,
    ):
        (tmp_path / f"sql/may_rent.{name}.sql").write_text(block)
    loaded = load(tmp_path, {})
    assert list(loaded.projections) == ["customer_entry"]
    assert loaded.captured("pagila")[0].subject == "CUSTOMER_ID"


def test_what_capture_guarantees_is_told_as_the_engines_print_it() -> None:
    text = (ROOT / "docs/capture.md").read_text()
    engines = (sqlite_capture, postgresql_capture, mariadb_capture, wal_capture, debezium_capture)
    for guarantees in (engine.GUARANTEES for engine in engines):
        missing = [said for said in guarantees.values() if said not in text]
        assert not missing
