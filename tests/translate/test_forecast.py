"""Who waits for a backfill is told how fast it is and how long it takes; the last chunks count, not the first ones."""

from toolkit.loops.backfill import Progress
from toolkit.loops.forecast import Forecast, Forecaster


def chunk(rows: int) -> Progress:
    return Progress(group="POLMAST", rows=rows, events=rows, parked=0, remaining=0, done=False)


def test_the_time_left_follows_from_the_subjects_read_and_the_rows_are_counted_beside() -> None:
    forecaster = Forecaster(remaining=1000, at=50.0)
    told = forecaster.after(chunk(300), remaining=900, at=60.0)
    assert told == Forecast(group="POLMAST", rows=300, rows_per_second=30, remaining=900, eta_seconds=90)
    assert str(told) == "POLMAST: 300 rows read, 30 rows/s, 900 subjects left, about 90 s"


def test_a_database_that_has_become_slow_is_believed_after_some_chunks() -> None:
    forecaster, at = Forecaster(remaining=10_000, at=0.0), 0.0
    for left in range(9_900, 5_000, -100):
        at += 1
        forecaster.after(chunk(100), left, at)
    for left in range(5_000, 1_900, -100):
        at += 10
        told = forecaster.after(chunk(100), left, at)
    assert (told.remaining, told.rows_per_second, told.eta_seconds) == (2000, 10, 200)


def test_nothing_is_foretold_before_a_subject_was_read_and_nothing_is_left_at_the_end() -> None:
    forecaster = Forecaster(remaining=10, at=0.0)
    assert forecaster.after(chunk(5), 10, 1.0).eta_seconds is None
    assert forecaster.after(chunk(5), 0, 2.0).eta_seconds == 0
