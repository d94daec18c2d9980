"""What a benchmark prints can be read by a machine; how fast anything is, no test says."""

from __future__ import annotations

import json

import pytest

from benchmarks import estate, pipeline
from benchmarks.figures import Figure, percentile

KEYS = {"figure", "value", "unit", "peer", "peer_value", "ratio"}


def shown(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_figure_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    Figure(figure="a", value=1.0, unit="s", peer="b", peer_value=4.0).show(as_json=True)
    Figure(figure="c", value=1.0, unit="s").show(as_json=True)
    beside, alone = shown(capsys)
    assert beside.keys() == alone.keys() == KEYS
    assert beside["ratio"] == 0.25
    assert alone["peer"] is None
    assert alone["ratio"] is None


def test_a_percentile_lies_between_the_values() -> None:
    assert percentile([1.0, 2.0, 3.0], 0.5) == 2.0


@pytest.mark.slow
def test_the_pipeline_prints_every_figure_and_sets_a_peer_beside_those_it_can(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pipeline.main(["--json", "--seconds", "0.5", "--policies", "60", "--samples", "3"])
    lines = shown(capsys)
    assert all(line.keys() == KEYS for line in lines)
    beside = {str(line["figure"]).removesuffix(" [sqlite+sql]") for line in lines if line["peer"]}
    assert beside == {
        "pipeline.catch-up",
        "pipeline.live.committed",
        "pipeline.live.visible",
        "pipeline.live.behind at the end",
        "pipeline.latency p50",
        "pipeline.latency p99",
    }
    assert {str(line["unit"]) for line in lines} == {"events/s", "changes/s", "s", "ms"}


@pytest.mark.slow
def test_the_estate_goes_through_every_step_and_tells_time_and_memory(
    capsys: pytest.CaptureFixture[str],
) -> None:
    estate.main(["--json", "--policies", "60"])
    lines = shown(capsys)
    assert all(line.keys() == KEYS for line in lines)
    told = {str(line["figure"]).removeprefix("estate.") for line in lines}
    steps = ("backfill", "publish", "project all views", "rebuild customer_policy", "verify customer_policy")
    of = ("count", "time", "speed", "processor time of the command", "peak memory")
    size = "60 policies [sqlite+sql]"
    assert told == {f"generate {size}", *(f"{step} {size}: {what}" for step in steps for what in of)}
    assert all(float(str(line["value"])) > 0 for line in lines)


def test_a_server_that_is_asked_for_must_be_reachable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BENCH_POSTGRES_URL", raising=False)
    with pytest.raises(SystemExit):
        pipeline.main(["--engine", "postgresql"])
    assert "--servers" in capsys.readouterr().err
