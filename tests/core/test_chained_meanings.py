"""Meanings that follow one another: an event is said in the newest by the mappings between, if there is one way alone."""

import datetime as dt
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit import Context, Event, Projection, on
from toolkit.core.events import Catalogue
from toolkit.core.evolving import unfinished
from toolkit.core.meanings import read_as, ways
from toolkit.core.projections import Definition
from toolkit.core.records import Envelope, Record
from toolkit.cutover.coverage import coverage
from toolkit.golden import broken, examples
from toolkit.loops import folding
from toolkit.ports import SeenKind

NOON = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)


class Cancelled(Event):
    policy_no: str
    reason: str = ""


def catalogue(*maps: tuple[int, int], newest: int = 4, given: tuple[int, ...] = ()) -> Catalogue:
    """Each mapping adds its name to the reason."""
    context = Context("policies")
    context.event(subject="policy_no", meaning=newest, means=f"Meaning {newest}.")(Cancelled)
    for meaning in range(1, newest):
        context.formerly(Cancelled, meaning=meaning, means=f"Meaning {meaning}.", given=meaning in given)
    for from_, to in maps:

        def mapper(event: Cancelled, way: str = f" {from_}>{to}") -> Cancelled:
            return Cancelled(policy_no=event.policy_no, reason=event.reason + way)

        context.mapping(Cancelled, from_meaning=from_, to_meaning=to, loses="something")(mapper)
    return Catalogue.of([context])


def reader(*meanings: int, passes_over: tuple[int, ...] = ()) -> Definition:
    class Cover(Projection, version=1, context="claims", key="policy_no"):
        policy_no: str

        @on(Cancelled, creates=True, meaning=meanings, passes_over=passes_over)
        def cancelled(self, event: Cancelled) -> None: ...

    return Cover.definition


def step(definition: Definition, known: Catalogue, meaning: int) -> folding.Step:
    envelope = Envelope(
        id="1",
        source="s",
        type="Cancelled",
        subject="P",
        time=NOON,
        version=1,
        meaning=meaning,
        position="1",
    )
    record = Record(envelope=envelope, data=b'{"policy_no":"P"}', partition=0, sequence=1)
    (one,) = folding.read(definition, known, [("t", record)])
    return one


def said(definition: Definition, known: Catalogue, meaning: int) -> str:
    event: Any = step(definition, known, meaning).event
    return str(event.reason).strip()


def test_an_old_meaning_is_said_in_the_newest_by_all_mappings_between() -> None:
    known = catalogue((1, 2), (2, 3), (3, 4))
    assert said(reader(4), known, 1) == "1>2 2>3 3>4"
    assert said(reader(4), known, 3) == "3>4"
    assert not unfinished(known, [reader(4)])


def test_the_newest_may_be_said_in_an_old_one_and_circles_lead_nowhere() -> None:
    known = catalogue((4, 3), (3, 2), (2, 3), (1, 2), (2, 1))
    assert said(reader(1), known, 4) == "4>3 3>2 2>1"
    assert said(reader(3), known, 1) == "1>2 2>3"


def test_a_mapping_between_the_two_goes_before_any_chain() -> None:
    known = catalogue((1, 2), (2, 4), (1, 3), (3, 4), (1, 4))
    assert said(reader(4), known, 1) == "1>4"
    assert not unfinished(known, [reader(4)])


def test_of_several_meanings_that_are_read_the_nearest_is_taken_then_the_newest() -> None:
    known = catalogue((1, 2), (2, 3), (3, 4), (1, 3))
    assert said(reader(2, 3, 4), known, 1) == "1>3"
    assert said(reader(2, 4), known, 1) == "1>2"


def test_where_two_chains_lead_there_neither_is_taken() -> None:
    known = catalogue((1, 2), (2, 4), (1, 3), (3, 4))
    parked = step(reader(4), known, 1)
    assert parked.event is None
    assert "by more than one chain of mappings (1 > 2 > 4 or 1 > 3 > 4)" in parked.fault
    assert "from_meaning=1, to_meaning=4" in parked.fault


def test_check_names_every_way_that_is_missing_or_not_the_only_one_at_once() -> None:
    known = catalogue((1, 2), (2, 4), (1, 3), (3, 4), given=(1,))
    found = [str(fault) for fault in unfinished(known, [reader(4), reader(3), reader(2, passes_over=(4,))])]
    assert (
        len([one for one in found if "more than one chain of mappings (1 > 2 > 4 or 1 > 3 > 4)" in one]) == 1
    )
    assert any(
        "does not read Cancelled in meaning 2" in one and "lead to 4 and no further" in one for one in found
    )
    assert any("does not read Cancelled in meaning 3" in one for one in found)
    assert any("does not read Cancelled in meaning 4" in one for one in found)


def test_coverage_tells_the_chain() -> None:
    seen = SeenKind(topic="t", type="Cancelled", version=1, meaning=1, events=3, first_at=NOON, last_at=NOON)
    (one,) = coverage(catalogue((1, 2), (2, 4)), [reader(4)], [], [seen])
    assert one.read_by == ("cover v1 (as meaning 4, by 1 > 2 > 4)",)


def test_a_mapping_is_tried_on_what_those_before_it_give(tmp_path: Path) -> None:
    known = catalogue((1, 2), newest=3)

    context = Context("policies")
    context.event(subject="policy_no", meaning=3, means="Three.")(Cancelled)
    for meaning in (1, 2):
        context.formerly(Cancelled, meaning=meaning, means="Former.")
    context.mapping(Cancelled, from_meaning=1, to_meaning=2, loses="the case")(
        lambda event: Cancelled(policy_no=event.policy_no, reason="sold")
    )

    @context.mapping(Cancelled, from_meaning=2, to_meaning=3, loses="why")
    def of_all_but_sold(event: Cancelled) -> Cancelled:
        if event.reason == "sold":
            raise KeyError("sold")
        return event

    assert not broken(known, [])
    (fault,) = broken(Catalogue.of([context]), examples(tmp_path)[0])
    assert "mapping of Cancelled from meaning 2 to 3" in fault.where
    assert "is not total: KeyError" in fault.what


MAPS = st.sets(st.tuples(st.integers(1, 5), st.integers(1, 5)).filter(lambda pair: pair[0] != pair[1]))


@given(maps=MAPS, meanings=st.sets(st.integers(1, 5), min_size=1), meaning=st.integers(1, 5))
def test_whatever_is_declared_an_event_comes_by_one_way_or_is_parked(
    maps: set[tuple[int, int]], meanings: set[int], meaning: int
) -> None:
    known, definition = catalogue(*sorted(maps), newest=5), reader(*meanings)
    handler, kind = definition.handlers["Cancelled"], known.types["Cancelled"]
    target, one = read_as(kind, handler, meaning), step(definition, known, meaning)
    assert (one.event is None) == (target is None)
    if target is None:
        found = unfinished(known, [definition])
        assert any(f"in meaning {meaning}" in str(fault) for fault in found)
        return
    assert target in meanings
    (chain,) = ways(kind, handler, meaning)
    assert said(definition, known, meaning) == " ".join(f"{a}>{b}" for a, b in pairwise(chain))
    assert len(set(chain)) == len(chain)


@pytest.mark.parametrize("meaning", [1, 2])
def test_what_a_mapping_of_a_chain_gives_of_another_type_is_parked(meaning: int) -> None:
    known = catalogue((2, 3), newest=3)
    kind = known.types["Cancelled"]
    context_maps: Any = kind.maps
    context_maps[1, 2] = type(kind.maps[2, 3])(function=lambda _: "nothing", loses="all")
    one = step(reader(3), known, meaning)
    assert (one.event is None) == (meaning == 1)
    assert meaning == 2 or "from meaning 1 to 2 gave a str" in one.fault
