"""Code columns: few values that stand for words, and which of these words can be known without asking a person."""

from __future__ import annotations

import re

import msgspec

from toolkit.starting import names
from toolkit.starting.facts import Column, Kind, Table

MOST_VALUES = 24
_LONGEST_CODE = 40
_LETTERS = 3
_SEEN_EACH = 8
"""How often a value comes back, on average, before a column without a telling name is taken for coded."""
_TELLING = re.compile(
    r"(^|_)(cd|code|status|stat|state|st|type|typ|kind|class|reason|rsn|freq|flag|flg|ind|mode|method|mth"
    r"|category|level|rating|gender|sex|active|priority)$"
)
_TRUTH = re.compile(r"(^|_)(is|has|can|active|enabled|deleted|flag|flg|ind|yn|valid|current)(_|$)")
_NOT_TELLING = re.compile(
    r"(^|_)(zip|post|postal|country|phone|product|item|order|user|customer)_?(cd|code)$"
)
_WORD = re.compile(r"[^\W\d_]{3,}(?:[ _/&.,-]+\w+)*")
_TRUTHS = ({"0", "1"}, {"Y", "N"}, {"y", "n"}, {"T", "F"}, {"t", "f"})
_YES = frozenset("1YyTt")


class Codes(msgspec.Struct, frozen=True, kw_only=True):
    """The code table of one column.

    `values` maps each known code to how often it was seen, `named` to its word, as far as a word is known.
    `truth`: the codes say yes or no. `enum`: every code is a word by itself (as are all of a declared ENUM whose authors
    wrote more than letters).
    """

    name: str
    table: str
    column: str
    values: dict[str, int]
    named: dict[str, str]
    sampled: int
    reason: str
    truth: bool = False
    enum: bool = False

    @property
    def unnamed(self) -> list[str]:
        """The codes whose meaning nobody has told."""
        return [code for code in self.values if code not in self.named]


def codes_of(table: Table, column: Column) -> Codes | None:
    """The column's code table; None when its values do not look like codes. Keys and references are not asked for."""
    reason = _reason(column)
    if not reason:
        return None
    seen = {code.rstrip(): count for code, count in (column.sample.counts if column.sample else {}).items()}
    declared = {word: seen.get(word, 0) for word in column.words}
    values = {code: count for code, count in {**declared, **seen}.items() if code}
    # CamelCase keeps apart what a table and a column of other tables could spell alike.
    name = names.pascal(table.name) + names.pascal(column.name)
    truth = bool(_truth(column, values))
    labelled = bool(column.words) and any(len(code) > 2 for code in column.words)
    words = {code: code for code in values if labelled or is_word(code)}
    return Codes(
        name=name,
        table=table.name,
        column=column.name,
        values=values,
        named={code: str(code in _YES) for code in values} if truth else words,
        sampled=column.sample.rows if column.sample else 0,
        reason=reason,
        truth=truth,
        enum=not truth and column.kind is Kind.TEXT and len(words) == len(values),
    )


def _reason(column: Column) -> str:
    sample = column.sample
    if column.words:
        return "the database declares its values"
    if sample is None or not sample.counts or len(sample.counts) > MOST_VALUES:
        return ""
    if column.kind not in (Kind.TEXT, Kind.INTEGER) or sample.day_numbers:
        return ""
    if max(map(len, sample.counts)) > _LONGEST_CODE or not any(code.strip() for code in sample.counts):
        return ""
    return _looks(column, sample.rows - sample.nulls, sample.distinct)


def _looks(column: Column, filled: int, distinct: int) -> str:
    name = names.field_name(column.name)
    telling = _TELLING.search(name) and not _NOT_TELLING.search(name)
    told = f"{distinct} different values in {filled:,} sampled rows"
    if column.kind is Kind.INTEGER:
        return f"its name, and {told}" if telling or _TRUTH.search(name) else ""
    if telling and filled > distinct:
        return f"its name, and {told}"
    if column.fixed and filled >= distinct * _SEEN_EACH:
        return f"fixed width, and {told}"
    short = max(map(len, column.sample.counts if column.sample else {"": 0})) <= _LETTERS
    return f"so short, and {told}" if short and filled >= distinct * _SEEN_EACH else ""


def _truth(column: Column, values: dict[str, int]) -> bool:
    """Yes and no: both were seen, or one of them under a name that asks a question."""
    codes = set(values)
    if column.kind is Kind.INTEGER:
        return codes <= {"0", "1"} and bool(_TRUTH.search(names.field_name(column.name)))
    return codes in _TRUTHS


def is_word(code: str) -> bool:
    """Does the code say by itself what it stands for? Letters and numbers do not, nor do abbreviations."""
    return bool(_WORD.fullmatch(code)) and not (
        code.isupper() and (len(code) <= _LETTERS or _unspeakable(code))
    )


def _unspeakable(code: str) -> bool:
    """Four capitals without a vowel are an abbreviation, and nobody but its authors knows of what."""
    return len(code) <= 4 and not set(code) & set("AEIOUY")


def seems_coded(column: Column) -> str:
    """Why a column may be coded that is not taken for it: words that come back again and again may be free text."""
    sample = column.sample
    if column.kind is not Kind.TEXT or sample is None or not sample.counts:
        return ""
    filled = sample.rows - sample.nulls
    if not 1 < len(sample.counts) <= MOST_VALUES or filled < sample.distinct * _SEEN_EACH * 4:
        return ""
    return f"only {sample.distinct} different values in {filled:,} sampled rows: is it coded?"


def member(code: str, taken: set[str]) -> str:
    """The name of a code in an enumeration."""
    made = "_".join(names.words(code)).upper()
    made = f"N_{made}" if made[0].isdigit() else made
    while made in taken:
        made += "_"
    taken.add(made)
    return made
