"""Steps of refinement: what is done to a fitted tariff, by whom, when and why.

A step says what it does in full, so that a list of them, read from a file, does the same again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, get_args

from pricing.errors import InputError
from pricing.tariff.factor import above_zero
from pricing.tariff.terms import is_date

__all__ = [
    "STEPS",
    "CapChange",
    "Group",
    "KeepTotal",
    "Rebase",
    "Refit",
    "Restrict",
    "SetLevel",
    "Smooth",
    "Step",
    "Total",
]

Method = Literal["whittaker", "polynomial"]
Total = Literal["fitted", "current", "observed"]


@dataclass(frozen=True, kw_only=True)
class Step(ABC):
    """One step of a refinement.

    Attributes
    ----------
    who : str
        Who decided it.
    when : str
        ISO date of the decision, given and never read from a clock.
    why : str
        The reason.
    """

    who: str
    when: str
    why: str

    kind: ClassVar[str] = ""
    factor: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        said = [
            f"{name} is {getattr(self, name)!r}, not a text"
            for name in ("who", "why")
            if not (isinstance(getattr(self, name), str) and getattr(self, name).strip())
        ]
        if not is_date(self.when):
            said.append(f"when is {self.when!r}, not a date such as '2026-01-31'")
        said += self.faults()
        if said:
            raise InputError(f"a step ({self.kind}) that cannot be", faults=said)

    def faults(self) -> list[str]:
        """Say what is wrong with the step by itself."""
        return []

    @abstractmethod
    def what(self) -> str:
        """Say what is done, in figures and names."""

    def record(self) -> dict[str, Any]:
        """Give the step as it is written: kind, who, when, why, then its own."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        said = {n: own.pop(n) for n in ("who", "when", "why")}
        plain = {n: _plain(v) for n, v in own.items() if v is not None}
        return {"step": self.kind, **said, **plain}


@dataclass(frozen=True, kw_only=True)
class Group(Step):
    """Charge several levels of a factor alike.

    The levels stay in the table, each with the group's relativity: the mean of theirs, weighted
    so that the total premium does not change, until a refit estimates it with the rest.

    Attributes
    ----------
    factor : str
        Factor or interaction.
    groups : mapping of str to sequence of str
        Name of each group, and the levels in it (two or more).
    """

    kind: ClassVar[str] = "group_levels"
    factor: str  # type: ignore[misc]
    groups: Mapping[str, tuple[str, ...]]

    def faults(self) -> list[str]:
        """Groups of one level, levels in two groups, groups that stand in each other."""
        said = _text(self.factor, "factor")
        if not isinstance(self.groups, Mapping) or not self.groups:
            return [*said, "groups names no group"]
        listed = {n: v for n, v in self.groups.items() if isinstance(v, list | tuple)}
        said += [f"group {n!r} is no list of levels" for n in self.groups if n not in listed]
        said += [f"group {n!r} has fewer than two levels" for n, v in listed.items() if len(v) < 2]
        every = [level for v in listed.values() for level in v]
        twice = sorted({str(level) for level in every if every.count(level) > 1})
        said += [f"level {level!r} is grouped more than once" for level in twice]
        inner = {n: [x for x in v if x in listed and x != n] for n, v in listed.items()}
        said += [
            f"group {n!r} holds {x!r}, which is a group itself: a circle or a chain"
            for n, others in inner.items()
            for x in others
        ]
        return said

    def what(self) -> str:
        """The groups."""
        return "; ".join(f"{name} = {', '.join(v)}" for name, v in self.groups.items())


@dataclass(frozen=True, kw_only=True)
class Smooth(Step):
    """Smooth the logs of an ordered factor's relativities, weighted by what each level expects.

    Levels count as equally spaced, in the tariff's order; those of a group are charged alone again.

    Attributes
    ----------
    factor : str
        A factor whose levels stand in order, such as an age band.
    method : {"whittaker", "polynomial"}
        Whittaker–Henderson (:func:`pricing.estimate.whittaker.whittaker`) or weighted least
        squares on a polynomial of degree ``order``.
    order : int
        Differences penalised, 1 to 3, or degree of the polynomial, 1 to 6.
    smoothing : float, optional
        λ of Whittaker–Henderson in expected claims (or amounts); left out: generalised
        cross-validation.
    """

    kind: ClassVar[str] = "smooth"
    factor: str  # type: ignore[misc]
    method: Method = "whittaker"
    order: int = 2
    smoothing: float | None = None

    def faults(self) -> list[str]:
        """Methods and orders that are not offered."""
        said = _text(self.factor, "factor")
        if self.method not in get_args(Method):
            return [*said, f"method is {self.method!r}, not whittaker or polynomial"]
        most = 3 if self.method == "whittaker" else 6
        if not _whole(self.order) or not 1 <= self.order <= most:
            said.append(f"order is {self.order!r}, not 1 to {most}")
        if self.smoothing is not None and not above_zero(self.smoothing):
            said.append(f"smoothing is {self.smoothing!r}, not a number above zero")
        if self.smoothing is not None and self.method == "polynomial":
            said.append("a polynomial takes no smoothing")
        return said

    def what(self) -> str:
        """Method, order and λ."""
        if self.method == "polynomial":
            return f"polynomial of degree {self.order}"
        amount = "by cross-validation" if self.smoothing is None else f"{self.smoothing:g}"
        return f"Whittaker–Henderson, order {self.order}, smoothing {amount}"


@dataclass(frozen=True, kw_only=True)
class Restrict(Step):
    """Fix every relativity of a factor.

    Attributes
    ----------
    factor : str
        Factor or interaction.
    relativities : mapping of str to float
        For every level, above zero.
    """

    kind: ClassVar[str] = "restrict"
    factor: str  # type: ignore[misc]
    relativities: Mapping[str, float] = field(default_factory=dict)

    def faults(self) -> list[str]:
        """Relativities that are no numbers above zero."""
        said = _text(self.factor, "factor")
        if not isinstance(self.relativities, Mapping) or not self.relativities:
            return [*said, "relativities names no level"]
        return said + [
            f"relativity of {level!r} is {value!r}, not a number above zero"
            for level, value in self.relativities.items()
            if not above_zero(value)
        ]

    def what(self) -> str:
        """The relativities."""
        return "; ".join(f"{level} = {value:.12g}" for level, value in self.relativities.items())


@dataclass(frozen=True, kw_only=True)
class SetLevel(Step):
    """Set one relativity by hand; the others stay.

    Attributes
    ----------
    factor, level : str
        Factor or interaction, and its level.
    relativity : float
        Above zero, on the scale the factor has at this step.
    """

    kind: ClassVar[str] = "set_level"
    factor: str  # type: ignore[misc]
    level: str
    relativity: float

    def faults(self) -> list[str]:
        """A relativity that is no number above zero."""
        said = _text(self.factor, "factor") + _text(self.level, "level")
        if not above_zero(self.relativity):
            said.append(f"relativity is {self.relativity!r}, not a number above zero")
        return said

    def what(self) -> str:
        """Level and relativity."""
        return f"{self.level} = {self.relativity:.12g}"


@dataclass(frozen=True, kw_only=True)
class CapChange(Step):
    """Keep relativities within a distance of the current tariff's.

    Both are compared as relativities to the new tariff's base level; a level the current tariff
    does not have is left alone.

    Attributes
    ----------
    up : float
        Largest rise, a fraction: 0.1 lets a relativity rise by a tenth.
    down : float, optional
        Largest fall, a fraction below one; ``up`` where left out.
    factor : str, optional
        One factor; left out: every factor that both tariffs have.
    """

    kind: ClassVar[str] = "cap_change"
    up: float
    down: float | None = None
    factor: str | None = None  # type: ignore[misc]

    @property
    def fall(self) -> float:
        """Largest fall."""
        return self.up if self.down is None else self.down

    def faults(self) -> list[str]:
        """Limits outside their domain."""
        said = [] if self.factor is None else _text(self.factor, "factor")
        for name, value in (("up", self.up), ("down", self.fall)):
            number = value == 0 or above_zero(value)
            if not number or (name == "down" and value >= 1):
                said.append(f"{name} is {value!r}, not a fraction")
        return said

    def what(self) -> str:
        """The limits."""
        return f"+{self.up:.4g}, −{self.fall:.4g} of the current relativity"


@dataclass(frozen=True, kw_only=True)
class Rebase(Step):
    """Make another level the base: its relativity becomes one, no premium changes.

    Attributes
    ----------
    factor, level : str
        Factor or interaction, and its level.
    """

    kind: ClassVar[str] = "rebase"
    factor: str  # type: ignore[misc]
    level: str

    def faults(self) -> list[str]:
        """Names that are no texts."""
        return _text(self.factor, "factor") + _text(self.level, "level")

    def what(self) -> str:
        """The base."""
        return f"base {self.level}"


@dataclass(frozen=True, kw_only=True)
class KeepTotal(Step):
    """Change the base premium so that the experience pays a given total.

    Attributes
    ----------
    to : {"fitted", "current", "observed"}
        What the fit expected before the first step; what the current tariff earns; what was
        observed.
    """

    kind: ClassVar[str] = "keep_total"
    to: Total = "fitted"

    def faults(self) -> list[str]:
        """A total that is not offered."""
        if self.to in get_args(Total):
            return []
        return [f"to is {self.to!r}, not fitted, current or observed"]

    def what(self) -> str:
        """The total kept."""
        return f"total as {self.to}"


@dataclass(frozen=True, kw_only=True)
class Refit(Step):
    """Fit the base premium and every factor that no step has fixed again, the fixed as offset.

    Grouped levels are fitted as one. A factor that was smoothed, restricted, set or capped is
    held, and with it its interactions.
    """

    kind: ClassVar[str] = "refit"

    def what(self) -> str:
        """Nothing to add."""
        return "base premium and free factors"


STEPS: Mapping[str, type[Step]] = {
    kind.kind: kind
    for kind in (Group, Smooth, Restrict, SetLevel, CapChange, Rebase, KeepTotal, Refit)
}


def _text(value: Any, name: str) -> list[str]:
    return [] if isinstance(value, str) and value.strip() else [f"{name} is {value!r}, not a text"]


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return list(value) if isinstance(value, tuple | list) else value
