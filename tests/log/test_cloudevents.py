"""Records and watermarks as CloudEvents, judged by the project's own conformance cases."""

import datetime as dt
import json
import re
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.core import cloudevents
from toolkit.core.records import Envelope, Malformed, Record, Watermark

DATA = Path(__file__).parents[1] / "data" / "cloudevents"
FEATURE = DATA / "kafka-protocol-binding.feature"
INSTANT = dt.datetime(2024, 3, 1, 12, 0, 0, 123456, tzinfo=dt.UTC)


def record(**changes: object) -> Record:
    envelope: dict[str, object] = {
        "id": "0191",
        "source": "policy_admin",
        "type": "PolicyIssued",
        "subject": "P-1",
        "time": INSTANT,
        "version": 2,
        "meaning": 3,
        "position": "POLMAST:7",
        "transaction": "991",
    }
    return Record(
        envelope=Envelope(**{**envelope, **changes}),  # type: ignore[arg-type]
        data=b'{"policy_no":"P-1"}',
        partition=2,
        sequence=41,
    )


# --- the conformance cases -----------------------------------------------------------------------


def table(text: str, title: str) -> dict[str, str]:
    block = text.split(title, 1)[1]
    rows = re.match(r"\s*((?:[ ]*\|.*\|[ ]*\n?)+)", block)
    assert rows is not None
    cells = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in rows[1].splitlines()]
    return {row[0]: row[1] for row in cells[1:]}


def scenarios() -> list[tuple[str, str]]:
    text = FEATURE.read_text()
    _, binary, outline = re.split(r"Scenario(?: Outline)?: ", text)
    examples = re.findall(r"^\s*\| (application/\S.*?)\s*\|$", outline.split("Examples:")[1], re.MULTILINE)
    return [
        ("binary", binary),
        *((one, outline.split("Examples:")[0].replace("<contentType>", one)) for one in examples),
    ]


@pytest.mark.parametrize(("name", "case"), scenarios(), ids=[name for name, _ in scenarios()])
def test_the_conformance_suite_of_the_kafka_binding_passes(name: str, case: str) -> None:
    payload, expected = re.findall(r'"""\n(.*?)"""', case, re.DOTALL)
    headers = [(key, value.encode()) for key, value in table(case, "Kafka headers:").items()]
    event = cloudevents.of_message(headers, payload.encode())
    assert event.attributes == table(case, "the attributes are:")
    assert json.loads(event.data) == json.loads(expected)


def test_the_conformance_suite_has_the_cases_we_think() -> None:
    assert [name for name, _ in scenarios()] == [
        "binary",
        "application/cloudevents+json",
        "application/cloudevents+json; charset=utf-8",
    ]


# --- the HTTP binding's cases, with the headers that Kafka has for them ---------------------------


def http_scenarios() -> list[tuple[str, str]]:
    found = []
    for outline in re.split(r"Scenario Outline: ", (DATA / "http-protocol-binding.feature").read_text())[1:]:
        body, examples = outline.split("Examples:")
        kinds = re.findall(r"^\s*\| (application/\S.*?)\s*\|$", examples, re.MULTILINE)
        found += [(one, body.replace("<contentType>", one)) for one in kinds]
    return found


@pytest.mark.parametrize(("name", "case"), http_scenarios(), ids=[name for name, _ in http_scenarios()])
def test_the_http_bindings_cases_pass_as_kafka_carries_them(name: str, case: str) -> None:
    request, expected = re.findall(r'"""\n(.*?)"""', case, re.DOTALL)
    head, _, body = request.partition("\n\n")
    lines = [line.strip().split(": ", 1) for line in head.splitlines()[2:]]
    headers = [(key.lower().replace("ce-", "ce_"), value.encode()) for key, value in lines]
    event = cloudevents.of_message(headers, body.strip().encode())
    assert event.attributes == table(case, "the attributes are:")
    assert json.loads(event.data) == json.loads(expected)


def test_the_http_suite_has_the_cases_we_think() -> None:
    assert len(http_scenarios()) == 4


# --- the minimum events, in both modes ------------------------------------------------------------

SCHEMA = jsonschema.Draft7Validator(
    json.loads((DATA / "cloudevents.schema.json").read_text()),
    format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER,
)


def minimum_events() -> list[cloudevents.CloudEvent]:
    found = []
    for name in ("v1_minimum.yaml", "v03_minimum.yaml"):
        for text in (DATA / name).read_text().split("\n---\n"):
            event = msgspec.yaml.decode(text)
            attributes = {key: str(value) for key, value in event["ContextAttributes"].items()}
            found.append(cloudevents.CloudEvent(attributes=attributes, data=event["Data"].encode()))
    return found


@pytest.mark.parametrize(
    "event", minimum_events(), ids=lambda one: f"{one.attributes['specversion']}/{one.attributes['id']}"
)
def test_the_minimum_events_survive_both_modes_and_fit_the_schema(event: cloudevents.CloudEvent) -> None:
    assert cloudevents.of_message(*cloudevents.to_message(event)) == event
    raw = cloudevents.to_json(event)
    SCHEMA.validate(json.loads(raw))
    back = cloudevents.of_json(raw)
    assert back.attributes == event.attributes
    if "json" in event.attributes["datacontenttype"]:
        assert json.loads(back.data) == json.loads(event.data)
    else:
        assert back.data == event.data


def test_there_are_six_minimum_events_of_each_version() -> None:
    assert [one.attributes["specversion"] for one in minimum_events()] == ["1.0"] * 6 + ["0.3"] * 6


# --- which mode a message is in -------------------------------------------------------------------

STRUCTURED = b'{"specversion":"1.0","id":"1","source":"/x","type":"t","data":{"a":1}}'


@pytest.mark.parametrize(
    "media",
    [
        "application/cloudevents+json",
        "Application/CloudEvents+JSON; charset=UTF-8",
        "application/cloudevents+json;a=b",
    ],
)
def test_the_content_type_decides_whatever_its_case_and_parameters(media: str) -> None:
    event = cloudevents.of_message([("content-type", media.encode())], STRUCTURED)
    assert (event.attributes["id"], event.data) == ("1", b'{"a":1}')
    assert event.attributes["datacontenttype"] == "application/json"


@pytest.mark.parametrize(
    "media", ["application/cloudevents-batch+json", "application/cloudevents+avro", "application/cloudevents"]
)
def test_another_structured_format_is_refused_by_name(media: str) -> None:
    with pytest.raises(cloudevents.NotOurs, match=re.escape(media)):
        cloudevents.of_message([("content-type", media.encode())], STRUCTURED)


def test_a_header_is_utf_8_and_not_percent_encoded() -> None:
    odd = 'Euro € 😀 50%20 "x"'
    headers, value = cloudevents.to_message(cloudevents.of_record(record(subject=odd)))
    assert dict(headers)["ce_subject"] == odd.encode()
    assert cloudevents.of_message(headers, value).attributes["subject"] == odd


def test_data_that_is_not_json_is_text_or_base64_in_json() -> None:
    for data, member in ((b"<a/>", "data"), (b"\xff\x00", "data_base64")):
        attributes = {
            "specversion": "1.0",
            "id": "1",
            "source": "/x",
            "type": "t",
            "datacontenttype": "image/x",
        }
        event = cloudevents.CloudEvent(attributes=attributes, data=data)
        raw = cloudevents.to_json(event)
        assert member in json.loads(raw)
        assert cloudevents.of_json(raw) == event
    with pytest.raises(cloudevents.NotOurs, match="both"):
        cloudevents.of_json(STRUCTURED[:-1] + b',"data_base64":""}')


# --- there and back ------------------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8"), max_size=20)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@given(
    source=names,
    subject=texts,
    position=texts,
    transaction=st.none() | names,
    time=st.datetimes(
        min_value=dt.datetime(1970, 1, 1),  # noqa: DTZ001 - the strategy adds the zone
        timezones=st.just(dt.UTC),
    ),
    data=st.dictionaries(names, st.integers() | texts),
)
def test_every_record_survives_both_modes(
    source: str,
    subject: str,
    position: str,
    transaction: str | None,
    time: dt.datetime,
    data: dict[str, object],
) -> None:
    given_record = Record(
        envelope=record(
            source=source, subject=subject, position=position, transaction=transaction, time=time
        ).envelope,
        data=json.dumps(data).encode(),
        partition=5,
        sequence=12,
    )
    event = cloudevents.of_record(given_record)
    headers, value = cloudevents.to_message(event)
    assert cloudevents.read_message(headers, value, 5) == given_record
    raw = cloudevents.to_json(event)
    SCHEMA.validate(json.loads(raw))
    assert cloudevents.read_json(raw, 5) == given_record
    # What is not written exactly as we do is read the long way, which must not differ.
    assert cloudevents.content(cloudevents.of_json(raw), 5) == given_record


def test_binary_mode_carries_attributes_as_headers_and_the_data_as_the_value() -> None:
    headers, value = cloudevents.to_message(cloudevents.of_record(record()))
    assert dict(headers) == {
        "ce_specversion": b"1.0",
        "ce_id": b"0191",
        "ce_source": b"/policy_admin",
        "ce_type": b"PolicyIssued",
        "ce_subject": b"P-1",
        "ce_time": b"2024-03-01T12:00:00.123456Z",
        "ce_partitionsequence": b"0000000000000000041",
        "ce_schemaversion": b"2",
        "ce_meaningversion": b"3",
        "ce_legacyposition": b"POLMAST:7",
        "ce_legacytransaction": b"991",
        "content-type": b"application/json",
    }
    assert value == b'{"policy_no":"P-1"}'


def test_names_and_values_of_attributes_obey_the_specification() -> None:
    marks = cloudevents.of_watermark(Watermark(as_of=INSTANT, sequence=0), 0)
    for event in (cloudevents.of_record(record(subject="", transaction=None)), marks):
        assert all(re.fullmatch("[a-z0-9]{1,20}", name) for name in event.attributes)
        assert all(event.attributes.values())


def test_structured_mode_holds_the_data_as_json_not_as_a_string_of_it() -> None:
    form = json.loads(cloudevents.to_json(cloudevents.of_record(record())))
    assert form["data"] == {"policy_no": "P-1"}
    assert form["type"] == "PolicyIssued"


def test_a_watermark_survives_both_modes_and_differs_in_every_partition() -> None:
    mark = Watermark(as_of=INSTANT, sequence=7)
    events = [cloudevents.of_watermark(mark, partition) for partition in range(3)]
    assert len({event.attributes["id"] for event in events}) == 3
    for event in events:
        headers, value = cloudevents.to_message(event)
        assert cloudevents.read_message(headers, value, 0) == mark
        assert cloudevents.read_json(cloudevents.to_json(event), 0) == mark


# --- what others write ---------------------------------------------------------------------------


def without(name: str) -> tuple[cloudevents.Headers, bytes]:
    headers, value = cloudevents.to_message(cloudevents.of_record(record()))
    return [(key, held) for key, held in headers if key != name], value


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (([], b"hello"), "not a CloudEvent of version 1.0"),
        ((without("ce_id")), "without id"),
        ((without("ce_partitionsequence")), "'partitionsequence'"),
        (([("ce_type", b"\xff")], b"{}"), "not UTF-8"),
        ((without("")[0], None), "tombstone"),
        (([("content-type", b"application/cloudevents+json")], b"{nonsense"), "not a CloudEvent in JSON"),
        (([*without("ce_time")[0], ("ce_time", b"yesterday")], b"{}"), "does not fit"),
        (([*without("ce_type")[0], ("ce_type", b"strangler.watermark")], b"{}"), "as_of"),
    ],
)
def test_a_foreign_or_damaged_message_is_kept_with_the_reason(
    message: tuple[cloudevents.Headers, bytes | None], reason: str
) -> None:
    found = cloudevents.read_message(*message, 0)
    assert isinstance(found, Malformed)
    assert reason in found.reason
    assert found.raw == (message[1] or b"")


def test_attributes_of_other_json_types_and_binary_data_are_read() -> None:
    event = cloudevents.of_json(
        b'{"specversion":"1.0","id":"1","source":"/x","type":"t","flag":true,"n":7,"absent":null,'
        b'"data_base64":"aGk="}'
    )
    assert event.data == b"hi"
    assert event.attributes == {
        "specversion": "1.0",
        "id": "1",
        "source": "/x",
        "type": "t",
        "flag": "true",
        "n": "7",
    }
