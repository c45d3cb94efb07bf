"""Everything that can refuse a sweep, tried before anything is written: a refusal must not use up a study's name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, get_args

from poolsearch import devices
from poolsearch.config import SweepConfig
from poolsearch.data import datasets
from poolsearch.errors import PoolsearchError, StudyError, unknown
from poolsearch.sweep.folder import folder
from poolsearch.sweep.folder.folder import Options, SweepFolder
from poolsearch.sweep.search.space import Space, space_of
from poolsearch.sweep.study import storage
from poolsearch.sweep.study.reader import existing
from poolsearch.sweep.study.resuming import checked_for_resume
from poolsearch.sweep.study.storage import StudyLocation


@dataclass(frozen=True)
class Ready:
    """What a sweep that nothing refuses starts from."""

    space: Space
    place: str  # "cpu" or "cuda"; on a cluster the wish itself
    location: StudyLocation
    data: str = ""  # SHA-256 of the images, where they were compared with those of a study that is there


def preflight(
    home: SweepFolder, config: SweepConfig, options: Options, resume: bool = False, or_start: bool = False
) -> Ready:
    """Return what a sweep starts from. Nothing is written.

    With `resume` the study must be there, unless `or_start`. Raises PoolsearchError.
    """
    here = options.engine == "local"  # on a cluster the nodes say what there is, not this machine
    space, place = space_of(config), (devices.resolve if here else devices.check)(options.device)
    location = storage.located(home, options)
    if options.workers is not None and not 1 <= options.workers <= 256:
        nearest = min(max(options.workers, 1), 256)
        raise PoolsearchError(f"Workers go from 1 to 256, got {options.workers}. Nearest: {nearest}.")
    if here:  # each worker keeps a copy
        datasets.check_room(config.data, config.clutter, options.workers or devices.default_workers(place))
    ready = Ready(space, place, location)
    if home.holder():  # whoever runs it is named when its lease is asked for
        return ready
    study = existing(location)
    if resume and not or_start and not study and not home.config_file.exists():
        raise StudyError(f"{folder.missing(home.study)} Omit --resume to start it, or use --resume-or-start.")
    if not study or not study.trials:  # one without trials is made anew
        return ready
    data = datasets.fingerprint(config.data, config.clutter)
    checked_for_resume(study, config, data, resume or or_start)
    return replace(ready, data=data)


def merged(home: SweepFolder, **wishes: Any) -> Options:
    """Return the options of a sweep's last run with those of a new one over them; a wish of None is none.

    Raises PoolsearchError for an engine that there is not, or a storage that can't be.
    """
    if wishes.get("engine") not in (None, *get_args(folder.Engine)):
        raise PoolsearchError(unknown("engine", wishes["engine"], get_args(folder.Engine)))
    if wishes.get("storage"):
        wishes["storage"] = storage.checked(wishes["storage"]).render_as_string()  # with the whole path of a file
    return replace(home.options(), **{name: wish for name, wish in wishes.items() if wish is not None})
