"""The sandwich verdict, step by step."""

import datetime as dt
from collections.abc import Collection
from dataclasses import replace

import pytest

from shadow.readers import Failure
from shadow.sandwich import Judgement, Patience, Sandwich, Verdict
from tests.shadow.builders import rules
from tests.shadow.fakes import QUICK, SETTLING, Script, at, key

A, B, C = [{"status": "a"}], [{"status": "b"}], [{"status": "c"}]
BROKEN = RuntimeError("out of order")


def judge_all(script: Script, patience: Patience = QUICK) -> dict[str, Judgement]:
    sandwich = Sandwich(rules(), script.sides(), patience)
    found = sandwich.judge([key(label) for label in script.legacy])
    assert len(found) == len(script.legacy)
    return {one.key.label: one for one in found}


def judge(script: Script, patience: Patience = QUICK) -> Judgement:
    (found,) = judge_all(script, patience).values()
    return found


def test_equal_answers_match_and_legacy_is_read_once() -> None:
    script = Script(legacy={"P": [A]}, view={"P": [A]})
    assert judge(script).verdict is Verdict.MATCH
    assert script.reads("legacy") == 1


def test_a_difference_is_confirmed_when_legacy_stood_still() -> None:
    script = Script(legacy={"P": [A]}, view={"P": [B]})
    found = judge(script)
    assert found.verdict is Verdict.CONFIRMED
    assert script.reads("legacy") == 2


def test_old_stays_left_from_the_first_look_to_the_last() -> None:
    """R8, in every stage of the sandwich."""
    confirmed = judge(Script(legacy={"P": [A]}, view={"P": [B]}), SETTLING)
    early = judge(Script(legacy={"P": [A]}, view={"P": [B, A]}))
    healed = judge(Script(legacy={"P": [A]}, view={"P": [A, B, B, A]}), SETTLING)
    for found in (confirmed, early, healed):
        (difference,) = found.comparison.differences
        assert (difference.legacy, difference.projection) == ("a", "b")


def test_what_differs_at_first_and_not_after_the_wait_is_drift_in_time() -> None:
    found = judge(Script(legacy={"P": [A]}, view={"P": [B, A]}))
    assert found.verdict is Verdict.TEMPORAL
    assert (found.lasted, found.healed_within) == (0, 1)


def test_what_heals_while_it_settles_is_drift_in_time_with_its_duration() -> None:
    script = Script(legacy={"P": [A]}, view={"P": [B, B, B, B, A]})
    found = judge(script, SETTLING)
    assert found.verdict is Verdict.TEMPORAL
    # first look at 0; after the wait at 1; again after pauses of 1, 2 and 2 seconds
    assert (found.lasted, found.healed_within) == (4, 6)
    assert script.reads("legacy") == 3


def test_what_does_not_heal_in_time_stays_confirmed() -> None:
    script = Script(legacy={"P": [A]}, view={"P": [B]})
    assert judge(script, SETTLING).verdict is Verdict.CONFIRMED
    assert script.time == 11


def test_the_projection_has_to_be_strictly_later_than_the_legacy_read() -> None:
    """A commit of the same instant may have come after the relay looked."""
    for ahead, verdict in ((0, Verdict.TIMEOUT), (0.001, Verdict.CONFIRMED)):
        script = Script(legacy={"P": [A]}, view={"P": [B]}, ahead=ahead)
        assert judge(script).verdict is verdict


def test_a_legacy_side_that_moved_is_asked_again_from_its_newer_answer() -> None:
    script = Script(legacy={"P": [A, B]}, view={"P": [B]})
    assert judge(script).verdict is Verdict.MATCH
    assert script.reads("legacy") == 2


def test_a_legacy_side_that_always_moves_is_unsettled_after_so_many_rounds() -> None:
    script = Script(legacy={"P": [A, B] * 50}, view={"P": [C]})
    assert judge(script, Patience(settle=0, rounds=3)).verdict is Verdict.UNSETTLED
    assert script.reads("legacy") == 5
    assert len(script.waits) == 4


def test_a_legacy_side_that_moved_and_moved_back_is_hot() -> None:
    """Both legacy answers are the same; only capture knows."""

    def touched(subjects: Collection[str], since: dt.datetime) -> Collection[str]:
        return [one for one in subjects if since <= at(0)]

    script = Script(legacy={"P": [A]}, view={"P": [B, B, A]}, touched=touched)
    assert judge(script).verdict is Verdict.MATCH
    assert judge(Script(legacy={"P": [A]}, view={"P": [B]}, touched=None)).verdict is Verdict.CONFIRMED


def test_a_change_of_which_capture_hears_late_is_waited_for() -> None:
    heard: list[dt.datetime] = []

    def touched(subjects: Collection[str], since: dt.datetime) -> Collection[str]:
        heard.append(since)
        return subjects if len(heard) == 2 else ()

    script = Script(legacy={"P": [A]}, view={"P": [B, B, A]}, touched=touched)
    assert judge(script).verdict is Verdict.MATCH
    assert script.waits[:2] == [at(1), at(2)]


def test_what_happened_since_before_the_first_legacy_read_counts_as_meanwhile() -> None:
    asked: list[dt.datetime] = []

    def touched(subjects: Collection[str], since: dt.datetime) -> Collection[str]:
        asked.append(since)
        return ()

    judge_all(Script(legacy={"P": [A], "Q": [A]}, view={"P": [B], "Q": [B]}, touched=touched))
    assert set(asked) == {at(0)}


def test_a_key_that_moves_while_it_settles_is_judged_anew() -> None:
    script = Script(legacy={"P": [A, A, B]}, view={"P": [B, B, A, B]})
    assert judge(script, SETTLING).verdict is Verdict.MATCH
    moving = Script(legacy={"P": [A, A, B]}, view={"P": [C]})
    assert judge(moving, SETTLING).verdict is Verdict.CONFIRMED


def test_one_wait_serves_the_batch() -> None:
    script = Script(legacy={"P": [A], "Q": [A], "R": [A]}, view={"P": [A], "Q": [A], "R": [A]})
    judge_all(script)
    assert script.waits == [at(3)]


def test_a_key_whose_events_are_parked_is_no_alarm() -> None:
    script = Script(legacy={"P": [A], "Q": [A]}, view={"P": [B], "Q": [B]}, held=["P"])
    found = judge_all(script)
    assert (found["P"].verdict, found["Q"].verdict) == (Verdict.PARKED, Verdict.CONFIRMED)


def test_a_projection_that_does_not_catch_up_is_a_timeout_not_an_alarm() -> None:
    script = Script(legacy={"P": [A]}, view={"P": [B]}, lags=True)
    assert judge(script, Patience(settle=0, catch_up=7)).verdict is Verdict.TIMEOUT
    assert script.time == 7


def test_a_missing_row_is_confirmed_like_any_difference() -> None:
    assert judge(Script(legacy={"P": [A]}, view={"P": [[]]})).verdict is Verdict.CONFIRMED


def test_a_legacy_error_that_stays_is_a_verdict() -> None:
    found = judge(Script(legacy={"P": [BROKEN]}, view={"P": [A]}))
    assert found.verdict is Verdict.LEGACY_ERROR
    assert found.legacy_failure == Failure("RuntimeError", "out of order")


def test_a_legacy_error_that_passes_is_asked_again() -> None:
    assert judge(Script(legacy={"P": [BROKEN, A]}, view={"P": [A]})).verdict is Verdict.MATCH


def test_a_legacy_error_that_is_another_each_time_is_still_an_error() -> None:
    errors: list[object] = [RuntimeError(f"attempt {n}") for n in range(50)]
    assert judge(Script(legacy={"P": errors}, view={"P": [A]})).verdict is Verdict.LEGACY_ERROR


def test_a_projection_error_is_a_verdict() -> None:
    found = judge(Script(legacy={"P": [A]}, view={"P": [BROKEN]}), SETTLING)
    assert found.verdict is Verdict.PROJECTION_ERROR
    assert found.projection_failure == Failure("RuntimeError", "out of order")


@pytest.mark.parametrize(("view", "same"), [(BROKEN, True), (RuntimeError("another"), False)])
def test_errors_of_both_sides_are_compared_by_class_and_message(view: Exception, same: bool) -> None:
    found = judge(Script(legacy={"P": [BROKEN]}, view={"P": [view]}))
    assert (found.verdict, found.same_failure) == (Verdict.BOTH_ERROR, same)


def test_an_error_of_the_projection_while_it_settles_does_not_judge() -> None:
    script = Script(legacy={"P": [A]}, view={"P": [B, B, BROKEN, A]})
    assert judge(script, SETTLING).verdict is Verdict.TEMPORAL
    script = Script(legacy={"P": [A]}, view={"P": [B, B, BROKEN]})
    assert judge(script, SETTLING).verdict is Verdict.CONFIRMED


def test_a_legacy_source_without_a_clock_is_an_error_for_every_key_of_the_batch() -> None:
    script = Script(legacy={"P": [A], "Q": [A]}, view={"P": [A], "Q": [A]})
    sides = script.sides()

    def gone() -> dt.datetime:
        raise ConnectionError("gone")

    found = Sandwich(rules(), replace(sides, now=gone), QUICK).judge([key("P"), key("Q")])
    assert [one.verdict for one in found] == [Verdict.LEGACY_ERROR] * 2
    assert script.asked == []


def test_a_run_that_is_stopped_confirms_nothing_it_has_not_seen_through() -> None:
    script = Script(legacy={"P": [A]}, view={"P": [B]}, stop_after=4)
    assert judge(script, SETTLING).verdict is Verdict.UNSETTLED


def test_an_excused_difference_is_a_match_that_tells() -> None:
    made = rules(status={"collapse": [["a", "b"]]})
    script = Script(legacy={"P": [A]}, view={"P": [B]})
    (found,) = Sandwich(made, script.sides(), QUICK).judge([key("P")])
    assert found.verdict is Verdict.MATCH
    assert [one.excuse for one in found.comparison.excused] == ["collapse"]


def test_no_keys_need_no_clock_and_no_wait() -> None:
    script = Script(legacy={}, view={})
    assert Sandwich(rules(), script.sides(), QUICK).judge([]) == []
    assert script.waits == []
