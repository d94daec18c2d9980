"""Golden examples and upcasters: what is kept can be read, and each step from old to new keeps its laws."""

import datetime as dt
import shutil
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit import Context, Event
from toolkit.core.errors import Unprojectable
from toolkit.core.events import Catalogue, EventType, Upcaster
from toolkit.core.shapes import data_of_shape, masked
from toolkit.golden import broken, example_of, examples, name_of
from toolkit.loader import load


class Reason(StrEnum):
    SOLD = "sold"
    REQUEST = "request"


class First(msgspec.Struct):
    policy_no: str
    cents: int
    on: str | None = None


class Cancelled(Event):
    policy_no: str
    refund: Decimal
    reason: Reason = Reason.REQUEST
    on: str | None = None


def world(upcast: Upcaster, shape: type[msgspec.Struct] | None = First) -> Catalogue:
    context = Context("policies")
    context.event(subject="policy_no", version=2, means="Cover has ended.")(Cancelled)
    context.upcast(Cancelled, from_version=1, shape=shape)(upcast)
    return Catalogue.of([context])


def exact(data: dict[str, Any]) -> dict[str, object]:
    return {**data, "refund": str(Decimal(data["cents"]) / 100)}


def keep(folder: Path, name: str, data: object) -> None:
    path = folder / "golden" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else msgspec.json.encode(data))


def told(catalogue: Catalogue, folder: Path) -> list[str]:
    kept, misnamed = examples(folder)
    return [str(one) for one in [*misnamed, *broken(catalogue, kept)]]


def test_an_example_is_read_along_its_path_to_the_current_class(tmp_path: Path) -> None:
    keep(tmp_path, "Cancelled/v1.m1.json", {"policy_no": "P", "cents": 150})
    keep(tmp_path, "Cancelled/v2.m1.without-a-reason.json", {"policy_no": "P", "refund": "1.50"})
    assert told(world(exact), tmp_path) == []
    assert name_of(("Cancelled", 1, 1)) == "golden/Cancelled/v1.m1.json"


def test_an_example_that_cannot_be_read_is_named_with_its_file(tmp_path: Path) -> None:
    keep(tmp_path, "Cancelled/v2.m1.json", {"policy_no": "P"})
    keep(tmp_path, "Cancelled/v3.m1.json", {"policy_no": "P"})
    keep(tmp_path, "Cancelled/v2.m2.json", {"policy_no": "P", "refund": "1"})
    keep(tmp_path, "Cancelled/notes.txt", b"?")
    keep(tmp_path, "Vanished/v1.m1.json", {})
    found = told(world(exact), tmp_path)
    assert len(found) == 5
    for words in (
        "notes.txt tells no version and meaning",
        "v2.m1.json: Cancelled version 2: Object missing required field `refund`",
        "v2.m2.json: Cancelled has no meaning 2",
        "v3.m1.json: Cancelled version 3 is newer",
        "there is no event Vanished in the catalogue",
    ):
        assert any(words in one for one in found), (words, found)


def drops(data: dict[str, Any]) -> dict[str, object]:
    return {"policy_no": data["policy_no"], "refund": "1", "on": data.get("on")}


def changes(data: dict[str, Any]) -> dict[str, object]:
    data["refund"] = "1"
    return data


def partial(data: dict[str, Any]) -> dict[str, object]:
    return {**data, "refund": str(Decimal(100) / data["cents"])}


def forgetful(data: dict[str, Any]) -> dict[str, object]:
    return {**data, "refund": "1", "on": data["on"].strip()}


SEEN: list[int] = []


def remembers(data: dict[str, Any]) -> dict[str, object]:
    SEEN.append(1)
    return {**data, "refund": str(len(SEEN))}


def wrong(data: dict[str, Any]) -> dict[str, object]:
    return {**data, "refund": "much"}


@pytest.mark.parametrize(
    ("upcast", "says"),
    [
        (drops, "drops fields that it does not know"),
        (changes, "changes the data that it is given"),
        (partial, "is not total: DivisionByZero"),
        (forgetful, "is not total: AttributeError"),
        (remembers, "gives another outcome the second time"),
        (wrong, "what it gives cannot be read"),
    ],
)
def test_an_upcaster_that_breaks_a_law_is_found_with_data_of_the_old_shape(
    upcast: Upcaster, says: str, tmp_path: Path
) -> None:
    (found,) = told(world(upcast), tmp_path)
    assert found.startswith(f"upcaster of Cancelled from version 1 ({upcast.__name__}): {says}"), found


def test_a_golden_example_is_enough_to_find_it(tmp_path: Path) -> None:
    keep(tmp_path, "Cancelled/v1.m1.json", {"policy_no": "P", "cents": 0})
    found = told(world(partial, shape=None), tmp_path)
    assert any("is not total" in one and "golden/Cancelled/v1.m1.json" in one for one in found)


def test_a_mapping_is_total_and_keeps_the_subject(tmp_path: Path) -> None:
    context = Context("policies")
    context.event(subject="policy_no", meaning=2, means="Cover has ended.")(Cancelled)
    context.formerly(Cancelled, meaning=1, means="Somebody asked for it.")
    context.mapping(Cancelled, from_meaning=1, to_meaning=2, loses="whether it was granted")(
        lambda event: Cancelled(policy_no=event.policy_no, refund=event.refund, on=event.on.upper())
    )
    context.mapping(Cancelled, from_meaning=2, to_meaning=1, loses="that it was granted")(
        lambda event: Cancelled(policy_no=event.policy_no + "!", refund=event.refund)
    )
    found = told(Catalogue.of([context]), tmp_path)
    assert "is not total: AttributeError" in found[0]
    assert "gives another subject: order is kept per subject" in found[1]


class Everything(msgspec.Struct):
    text: str
    short: Annotated[str, msgspec.Meta(max_length=3)]
    number: Annotated[int, msgspec.Meta(ge=0)]
    amount: Decimal
    day: dt.date
    at: dt.datetime
    word: Literal["a", "b"]
    reason: Reason
    many: list[int]
    table: dict[str, Decimal]
    first: First
    maybe: str | None
    flag: bool = True


def test_data_of_a_shape_fits_it_and_tries_every_edge() -> None:
    made = list(data_of_shape(Everything))
    for one in made:
        msgspec.convert(one, Everything, strict=False)
    assert {one.get("maybe") for one in made} >= {None, ""}
    assert {one.get("reason") for one in made} == {"sold", "request"}
    assert any("flag" not in one for one in made)
    assert made == list(data_of_shape(Everything))


def test_a_written_example_says_nothing_of_the_event_but_its_form() -> None:
    kind = world(exact).types["Cancelled"]
    data = msgspec.json.encode(
        {"policy_no": "P-4711", "refund": "128.50", "reason": "sold", "on": "1999-12-31", "name": "Ada Löw"}
    )
    said = example_of(kind, data, 2, as_it_is=False).decode()
    for word in ("4711", "128", "1999", "Ada"):
        assert word not in said
    assert '"sold"' in said, "the words of a vocabulary are the project's"
    kind.current(said.encode(), 2)
    assert "4711" in example_of(kind, data, 2, as_it_is=True).decode()
    with pytest.raises(Unprojectable, match="write it by hand, or as it is"):
        example_of(world(looks_up).types["Cancelled"], b'{"policy_no":"P","code":"A"}', 1, as_it_is=False)


def looks_up(data: dict[str, Any]) -> dict[str, object]:
    return {**data, "refund": {"A": "1"}[data["code"]]}


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda one: st.lists(one) | st.dictionaries(st.text(), one),
)


@given(_json)
def test_masking_keeps_the_form(value: object) -> None:
    def form(one: object) -> object:
        if isinstance(one, dict):
            return {key: form(inner) for key, inner in one.items()}
        return [form(inner) for inner in one] if isinstance(one, list) else type(one)

    assert form(masked(value)) == form(value)
    assert masked(masked(value)) == masked(value)


@pytest.fixture(scope="module")
def endorsed(tmp_path_factory: pytest.TempPathFactory) -> EventType:
    """As the mended project of the insurer declares it."""
    folder = tmp_path_factory.mktemp("insurer") / "project"
    example = Path(__file__).parents[2] / "examples" / "insurer"
    shutil.copytree(example / "project", folder)
    for file in (example / "mended").glob("*.py"):
        shutil.copy(file, folder)
    return load(folder, {}).catalogue.types["EndorsementApplied"]


@settings(max_examples=50)
@given(
    st.fixed_dictionaries(
        {
            "policy_no": st.text(),
            "endorsement_no": st.integers(0, 99),
            "kind": st.text(),
            "effective_on": st.dates().map(str),
            "premium_delta": st.decimals(allow_nan=False, allow_infinity=False).map(str),
            "entered_on": st.dates().map(str),
        },
        optional={"reason": st.none() | st.text(), "colour": _json},
    )
)
def test_the_insurers_upcaster_is_total_and_keeps_what_it_does_not_know(
    endorsed: EventType, data: dict[str, object]
) -> None:
    event: Any = endorsed.current(msgspec.json.encode(data), 1)
    assert event.reason
    assert endorsed.upcasters[1](data) == {**data, "reason": data.get("reason") or "not_recorded"}
