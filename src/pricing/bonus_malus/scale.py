"""A bonus-malus scale: its levels, and where each outcome of a year leads.

What drives the moves is an outcome: the year's number of claims, or a target that a programme sets
(a star, a status, a score band). A rule with memory, such as the Belgian one of four years without a
claim, has more states than levels. Source: Denuit, Maréchal, Pitrebois and Walhin (2007), Actuarial
Modelling of Claim Counts, chapter 4; Lemaire (1995), Bonus-Malus Systems in Automobile Insurance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from pricing.errors import InputError, nearest
from pricing.estimate.design import Floats

__all__ = ["Scale", "count_scale", "target_scale", "walk_scale"]


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Levels, outcomes of a year, and the state that follows each.

    Parameters
    ----------
    levels : tuple of str
        In their order.
    outcomes : tuple of str
        What a year may bring.
    follows : tuple of tuple of int
        By state and outcome: the next state.
    level_of : tuple of int
        Level of each state; the levels themselves where the rules have no memory.
    values : tuple of float
        What each level is worth: a premium, a discount, a reimbursement; the level's number where
        nothing was said.
    counts : bool
        Outcomes are numbers of claims 0, 1, …, the last of them "or more".

    Examples
    --------
    >>> scale = Scale(levels=("a", "b"), outcomes=("down", "up"), follows=((0, 1), (0, 1)),
    ...               level_of=(0, 1), values=(1.0, 2.0))
    >>> scale.matrix([0.25, 0.75]).tolist()
    [[0.25, 0.75], [0.25, 0.75]]
    """

    levels: tuple[str, ...]
    outcomes: tuple[str, ...]
    follows: tuple[tuple[int, ...], ...]
    level_of: tuple[int, ...]
    values: tuple[float, ...]
    counts: bool = False

    def __post_init__(self) -> None:
        faults = []
        if len(set(self.levels)) != len(self.levels) or not self.levels:
            faults.append("levels must be named, each once")
        if len(set(self.outcomes)) != len(self.outcomes) or not self.outcomes:
            faults.append("outcomes must be named, each once")
        numbers = all(isinstance(v, int | float | np.number) for v in self.values)
        if len(self.values) != len(self.levels) or not (numbers and np.isfinite(self.values).all()):
            faults.append(f"{len(self.values)} values for {len(self.levels)} levels, all finite")
        if len(self.follows) != len(self.level_of):
            faults.append(
                f"{len(self.follows)} states with moves, {len(self.level_of)} with levels"
            )
        if any(len(row) != len(self.outcomes) for row in self.follows):
            faults.append("each state needs one next state for each outcome")
        if any(not _place(s, len(self.follows)) for row in self.follows for s in row):
            faults.append("a next state is none of the states")
        if any(not _place(k, len(self.levels)) for k in self.level_of):
            faults.append("a state is at none of the levels")
        if faults:
            raise InputError("this is no scale", faults=faults)

    @cached_property
    def steps(self) -> Floats:
        """By outcome, state and next state: 1 where the outcome leads there, else 0."""
        n = len(self.follows)
        found = np.zeros((len(self.outcomes), n, n))
        to = np.array(self.follows)
        for o in range(len(self.outcomes)):
            found[o, np.arange(n), to[:, o]] = 1.0
        return found

    @cached_property
    def at_level(self) -> Floats:
        """By state and level: 1 where the state is at the level."""
        return np.eye(len(self.levels))[list(self.level_of)]

    def matrix(self, probabilities: Sequence[float] | Floats) -> Floats:
        """Transition matrices of the states, one for each set of outcome probabilities.

        Parameters
        ----------
        probabilities : array, (..., outcomes)
            Zero or more, adding to 1.

        Returns
        -------
        array, (..., states, states)
        """
        p = require_probabilities(probabilities, len(self.outcomes))
        return np.asarray(np.einsum("...o,ost->...st", p, self.steps))

    def start(self, level: str | Mapping[str, float]) -> Floats:
        """Shares of the states for lives that begin at a level, or spread over levels by share."""
        if not isinstance(level, str | Mapping):
            raise InputError(f"a start is a level or shares of levels, got {level!r}")
        shares = {level: 1.0} if isinstance(level, str) else dict(level)
        for name in shares:
            if name not in self.levels:
                raise InputError(f"{name!r} is no level{nearest(str(name), self.levels)}")
        given = require_probabilities([shares.get(n, 0.0) for n in self.levels], len(self.levels))
        if lost := [
            n for k, n in enumerate(self.levels) if given[k] > 0 and k not in self.level_of
        ]:
            raise InputError(f"nobody can begin at {', '.join(lost)}: no state is at the level")
        first = [self.level_of.index(k) if k in self.level_of else 0 for k in range(len(given))]
        found = np.zeros(len(self.follows))
        found[first] += given
        return found

    def valued(self, values: Mapping[str, float] | Sequence[float]) -> Scale:
        """Give the levels other values, such as the relativities found."""
        if isinstance(values, Mapping):
            missing = [name for name in self.levels if name not in values]
            if missing or len(values) != len(self.levels):
                raise InputError(f"values name {sorted(values)}, the levels are {self.levels}")
            values = [values[name] for name in self.levels]
        return replace(self, values=tuple(float(v) for v in values))

    def with_freeze(self, name: str = "frozen") -> Scale:
        """Add an outcome that leaves everyone where they are, such as a stay in hospital."""
        if name in self.outcomes or self.counts:
            raise InputError(f"{name!r} cannot be added: outcomes are {self.outcomes}")
        return replace(
            self,
            outcomes=(*self.outcomes, name),
            follows=tuple((*row, state) for state, row in enumerate(self.follows)),
        )


def count_scale(
    levels: int,
    *,
    malus: int | Sequence[int] | str,
    bonus: int = 1,
    free_years: int | None = None,
    free_level: int | None = None,
) -> Scale:
    """Build a scale driven by the year's number of claims; level 0 is the best, the last the top.

    Parameters
    ----------
    levels : int
        Number of levels, 2 or more.
    malus : int, sequence of int or "top"
        Levels up for each claim; several: for the first, the second, …, the last for every further
        one; or straight to the top.
    bonus : int
        Levels down after a year without a claim.
    free_years, free_level : int, optional
        After so many years without a claim in a row, nobody stands above this level (Belgium 1992:
        4 years, level 14).

    Returns
    -------
    Scale
        Levels "0", "1", …; outcomes "0", "1", …, "n+".

    Raises
    ------
    InputError
        For levels, bonus, malus or a special rule out of their domain.

    Notes
    -----
    Next level: max(l − bonus, 0) without a claim, min(l + Σ malus, top) with claims.

    Examples
    --------
    >>> count_scale(6, malus=2).follows[1]  # from level 1: no claim, 1, 2, 3 or more
    (0, 3, 5, 5)
    >>> belgian = count_scale(23, malus=(4, 5), free_years=4, free_level=14)
    >>> len(belgian.levels), len(belgian.follows)
    (23, 115)
    """
    faults = []
    if not _whole(levels) or levels < 2:
        faults.append(f"levels must be a whole number from 2, got {levels!r}")
    if not _whole(bonus) or bonus < 1:
        faults.append(f"bonus must be a whole number from 1, got {bonus!r}")
    ups: list[int] = []
    if isinstance(malus, str):
        if malus != "top":
            faults.append(f"malus is levels per claim or 'top', got {malus!r}")
    else:
        ups = [malus] if isinstance(malus, int) else [*_several(malus)]
        if not ups or not all(_whole(u) and u >= 1 for u in ups):
            faults.append(f"malus must be whole numbers from 1, got {malus!r}")
    memory = free_years or 0
    if (free_years is None) != (free_level is None):
        faults.append("the special rule needs both free_years and free_level")
    elif free_years is not None and free_level is not None:
        if not _whole(free_years) or free_years < 1:
            faults.append(f"free_years must be a whole number from 1, got {free_years!r}")
        if not _whole(free_level) or not _whole(levels) or not 0 <= free_level < levels:
            faults.append(f"free_level must be one of the levels, got {free_level!r}")
    if faults:
        raise InputError("the scale cannot be built", faults=faults)
    top = levels - 1
    up = _rises(ups or [top], top)
    states = [(level, free) for level in range(levels) for free in range(memory + 1)]
    place = {state: i for i, state in enumerate(states)}

    def next_state(level: int, free: int, claims: int) -> int:
        if claims:
            return place[min(level + up[claims], top), 0]
        free = min(free + 1, memory)
        level = max(level - bonus, 0)
        if free_level is not None and free == memory:
            level = min(level, free_level)
        return place[level, free]

    last = len(up) - 1
    return Scale(
        levels=tuple(str(k) for k in range(levels)),
        outcomes=(*(str(n) for n in range(last)), f"{last}+"),
        follows=tuple(tuple(next_state(k, f, n) for n in range(last + 1)) for k, f in states),
        level_of=tuple(k for k, _ in states),
        values=tuple(float(k) for k in range(levels)),
        counts=True,
    )


def target_scale(
    levels: Sequence[str],
    *,
    max_up: int | None = 1,
    max_down: int | None = 1,
    values: Sequence[float] | None = None,
) -> Scale:
    """Build a scale driven by a target level, such as a star or a score band.

    Parameters
    ----------
    levels : sequence of str
        In their order; the outcome of a year is one of them, the target.
    max_up, max_down : int, optional
        Levels that one renewal may move towards the target (a ratchet); None: straight to it (a
        scheme that is set anew each year).
    values : sequence of float, optional
        What each level is worth.

    Returns
    -------
    Scale

    Examples
    --------
    >>> stars = target_scale(["55", "60", "65", "70"])  # one step towards the star's level
    >>> stars.follows[0]
    (0, 1, 1, 1)
    >>> target_scale(["G0", "G1", "G2"], max_up=None, max_down=None).follows[0]
    (0, 1, 2)
    """
    n = len(levels)
    faults = [
        f"{name} must be a whole number from 0, got {most!r}"
        for name, most in (("max_up", max_up), ("max_down", max_down))
        if most is not None and (not _whole(most) or most < 0)
    ]
    if faults:
        raise InputError("the scale cannot be built", faults=faults)
    up, down = (n if most is None else most for most in (max_up, max_down))
    return Scale(
        levels=tuple(levels),
        outcomes=tuple(levels),
        follows=tuple(tuple(k + min(max(t - k, -down), up) for t in range(n)) for k in range(n)),
        level_of=tuple(range(n)),
        values=tuple(range(n) if values is None else values),
    )


def walk_scale(
    deltas: Mapping[str, float], *, low: float, high: float, step: float = 0.01
) -> Scale:
    """Build a scale whose value walks up and down by the year's status, held within bounds.

    Parameters
    ----------
    deltas : mapping of str to float
        Change of the value by status, whole multiples of ``step``.
    low, high, step : float
        Bounds of the value and the distance of two levels.

    Returns
    -------
    Scale
        A level for every value from low to high.

    Examples
    --------
    >>> flex = walk_scale({"bronze": -0.02, "silver": -0.01, "gold": 0.0, "platinum": 0.02},
    ...                   low=0.0, high=0.20)
    >>> len(flex.levels), flex.levels[10], [flex.levels[i] for i in flex.follows[19]]
    (21, '0.1', ['0.17', '0.18', '0.19', '0.2'])
    """
    numbers = {"low": low, "high": high, "step": step, **deltas}
    faults = [
        f"{name} must be a number, got {x!r}"
        for name, x in numbers.items()
        if isinstance(x, bool) or not isinstance(x, (int, float)) or not np.isfinite(x)
    ]
    if not faults and (step <= 0 or high <= low or not deltas):
        faults.append("step must be above zero, high above low, and there must be deltas")
    if not faults:
        faults = [
            f"{name} = {x!r} is no whole number of steps of {step!r}"
            for name, x in {**deltas, "high - low": high - low}.items()
            if abs(x / step - round(x / step)) > 1e-9
        ]
    if faults:
        raise InputError("the walk cannot be built", faults=faults)
    n = round((high - low) / step) + 1
    moves = [round(x / step) for x in deltas.values()]
    values = [round(low + i * step, 12) for i in range(n)]
    return Scale(
        levels=tuple(f"{v:g}" for v in values),
        outcomes=tuple(deltas),
        follows=tuple(tuple(min(max(k + m, 0), n - 1) for m in moves) for k in range(n)),
        level_of=tuple(range(n)),
        values=tuple(values),
    )


def require_probabilities(given: Sequence[float] | Floats, size: int) -> Floats:
    """Refuse what are no probabilities of so many outcomes."""
    try:
        p = np.asarray(given, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"probabilities must be numbers: {error}") from error
    if p.ndim == 0 or p.shape[-1] != size:
        raise InputError(f"{size} probabilities are wanted, got an array of shape {p.shape}")
    if not np.isfinite(p).all() or (p < 0).any() or (abs(p.sum(axis=-1) - 1) > 1e-9).any():
        raise InputError("probabilities must be zero or more and add to 1")
    return p


def _several(value: object) -> Sequence[int]:
    """A sequence as it is; anything else as one value, to be refused by its type."""
    return value if isinstance(value, Sequence) else [value]  # type: ignore[list-item]


def _place(value: object, size: int) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        return False
    return bool(0 <= value < size)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _rises(ups: list[int], top: int) -> list[int]:
    """Levels up by number of claims, as far as the number matters."""
    found = [0]
    while found[-1] < top:
        found.append(found[-1] + ups[min(len(found) - 1, len(ups) - 1)])
    return found
