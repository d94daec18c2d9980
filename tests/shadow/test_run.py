"""A shadow run from keys to verdict."""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from shadow.classify import Kind
from shadow.normalise import compile_rules
from shadow.report import to_dict
from shadow.run import FROZEN, Asked, Limits, Ports, Progress, RunResult, RunVerdict, shadow_run
from shadow.sandwich import Patience
from shadow.stats import Proven
from tests.shadow.builders import CAPABILITY, section
from tests.shadow.fakes import SETTLING, Script, at
from toolkit.core.errors import FaultySql
from toolkit.core.evidence import Acceptance
from toolkit.settings import CompareRule, GateSection

A, B = [{"status": "a", "name": "Smith"}], [{"status": "b", "name": "Smith"}]
NOW = at(0)
STATUS = CompareRule(map={"a": "a", "b": "b", "c": "c"})
QUICK = Limits(patience=Patience(settle=0))


def run(
    legacy: dict[str, list[object]],
    view: dict[str, list[object]],
    limits: Limits = QUICK,
    acceptances: Mapping[str, Acceptance] | None = None,
    script: Script | None = None,
    ports: Callable[[Ports], Ports] = lambda same: same,
    **changes: Any,
) -> RunResult:
    made = section(
        **{"compare": {"status": STATUS}, "gates": GateSection(pairs=1, mismatch_rate=0.96)} | changes
    )
    script = script or Script(legacy=legacy, view=view)
    plain = Ports(
        sides=script.sides(),
        clock=lambda: NOW,
        legacy_keys=lambda: [{"POLICY_NO": label} for label in legacy],
    )
    asked = Asked(
        run_id="run-1",
        capability=CAPABILITY,
        section=made,
        config_hash="cafe",
        rules=compile_rules(CAPABILITY, made),
        secret=b"secret",
    )
    return shadow_run(asked, ports(plain), limits, acceptances)


def policies(number: int, answer: object) -> dict[str, list[object]]:
    return {f"P-{n}": [answer] for n in range(number)}


def test_all_pairs_that_match_in_sufficient_number_are_clean() -> None:
    result = run(policies(5, A), policies(5, A))
    assert (result.verdict, result.counts, result.lines) == (RunVerdict.CLEAN, {"match": 5}, ())
    assert (result.known, result.asked, result.stopped, result.versions) == (
        5,
        5,
        False,
        {"customer_policy": 1},
    )
    assert (result.proof.judged, result.proof.mismatched) == (5, 0)


def test_too_few_pairs_are_insufficient_and_no_pairs_too() -> None:
    gates = GateSection(pairs=300)
    assert run(policies(5, A), policies(5, A), gates=gates).verdict is RunVerdict.INSUFFICIENT
    assert run({}, {}, gates=gates).verdict is RunVerdict.INSUFFICIENT


def test_one_fingerprint_is_one_line_however_many_keys_it_has() -> None:
    result = run(policies(30, A), policies(30, B), limits=replace(QUICK, batch=7, examples=3))
    (line,) = result.lines
    assert (line.kind, line.title, line.keys, line.fails) == (Kind.SEMANTIC, "status: a -> b", 30, True)
    assert [(one.legacy, one.projection) for one in line.examples] == [("a", "b")] * 3
    assert result.counts == {"semantic": 30}
    assert result.verdict is RunVerdict.FINDINGS
    assert result.confirmed == {(line.fingerprint,): 30}
    assert result.proof.proven is Proven.FAIL


def test_a_key_with_several_records_that_differ_alike_is_one_key() -> None:
    old = [{"line": n, "status": "a"} for n in range(4)]
    new = [{"line": n, "status": "b"} for n in range(4)]
    (line,) = run({"P": [old]}, {"P": [new]}, rows=["line"], limits=replace(QUICK, examples=0)).lines
    assert line.keys == 1


def test_a_pair_with_two_differences_counts_once_by_its_worst_kind() -> None:
    new = [{"status": "b", "name": "SMITH"}]
    result = run({"P": [A]}, {"P": [new]})
    assert result.counts == {"semantic": 1}
    assert {line.kind for line in result.lines} == {Kind.SEMANTIC, Kind.TRANSFORMATIONAL}
    assert result.proof.mismatched == 1


def test_a_row_that_only_the_projection_has_is_found_from_its_side() -> None:
    result = run(
        {"P-1": [A], "P-9": [[]]},
        {"P-1": [A], "P-9": [A]},
        ports=lambda one: replace(
            one,
            legacy_keys=lambda: [{"policy_no": "P-1  "}],
            view_keys=lambda: [{"policy_no": "P-1"}, {"policy_no": "P-9"}],
        ),
    )
    assert result.known == 2
    (line,) = result.lines
    assert (line.kind, line.title, line.examples[0].key) == (
        Kind.MECHANICAL,
        "(record): absent -> present",
        "P-9",
    )


def test_the_stage_that_lost_a_record_is_named() -> None:
    result = run({"P": [A]}, {"P": [[]]}, ports=lambda one: replace(one, locate=lambda subject: "published"))
    assert (result.lines[0].stage, result.counts) == ("published", {"mechanical": 1})


def test_drift_in_time_shorter_than_the_objective_is_told_and_longer_is_a_finding() -> None:
    view: list[object] = [B, B, B, B, A]  # seen to differ for 4 seconds
    settling = Limits(patience=SETTLING)
    short = run({"P": [A]}, {"P": [*view]}, limits=settling, freshness="4s")
    assert (short.counts, short.verdict) == ({"temporal": 1}, RunVerdict.CLEAN)
    (line,) = short.lines
    assert (line.kind, line.title, line.finding, line.lasted) == (Kind.TEMPORAL, "status: a -> b", False, 4)
    long = run({"P": [A]}, {"P": [*view]}, limits=settling, freshness="3s")
    assert long.verdict is RunVerdict.FINDINGS
    assert (long.lines[0].lasted, long.lines[0].healed_within) == (4, 6)
    assert long.proof.mismatched == 0


def accepted(result: RunResult, days: int) -> dict[str, Acceptance]:
    expires = NOW + dt.timedelta(days=days)
    return {
        line.fingerprint: Acceptance(owner="claims", reason="known since 1998", expires_at=expires)
        for line in result.lines
    }


def test_an_accepted_fingerprint_is_listed_and_does_not_fail_the_run_until_it_expires() -> None:
    found = run(policies(5, A), policies(5, B))
    again = run(policies(5, A), policies(5, B), acceptances=accepted(found, 1))
    assert (again.verdict, again.proof.mismatched, again.proof.judged) == (RunVerdict.CLEAN, 0, 5)
    assert again.lines[0].acceptance is not None
    assert again.lines[0].acceptance.owner == "claims"
    late = run(policies(5, A), policies(5, B), acceptances=accepted(found, 0))
    assert (late.verdict, late.proof.mismatched, late.lines[0].acceptance) == (RunVerdict.FINDINGS, 5, None)


def test_a_pair_is_excused_only_if_all_its_fingerprints_are_accepted() -> None:
    one = run({"P": [A]}, {"P": [B]})
    both = run({"P": [A]}, {"P": [[{"status": "b", "name": "Jones"}]]}, acceptances=accepted(one, 1))
    assert both.proof.mismatched == 1
    assert [line.fails for line in both.lines] == [True, False]


def test_a_declared_rule_is_told_and_does_not_fail() -> None:
    loose = CompareRule(collapse=[["a", "b"]])
    result = run({"P": [A]}, {"P": [B]}, compare={"status": loose})
    assert (result.verdict, result.counts) == (RunVerdict.CLEAN, {"match": 1})
    (line,) = result.lines
    assert (line.declared, line.rule, line.finding) == (True, "collapse", False)


def test_errors_and_parked_keys_are_lines_and_only_the_projections_errors_fail() -> None:
    broken, other = RuntimeError("out of order"), KeyError("x")
    script = Script(
        legacy={"L": [broken], "V": [A], "S": [broken], "D": [broken], "H": [A]},
        view={"L": [A], "V": [broken], "S": [broken], "D": [other], "H": [B]},
        held=["H"],
    )
    result = run(script.legacy, script.view, script=script)
    assert result.counts == {"legacy_error": 1, "projection_error": 1, "both_error": 2, "parked": 1}
    assert {line.title: line.finding for line in result.lines} == {
        "(answer): RuntimeError -> an answer": False,
        "(answer): an answer -> RuntimeError": True,
        "(answer): RuntimeError -> RuntimeError": False,
        "(answer): RuntimeError -> KeyError": True,
        "an event of the key is parked": False,
    }
    assert (result.errors, result.legacy_errors, result.proof.judged) == (2, 2, 0)
    assert result.verdict is RunVerdict.FINDINGS


def test_keys_that_are_set_aside_because_nobody_can_say_are_told_with_what_is_parked() -> None:
    legacy: dict[str, list[object]] = {name: [A] for name in "HUV"}
    because = {"U": ("title 7",), "V": ("title 7", "film_copy 3")}
    script = Script(
        legacy=legacy, view={"H": [B], "U": [[]], "V": [[]]}, held=["H", "U", "V"], because=because
    )
    result = run(script.legacy, script.view, script=script)
    assert result.counts == {"parked": 3}
    assert {line.title: line.keys for line in result.lines} == {
        "an event of the key is parked": 1,
        "an event that may be of the key is parked": 2,
    }
    [note] = [one for one in result.notes if "set aside" in one]
    assert note.startswith("2 keys without an answer of the projection were set aside")
    assert "title 7, film_copy 3 (strangler repair parked)" in note


def test_a_projection_that_never_catches_up_is_insufficient_and_counted_as_its_error() -> None:
    script = Script(legacy=policies(3, A), view=policies(3, A), lags=True)
    result = run(script.legacy, script.view, script=script)
    assert (result.counts, result.errors, result.verdict) == ({"timeout": 3}, 3, RunVerdict.INSUFFICIENT)


def test_a_view_that_does_not_move_is_given_up_after_one_wait_with_the_reason() -> None:
    script = Script(legacy=policies(400, A), view=policies(400, A), lags=True)
    because = partial(replace, why_behind=lambda: "the relay is not running")
    result = run(script.legacy, script.view, script=script, ports=because)
    assert (len(script.waits), script.asked) == (1, []), "neither side is asked for what cannot be judged"
    assert (result.counts, result.errors, result.stopped) == ({"timeout": FROZEN}, FROZEN, True)
    assert result.verdict is RunVerdict.INSUFFICIENT
    assert result.cause.endswith("in 30 s: the relay is not running")
    assert to_dict(result)["cause"] == result.cause


def test_a_run_that_cannot_look_for_rows_which_only_the_projection_has_says_so() -> None:
    blind = run(policies(2, A), policies(2, A))
    assert "rows that only the projection has are not looked for" in blind.notes[0]
    seeing = run(policies(2, A), policies(2, A), ports=partial(replace, view_keys=list))
    assert seeing.notes == ()


def test_the_sample_and_the_recently_changed_are_asked() -> None:
    many = policies(400, A)
    result = run(
        many, policies(400, A), sample=0.1, ports=lambda one: replace(one, recent=lambda: {"P-1", "P-2"})
    )
    assert result.known == 400
    assert 20 <= result.asked <= 65
    capped = run(many, policies(400, A), limits=replace(QUICK, keys=7))
    assert capped.asked == 7


def test_what_changed_lately_takes_no_place_of_the_sample_and_is_told_but_not_weighed() -> None:
    """On a busy database all of a small sample would be what was written a moment ago, and the rate a lie."""
    many, wrong = policies(400, A), policies(400, A)
    lately = {f"P-{number}" for number in range(40)}
    for label in lately:
        wrong[label] = policies(1, B)["P-0"]
    limits = replace(QUICK, keys=20)
    plain = run(many, policies(400, A), limits=limits)
    busy = run(many, wrong, limits=limits, ports=lambda one: replace(one, recent=lambda: lately))
    assert plain.proof.judged == busy.proof.judged == 20
    assert (busy.asked, busy.proof.mismatched) == (40, sum(busy.confirmed.values()))
    assert busy.proof.mismatched < 20
    assert sum(line.keys for line in busy.lines) >= 20
    assert any("20 keys that changed lately" in note for note in busy.notes)


def test_progress_is_told_batch_by_batch_and_a_stopped_run_says_so() -> None:
    told: list[Progress] = []
    script = Script(legacy=policies(25, A), view=policies(25, A), stop_after=60)
    result = run(
        script.legacy,
        script.view,
        script=script,
        limits=replace(QUICK, batch=10),
        ports=lambda one: replace(one, progress=told.append),
    )
    # 10 keys of a batch are read once from legacy and twice from the projection
    assert [(one.done, one.total) for one in told] == [(10, 25), (20, 25)]
    assert (result.asked, result.stopped, result.counts) == (20, True, {"match": 20})


@pytest.mark.parametrize("column", ["policy_no", "name"])
def test_redacted_columns_show_in_no_part_of_a_result(column: str) -> None:
    old = [{"policy_no": "P-77", "name": "Smith"}]
    new = [{"policy_no": "P-77", "name": "Jones"}]
    result = run({"P-77": [old]}, {"P-77": [new]}, redact=[column], rows=["policy_no"])
    (line,) = result.lines
    (example,) = line.examples
    if column == "name":
        assert "Smith" not in repr(result)
        assert example.legacy != example.projection
        assert example.key == "P-77"
    else:
        assert "P-77" not in repr(result)
        assert (example.legacy, example.projection) == ("Smith", "Jones")


def test_an_error_message_is_not_kept_where_values_are_redacted() -> None:
    broken = RuntimeError("no row for Smith")
    assert "Smith" in repr(run({"P": [A]}, {"P": [broken]}))
    assert "Smith" not in repr(run({"P": [A]}, {"P": [broken]}, redact=["name"]))


def test_old_is_on_the_left_in_the_lines_of_a_run() -> None:
    """R8, for every kind of line that has two values."""
    result = run(
        {"S": [A], "M": [A], "X": [[]], "T": [A]},
        {"S": [B], "M": [[]], "X": [A], "T": [B, A]},
    )
    sides = {line.kind.value + " " + line.title for line in result.lines}
    assert sides == {
        "semantic status: a -> b",
        "temporal status: a -> b",
        "mechanical (record): present -> absent",
        "mechanical (record): absent -> present",
    }


def test_a_read_that_the_engine_refuses_is_told_with_its_file_and_without_values_where_they_are_redacted() -> (
    None
):
    broken = FaultySql("(1064, \"near 'Smith'\")", "sql/portal.read.sql")
    assert "1064" in repr(run({"P": [A]}, {"P": [broken]}))
    told = repr(run({"P": [A]}, {"P": [broken]}, redact=["name"]))
    assert "sql/portal.read.sql cannot be run" in told
    assert "Smith" not in told
