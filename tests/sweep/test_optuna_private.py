"""The private names of Optuna that the writer writes to are still there; a failure here names the one that is not."""

import pytest

from poolsearch.sweep.study import optuna_private


@pytest.mark.parametrize(
    ("table", "name", "columns"),
    [
        (
            optuna_private.TRIALS,
            "trials",
            {"trial_id", "number", "study_id", "state", "datetime_start", "datetime_complete"},
        ),
        (
            optuna_private.PARAMS,
            "trial_params",
            {"param_id", "trial_id", "param_name", "param_value", "distribution_json"},
        ),
        (
            optuna_private.ATTRIBUTES,
            "trial_user_attributes",
            {"trial_user_attribute_id", "trial_id", "key", "value_json"},
        ),
    ],
)
def test_a_table_has_the_columns_that_are_written(table, name, columns):
    assert table.name == name
    assert set(table.columns.keys()) == columns
