"""What so many pairs prove."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.stats import Proven, prove, upper_bound


@pytest.mark.parametrize("judged", [1, 10, 300, 30_000])
def test_no_mismatch_leaves_the_rule_of_three_exactly(judged: int) -> None:
    assert upper_bound(0, judged) == pytest.approx(1 - 0.05 ** (1 / judged), rel=1e-9)
    assert upper_bound(0, judged) <= 3 / judged


@pytest.mark.parametrize(
    ("mismatched", "judged", "bound"),
    [(1, 10, 0.39416), (5, 100, 0.10225), (50, 100, 0.58620), (3, 300, 0.02566)],
)
def test_the_bound_is_clopper_and_pearsons(mismatched: int, judged: int, bound: float) -> None:
    assert upper_bound(mismatched, judged) == pytest.approx(bound, abs=2e-4)


def test_nothing_judged_proves_nothing() -> None:
    assert upper_bound(0, 0) == 1
    assert prove(0, 0, pairs=300, rate=0.01).proven is Proven.INSUFFICIENT


def test_too_few_pairs_never_pass_however_clean() -> None:
    proof = prove(0, 299, pairs=300, rate=0.5)
    assert (proof.proven, proof.needed) == (Proven.INSUFFICIENT, 1)
    assert prove(0, 300, pairs=300, rate=0.5).proven is Proven.PASS


def test_the_defaults_of_the_settings_fit_each_other() -> None:
    assert prove(0, 300, pairs=300, rate=0.01).proven is Proven.PASS


def test_enough_pairs_that_do_not_reach_the_rate_are_insufficient_and_say_how_many_are_missing() -> None:
    proof = prove(1, 300, pairs=300, rate=0.01)
    assert proof.proven is Proven.INSUFFICIENT
    assert prove(1, 300 + proof.needed, pairs=300, rate=0.01).proven is Proven.PASS
    assert prove(1, 300 + proof.needed - 1, pairs=300, rate=0.01).proven is Proven.INSUFFICIENT


def test_more_mismatches_than_all_required_pairs_may_have_fail_at_once() -> None:
    assert prove(4, 5, pairs=300, rate=0.01).proven is Proven.FAIL
    assert prove(3, 5, pairs=300, rate=0.01).proven is Proven.INSUFFICIENT


def test_a_rate_of_zero_asks_for_no_mismatch_in_the_required_pairs() -> None:
    assert prove(0, 100, pairs=100, rate=0).proven is Proven.PASS
    assert prove(1, 100, pairs=100, rate=0).proven is Proven.FAIL
    assert prove(0, 0, pairs=0, rate=0).proven is Proven.INSUFFICIENT


@given(st.integers(0, 40), st.integers(1, 3000), st.integers(0, 500), st.sampled_from([0.001, 0.01, 0.2]))
def test_a_pass_always_has_its_pairs_and_its_bound(
    mismatched: int, judged: int, pairs: int, rate: float
) -> None:
    mismatched = min(mismatched, judged)
    proof = prove(mismatched, judged, pairs=pairs, rate=rate)
    passed = judged >= pairs and proof.bound <= rate
    assert (proof.proven is Proven.PASS) == passed
    assert (proof.needed > 0) == (proof.proven is Proven.INSUFFICIENT)
