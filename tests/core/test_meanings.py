"""A changed meaning never flows into an old rule: it is read, mapped or passed over where somebody said so, else parked."""

import datetime as dt

import pytest

from toolkit import Change, Context, Event, InMeaning, Op, Projection, Untranslatable, on
from toolkit.core.cloudevents import content, of_record
from toolkit.core.errors import ProjectError
from toolkit.core.events import Catalogue
from toolkit.core.evolving import meaning_faults, unfinished
from toolkit.core.projections import Definition
from toolkit.core.records import Envelope, Record, drafts
from toolkit.loops import folding

NOON = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)
policies = Context("policies")


@policies.event(
    subject="policy_no", version=2, meaning=2, means="Cover has ended, with effect from `effective_on`."
)
class PolicyCancelled(Event):
    policy_no: str
    effective_on: str
    reason: str


policies.formerly(
    PolicyCancelled,
    meaning=1,
    means="A cancellation was entered; cover may go on until `effective_on`.",
    given=True,
)


@policies.upcast(PolicyCancelled, from_version=1)
def no_reason(data: dict[str, object]) -> dict[str, object]:
    return {"reason": "", **data}


@policies.event(subject="policy_no", means="Cover was agreed.")
class PolicyIssued(Event):
    policy_no: str


CATALOGUE = Catalogue.of([policies])


class Cover(Projection, version=1, context="claims", key="policy_no"):
    """Written when there was one meaning; it says none."""

    policy_no: str
    ends_on: str = ""

    @on(PolicyIssued, creates=True)
    def issued(self, event: PolicyIssued) -> None:
        pass

    @on(PolicyCancelled)
    def cancelled(self, event: PolicyCancelled) -> None:
        self.ends_on = event.effective_on


class CoverV2(Cover, version=2, context="claims", key="policy_no", name="cover"):
    @on(PolicyCancelled, meaning=2, passes_over=1)
    def cancelled(self, event: PolicyCancelled) -> None:
        self.ends_on = event.effective_on


class CoverV3(Cover, version=3, context="claims", key="policy_no", name="cover"):
    @on(PolicyCancelled, meaning=(1, 2))
    def cancelled(self, event: PolicyCancelled, envelope: Envelope) -> None:  # type: ignore[override]
        self.ends_on = event.effective_on if envelope.meaning == 2 else f"perhaps {event.effective_on}"


def record(meaning: int, *, version: int = 2, name: str = "PolicyCancelled", more: str = "") -> Record:
    envelope = Envelope(
        id="1", source="s", type=name, subject="P1", time=NOON, version=version, meaning=meaning, position="1"
    )
    data = b'{"policy_no":"P1","effective_on":"2027-01-01","reason":"sold"%s}' % more.encode()
    return Record(envelope=envelope, data=data, partition=0, sequence=1)


def steps(definition: Definition, *records: Record, catalogue: Catalogue = CATALOGUE) -> list[folding.Step]:
    return folding.read(definition, catalogue, [("t", one) for one in records])


def test_a_new_meaning_never_flows_into_a_handler_that_was_written_before_it() -> None:
    (step,) = steps(Cover.definition, record(2))
    assert step.event is None
    assert "cover v1 reads PolicyCancelled in meaning 1, and this event has meaning 2" in step.fault
    assert "write a new version whose handler says @on(PolicyCancelled, meaning=2)" in step.fault
    (step,) = steps(Cover.definition, record(1))
    assert step.event is not None


def test_side_by_side_each_version_reads_its_meaning_and_passes_over_the_other() -> None:
    assert len(steps(CoverV2.definition, record(1), record(2))) == 1
    assert steps(CoverV2.definition, record(2))[0].event is not None


def test_a_handler_of_several_meanings_learns_from_the_envelope_which_one_it_is() -> None:
    for meaning, ends in ((1, "perhaps 2027-01-01"), (2, "2027-01-01")):
        (step,) = steps(CoverV3.definition, record(meaning))
        assert step.event is not None
        row = CoverV3.definition.apply({"policy_no": "P1", "ends_on": ""}, step.event, step.record.envelope)
        assert row is not None
        assert row["ends_on"] == ends


def test_a_declared_mapping_says_an_event_in_the_meaning_that_is_read() -> None:
    context = Context("policies")
    context.event(subject="policy_no", version=2, meaning=2, means="Now.")(PolicyCancelled)
    context.event(subject="policy_no", means="Issued.")(PolicyIssued)
    context.formerly(PolicyCancelled, meaning=1, means="Before.")
    context.upcast(PolicyCancelled, from_version=1)(no_reason)

    @context.mapping(PolicyCancelled, from_meaning=2, to_meaning=1, loses="that cover has ended")
    def as_before(event: PolicyCancelled) -> PolicyCancelled:
        return PolicyCancelled(policy_no=event.policy_no, effective_on=event.effective_on, reason="mapped")

    catalogue = Catalogue.of([context])
    (step,) = steps(Cover.definition, record(2), catalogue=catalogue)
    assert isinstance(step.event, PolicyCancelled)
    assert step.event.reason == "mapped"
    assert not unfinished(catalogue, [Cover.definition])


def test_what_cannot_be_known_is_parked_with_what_to_do() -> None:
    faults = {
        "type": steps(Cover.definition, record(1, name="PolicyTeleported")),
        "version": steps(Cover.definition, record(1, version=3)),
        "meaning": steps(Cover.definition, record(3)),
        "no version": steps(Cover.definition, record(1, version=0)),
    }
    assert {name: (len(one), one[0].event) for name, one in faults.items()} == dict.fromkeys(
        faults, (1, None)
    )
    assert "PolicyTeleported is not in the catalogue" in faults["type"][0].fault
    assert "version 3 is newer than this project's version 2: deploy first" in faults["version"][0].fault
    assert "meaning 3 is newer than this project's meaning 2: deploy first" in faults["meaning"][0].fault


def test_fields_that_nobody_knows_are_tolerated_in_every_version() -> None:
    for version in (1, 2):
        (step,) = steps(Cover.definition, record(1, version=version, more=',"colour":"blue"'))
        assert step.event is not None


def change() -> Change:
    return Change(
        source="core",
        table="POL",
        op=Op.INSERT,
        subject="P1",
        position="c:1",
        before=None,
        after={},
        captured_at=NOON,
    )


def test_a_translator_gives_both_meanings_for_a_while_and_only_those_that_are_declared() -> None:
    said = PolicyCancelled(policy_no="P1", effective_on="2027-01-01", reason="sold")
    both = drafts(CATALOGUE, change(), [said, InMeaning(event=said, meaning=1)])
    assert [(one.envelope.type, one.envelope.meaning) for one in both] == [
        ("PolicyCancelled", 2),
        ("PolicyCancelled", 1),
    ]
    assert both[0].data == both[1].data
    assert len({one.envelope.id for one in both}) == 2
    with pytest.raises(Untranslatable, match="meaning 3, which is not given any more"):
        drafts(CATALOGUE, change(), [InMeaning(event=said, meaning=3)])


def test_an_event_that_tells_no_meaning_has_the_first_one() -> None:
    told = of_record(record(1))
    del told.attributes["meaningversion"]
    read = content(told, 0)
    assert isinstance(read, Record)
    assert read.envelope.meaning == 1


def told(*versions: type[Projection], catalogue: Catalogue = CATALOGUE) -> list[str]:
    return [str(one) for one in unfinished(catalogue, [one.definition for one in versions])]


def test_the_check_names_who_reads_what_nobody_gives_and_what_nobody_reads() -> None:
    found = told(Cover)
    assert any(
        "cover v1.cancelled: does not read PolicyCancelled in meaning 2: its events are parked" in one
        for one in found
    )
    assert any("meaning 2 is given, and no projection reads it" in one for one in found)
    assert told(CoverV2)[0].startswith(
        "event PolicyCancelled: meaning 1 is given, and no projection reads it"
    )
    assert any("each fact comes twice" in one for one in told(CoverV3))


def test_the_check_names_a_projection_whose_meaning_is_not_given_any_more() -> None:
    context = Context("policies")
    context.event(subject="policy_no", version=2, meaning=3, means="Now.")(PolicyCancelled)
    context.event(subject="policy_no", means="Issued.")(PolicyIssued)
    context.formerly(PolicyCancelled, meaning=1, means="Before.")
    catalogue = Catalogue.of([context])
    found = told(Cover, catalogue=catalogue)
    assert any("in meaning 1, which nobody gives any more" in one for one in found)
    assert any("nobody says what its events of meaning 2 mean" in one for one in found)
    assert any("no upcaster from version 1 to 2" in one for one in found)


def test_a_handler_cannot_name_a_meaning_that_is_not_there() -> None:
    class Dreams(Cover, version=9, context="claims", key="policy_no", name="cover"):
        @on(PolicyCancelled, meaning=(2, 7), passes_over=2)
        def cancelled(self, event: PolicyCancelled) -> None:
            pass

    faults = [str(one) for one in meaning_faults(CATALOGUE, Dreams.definition)]
    assert "names meaning [7] of PolicyCancelled, whose meanings are 1 to 2" in faults[0]
    assert "reads meaning [2] of PolicyCancelled, and passes over it" in faults[1]


def test_what_is_told_twice_or_loses_nothing_is_refused() -> None:
    with pytest.raises(ProjectError, match="is told twice, or is no former one"):
        policies.formerly(PolicyCancelled, meaning=2, means="The current one.")
    with pytest.raises(ProjectError, match="does not say what it loses"):
        policies.mapping(PolicyCancelled, from_meaning=1, to_meaning=2, loses=" ")(lambda event: event)
    with pytest.raises(ProjectError, match="two upcasters from version 1"):
        policies.upcast(PolicyCancelled, from_version=1)(no_reason)
