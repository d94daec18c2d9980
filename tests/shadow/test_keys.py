"""Which keys are asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.keys import Key, besides, distinct, read_keys, sample
from tests.shadow.builders import CAPABILITY, section
from tests.shadow.fakes import key
from toolkit.core.errors import UsageError

MANY = [key(f"P-{number}") for number in range(5_000)]


def labels(keys: list[Key]) -> set[str]:
    return {one.label for one in keys}


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_key_in_a_smaller_sample_is_in_every_larger_one(one: float, other: float) -> None:
    small, large = sorted((one, other))
    few = MANY[:200]
    inside = labels(sample(CAPABILITY, few, small))
    assert inside <= labels(sample(CAPABILITY, few, large))


def test_a_sample_has_about_its_share() -> None:
    assert len(sample(CAPABILITY, MANY, 0.1)) == pytest.approx(500, rel=0.2)
    assert len(sample(CAPABILITY, MANY, 1.0)) == len(MANY)


def test_the_sample_does_not_depend_on_the_order_of_the_keys() -> None:
    assert sample(CAPABILITY, MANY[::-1], 0.1) == sample(CAPABILITY, MANY, 0.1)


def test_two_capabilities_have_different_samples() -> None:
    assert sample("one", MANY, 0.1) != sample("other", MANY, 0.1)


def test_what_changed_lately_comes_besides_and_moves_nothing_that_is_drawn() -> None:
    drawn = sample(CAPABILITY, MANY, 0.01)
    out = labels(MANY) - labels(drawn)
    subjects = frozenset([*sorted(out)[:3], drawn[0].label])
    assert labels(besides(CAPABILITY, MANY, drawn, subjects)) == set(sorted(out)[:3])


def test_a_key_loses_its_padding_and_is_one_key_on_both_sides() -> None:
    legacy = read_keys(CAPABILITY, section(), [{"POLICY_NO": "P-1   "}, {"POLICY_NO": 2}])
    view = read_keys(CAPABILITY, section(), [{"policy_no": "P-1"}, {"policy_no": "2"}, {"policy_no": "3"}])
    found = distinct(legacy, view)
    assert sorted(one.label for one in found) == ["2", "3", "P-1"]
    assert next(one for one in found if one.label == "2").parameters == {"policy_no": 2}


def test_a_key_of_parts_has_its_subject() -> None:
    made = section(key=["broker", "line"], subject="line")
    (found,) = read_keys(CAPABILITY, made, [{"BROKER": "B-7", "LINE": "motor", "more": 1}])
    assert (found.label, found.subject) == ("B-7/motor", "motor")
    (found,) = read_keys(CAPABILITY, section(key=["broker", "line"]), [{"broker": "B-7", "line": "motor"}])
    assert found.subject == "B-7"


@pytest.mark.parametrize(("row", "said"), [({"other": 1}, "has no column"), ({"policy_no": None}, "is NULL")])
def test_a_key_list_that_does_not_fit_says_what_to_do(row: dict[str, object], said: str) -> None:
    with pytest.raises(
        UsageError, match=r"capability\.portal-policy\.keys_sql.*select every column"
    ) as caught:
        list(read_keys(CAPABILITY, section(), [row]))
    assert said in str(caught.value)
