"""A rebuild on real servers ends only when no transaction that is older than it can still add events."""

import datetime as dt
import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.support.flowing import following, prepare
from tests.support.insurer import make_insurer, opened
from toolkit.loops.history import Origin

SHORT = dt.timedelta(seconds=1)


@pytest.mark.parametrize("origin", Origin)
def test_an_open_transaction_that_wrote_before_a_rebuild_began_is_waited_for(
    postgres_url: str, tmp_path: Path, origin: Origin
) -> None:
    # State and views elsewhere: our own transactions are none of the legacy database's.
    insurer = make_insurer(tmp_path / "project", {"LEGACY_URL": postgres_url}, size=20)
    engine = create_engine(postgres_url)
    with opened(insurer) as app:
        prepare(app)
        view = app.project.definition("customer_policy", 1)
        with following(app), engine.connect() as open_one:
            number = open_one.scalar(text("SELECT min(POL_NO) FROM POLMAST"))
            raised = text("UPDATE POLMAST SET PREM_CENTS = PREM_CENTS + 7 WHERE POL_NO = :number")
            open_one.execute(raised, {"number": number})
            work = app.rebuild(view, origin)
            work._patience = SHORT
            done = work.run()
            assert not done.complete
            assert "was open when it began is still open" in done.detail
            before = sum(app.state.archive.last_sequences("insurer.policy_admin").values())
            threading.Timer(0.5, open_one.commit).start()
            done = app.rebuild(view, origin).run()
            assert done.complete
        sequences = {one.partition: one.sequence for one in app.store.checkpoints("customer_policy", 1)}
        assert sum(sequences.values()) > before, "what it added is in the view"
    engine.dispose()
