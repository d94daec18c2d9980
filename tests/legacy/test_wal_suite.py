"""Reading the log passes what capture by trigger passes, as far as it promises the same."""

from types import ModuleType

from tests.legacy import (
    test_capture,
    test_chunks,
    test_installing,
    test_joined_subjects,
    test_postgresql_capture,
)
from tests.legacy.test_joined_subjects import books
from tests.legacy.test_postgresql_capture import two
from tests.support.wal import legacy

__all__ = ["books", "legacy", "two"]

OTHERWISE = {
    "test_offered_twice_a_change_is_the_same": "positions name places in the log",
    "test_only_marked_changes_are_pruned_and_only_so_many": "the inbox keeps nothing that is marked",
    "test_installed_anew_the_same_row_is_a_new_fact": "the instants are kept elsewhere",
    "test_removal_leaves_no_trace": "other traces: see test_wal.py",
    "test_a_trigger_that_is_gone_is_a_hole": "no triggers",
    "test_a_column_that_came_later_is_captured_or_a_hole": "it is both",
    "test_a_subject_may_be_a_column_that_the_database_computes": "generated columns are not in the log",
    "test_a_truncate_is_told_under_the_same_subjects": "the log does not say which rows it deletes",
    "test_columns_that_are_left_out_and_statements_know_the_subject_as_well": "triggers alone know them",
    "test_a_chunk_is_found_by_an_index_over_all_columns": "the same code",
    "test_an_installation_does_not_stand_in_a_lock_queue_for_long": "the same code, and it waits five seconds",
}
OF_POSTGRESQL = {
    "test_the_horizon_does_not_cover_what_is_still_open",
    "test_no_limit_cuts_what_one_transaction_did_to_one_subject",
    "test_beside_many_writers_nothing_is_lost_and_each_subject_is_in_order",
    "test_a_bulk_load_that_silences_triggers_is_captured_all_the_same",
    "test_a_partitioned_table_is_captured_under_its_own_name",
    "test_the_text_of_a_value_does_not_depend_on_the_session",
}


def _tests(module: ModuleType) -> dict[str, object]:
    return {name: one for name, one in vars(module).items() if name.startswith("test_") and callable(one)}


for _module in (test_capture, test_chunks, test_installing, test_joined_subjects):
    globals().update({name: one for name, one in _tests(_module).items() if name not in OTHERWISE})
globals().update(
    {name: one for name, one in _tests(test_postgresql_capture).items() if name in OF_POSTGRESQL}
)
del _module
