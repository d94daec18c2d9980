"""pgoutput's protocol: bytes in, messages out; whatever the bytes, a message or a reason (no server)."""

import contextlib
import struct
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.legacy.wal.decoding import whole_xid
from adapters.legacy.wal.messages import (
    Begin,
    Column,
    Commit,
    Delete,
    Insert,
    Malformed,
    Message,
    Other,
    Relation,
    Truncate,
    Unchanged,
    Update,
    parse,
)
from adapters.legacy.wal.values import CONVERTERS, array_of, subject_of


def row(*values: str | Unchanged | None) -> bytes:
    made = struct.pack("!H", len(values))
    for value in values:
        if value is None:
            made += b"n"
        elif isinstance(value, Unchanged):
            made += b"u"
        else:
            raw = value.encode()
            made += b"t" + struct.pack("!I", len(raw)) + raw
    return made


def test_a_transaction_begins_and_ends() -> None:
    assert parse(b"B" + struct.pack("!QqI", 5, 7, 9)) == Begin(5, 7, 9)
    assert parse(b"C" + struct.pack("!BQQq", 0, 5, 6, 7)) == Commit(5, 6, 7)


def test_a_relation_names_its_columns_and_its_key() -> None:
    columns = b"\x01id\0" + struct.pack("!Ii", 23, -1) + b"\x00name\0" + struct.pack("!Ii", 25, -1)
    data = b"R" + struct.pack("!I", 77) + b"public\0polmast\0d" + struct.pack("!H", 2) + columns
    assert parse(data) == Relation(
        77, "public", "polmast", "d", (Column("id", 23, True), Column("name", 25, False))
    )


def test_rows_have_text_null_and_what_is_unknown() -> None:
    values = ["ä", None, Unchanged.TOAST, ""]
    head = struct.pack("!I", 7)
    assert parse(b"I" + head + b"N" + row(*values)) == Insert(7, values)
    assert parse(b"U" + head + b"N" + row("1")) == Update(7, ["1"], None, False)
    assert parse(b"U" + head + b"K" + row("1") + b"N" + row("2")) == Update(7, ["2"], ["1"], False)
    assert parse(b"U" + head + b"O" + row("1") + b"N" + row("2")) == Update(7, ["2"], ["1"], True)
    assert parse(b"D" + head + b"K" + row("1")) == Delete(7, ["1"], False)
    assert parse(b"T" + struct.pack("!IBII", 2, 0, 7, 8)) == Truncate((7, 8))


def test_what_has_no_effect_on_rows_is_passed_over() -> None:
    assert parse(b"O" + bytes(8) + b"other\0") == Other("O")
    assert parse(b"Y" + bytes(4) + b"public\0mood\0") == Other("Y")


@given(st.binary(max_size=60))
def test_whatever_the_bytes_it_is_a_message_or_malformed(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert isinstance(parse(data), Message)


@given(st.binary(max_size=40), st.integers(1, 20))
def test_a_row_that_is_cut_short_is_never_taken_for_a_shorter_one(value: bytes, cut: int) -> None:
    data = b"I" + struct.pack("!I", 7) + b"N" + row(value.decode("latin-1"))
    if cut < len(data) - 8:
        with pytest.raises(Malformed):
            parse(data[:-cut])


@pytest.mark.parametrize(
    ("xid", "near", "whole"),
    [
        (100, 200, 100),
        (5, (7 << 32) + 10, (7 << 32) + 5),
        (0xFFFFFFF0, (7 << 32) + 10, (6 << 32) + 0xFFFFFFF0),
        (3, (6 << 32) + 0xFFFFFFF0, (7 << 32) + 3),
        (0xFFFFFFF0, 10, 0xFFFFFFF0),
    ],
)
def test_a_transaction_id_gets_its_epoch(xid: int, near: int, whole: int) -> None:
    assert whole_xid(xid, near) == whole


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{}", []),
        ("{1,NULL,3}", [1, None, 3]),
        ("{{1,2},{3,4}}", [[1, 2], [3, 4]]),
        ("[0:1]={1,2}", [1, 2]),
    ],
)
def test_arrays_are_lists(text: str, found: object) -> None:
    assert array_of(int)(text) == found


def test_elements_of_arrays_may_be_any_text() -> None:
    text = '{"a,b","say \\"x\\"","back\\\\slash","{}",NULL,"NULL",plain}'
    assert array_of(str)(text) == ["a,b", 'say "x"', "back\\slash", "{}", None, "NULL", "plain"]


def test_numbers_are_whole_or_exact_as_json_has_them() -> None:
    assert CONVERTERS["float8"]("1e+20") == Decimal("1e20")
    assert CONVERTERS["float8"]("1.5e-07") == Decimal("1.5e-7")
    assert CONVERTERS["numeric"]("NaN") == "NaN"
    assert str(CONVERTERS["numeric"]("100.00")) == "100.00"


def test_a_subject_is_text_without_padding() -> None:
    given = ["P1  ", None, 7, Decimal("1.50"), True]
    assert [subject_of(one) for one in given] == ["P1", "", "7", "1.50", "true"]
