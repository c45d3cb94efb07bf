"""What a config must share with the study that it goes on with: objectives, settings, images."""

from __future__ import annotations

from poolsearch.config import SweepConfig
from poolsearch.errors import StudyError
from poolsearch.sweep.search.front import directions
from poolsearch.sweep.study.reader import Existing


def checked_for_resume(study: Existing, config: SweepConfig, data: str, resume: bool) -> None:
    """Raise StudyError when a study that is there has other objectives, settings or data, or was not to be resumed."""
    got, old = list(study.directions), study.config
    if got != directions(config):
        raise StudyError(
            f"The study '{config.study}' already exists with the directions {', '.join(got)}; this config asks for "
            f"{', '.join(directions(config))}. Choose another study name, or the objectives it was created with."
        )
    differ = _differences(old, config) if old else ["config"]
    if differ:
        raise StudyError(
            f"The study '{config.study}' already exists with other settings: {'; '.join(differ)}. "
            "Choose another study name, or the settings it was created with."
        )
    if not resume:
        raise StudyError(
            f"The study '{config.study}' already exists with {study.complete} trials done. "
            "Continue it with --resume, or choose another name with --set study=NAME."
        )
    if (before := study.data) and before != data:
        raise StudyError(
            f"The images of '{config.data}' differ from those the study '{config.study}' was created with "
            f"(SHA-256 {data[:12]}, then {before[:12]}). The results could not be compared: choose another study name."
        )


def _differences(old: SweepConfig, new: SweepConfig) -> list[str]:
    """Return what may not change on resume (the budget and the limits may)."""
    before, after = old.model_dump(), new.model_dump()
    fixed = [name for name in before if name not in ("trials", "minutes", "limits", "study")]
    return [f"{name} was {before[name]}, now {after[name]}" for name in fixed if before[name] != after[name]]
