"""A project's modules: private package, relative imports, every fault of them at once."""

import sys
from pathlib import Path

import pytest

from toolkit.core.errors import ProjectError, UsageError
from toolkit.loader import load, tables_read

TOML = """
[project]
name = "insurer"
modules = ["events", "translators", "projections"]
[legacy.core]
url = "sqlite:///legacy.db"
context = "policy-administration"
tables = ["POLMAST"]
[read_store]
url = "sqlite:///read.db"
"""
EVENTS = """
from toolkit import Context, Event
policies = Context("policies")

@policies.event(subject="policy_no", means="The policy was issued.")
class PolicyIssued(Event):
    policy_no: str
"""
TRANSLATORS = """
from toolkit import Translators
from .events import PolicyIssued
acl = Translators("core")
acl.aggregate("policy", {"POLMAST": "POL_NO"})

@acl.table("POLMAST")
def issued(change):
    yield PolicyIssued(policy_no=change.text("POL_NO"))
"""
PROJECTIONS = """
from toolkit import Projection, on
from .events import PolicyIssued

class CustomerPolicy(Projection, version=1, context="service", key="policy_no"):
    policy_no: str

    @on(PolicyIssued, creates=True)
    def issued(self, event):
        pass
"""


def write(folder: Path, **files: str) -> Path:
    contents = {"events": EVENTS, "translators": TRANSLATORS, "projections": PROJECTIONS} | files
    (folder / "strangler.toml").write_text(contents.pop("toml", TOML))
    for name, text in contents.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def faults(folder: Path) -> list[str]:
    with pytest.raises(ProjectError) as caught:
        load(folder)
    return [str(fault) for fault in caught.value.faults]


def test_a_project_is_loaded_without_touching_sys_path(tmp_path: Path) -> None:
    before = list(sys.path)
    project = load(write(tmp_path))
    assert sys.path == before
    assert project.topic("core") == "insurer.core"
    assert [table.table for table in project.captured("core")] == ["POLMAST"]
    assert project.definition("customer_policy", 1).table == "customer_policy__v1"


def test_a_folder_named_like_ours_does_not_shadow_ours(tmp_path: Path) -> None:
    for name in ("adapters", "migrations", "shadow", "toolkit"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('a decoy was imported')")
    assert load(write(tmp_path)).catalogue.types.keys() == {"PolicyIssued"}


def test_loading_again_sees_the_mended_code(tmp_path: Path) -> None:
    load(write(tmp_path))
    mended = PROJECTIONS + PROJECTIONS.replace(
        "CustomerPolicy(Projection, version=1",
        "CustomerPolicyTwo(Projection, name='customer_policy', version=22",
    )
    project = load(write(tmp_path, projections=mended))
    assert set(project.projections["customer_policy"]) == {1, 22}


def test_every_module_that_does_not_import_is_named(tmp_path: Path) -> None:
    found = faults(write(tmp_path, translators="import events", projections="1 / 0"))
    assert found[0].startswith("translators.py: ModuleNotFoundError")
    assert "relatively" in found[0]
    assert found[1].startswith("projections.py: ZeroDivisionError")


def test_a_captured_table_without_a_translator_is_a_fault(tmp_path: Path) -> None:
    toml = TOML.replace('["POLMAST"]', '["POLMAST", "POLEND"]')
    assert faults(write(tmp_path, toml=toml)) == [
        "translators of core, table POLEND: is captured, but no translator speaks for it"
    ]


def test_a_subject_may_have_several_columns_the_same_ones_in_each_table(tmp_path: Path) -> None:
    translators = TRANSLATORS.replace('"POL_NO"})', '("cmp_cd", "pol_no")})')
    loaded = load(write(tmp_path, translators=translators), {})
    assert loaded.captured("core")[0].subjects == ("CMP_CD", "POL_NO")
    uneven = translators.replace('("cmp_cd", "pol_no")})', '("CMP_CD", "POL_NO"), "POLEND": "POL_NO"})')
    (fault, *_) = faults(write(tmp_path, translators=uneven))
    assert "table POLEND: has its subject in POL_NO, and the first table of policy in CMP_CD, POL_NO" in fault
    twice = translators.replace('"pol_no")})', '"cmp_cd")})')
    assert "names CMP_CD twice" in faults(write(tmp_path, translators=twice))[0]


@pytest.mark.parametrize(
    "name",
    ["RowUpdated", "PolmastChanged", "TableChanged", "PolmastInserted", "Deleted", "PolicyRecordSaved"],
)
def test_an_event_that_describes_storage_is_refused(tmp_path: Path, name: str) -> None:
    everywhere = {
        "events": EVENTS.replace("PolicyIssued", name),
        "translators": TRANSLATORS.replace("PolicyIssued", name),
        "projections": PROJECTIONS.replace("PolicyIssued", name),
    }
    assert "names what happened in storage" in faults(write(tmp_path, **everywhere))[0]


@pytest.mark.parametrize(
    "name", ["PolicyIssued", "PaymentMethodChanged", "CustomerMovedHouse", "AccountCreated"]
)
def test_a_business_fact_is_not_refused(tmp_path: Path, name: str) -> None:
    everywhere = {
        "events": EVENTS.replace("PolicyIssued", name),
        "translators": TRANSLATORS.replace("PolicyIssued", name),
        "projections": PROJECTIONS.replace("PolicyIssued", name),
    }
    assert name in load(write(tmp_path, **everywhere)).catalogue.types


def test_two_classes_for_one_version_are_a_fault(tmp_path: Path) -> None:
    twice = PROJECTIONS + PROJECTIONS.replace(
        "class CustomerPolicy(Projection", "class Other(Projection, name='customer_policy'"
    )
    assert "declared by two classes" in faults(write(tmp_path, projections=twice))[0]


def test_a_projection_that_does_not_exist_lists_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there are customer_policy v1"):
        load(write(tmp_path)).definition("customer_policy", 7)


CAPABILITY = """
[capability.portal]
projection = "customer_policy"
legacy_sql = "old.sql"
read_sql = "new.sql"
keys_sql = "keys.sql"
key = ["policy_no"]
read_class = "operational"
"""


def config_hash(folder: Path, toml: str, read_sql: str = "select 1") -> str:
    for name, text in (("old", "select 1"), ("new", read_sql), ("keys", "select 1")):
        (folder / f"{name}.sql").write_text(text)
    return load(write(folder, toml=toml)).config_hash("portal")


def test_the_configuration_hash_changes_with_what_is_compared_and_with_nothing_else(tmp_path: Path) -> None:
    one = config_hash(tmp_path, TOML + CAPABILITY)
    assert config_hash(tmp_path, TOML + CAPABILITY + "[log]\npartitions = 8\n") == one
    assert (
        config_hash(tmp_path, TOML + CAPABILITY + "[capability.portal.compare]\na = { scale = '0.1' }\n")
        != one
    )
    assert config_hash(tmp_path, TOML + CAPABILITY, read_sql="select 2") != one


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM customer_policy p JOIN film_card f ON f.id = p.id",
        'SELECT * FROM customer_policy AS p, "FILM_CARD" AS f',
        "WITH p AS (SELECT * FROM film_card) SELECT * FROM p",
    ],
)
def test_a_read_of_a_projection_that_its_capability_does_not_list_is_a_fault(
    tmp_path: Path, sql: str
) -> None:
    other = PROJECTIONS.replace("class CustomerPolicy(Projection", "class FilmCard(Projection")
    folder = write(tmp_path, toml=TOML + CAPABILITY, projections=PROJECTIONS + other)
    for name, text in (("old", "select 1"), ("new", sql), ("keys", "select 1")):
        (folder / f"{name}.sql").write_text(text)
    (fault,) = faults(folder)
    assert "new.sql reads film_card, which capability.portal.projection does not list" in fault


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SELECT film_card FROM policies -- FROM hidden", {"policies"}),
        ("SELECT 'FROM told' FROM a x, b AS y WHERE 1 = 1", {"a", "b"}),
        ("WITH RECURSIVE n (i) AS (SELECT 1 FROM base) SELECT * FROM n JOIN c USING (i)", {"base", "c"}),
        ("SELECT * FROM (SELECT * FROM inner_one) t LEFT JOIN d ON true", {"inner_one", "d"}),
    ],
)
def test_what_a_read_takes_rows_from_is_found_in_its_text(sql: str, tables: set[str]) -> None:
    assert tables_read(sql) == tables
