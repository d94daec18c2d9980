"""The ledger of what serves: append-only, the latest line first, each projection's own."""

from adapters.state.store import State
from tests.support.state import SECOND, START
from toolkit.ports import Serving


def test_what_was_decided_last_is_known_and_nothing_is_forgotten(state: State) -> None:
    assert (state.serving.latest("policy"), state.serving.history("policy")) == (None, [])
    lines = [
        Serving(
            projection=name,
            version=version,
            at=START + at * SECOND,
            who="ada",
            why="",
            forced=["behind"] * at,
        )
        for at, (name, version) in enumerate([("policy", 1), ("policy", 2), ("broker", 7), ("policy", 1)])
    ]
    for line in lines:
        state.serving.note(line)
    assert state.serving.latest("policy") == lines[3]
    assert state.serving.history("policy") == [lines[3], lines[1], lines[0]]
