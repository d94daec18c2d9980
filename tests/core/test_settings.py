"""strangler.toml: every fault at once, each where it is; secrets only from the environment."""

from pathlib import Path

import pytest

from adapters.engines import open_engine
from toolkit.core.errors import ExitCode, ProjectError, UsageError
from toolkit.settings import duration, read_settings

GOOD = """
[project]
name = "insurer"
modules = ["events"]

[legacy.policy_admin]
url = "${LEGACY_URL}"
context = "policy-administration"
tables = ["POLMAST"]

[read_store]
url = "${READ_URL:-sqlite:///read.db}"

[capability.portal-policy]
projection = "customer_policy"
legacy_sql = "a.sql"
read_sql = "a.sql"
keys_sql = "a.sql"
key = ["policy_no"]
read_class = "operational"

[capability.portal-policy.compare]
premium = { legacy = "PREM_CENTS", scale = "0.01" }
"""


def project(folder: Path, text: str) -> Path:
    (folder / "strangler.toml").write_text(text)
    (folder / "a.sql").write_text("select 1")
    return folder


def faults(folder: Path, text: str, environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ProjectError) as caught:
        read_settings(
            project(folder, text), {"LEGACY_URL": "sqlite:///x"} if environment is None else environment
        )
    assert caught.value.exit_code is ExitCode.USAGE
    return [str(fault) for fault in caught.value.faults]


def test_a_good_file_is_read_filled_from_the_environment_and_anchored_in_its_folder(tmp_path: Path) -> None:
    settings = read_settings(project(tmp_path, GOOD), {"LEGACY_URL": "sqlite:////data/legacy.db"})
    assert settings.legacy["policy_admin"].url == "sqlite:////data/legacy.db"
    assert settings.read_store.url == f"sqlite:///{tmp_path}/read.db"
    assert settings.capability["portal-policy"].compare["premium"].scale == "0.01"
    assert settings.log.url == "sql:"


def test_every_fault_is_reported_at_once_with_its_key_path(tmp_path: Path) -> None:
    text = (
        GOOD.replace(
            'read_class = "operational"', 'read_class = "important"\nfreshness = "soon"\nfreshnes = "1s"'
        )
        .replace('name = "insurer"\n', "")
        .replace('scale = "0.01"', 'scale = "cents"')
        .replace('legacy_sql = "a.sql"', 'legacy_sql = "gone.sql"')
        + '\n[colour]\nof = "blue"\n'
    )
    found = faults(tmp_path, text)
    for where in (
        "project.name",
        "colour",
        "capability.portal-policy.freshnes:",
        "capability.portal-policy.read_class",
    ):
        assert any(line.startswith(where) for line in found), (where, found)


def test_faults_of_meaning_are_reported_together(tmp_path: Path) -> None:
    text = GOOD.replace('scale = "0.01"', 'scale = "cents"').replace(
        'legacy_sql = "a.sql"', 'legacy_sql = "gone.sql"\nfreshness = "soon"'
    )
    found = faults(tmp_path, text)
    assert [line.split(":")[0] for line in found] == [
        "capability.portal-policy.legacy_sql",
        "capability.portal-policy.freshness",
        "capability.portal-policy.compare.premium.scale",
    ]


@pytest.mark.parametrize(
    ("sections", "where", "what"),
    [
        ('[archive]\nkeep = "a while"', "archive.keep", "or forever"),
        ('[archive]\nkeep = "12h"', "archive.keep", "at least 1d"),
        ('[archive]\nkeep = "6d"', "archive.keep", "capability.portal-policy.gates.verification_age, 7d"),
        ('[log]\nkeep = "5m"', "log.keep", "too short"),
        ('[log]\nurl = "kafka://here:9092"\nkeep = "7d"', "log.keep", "retention.ms"),
    ],
)
def test_what_cannot_be_kept_like_that_is_a_fault(
    tmp_path: Path, sections: str, where: str, what: str
) -> None:
    (found,) = faults(tmp_path, GOOD + "\n" + sections)
    assert found.startswith(where)
    assert what in found


def test_a_missing_secret_names_the_variable_and_the_key(tmp_path: Path) -> None:
    assert faults(tmp_path, GOOD, {}) == [
        "legacy.policy_admin.url: environment variable LEGACY_URL is not set"
    ]


def test_no_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="run in the project's folder"):
        read_settings(tmp_path)


def test_broken_toml_is_a_fault_with_its_place(tmp_path: Path) -> None:
    assert "not TOML" in faults(tmp_path, "[project\n")[0]


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("5m", 300), ("1h", 3600), ("7d", 604800)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "30", "s", "-1s", "1 week"])
def test_a_bad_duration_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        duration(text)


def test_options_of_a_table_are_read_and_faults_in_them_told_together(tmp_path: Path) -> None:
    good = (
        GOOD
        + '\n[legacy.policy_admin.table.polmast]\nignore = ["NOTE"]\nkey = ["POL_NO"]\nstatement = true\n'
    )
    table = read_settings(project(tmp_path, good), {"LEGACY_URL": "sqlite:///x"}).legacy["policy_admin"].table
    assert (table["polmast"].ignore, table["polmast"].statement) == (["NOTE"], True)
    bad = (
        GOOD
        + '\n[legacy.policy_admin.table.polmast]\ncolumns = ["A", "a"]\nignore = ["K"]\nkey = ["k"]\n'
        + "[legacy.policy_admin.table.OTHER]\n"
    )
    assert faults(tmp_path, bad) == [
        "legacy.policy_admin.table.polmast.ignore: does not go with columns (say the one or the other)",
        "legacy.policy_admin.table.polmast.columns: A is there twice",
        "legacy.policy_admin.table.polmast.ignore: K is part of the key, which is captured",
        "legacy.policy_admin.table.OTHER: is not captured (list it in tables or outbox)",
    ]


def test_the_faults_of_debeziums_section_are_told_with_the_rest(tmp_path: Path) -> None:
    text = GOOD.replace('tables = ["POLMAST"]', 'tables = ["POLMAST"]\ncapture = "debezium"') + (
        '[legacy.policy_admin.debezium]\nremember = ["POLHOLD"]\nwindow = 0\nin_flight = "soon"\n'
        'decimals = "exact"\n[legacy.policy_admin.outbox_columns.OUTBOX]\nkind = "TYP"\n'
    )
    found = faults(tmp_path, text)
    assert any("decimals" in one and "exact" in one for one in found)
    assert any("outbox_columns.OUTBOX.kind: unknown key" in one for one in found)
    found = faults(tmp_path, text.replace('decimals = "exact"\n', "").replace("kind", "type"))
    assert [one.split(": ")[0] for one in found] == [
        "legacy.policy_admin.outbox_columns.OUTBOX",
        "legacy.policy_admin.debezium.remember",
        "legacy.policy_admin.debezium",
        "legacy.policy_admin.debezium.window",
        "legacy.policy_admin.debezium.in_flight",
    ]


@pytest.mark.parametrize("state", ["", '[state]\nurl = "mariadb://h/state"\n'])
def test_where_the_state_cannot_be_kept_another_place_is_asked_for(tmp_path: Path, state: str) -> None:
    text = f"{GOOD}\n{state}"
    assert any(
        "cannot keep the toolkit's own state" in fault
        for fault in faults(tmp_path, text, {"LEGACY_URL": "sqlite:///x", "READ_URL": "mysql+pymysql://h/d"})
    )
    elsewhere = f'{GOOD}\n[state]\nurl = "sqlite:///state.db"\n'
    environment = {"LEGACY_URL": "sqlite:///x", "READ_URL": "mysql+pymysql://h/d"}
    assert read_settings(project(tmp_path, elsewhere), environment).read_store.url.startswith("mysql")


def test_half_a_password_is_shown_by_nobody(tmp_path: Path) -> None:
    url = "postgresql+psycopg://user:secr@et-half@host/legacy"
    found = faults(tmp_path, GOOD, {"LEGACY_URL": url, "READ_URL": url})
    assert (
        "legacy.policy_admin.url: the user or password of the URL has an @ (write it as %40 (and : as %3A, / as %2F))"
        in found
    )
    assert not any("et-half" in one for one in found)
    with pytest.raises(UsageError, match="write it as %40") as error:
        open_engine(url)
    assert "et-half" not in str(error.value)
    for good in ("sqlite:////tmp/a:b@c/d@e.db", "postgresql+psycopg://user:secr%40et@host/legacy"):
        read_settings(project(tmp_path, GOOD), {"LEGACY_URL": good, "READ_URL": good})


def test_an_unknown_key_is_told_with_the_one_that_was_meant(tmp_path: Path) -> None:
    text = GOOD + "\n[log]\npartition = 3\n[stat]\n[capability.extra]\nnonsense_of_a_key = 1\n"
    found = faults(tmp_path, text)
    assert "log.partition: unknown key (is it partitions?)" in found
    assert "stat: unknown section (is it state?)" in found
    (nonsense,) = [one for one in found if "nonsense" in one]
    assert nonsense.endswith("more: docs/configuration.md)")
    assert len(nonsense) < 200


def test_a_word_that_is_not_allowed_is_told_with_those_that_are(tmp_path: Path) -> None:
    text = f'{GOOD}\n[capability.other]\nread_class = "operationl"\nwhen_stale = "x"\n'
    found = faults(tmp_path, text)
    assert "capability.other.read_class: Invalid enum value 'operationl' (is it operational?)" in found
    assert (
        "capability.other.when_stale: Invalid enum value 'x' (known are serve, warn, legacy, refuse)" in found
    )
    assert any(
        "(is it binary?)" in one
        for one in faults(tmp_path, f'{GOOD}\n[log]\nurl = "sql:"\ncontent = "binry"\n')
    )
