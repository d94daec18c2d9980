"""What changed between two catalogues is graded; what nothing makes safe says what would."""

import subprocess
from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest

from toolkit import Context, Event, Projection, on
from toolkit.core.compatibility import Change, Grade, changes_of_events
from toolkit.core.compatibility_of_projections import changes_of_projections
from toolkit.core.contracts import Contracts, contracts, decoded, encoded
from toolkit.core.errors import UsageError
from toolkit.core.events import Catalogue
from toolkit.questions.revisions import contracts_at

Fields = dict[str, Any]
USUAL: Fields = {
    "policy_no": str,
    "premium": Decimal,
    "status": Literal["in_force", "cancelled"],
    "note": (str, "none"),
    "on": str | None,
}


def document(
    fields: Fields,
    *,
    version: int = 1,
    meaning: int = 1,
    upcasters: Sequence[int] = (),
    formerly: Sequence[int] = (),
    means: str = "Cover was agreed.",
    subject: str = "policy_no",
    not_implied: Sequence[str] = ("a premium was paid",),
    context: str = "policies",
) -> Contracts:
    made = Context(context)
    members = [(name, *kind) if isinstance(kind, tuple) else (name, kind) for name, kind in fields.items()]
    cls: Any = msgspec.defstruct("PolicyIssued", members, bases=(Event,), frozen=True, kw_only=True)
    made.event(subject=subject, version=version, meaning=meaning, means=means, not_implied=not_implied)(cls)
    for step in upcasters:
        made.upcast(cls, from_version=step)(dict)
    for number in formerly:
        made.formerly(cls, meaning=number, means="Cover was agreed.", not_implied=["a premium was paid"])
    return contracts("p", Catalogue.of([made]), [])


OLD = document(USUAL)


def graded(new: Contracts, **options: Any) -> list[Change]:
    return changes_of_events(OLD, new, **options)


def only(fields: Fields, **options: Any) -> Change:
    (found,) = graded(document({**USUAL, **fields}, **options))
    return found


def test_nothing_changed_nothing_told() -> None:
    assert graded(document(USUAL)) == []


class Wider(StrEnum):
    IN_FORCE = "in_force"
    CANCELLED = "cancelled"
    SUSPENDED = "suspended"


@pytest.mark.parametrize(
    ("fields", "grade", "compatible", "safe"),
    [
        ({"colour": (str, "blue")}, Grade.ADDITIVE, "full", True),
        ({"colour": str}, Grade.BREAKING, "forward", False),
        ({"premium": str}, Grade.BREAKING, "none", False),
        ({"premium": Decimal | None}, Grade.BREAKING, "backward", False),
        ({"on": str}, Grade.BREAKING, "forward", False),
        ({"note": str}, Grade.BREAKING, "forward", False),
        ({"on": (str | None, None)}, Grade.BREAKING, "backward", False),
        ({"note": (str, "nothing")}, Grade.MEANING, "full", False),
        ({"status": Literal["in_force", "cancelled", "held"]}, Grade.MEANING, "backward", False),
        ({"status": Literal["in_force"]}, Grade.BREAKING, "forward", False),
        ({"policy_no": Annotated[str, msgspec.Meta(max_length=9)]}, Grade.BREAKING, "none", False),
        ({"premium": Annotated[Decimal, msgspec.Meta(description="net")]}, Grade.DOCUMENTATION, "full", True),
        (
            {"premium": Annotated[Decimal, msgspec.Meta(extra_json_schema={"unit": "EUR"})]},
            Grade.MEANING,
            "full",
            False,
        ),
    ],
)
def test_a_changed_field_is_graded(fields: Fields, grade: Grade, compatible: str, safe: bool) -> None:
    found = only(fields)
    assert (found.grade, found.compatible, found.safe) == (grade, compatible, safe), found
    assert found.where.startswith("event PolicyIssued.")
    assert safe or "raise " in found.next


def test_a_removed_field_is_breaking() -> None:
    (found,) = graded(document({name: kind for name, kind in USUAL.items() if name != "note"}))
    assert (found.grade, found.compatible, found.safe) == (Grade.BREAKING, "backward", False)


def test_a_change_of_shape_is_safe_with_a_new_version_that_leads_there() -> None:
    without = graded(document({**USUAL, "colour": str}, version=3, upcasters=[2]))
    assert [one.safe for one in without] == [False, False]
    assert "an upcaster from version 1 to 2" in without[0].next
    safe = graded(document({**USUAL, "colour": str}, version=3, upcasters=[1, 2]))
    assert all(one.safe for one in safe)
    assert safe[1].covered == "version 3"


def test_an_enum_and_its_literal_are_the_same_words() -> None:
    found = {one.grade: one.what for one in graded(document({**USUAL, "status": Wider}))}
    assert found.keys() == {Grade.MEANING, Grade.DOCUMENTATION}
    assert found[Grade.MEANING].startswith("says suspended, too")


def test_other_words_are_another_meaning_unless_somebody_answers_for_them() -> None:
    other = document(USUAL, means="Cover was agreed and paid for.")
    (found,) = graded(other)
    assert (found.grade, found.safe) == (Grade.MEANING, False)
    assert "raise meaning= to 2" in found.next
    assert "--same-meaning PolicyIssued" in found.next
    (answered,) = graded(other, same_meaning=["PolicyIssued"])
    assert (answered.grade, answered.safe) == (Grade.DOCUMENTATION, True)
    (spelled,) = graded(document(USUAL, means="cover was  agreed"))
    assert (spelled.grade, spelled.safe) == (Grade.DOCUMENTATION, True)


def test_a_new_meaning_makes_other_words_safe_when_the_old_one_stays_described() -> None:
    (found,) = graded(document(USUAL, meaning=2, means="Cover was agreed and paid for."))
    assert (found.grade, found.safe) == (Grade.MEANING, False)
    raised = graded(document(USUAL, meaning=2, means="Cover was agreed and paid for.", formerly=[1]))
    assert all(one.safe for one in raised)
    words = graded(document({**USUAL, "status": Wider}, meaning=2, formerly=[1]))
    assert all(one.safe for one in words), words


def test_what_it_does_not_imply_may_be_said_more_of_and_not_less() -> None:
    (more,) = graded(document(USUAL, not_implied=["a premium was paid", "cover runs today"]))
    assert more.grade is Grade.DOCUMENTATION
    (less,) = graded(document(USUAL, not_implied=[]))
    assert (less.grade, less.safe) == (Grade.MEANING, False)


def test_what_cannot_be_made_safe() -> None:
    for new in (
        document(USUAL, subject="note"),
        document({**USUAL}, context="billing"),
        Contracts(project="p", events={}, projections={}),
    ):
        (found,) = graded(new)
        assert not found.safe
        assert found.next
    lower = changes_of_events(document(USUAL, version=2, upcasters=[1]), document(USUAL))
    assert [one.safe for one in lower] == [False, False]


class Issued(Event):
    policy_no: str


class Ended(Event):
    policy_no: str


def _ended() -> Context:
    made = Context("policies")
    made.event(subject="policy_no", means="Issued.")(Issued)
    made.event(subject="policy_no", means="Ended.")(Ended)
    return made


class Cover(Projection, version=1, context="claims", key="policy_no"):
    policy_no: str
    status: Literal["in_force", "ended"] = "in_force"

    @on(Issued, creates=True)
    def issued(self, event: Issued) -> None:
        pass


def views(*versions: type[Projection]) -> Contracts:
    return contracts("p", Catalogue.of([_ended()]), [one.definition for one in versions])


def test_a_version_of_a_projection_keeps_its_contract() -> None:
    class Other(Projection, version=1, context="claims", key="policy_no", name="cover"):
        policy_no: str
        status: Literal["in_force", "lapsed"] | None = "in_force"
        day: str = ""

        @on(Issued, creates=True)
        def issued(self, event: Issued) -> None:
            pass

        @on(Ended)
        def ended(self, event: Ended) -> None:
            pass

    found = {one.what: one for one in changes_of_projections(views(Cover), views(Other))}
    assert {what: (one.grade, one.safe) for what, one in found.items()} == {
        "may be empty now": (Grade.BREAKING, False),
        "says lapsed, too; says ended no more": (Grade.MEANING, False),
        "is new: rows that are built already lack it": (Grade.BREAKING, False),
        "reads Ended, too: its rows lack what came before": (Grade.BREAKING, False),
    }


def test_a_new_version_beside_it_is_additive_and_tells_what_readers_will_see() -> None:
    class Second(Cover, version=2, context="claims", key="policy_no", name="cover"):
        status: Literal["in_force", "ended", "held"] = "in_force"  # type: ignore[assignment]

    found = changes_of_projections(views(Cover), views(Cover, Second))
    assert [(one.grade, one.safe) for one in found] == [(Grade.ADDITIVE, True), (Grade.MEANING, True)]


def test_the_document_is_read_as_it_was_written() -> None:
    document_ = views(Cover)
    assert decoded(encoded(document_), "x") == document_
    with pytest.raises(UsageError, match="is not what `strangler catalogue export` writes"):
        decoded(b"{}", "old.json")


def test_a_revision_of_the_version_control_is_another_catalogue(tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    (folder / "strangler.toml").write_text(
        '[project]\nname = "p"\nmodules = ["events"]\n[legacy.core]\nurl = "sqlite:///l.db"\ncontext = "c"\ntables = ["T"]\n[read_store]\nurl = "sqlite:///read.db"\n'
    )
    event = (
        'from toolkit import Context, Event, Translators\nc = Context("c")\nacl = Translators("core")\nacl.aggregate("a", {"T": "ID"})\n@acl.table("T")\ndef t(change):\n    return []\n'
        '@c.event(subject="number", means="It is so.")\nclass PolicyIssued(Event):\n    number: str\n'
    )
    (folder / "events.py").write_text(event)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    (folder / "events.py").write_text(event + "    amount: int\n")
    assert set(contracts_at(folder, "HEAD").events["PolicyIssued"].fields) == {"number"}
    with pytest.raises(UsageError, match="nonsense is no file, and no revision"):
        contracts_at(folder, "nonsense")
