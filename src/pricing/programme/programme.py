"""A health programme as data: tasks, value, groups, how a group moves, what it gives."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from pricing.files import fingerprint
from pricing.programme.task import Bilingual, Category, Strict, Task
from pricing.result.words import Language

__all__ = ["Group", "Movement", "Programme", "Value", "Window"]


class Window(Strict):
    """``[window]``: the days measured, and how long before the renewal they end."""

    days: int = Field(default=365, ge=28, le=731)
    lag_days: int = Field(default=60, ge=0, le=731)
    min_valid_days: int = Field(default=180, ge=0, le=731)


class Value(Strict):
    """``[value]``: how points become a value, and towards what few days are shrunk.

    ``weighted``: H = scale·Σ ω_c·min(1, Σ P_k / cap_c). ``points``: H = Σ P_k.
    """

    kind: Literal["weighted", "points"] = "weighted"
    scale: float = Field(default=1000.0, gt=0)
    kappa: float = Field(default=0.0, ge=0)
    prior: float = Field(default=0.0, ge=0)


class Movement(Strict):
    """``[movement]``: from the group held and the target group to the next group.

    ``level``: towards the target, by ``max_move`` groups at most (any number, where left out).
    ``walk``: the rate moves by the target group's delta between ``floor`` and ``cap``.
    """

    kind: Literal["level", "walk"] = "level"
    hysteresis: float = Field(default=0.0, ge=0)
    max_move: int | None = Field(default=None, ge=1)
    freeze_days: int | None = Field(default=None, ge=1)
    entry: str | None = None
    start: float | None = Field(default=None, ge=0, lt=1)
    deltas: tuple[float, ...] = ()
    floor: float = Field(default=0.0, ge=0, lt=1)
    cap: float = Field(gt=0, lt=1)


class Group(Strict):
    """One ``[[group]]``: the value at which it begins and the rate it gives."""

    name: str = Field(min_length=1)
    cutoff: float | None = None
    rate: float | None = Field(default=None, ge=0, lt=1)


class Programme(Strict):
    """One version of a programme; what it gives is never more than standard terms take away.

    Attributes
    ----------
    name : str
        What the versions share.
    effective : date
        Renewals from this day on are priced by this version.
    benefit : {"discount", "reimbursement"}
        What a group's rate is: off the standard premium, or the share of costs reimbursed.
    consent : {"required", "assumed"}
        Whether members must have said yes; who has not is not measured and pays standard terms.
    not_public, assumed : tuple of Bilingual
        What no source tells, and what stands in for it.
    evidence : mapping of str to float
        Weight of each kind of evidence, 0 to 1; 0 is as not measured, a kind that is not named is
        refused.

    Examples
    --------
    >>> from pricing.programme.programme_file import read_programme
    >>> programme = read_programme("huoli")
    >>> programme.cutoffs, programme.caps["activity"]
    ((400.0, 550.0, 700.0, 850.0), 3960.0)
    """

    name: str = Field(pattern=r"^[a-z0-9_-]+$")
    title: Bilingual
    source: Bilingual
    effective: date
    benefit: Literal["discount", "reimbursement"] = "discount"
    consent: Literal["required", "assumed"] = "required"
    not_public: tuple[Bilingual, ...] = ()
    assumed: tuple[Bilingual, ...] = ()
    window: Window
    value: Value
    evidence: dict[str, float] = Field(min_length=1)
    movement: Movement
    group: tuple[Group, ...] = Field(min_length=2)
    category: tuple[Category, ...] = Field(min_length=1)
    task: tuple[Task, ...] = Field(min_length=1)

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups, the standard group first."""
        return tuple(group.name for group in self.group)

    @property
    def cutoffs(self) -> tuple[float, ...]:
        """The values at which the second group, the third … begin."""
        return tuple(float(group.cutoff or 0.0) for group in self.group[1:])

    @property
    def rates(self) -> tuple[float, ...]:
        """The rate of each group; a walk has none of its own."""
        return tuple(group.rate or 0.0 for group in self.group)

    @property
    def entry(self) -> int:
        """Place of the group that a new member is taken to hold."""
        return self.groups.index(self.movement.entry) if self.movement.entry else 0

    @property
    def rate_column(self) -> str:
        """Column of what a group gives: ``group_discount`` or ``reimbursement``."""
        return "group_discount" if self.benefit == "discount" else self.benefit

    @property
    def accounts(self) -> tuple[Task, ...]:
        """The tasks that have a cap of their own: all but certified alternatives."""
        return tuple(task for task in self.task if task.replaces is None)

    @property
    def caps(self) -> dict[str, float]:
        """Most points of a year by category: the sum of its tasks' caps."""
        return {
            c.name: float(sum(t.cap_year for t in self.accounts if t.category == c.name))
            for c in self.category
        }

    @property
    def fingerprint(self) -> str:
        """Hash of the whole version."""
        return fingerprint(self.model_dump_json())

    def titles(self, lang: Language) -> dict[str, str]:
        """Name tasks and categories in a language, by their place in the file."""
        return {
            **{f"category.{c.name}": getattr(c.title, lang) for c in self.category},
            **{f"task.{t.name}": getattr(t.title, lang) for t in self.task},
        }
