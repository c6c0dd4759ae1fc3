"""A state graph to value: its states and the intensity of each move, by age."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from pricing.errors import InputError, nearest

__all__ = ["Rate", "StateModel", "state_model", "state_model_of_matrices", "state_model_of_rates"]

Floats = NDArray[np.float64]
Rate = float | Callable[[float], float]


@dataclass(frozen=True, kw_only=True)
class StateModel:
    """States, and what each move between them costs in intensity, per year, at an attained age.

    Made by :func:`state_model`, :func:`state_model_of_rates` or :func:`state_model_of_matrices`.

    Attributes
    ----------
    states : tuple of str
        In their order.
    generator_at : callable
        Age to the (k, k) matrix of intensities, whose rows add to 0.
    moves : frozenset of (from, to)
        Those there are.
    breaks : tuple of float
        Ages at which intensities jump.
    constant : bool
        Whether they are level between breaks: then matrix exponentials are exact.
    first_age, end_age : float
        The intensities are known from the one up to the other.
    """

    states: tuple[str, ...]
    generator_at: Callable[[float], Floats]
    moves: frozenset[tuple[str, str]]
    breaks: tuple[float, ...] = ()
    constant: bool = False
    first_age: float = -np.inf
    end_age: float = np.inf

    def generator(self, age: float) -> Floats:
        """Intensities at an age, checked: finite, not negative off the diagonal, rows adding to 0."""
        found = np.array(self.generator_at(float(age)), dtype=float)
        k = len(self.states)
        if found.shape != (k, k):
            raise InputError(f"intensities of shape {found.shape} for {k} states")
        off = found.copy()
        np.fill_diagonal(off, 0.0)
        bad = ~np.isfinite(off) | (off < 0)
        if bad.any():
            i, j = (int(n[0]) for n in np.nonzero(bad))
            raise InputError(
                f"the intensity from {self.states[i]} to {self.states[j]} is {off[i, j]:g} "
                f"at age {age:g}",
                do="give intensities that are finite and not negative at every age in the term",
            )
        np.fill_diagonal(off, 0.0 - off.sum(axis=1))
        return off

    def index(self, state: str) -> int:
        """Place of a state, or a refusal that names the nearest."""
        if state not in self.states:
            raise InputError(f"no state {state!r}{nearest(str(state), self.states)}")
        return self.states.index(state)

    def start(self, where: str | Mapping[str, float]) -> Floats:
        """Chances of the states at the start: one state, or shares that add to 1."""
        given = {where: 1.0} if isinstance(where, str) else dict(where)
        chances = np.zeros(len(self.states))
        for state, share in given.items():
            chances[self.index(state)] = share
        if not np.isfinite(chances).all() or (chances < 0).any() or abs(chances.sum() - 1) > 1e-9:
            raise InputError(f"the shares at the start must be 0 or more and add to 1, got {given}")
        return chances

    def hold(self, age: float, years: float) -> None:
        """Refuse a term that is none, or that leaves the ages the intensities are known for."""
        if not (np.isfinite(age) and np.isfinite(years) and years > 0):
            raise InputError(f"a term of {years} years from age {age}")
        if age < self.first_age or age + years > self.end_age + 1e-9:
            raise InputError(
                f"the term runs from age {age:g} to {age + years:g}; intensities are known from "
                f"{self.first_age:g} to {self.end_age:g}",
                do="shorten the term or give intensities for all its ages",
            )


def state_model(
    moves: Mapping[tuple[str, str], Rate],
    *,
    states: Sequence[str] | None = None,
    breaks: Iterable[float] = (),
    constant: bool = False,
) -> StateModel:
    """Describe a state graph by the moves there are.

    Parameters
    ----------
    moves : mapping of (from, to) to float or callable
        Intensity per year: a number, or a function of attained age in years.
    states : sequence of str, optional
        Their order; in the order of the moves where left out.
    breaks : iterable of float
        Ages at which a function jumps; without them a jump is smeared over a step of the solver.
    constant : bool
        The functions are level between breaks. Numbers always are.

    Raises
    ------
    InputError
        For no moves, moves of a state to itself and states that are unknown or named twice.

    Examples
    --------
    >>> model = state_model({("healthy", "sick"): 0.1, ("sick", "healthy"): 0.5,
    ...                      ("healthy", "dead"): lambda x: 0.001 * x, ("sick", "dead"): 0.2})
    >>> model.generator(40.0).round(3).tolist()
    [[-0.14, 0.1, 0.04], [0.5, -0.7, 0.2], [0.0, 0.0, 0.0]]
    """
    if not moves:
        raise InputError("a state graph needs moves")
    seen = list(dict.fromkeys(state for move in moves for state in move))
    order = tuple(seen if states is None else states)
    faults = [f"{a} to itself" for a, b in moves if a == b]
    faults += [
        f"{state!r} is no state{nearest(state, order)}" for state in seen if state not in order
    ]
    faults += [f"{state!r} is named {order.count(state)} times" for state in dict.fromkeys(order)
               if order.count(state) > 1]  # fmt: skip
    if faults:
        raise InputError("not a state graph", faults=faults)
    places = [(order.index(a), order.index(b), rate) for (a, b), rate in moves.items()]

    def generator_at(age: float) -> Floats:
        found = np.zeros((len(order), len(order)))
        for i, j, rate in places:
            found[i, j] = rate(age) if callable(rate) else rate
        return found

    level = constant or not any(callable(rate) for rate in moves.values())
    return StateModel(
        states=order,
        generator_at=generator_at,
        moves=frozenset(moves),
        breaks=tuple(sorted(breaks)),
        constant=level,
    )


def state_model_of_matrices(
    states: Sequence[str], ages: ArrayLike, intensities: ArrayLike, *, end_age: float | None = None
) -> StateModel:
    """Describe a state graph by one matrix of intensities per age, level until the next.

    Parameters
    ----------
    states : sequence of str
        In the order of the rows and columns.
    ages : array_like, shape (n,)
        Where each matrix starts to hold, years, rising.
    intensities : array_like, shape (n, k, k)
        Per year; the diagonal is not read.
    end_age : float, optional
        Where the last ends to hold; a year after its start where left out.

    Raises
    ------
    InputError
        For shapes that do not fit and ages that do not rise.

    Examples
    --------
    >>> model = state_model_of_matrices(["alive", "dead"], [60, 61], [[[0, .01], [0, 0]], [[0, .02], [0, 0]]])
    >>> float(model.generator(61.5)[0, 1]), model.end_age
    (0.02, 62.0)
    """
    starts, rates = np.array(ages, dtype=float), np.array(intensities, dtype=float)
    k = len(states)
    if starts.ndim != 1 or not len(starts) or rates.shape != (len(starts), k, k):
        raise InputError(
            f"{len(starts) if starts.ndim else 0} ages and {k} states with intensities of shape "
            f"{rates.shape}"
        )
    if not np.isfinite(starts).all() or (np.diff(starts) <= 0).any():
        raise InputError("the ages must be finite and rise")
    if len(set(states)) < k:
        raise InputError("a state is named twice")

    def generator_at(age: float) -> Floats:
        return cast(Floats, rates[max(int(np.searchsorted(starts, age, side="right")) - 1, 0)])

    return StateModel(
        states=tuple(states),
        generator_at=generator_at,
        moves=frozenset(
            (states[int(i)], states[int(j)])
            for i, j in np.argwhere((rates != 0).any(axis=0))
            if i != j
        ),
        breaks=tuple(starts[1:].tolist()),
        constant=True,
        first_age=float(starts[0]),
        end_age=float(starts[-1]) + 1 if end_age is None else float(end_age),
    )


def state_model_of_rates(rates: pl.DataFrame, *, states: Sequence[str] | None = None) -> StateModel:
    """Describe a state graph by a frame of yearly rates, level over each year of age.

    Parameters
    ----------
    rates : polars.DataFrame
        ``from_state``, ``to_state``, ``age`` (whole years) and ``rate`` (per year), such as one sex
        of :func:`pricing.data.transitions.disability_rates`. Every move at every age, once.
    states : sequence of str, optional
        Their order; in order of appearance, from before to, where left out.

    Raises
    ------
    InputError
        For columns that lack, moves given twice or not at every age, and gaps in the ages.

    Examples
    --------
    >>> from pricing.data.transitions import disability_rates
    >>> men = disability_rates("clhls", range(65, 111)).filter(pl.col("sex") == "male")
    >>> model = state_model_of_rates(men)
    >>> model.states, model.first_age, model.end_age
    (('healthy', 'disabled', 'dead'), 65.0, 111.0)
    """
    lacking = [c for c in ("from_state", "to_state", "age", "rate") if c not in rates.columns]
    if lacking:
        raise InputError(f"columns {', '.join(lacking)} are missing from the rates")
    frame = rates.select(
        pl.col("from_state", "to_state").cast(pl.String), pl.col("age", "rate").cast(pl.Float64)
    )
    twice = frame.filter(pl.struct("from_state", "to_state", "age").is_duplicated())
    if not twice.is_empty():
        raise InputError(
            f"{twice.height:,} of {frame.height:,} rates are of a move and age given twice, first "
            f"{' to '.join(twice.row(0)[:2])} at {twice['age'][0]:g}",
            do="keep one sex and one study",
        )
    ages = frame["age"].unique().sort().to_numpy()
    if frame.is_empty() or (np.diff(ages) != 1).any():
        raise InputError("the rates must be of whole years of age without gaps")
    uneven = frame.group_by("from_state", "to_state").len().filter(pl.col("len") != len(ages))
    if not uneven.is_empty():
        move = uneven.sort("from_state", "to_state").row(0)
        raise InputError(f"{move[0]} to {move[1]} has {move[2]} of {len(ages)} ages")
    seen = [*dict.fromkeys([*frame["from_state"], *frame["to_state"]])]
    order = list(seen if states is None else states)
    unknown = [state for state in seen if state not in order]
    if unknown:
        raise InputError(f"no state {unknown[0]!r}{nearest(unknown[0], order)}")
    matrices = np.zeros((len(ages), len(order), len(order)))
    matrices[
        np.searchsorted(ages, frame["age"].to_numpy()),
        [order.index(state) for state in frame["from_state"]],
        [order.index(state) for state in frame["to_state"]],
    ] = frame["rate"].to_numpy()
    return state_model_of_matrices(order, ages, matrices)
