"""Where the example's file is special: whoever dies while he writes leaves half an entry."""

from pathlib import Path

import pytest

from examples.read_store.documents import open_documents
from tests.read_store.test_store import Writer, row
from tests.support.read_store import POLICY


@pytest.mark.parametrize("lost", [1, 5, 20])
def test_half_an_entry_was_never_committed_and_the_next_one_takes_its_place(
    tmp_path: Path, lost: int
) -> None:
    file = tmp_path / "read.documents"
    first = Writer(open_documents(f"documents://{file}"))
    first.write(row())
    whole = file.stat().st_size
    first.write(row("P-2"))
    first.store.close()
    with file.open("r+b") as torn:
        torn.truncate(file.stat().st_size - lost)
    assert file.stat().st_size > whole
    again = open_documents(f"documents://{file}")
    assert again.rows(POLICY, None, 9) == [row()]
    Writer(again).write(row("P-3"))
    assert [one["policy_no"] for one in again.rows(POLICY, None, 9)] == ["P-1", "P-3"]
    again.close()
