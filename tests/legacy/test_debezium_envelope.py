"""Debezium's envelope, judged by the fixtures of others: what a message says of a row, and what it does not."""

import base64
import contextlib
import datetime as dt
import json
import re
import sqlite3
from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine

from adapters.legacy.debezium import types
from adapters.legacy.debezium.envelope import (
    Boundary,
    Ignored,
    RowChanged,
    Rules,
    Truncated,
    Undecodable,
    decode,
)
from tests.support.debezium import DATA, FLINK, envelope, key, lines, table_of, with_schema
from toolkit.core.changes import Op

BY_ID = Rules(key=("ID",))


def changed(value: bytes, of: bytes | None = None, rules: Rules = BY_ID) -> RowChanged:
    found = decode(value, of, rules)
    assert isinstance(found, RowChanged)
    return found


# --- the 20 changes of Flink CDC ------------------------------------------------------------------

BOTH_FORMS = pytest.mark.parametrize("name", ["debezium-json.txt", "debezium-json-with-schema.txt"])
# What Flink's own end-to-end test does to the products, beside the file with which it begins.
WRITES = """
UPDATE products SET description='18oz carpenter hammer' WHERE id=106;
UPDATE products SET weight='5.1' WHERE id=107;
ALTER TABLE products ADD COLUMN new_col INT NULL;
INSERT INTO products VALUES (NULL,'jacket','water resistent white wind breaker',0.2, null, null, null, 1);
INSERT INTO products VALUES (NULL,'scooter','Big 2-wheel scooter ',5.18, null, null, null, 1);
UPDATE products SET description='new water resistent white wind breaker', weight='0.5' WHERE id=110;
UPDATE products SET weight='5.17' WHERE id=111;
DELETE FROM products WHERE id=111;
"""


def point(wkt: str) -> str:
    x, y = re.findall(r"\d+", wkt)
    return f'{{"coordinates":[{x},{y}],"type":"Point","srid":0}}'


@pytest.fixture
def inventory() -> Iterator[sqlite3.Connection]:
    """What the source's SQL makes, as far as SQLite can read it."""
    script = (FLINK / "e2e_mysql_inventory.sql").read_text()
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.create_function("ST_GeomFromText", 1, point)
        connection.executescript(
            "CREATE TABLE products (id INTEGER PRIMARY KEY AUTOINCREMENT, name, description, weight NUMERIC,"
            " enum_c, json_c, point_c);"
            "CREATE TABLE customers (id INTEGER PRIMARY KEY, name, address, phone_number);"
            "INSERT INTO sqlite_sequence VALUES ('products', 100);"
        )
        for insert in re.findall(r"INSERT INTO (?:products|customers)\s+VALUES.*?;", script, re.DOTALL):
            connection.executescript(insert.replace("(default,", "(NULL,"))
        connection.executescript(WRITES)
        yield connection


@BOTH_FORMS
def test_the_20_changes_fold_to_the_tables_that_the_source_has(
    name: str, inventory: sqlite3.Connection
) -> None:
    tables: dict[str, dict[object, dict[str, object]]] = {"customers": {}, "products": {}}
    for line in lines(name):
        one = changed(line)
        rows = tables[table_of(line)]
        assert rows.get(one.key["ID"]) == one.before
        if one.after is None:
            del rows[one.key["ID"]]
        else:
            rows[one.key["ID"]] = one.after

    inventory.row_factory = sqlite3.Row
    for table, rows in tables.items():
        there = [dict(row) for row in inventory.execute(f"SELECT * FROM {table} ORDER BY id")]
        # A row that was not written since the column came has none: absent is NULL here.
        found = [
            {name: _plain(rows[number].get(name.upper())) for name in there[0]}
            for number in sorted(rows)  # type: ignore[type-var]
        ]
        assert found == there


def _plain(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else value


@BOTH_FORMS
def test_they_are_15_creates_4_updates_and_a_delete(name: str) -> None:
    ops = [changed(line).op for line in lines(name)]
    assert {op: ops.count(op) for op in set(ops)} == {Op.INSERT: 15, Op.UPDATE: 4, Op.DELETE: 1}


# --- one row of every type of MySQL ---------------------------------------------------------------

GEOMETRIES = [
    f"{name}_c"
    for name in (
        *("point", "geometry", "linestring", "polygon"),
        *("multipoint", "multiline", "multipolygon", "geometrycollection"),
    )
]
# The fixtures' own schema does not know these, or has them wrong (an id in base64 as int32, precision for scale).
HINTS = {
    **dict.fromkeys(("ID", "BIG_UN_C", "BIG_UN_Z_C"), "decimal(20,0)"),
    **dict.fromkeys(("DECIMAL_C", "DECIMAL_UN_C", "DECIMAL_UN_Z_C"), "decimal(8,4)"),
    "NUMERIC_C": "decimal(6,0)",
    "BIG_DECIMAL_C": "decimal(65,1)",
    "DATE_C": "date",
    "TIME_C": "microtime",
    "DATETIME3_C": "timestamp",
    "DATETIME6_C": "microtimestamp",
    "TIMESTAMP_C": "zonedtimestamp",
    "BIT1_C": "bits(1)",
    "BIT_C": "bits(64)",
    **dict.fromkeys(("FILE_UUID", "TINY_BLOB_C", "BLOB_C", "MEDIUM_BLOB_C", "LONG_BLOB_C"), "bytes"),
}


@pytest.fixture(scope="module")
def stored(mariadb_server: object) -> dict[str, object]:
    """The row as a server stores it, in the types of a change."""
    script = (FLINK / "mysql_column_type_test.sql").read_text()
    create, insert = re.findall(r"(?:CREATE TABLE full_types|INSERT INTO full_types).*?;", script, re.DOTALL)
    with mariadb_server.database() as url:  # type: ignore[attr-defined]
        engine = create_engine(url)
        with engine.begin() as connection:
            run = connection.execution_options(no_parameters=True).exec_driver_sql
            run("SET time_zone = '+00:00'")
            run(create)
            run(insert.replace("((1 1),(2 2))", "(1 1,2 2)"))  # as MariaDB spells a MULTIPOINT
            shown = ", ".join(f"ST_AsWKB({name}) AS {name}" for name in GEOMETRIES)
            row = dict(run("SELECT * FROM full_types").mappings().one())
            row |= dict(run(f"SELECT {shown} FROM full_types").mappings().one())
        engine.dispose()
    return {name.upper(): _of_driver(name, value) for name, value in row.items()}


def _of_driver(name: str, value: object) -> object:
    match value:
        case bytes() if name in GEOMETRIES:
            return base64.b64encode(value).decode()
        case bytes() if name in ("bit_c", "bit1_c"):
            return int.from_bytes(value, "big")
        case bytes():
            return value.hex().upper()
        case float():
            return Decimal(repr(value))
        case dt.timedelta():
            return str(value).zfill(8)
        case dt.datetime():
            zone = "+00:00" if name == "timestamp_c" else ""
            return (value.isoformat().rstrip("0") if value.microsecond else value.isoformat()) + zone
        case dt.date():
            return value.isoformat()
    return json.loads(value) if name == "json_c" and isinstance(value, str) else value


@pytest.mark.parametrize("name", ["exclude.json", "exclude-with-numeric-decimal.json", "include.json"])
@pytest.mark.parametrize("phase", ["expected_snapshot", "expected_binlog"])
def test_a_row_of_every_type_is_what_the_server_stores(
    name: str, phase: str, stored: dict[str, object]
) -> None:
    message = json.loads((FLINK / f"debezium-data-schema-{name}").read_text())[phase]
    message.get("payload", message).setdefault("source", {"connector": "mysql"})
    rules = Rules(key=("ID",), hints={column: types.hinted(hint) for column, hint in HINTS.items()})
    if "numeric" in name:
        rules = Rules(
            key=("ID",), hints={column: types.hinted(hint, "double") for column, hint in HINTS.items()}
        )

    one = changed(json.dumps(message).encode(), rules=rules)

    assert one.unknown == {}
    assert one.after is not None
    found = dict(one.after)
    for column in GEOMETRIES:
        shape = found[column.upper()]
        assert isinstance(shape, dict)
        found[column.upper()] = shape["wkb"]
    found["JSON_C"] = json.loads(str(found["JSON_C"]))
    if phase == "expected_binlog":
        assert found.pop("TIMESTAMP_C") == "2020-07-17T18:33:22+00:00"
        found["TIMESTAMP_C"] = stored["TIMESTAMP_C"]
    assert found == stored


# --- types ----------------------------------------------------------------------------------------

CONNECT, TIME, DATA_ = "org.apache.kafka.connect.data.", "io.debezium.time.", "io.debezium.data."


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"name": TIME + "Date"}, 18460, "2020-07-17"),
        ({"name": TIME + "Date"}, -1, "1969-12-31"),
        ({"name": CONNECT + "Date"}, 18460, "2020-07-17"),
        ({"name": TIME + "Time"}, 64822001, "18:00:22.001"),
        ({"name": CONNECT + "Time"}, 64822000, "18:00:22"),
        ({"name": TIME + "MicroTime"}, -3 * 10**6, "-00:00:03"),
        ({"name": TIME + "MicroTime"}, 838 * 3600 * 10**6, "838:00:00"),
        ({"name": TIME + "NanoTime"}, 64822000000001, "18:00:22.000000001"),
        ({"name": TIME + "Timestamp"}, 1595008822123, "2020-07-17T18:00:22.123"),
        ({"name": CONNECT + "Timestamp"}, 1595008822000, "2020-07-17T18:00:22"),
        ({"name": TIME + "MicroTimestamp"}, -1, "1969-12-31T23:59:59.999999"),
        ({"name": TIME + "NanoTimestamp"}, 1595008822123456789, "2020-07-17T18:00:22.123456789"),
        ({"name": TIME + "ZonedTimestamp"}, "2020-07-17T18:00:22.5Z", "2020-07-17T18:00:22.5+00:00"),
        ({"name": TIME + "ZonedTimestamp"}, "2020-07-17T18:00:22+02:00", "2020-07-17T18:00:22+02:00"),
        ({"name": TIME + "IsoDate"}, "2020-07-17Z", "2020-07-17"),
        ({"name": TIME + "Year", "type": "int32"}, 2021, 2021),
        ({"name": TIME + "Interval"}, "P1Y2M3DT4H5M6S", "P1Y2M3DT4H5M6S"),
        ({"name": TIME + "MicroDuration"}, -1500000, "PT-1.5S"),
        ({"name": CONNECT + "Decimal", "parameters": {"scale": "4"}}, "EtaH", Decimal("123.4567")),
        ({"name": CONNECT + "Decimal", "parameters": {"scale": "2"}}, "/w==", Decimal("-0.01")),
        ({"name": CONNECT + "Decimal", "parameters": {"scale": "0"}}, "AVo=", 346),
        (
            {"name": CONNECT + "Decimal", "parameters": {"scale": "4"}},
            Decimal("123.4567"),
            Decimal("123.4567"),
        ),
        ({"name": DATA_ + "VariableScaleDecimal"}, {"scale": 1, "value": "Fg=="}, Decimal("2.2")),
        ({"name": DATA_ + "VariableScaleDecimal"}, {"scale": -2, "value": "Fg=="}, 2200),
        ({"name": DATA_ + "Bits", "parameters": {"length": "10"}}, "AQI=", "1000000001"),
        ({"name": DATA_ + "Enum"}, "red", "red"),
        ({"name": DATA_ + "EnumSet"}, "a,b", "a,b"),
        ({"name": DATA_ + "Json"}, '{"a": [1, 2.50]}', {"a": [1, Decimal("2.50")]}),
        (
            {"name": DATA_ + "Uuid"},
            "406c07f3-26f0-4eea-a50c-109940064b8f",
            "406c07f3-26f0-4eea-a50c-109940064b8f",
        ),
        ({"name": DATA_ + "Xml"}, "<a/>", "<a/>"),
        (
            {"name": DATA_ + "geometry.Point"},
            {"x": 1, "y": 2, "wkb": "AQ=="},
            {"x": 1, "y": 2, "wkb": "AQ=="},
        ),
        ({"type": "bytes"}, "EA==", "\\x10"),
        ({"type": "array", "items": {"name": TIME + "Date"}}, [0, 1], ["1970-01-01", "1970-01-02"]),
        ({"type": "string"}, "EtaH", "EtaH"),
        ({"type": "double"}, 3.14, Decimal("3.14")),
        ({"type": "boolean"}, True, True),
    ],
)
def test_a_logical_type_becomes_what_a_trigger_would_have_written(
    schema: dict[str, object], value: object, expected: object
) -> None:
    raw = float(value) if isinstance(value, Decimal) else value
    fields: list[dict[str, object]] = [{**schema, "field": "v"}, {"type": "int32", "field": "id"}]
    one = changed(with_schema(fields, "c", None, {"v": raw, "id": 1}, "postgresql"))
    assert one.unknown == {}
    assert one.after == {"V": expected, "ID": 1}
    assert type(one.after["V"]) is type(expected)


@given(st.integers(), st.integers(min_value=0, max_value=80))
def test_a_decimal_is_exact_however_long_it_is(unscaled: int, scale: int) -> None:
    raw = unscaled.to_bytes(unscaled.bit_length() // 8 + 1, "big", signed=True)
    schema = {"name": CONNECT + "Decimal", "parameters": {"scale": str(scale)}}
    found = types.convert(base64.b64encode(raw).decode(), schema, types.style_of("mysql"))
    assert isinstance(found, int if scale == 0 else Decimal)
    sign, digits, exponent = Decimal(found).as_tuple()
    assert (sign, digits) == Decimal(unscaled).as_tuple()[:2]
    assert exponent == -scale


@pytest.mark.parametrize(
    ("hint", "decimals", "value", "expected"),
    [
        ("decimal(10,2)", "precise", "J0w=", Decimal("100.60")),
        ("decimal(10,2)", "string", "1234", Decimal("1234.00")),
        ("decimal(10,2)", "double", 100.6, Decimal("100.60")),
        ("decimal", "string", "1.5", Decimal("1.5")),
        ("decimal(8,0)", "string", "7", 7),
        ("Date", "precise", 0, "1970-01-01"),
    ],
)
def test_without_a_schema_a_hint_says_what_a_value_is(
    hint: str, decimals: str, value: object, expected: object
) -> None:
    rules = Rules(hints={"V": types.hinted(hint, decimals)})
    assert changed(envelope("c", None, {"v": value}), key(v=value), rules).after == {"V": expected}


def test_without_schema_and_hint_a_value_stays_as_it_travels() -> None:
    row = {"born": 18460, "amount": "EtaH"}
    assert changed(envelope("c", None, row), key(id=1)).after == {"BORN": 18460, "AMOUNT": "EtaH"}


@pytest.mark.parametrize("hint", ["decimall", "decimal(2)", "bits(x)", ""])
def test_a_hint_that_is_none_is_refused_with_those_there_are(hint: str) -> None:
    with pytest.raises(ValueError, match="write decimal"):
        types.hinted(hint)


@pytest.mark.parametrize(("hint", "value"), [("date", "monday"), ("date", 10**9), ("decimal(4,1)", "ä")])
def test_a_value_that_does_not_fit_is_a_fault_that_names_its_column(hint: str, value: object) -> None:
    rules = Rules(hints={"V": types.hinted(hint)})
    one = changed(envelope("u", {"id": 1, "v": None}, {"id": 1, "v": value}), key(id=1), rules)
    assert one.after == {"ID": 1}
    assert re.search(rf"^V: .*is no {re.escape(hint)}", one.fault)


# --- what is not there ----------------------------------------------------------------------------

PLACEHOLDER = types.UNAVAILABLE


@pytest.mark.parametrize(
    "raw",
    [
        PLACEHOLDER,
        base64.b64encode(PLACEHOLDER.encode()).decode(),
        [PLACEHOLDER],
        list(PLACEHOLDER.encode()),
        {PLACEHOLDER: PLACEHOLDER},
    ],
)
def test_an_unavailable_value_is_never_taken_for_one(raw: object) -> None:
    one = changed(envelope("u", None, {"id": 1, "note": raw}), key(id=1))
    assert one.after == {"ID": 1}
    assert "unavailable" in one.unknown["NOTE"]


def test_an_unavailable_value_is_the_one_before_where_that_is_known() -> None:
    one = changed(envelope("u", {"id": 1, "note": "long"}, {"id": 1, "note": PLACEHOLDER}), key(id=1))
    assert one.after == {"ID": 1, "NOTE": "long"}
    assert one.unknown == {}


def test_what_is_unknown_before_does_not_look_changed() -> None:
    one = changed(envelope("u", {"id": 1, "note": PLACEHOLDER}, {"id": 1, "note": PLACEHOLDER}), key(id=1))
    assert one.before == one.after == {"ID": 1}


def test_postgresqls_row_before_is_its_key_unless_the_settings_say_that_it_is_whole() -> None:
    made_up = {"id": 1, "name": "", "amount": 0}
    message = envelope("d", made_up, None, source={"connector": "postgresql"})
    assert changed(message, key(id=1)).before == {"ID": 1}
    assert changed(message, key(id=1), Rules(before="full")).before == {"ID": 1, "NAME": "", "AMOUNT": 0}


def test_a_snapshot_read_has_no_row_before() -> None:
    one = changed(envelope("r", None, {"id": 1}, source={"snapshot": "true", "ts_ms": 5}), key(id=1))
    assert (one.op, one.before, one.source.snapshot) == (Op.SNAPSHOT, None, True)


# --- what is no change ----------------------------------------------------------------------------

END = {
    "status": "END",
    "id": "571:53195832",
    "ts_ms": 5,
    "event_count": 3,
    "data_collections": [
        {"data_collection": "s1.a", "event_count": 1},
        {"data_collection": "s2.a", "event_count": 2},
    ],
}


def test_what_changes_no_row_is_named_for_what_it_is() -> None:
    def said(content: object) -> object:
        return decode(json.dumps(content).encode(), None, Rules())

    assert decode(None, key(id=1), Rules()) == Ignored(kind="tombstone")
    assert said({"schema": None, "payload": None}) == Ignored(kind="tombstone")
    assert said({"ts_ms": 1556890294484}) == Ignored(
        kind="heartbeat", sent_at=dt.datetime(2019, 5, 3, 13, 31, 34, 484000, tzinfo=dt.UTC)
    )
    assert said({"source": {}, "ddl": "CREATE TABLE x", "tableChanges": []}) == Ignored(kind="schema change")
    assert said({"status": "BEGIN", "id": "7", "event_count": None}) == Boundary(id="7", ended=False)
    assert said(END) == Boundary(id="571:53195832", ended=True, events=3, collections={"s1.a": 1, "s2.a": 2})
    assert isinstance(said({"op": "t", "source": {"table": "t"}}), Truncated)
    logical = said(
        {"op": "m", "source": {"connector": "postgresql"}, "message": {"prefix": "x", "content": ""}}
    )
    assert isinstance(logical, Ignored)
    assert logical.kind == "message"


@pytest.mark.parametrize(
    ("value", "of", "reason"),
    [
        (b"\x00\x00\x00\x00\x01", key(id=1), "JSON converter"),
        (b"[1]", key(id=1), "not an envelope"),
        (b'{"id": 1004, "first_name": "Anne"}', key(id=1), "ExtractNewRecordState"),
        (b'{"op":"x","after":{}}', key(id=1), "op 'x'"),
        (b'{"op":"c","after":null}', key(id=1), "no row"),
        (b'{"op":"c","after":{"id":1}}', None, "message.key.columns"),
        (b'{"op":"c","after":{"id":1}}', b"nonsense", "not JSON"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_the_reason(
    value: bytes, of: bytes | None, reason: str
) -> None:
    with pytest.raises(Undecodable, match=re.escape(reason)):
        decode(value, of, Rules())


# --- the source block -----------------------------------------------------------------------------

TS: dict[str, object] = {"ts_ms": 1630324170000}
SOURCES: dict[str, dict[str, object]] = {
    "mysql": {"file": "mysql-bin.000003", "pos": 1816, "row": 0, "server_id": 2, "gtid": None, **TS},
    "mariadb": {"file": "mariadb-bin.000003", "pos": 1816, "row": 1, "server_id": 2, "gtid": "0-1-7", **TS},
    "postgresql": {
        "txId": 584,
        "lsn": 24064704,
        "sequence": '["24064000","24064704"]',
        "schema": "public",
        **TS,
    },
    "sqlserver": {
        "commit_lsn": "00000027:00000758:0005",
        "change_lsn": "00000027:00000758:0003",
        "event_serial_no": "1",
        "schema": "dbo",
        **TS,
    },
    "oracle": {"scn": "2868546", "commit_scn": "2868548", "txId": "0600030020", "schema": "DEBEZIUM", **TS},
}


@pytest.mark.parametrize("connector", SOURCES)
def test_the_place_of_a_change_is_told_by_every_connector(connector: str) -> None:
    source = changed(
        envelope("c", None, {"id": 1}, source={"connector": connector, **SOURCES[connector]}), key(id=1)
    ).source
    assert source.place.startswith(f"{connector}/")
    assert source.instant == dt.datetime(2021, 8, 30, 11, 49, 30, tzinfo=dt.UTC)
    assert not source.snapshot


@pytest.mark.parametrize(
    ("connector", "later"),
    [
        ("mysql", {"file": "mysql-bin.000010", "pos": 4}),
        ("mariadb", {"row": 2}),
        # Later committed, though its record has the lower LSN.
        ("postgresql", {"lsn": 24063000, "sequence": '["24065000","24063000"]', "txId": 583}),
        ("sqlserver", {"event_serial_no": "2"}),
        ("oracle", {"commit_scn": "12868548", "scn": "1"}),
    ],
)
def test_places_are_ordered_as_the_database_committed(connector: str, later: dict[str, object]) -> None:
    def order(**more: object) -> tuple[str, ...]:
        block = {"connector": connector, **SOURCES[connector], **more}
        return changed(envelope("c", None, {"id": 1}, source=block), key(id=1)).source.order

    assert order() < order(**later)


@pytest.mark.parametrize(
    "name", ["serde-with-schema", "serde-without-schema", "serde-update", "serde-unknown-property"]
)
def test_connects_own_fixtures_are_read(name: str) -> None:
    one = changed((DATA / "debezium" / f"{name}.json").read_bytes())
    assert one.after is not None
    assert (one.after["FIRST_NAME"], one.key) == ("Anne", {"ID": 1004})
    assert one.source.place == "mysql/0/mysql-bin.000003/154/0"
    assert (one.before or {}).get("FIRST_NAME", "Anne-Marie") == "Anne-Marie"


def test_an_unwrapped_row_is_no_envelope() -> None:
    with pytest.raises(Undecodable, match="unwrap"):
        decode((DATA / "debezium" / "serde-unwrapped.json").read_bytes(), None, Rules())
