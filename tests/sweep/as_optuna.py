"""A study as Optuna itself reads it, without a connection that stays open: Python 3.13 warns of those."""

import optuna
from optuna.storages import RDBStorage
from sqlalchemy.pool import NullPool


def as_optuna(study, url):
    """Return the study of that name at a SQLAlchemy URL."""
    return optuna.load_study(study_name=study, storage=_storage(url))


def names_of(url):
    """Return the names of all studies at a SQLAlchemy URL."""
    return optuna.get_all_study_names(_storage(url))


def _storage(url):
    return RDBStorage(str(url), engine_kwargs={"poolclass": NullPool})
