"""What a command does before any work: hold its output, ask for its memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pricing.plans.plan_study import PlanStudy
    from pricing.study.chain import Study

__all__: list[str] = []  # of the command line alone


class _TriedOnly(Exception):
    """Leaves what is there as it is."""


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Hold an output while a command works; say before any work that it cannot be written."""
    from pricing.files import replacing
    from pricing.held import alone

    with suppress(_TriedOnly), replacing(out, wait=False) as beside:
        beside.touch()
        raise _TriedOnly
    with alone(out, wait=False):
        yield


def require_memory(study: Study | PlanStudy, work: str, limit: str | None) -> None:
    """Say before any row is read that a book of policies will not fit."""
    from pricing.study.memory_needed import require_memory
    from pricing.study.study_book import StudyBook

    if isinstance(study, StudyBook):
        require_memory(study, work, limit=limit)
