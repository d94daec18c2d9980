"""The helpers fail loudly: a crash test that waits for nothing would prove nothing."""

import pytest

from tests.support import python_child, wait_until


def test_waiting_returns_the_answer() -> None:
    answers = iter([0, 0, 7])
    assert wait_until(lambda: next(answers), every=0) == 7


def test_waiting_in_vain_says_for_what() -> None:
    with pytest.raises(AssertionError, match=r"waited 0\.01 s for rain; last answer: 0"):
        wait_until(lambda: 0, timeout=0.01, what="rain")


def test_a_killed_child_runs_no_cleanup() -> None:
    code = "import time\ntry:\n  print('ready'); time.sleep(60)\nfinally:\n  print('cleaned up')"
    with python_child("-c", code) as child:
        child.wait_for("ready")
        child.kill()
    assert not child.running
    assert "cleaned up" not in child.output


def test_a_child_that_ends_too_early_is_told_with_its_output() -> None:
    with python_child("-c", "print('oh dear')") as child, pytest.raises(AssertionError, match="oh dear"):
        child.wait_for("ready")


def test_a_child_ends_with_the_test() -> None:
    with python_child("-c", "import time; print('ready'); time.sleep(60)") as child:
        child.wait_for("ready")
    assert not child.running


def test_a_child_gives_its_exit_code() -> None:
    with python_child("-c", "raise SystemExit(3)") as child:
        assert child.wait() == 3
