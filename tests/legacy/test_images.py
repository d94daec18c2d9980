"""Row images: read by a function made for the table's columns, and all others as well."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.legacy.images import reader, row_of
from adapters.legacy.postgresql.tables import consecutive

values = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
names = st.sampled_from(["pol_no", "Prem", "from", "a b", "__class__", "x1", "X1", "été"])


@given(columns=st.lists(names, unique=True, max_size=6), image=st.dictionaries(names, values, max_size=6))
def test_an_image_is_read_alike_whatever_the_table_was_when_it_was_installed(
    columns: list[str], image: dict[str, object]
) -> None:
    told = json.dumps(image)
    assert reader(tuple(columns))(told) == row_of(told)


def test_a_column_that_came_later_is_in_the_row() -> None:
    assert reader(("pol_no",))('{"pol_no": "P1", "prem": 1.50}') == {"POL_NO": "P1", "PREM": Decimal("1.50")}


def test_a_number_with_a_fraction_stays_exact() -> None:
    assert reader(("prem",))('{"prem": 1.10}') == {"PREM": Decimal("1.10")}


@pytest.mark.parametrize(
    ("numbers", "stretches"),
    [
        ([], []),
        ([7], [(7, 7)]),
        ([5, 3, 4], [(3, 5)]),
        ([1, 2, 4], [(1, 2), (4, 4)]),
        ([1, 1, 3], [(1, 1), (3, 3)]),
    ],
)
def test_stretches_of_numbers(numbers: list[int], stretches: list[tuple[int, int]]) -> None:
    assert consecutive(numbers) == stretches


@given(st.sets(st.integers(0, 60)))
def test_stretches_hold_the_numbers_and_no_others(numbers: set[int]) -> None:
    held = [number for first, last in consecutive(list(numbers)) for number in range(first, last + 1)]
    assert held == sorted(numbers)
