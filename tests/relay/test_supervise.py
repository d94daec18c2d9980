"""`strangler run` outlives what is away for a while, as its loops do."""

import threading

from toolkit.core.errors import Infrastructure
from toolkit.loops.supervise import Loop, Supervisor


def test_what_is_wanted_cannot_be_asked_for_a_while_and_the_loops_go_on() -> None:
    stop, asked = threading.Event(), 0
    ended: list[str] = []

    def loop(stop: threading.Event) -> None:
        stop.wait()
        ended.append("as it was told")

    def wanted() -> dict[str, Loop]:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise Infrastructure("the read store is away")
        if asked == 3:
            stop.set()
        return {"one": loop}

    Supervisor(wanted, look_every=0.001).run(stop)
    assert (asked, ended) == (3, ["as it was told"])
