"""Kinds of events in the archive that nobody could read at a rebuild, or remembers: a gate, and what the doctor finds."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tests.support.flowing import prepare
from tests.support.insurer import make_insurer, opened
from toolkit.core.ailments import Severity
from toolkit.core.events import Catalogue, EventType
from toolkit.core.evidence import Waiver
from toolkit.core.routes import Stage
from toolkit.cutover.facts import Around, gather
from toolkit.cutover.gates import Gate, Outcome, evaluate
from toolkit.questions.doctor.history import covered


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Around]:
    """An insurer whose history is archived, and whose projections serve."""
    with opened(make_insurer(tmp_path_factory.mktemp("insurer") / "project", {}, size=20)) as app:
        prepare(app)
        for definition in app.running_versions():
            app.projector(definition).start()
        yield app.around


def gate(around: Around) -> Gate:
    gates = evaluate(gather(around, "portal-policy"), Stage.CANARY).gates
    return next(one for one in gates if one.name == "coverage")


def with_types(around: Around, *changed: EventType, without: str = "") -> Around:
    types = {**around.project.catalogue.types, **{one.name: one for one in changed}}
    types.pop(without, None)
    return replace(around, project=replace(around.project, catalogue=Catalogue(types)))


def test_what_is_all_covered_lets_the_move_pass_and_the_doctor_says_nothing(estate: Around) -> None:
    assert gate(estate).outcome is Outcome.PASSED
    assert list(covered(estate)) == []


def test_a_version_without_a_path_closes_the_gate_and_is_broken(estate: Around) -> None:
    kind = estate.project.catalogue.types["PolicyIssued"]
    newer = with_types(estate, replace(kind, version=kind.version + 1))
    said = f"PolicyIssued v{kind.version} m1: no upcaster from version {kind.version} to {kind.version + 1}"
    assert (gate(newer).outcome, gate(newer).faults) == (Outcome.FAILED, (said,))
    assert "strangler catalogue coverage" in gate(newer).next
    (found,) = covered(newer)
    assert (found.severity, found.where) == (
        Severity.BROKEN,
        f"archive, PolicyIssued v{kind.version} m1",
    )


def test_a_type_that_nobody_declares_any_more_concerns_every_view(estate: Around) -> None:
    unknown = with_types(estate, without="ClaimNotified")
    assert "ClaimNotified v1 m1: it is in no catalogue" in " ".join(gate(unknown).faults)


def test_a_kind_without_a_golden_example_closes_the_gate_of_those_who_read_it_and_is_a_hint(
    estate: Around,
) -> None:
    kept = estate.project.folder / "golden" / "PolicyIssued"
    away = kept.rename(kept.with_name("Elsewhere"))
    try:
        shut, (found,) = gate(estate), covered(estate)
    finally:
        away.rename(kept)
    (fault,) = shut.faults
    assert (shut.outcome, "no golden example: golden/PolicyIssued/v1.m1.json" in fault) == (
        Outcome.FAILED,
        True,
    )
    assert (found.severity, found.next) == (Severity.HINT, "strangler catalogue examples")
    assert found.what == "no golden example of 1 kind of events: PolicyIssued v1 m1"


def test_many_kinds_without_a_golden_example_are_one_finding(estate: Around, tmp_path: Path) -> None:
    bare = replace(estate, project=replace(estate.project, folder=tmp_path))
    (found,) = covered(bare)
    kinds = int(str(found.evidence["kinds"]))
    assert kinds > 8, "so many have the estate's events"
    assert found.what.startswith(f"no golden example of {kinds} kinds of events: ")
    assert found.what.endswith(f", and {kinds - 8} more")
    assert found.what.count(" m1") == 8


def test_who_answers_for_one_kind_does_not_answer_for_the_next(estate: Around) -> None:
    kind = estate.project.catalogue.types["PolicyIssued"]
    facts = gather(with_types(estate, replace(kind, version=kind.version + 1)), "portal-policy")

    def judged(covers: tuple[str, ...]) -> Outcome:
        waiver = Waiver(
            capability="portal-policy",
            gate="coverage",
            owner="ada",
            reason="never rebuilt",
            expires_at=facts.now.replace(year=facts.now.year + 1),
            covers=covers,
        )
        waived = msgspec.structs.replace(facts, waivers=(waiver,))
        return next(one.outcome for one in evaluate(waived, Stage.CANARY).gates if one.name == "coverage")

    assert (judged(facts.uncovered), judged(())) == (Outcome.WAIVED, Outcome.FAILED)
