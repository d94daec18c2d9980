"""Which held keys make an answer doubtful, where a row's key has several columns (R3, R6)."""

from collections.abc import Mapping

import pytest

from toolkit.core.events import Context, Event
from toolkit.core.projections import Projection, on
from toolkit.router.paths import Asked, doubted

context = Context("service")


@context.event(subject="policy_no", means="The policy is held.")
class HoldPlaced(Event):
    policy_no: str
    number: int


@context.event(subject="policy_no", means="These holds were noted.")
class HoldsNoted(Event):
    company: int
    policy_no: str
    holds: list[int]


class PolicyHold(Projection, version=1, context="service", key=("policy_no", "hold_no")):
    policy_no: str
    hold_no: int

    @on(HoldPlaced, creates=True, key=("policy_no", "number"))
    def placed(self, event: HoldPlaced) -> None: ...


HOLD = PolicyHold.definition
ROWS = [{"policy_no": "P1", "hold_no": 1}]


def asked(**key: object) -> Asked:
    return Asked(key=key, parameters={}, subject="\x1f".join(map(str, key.values())))


@pytest.mark.parametrize(
    ("key", "held"),
    [
        ({"policy_no": "P1", "hold_no": 1}, ["P1/1", "P1"]),
        ({"policy_no": "P1"}, ["P1/1", "P1/2", "P1"]),
        ({"hold_no": 1}, ["P1/1", "P9/1", "P1"]),
    ],
    ids=["one row", "all rows of a subject", "by another column"],
)
def test_a_row_that_is_held_or_missing_and_a_subject_whose_event_told_no_row_make_it_doubtful(
    key: Mapping[str, object], held: list[str]
) -> None:
    every = ["P1/1", "P1/2", "P9/1", "P1", "P9"]
    assert doubted(HOLD, asked(**key), ROWS, every) == [one for one in every if one in held]


def test_where_the_answer_does_not_show_the_whole_key_what_was_asked_tells() -> None:
    rows = [{"holds": 3}]
    assert doubted(HOLD, asked(policy_no="P1"), rows, ["P1/2", "P9/1"]) == ["P1/2"]
    assert doubted(HOLD, asked(policy_no="P1"), rows, ["P9/1"]) is None


@pytest.mark.parametrize(("one", "other"), [(("A/B", "C"), ("A", "B/C")), (("A%2F", "B"), ("A/", "B"))])
def test_two_keys_never_have_one_text_and_the_text_tells_the_key(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assert HOLD.key_text(one) != HOLD.key_text(other)
    assert [HOLD.key_parts(HOLD.key_text(key)) for key in (one, other)] == [one, other]


class HoldNote(Projection, version=1, context="service", key=("company", "policy_no", "hold_no")):
    company: int
    policy_no: str
    hold_no: int

    @on(HoldsNoted, creates=True, each="holds", key=("company", "policy_no", "each"))
    def noted(self, event: HoldsNoted, hold: int) -> None: ...


def test_an_event_about_many_rows_that_waits_makes_every_row_of_its_parent_doubtful() -> None:
    definition = HoldNote.definition
    held = [definition.key_text(definition.key_of(HoldsNoted(company=7, policy_no="P1", holds=[])))]
    assert held == ["7/P1"]
    rows = [{"company": 7, "policy_no": "P1", "hold_no": 1}]
    whole = {"company": 7, "policy_no": "P1", "hold_no": 1}
    assert doubted(definition, asked(**whole), rows, held) == held
    assert doubted(definition, asked(company=7), rows, held) == held
    assert doubted(definition, asked(company=7), [], held) == held
    assert doubted(definition, asked(**{**whole, "policy_no": "P2"}), [], held) == []
    assert doubted(definition, asked(company=7), [{**whole, "policy_no": "P2"}], held) == held
    assert doubted(definition, asked(company=8), [{**whole, "company": 8}], held) == []
