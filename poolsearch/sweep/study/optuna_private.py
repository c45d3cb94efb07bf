"""Optuna's tables, which have no public name: the one place that knows private ones of Optuna's (5.0).

Through its public storage every attribute of a trial is a transaction of its own; a trial that is added or begun anew
is one here. `tests/sweep/test_optuna_private.py` says which name went away.
"""

from __future__ import annotations

from optuna.storages._rdb import models

TRIALS, PARAMS, ATTRIBUTES = (
    models.BaseModel.metadata.tables[name] for name in ("trials", "trial_params", "trial_user_attributes")
)
