"""From a value and the group held to the next group; the shares of groups in the long run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pricing.errors import InputError
from pricing.programme.programme import Programme

__all__ = ["levels", "next_place", "stationary_shares", "target_place", "transition_matrix"]

Floats = NDArray[np.float64]
_HAIR = 1e-9  # a value that is a cut-off but for the last bit has reached it


def target_place(programme: Programme, value: pl.Expr, held: pl.Expr | None = None) -> pl.Expr:
    """Place (0, 1, …) of the target group of a value, by the group held.

    A cut-off counts as passed upwards at cut-off + h and downwards below cut-off − h, h the
    hysteresis; without a group held (a walk), at the cut-off itself.

    Examples
    --------
    >>> from pricing.programme.programme_file import read_programme
    >>> frame = pl.DataFrame({"value": [560.0, 560.0, 613.0], "held": [1, 2, 0]})
    >>> held = pl.col("held")
    >>> frame.select(target_place(read_programme("huoli"), pl.col("value"), held))["value"].to_list()
    [1, 2, 2]
    """
    if held is None:
        return _passed(programme.cutoffs, value)
    h = programme.movement.hysteresis
    risen = _passed(programme.cutoffs, value - h)
    kept = _passed(programme.cutoffs, value + h)
    return pl.min_horizontal(pl.max_horizontal(held.cast(pl.Int32), risen), kept).alias("value")


def next_place(programme: Programme, target: pl.Expr, held: pl.Expr) -> pl.Expr:
    """Place of the next group: the target's, but by at most ``max_move`` from the one held.

    Examples
    --------
    >>> from pricing.programme.programme_file import read_programme
    >>> frame = pl.DataFrame({"target": [2, 2, 2], "held": [0, 1, 4]})
    >>> place = next_place(read_programme("huoli"), pl.col("target"), pl.col("held"))
    >>> frame.select(place.alias("next"))["next"].to_list()
    [1, 2, 3]
    """
    most = programme.movement.max_move
    if most is None or programme.movement.kind == "walk":
        return target
    return held + (target - held).clip(-most, most)


def levels(programme: Programme) -> pl.DataFrame:
    """List what a member can hold: the groups, or the rates that a walk can reach.

    Returns
    -------
    polars.DataFrame
        level (text) and rate, the lowest first.

    Examples
    --------
    >>> from pricing.programme.programme_file import read_programme
    >>> levels(read_programme("aia_new_zealand")).height
    21
    """
    if programme.movement.kind == "level":
        return pl.DataFrame({"level": list(programme.groups), "rate": list(programme.rates)})
    m = programme.movement
    reached = {round(m.start or 0.0, 10)}
    new = reached
    while new:  # a walk on a grid: some tens of rates
        step = {round(min(max(r + d, m.floor), m.cap), 10) for r in new for d in m.deltas}
        new = step - reached
        reached = reached | new
        if len(reached) > 10_000:
            raise InputError(
                "the walk reaches over 10,000 rates", where="movement.deltas", do="use whole steps"
            )
    rates = sorted(reached)
    return pl.DataFrame({"level": [f"{r:.4g}" for r in rates], "rate": rates})


def transition_matrix(
    programme: Programme, target_probabilities: Mapping[str, float] | Sequence[float]
) -> Floats:
    """Give the yearly transitions between levels where targets are drawn anew each year.

    Parameters
    ----------
    programme : Programme
        Level: group to group towards the target by ``max_move`` (no hysteresis: targets are
        given). Walk: rate to rate by the target's delta, held within floor and cap.
    target_probabilities : mapping of group to probability, or sequence in the groups' order
        They sum to 1.

    Returns
    -------
    numpy.ndarray
        Rows from, columns to, in the order of :func:`levels`; rows sum to 1.

    Raises
    ------
    InputError
        For probabilities that are not one per group, are negative or do not sum to 1.

    Examples
    --------
    >>> from pricing.programme.programme_file import read_programme
    >>> transition_matrix(read_programme("aia_hong_kong"), [0.25] * 4)[0]
    array([0.25, 0.75, 0.  , 0.  ])
    """
    p = _probabilities(programme, target_probabilities)
    table = levels(programme)
    rates = table["rate"].to_numpy()
    matrix = np.zeros((rates.size, rates.size))
    start = np.arange(rates.size)
    m = programme.movement
    for target, share in enumerate(p):
        if m.kind == "walk":
            to = np.clip(rates + m.deltas[target], m.floor, m.cap)
            place = np.abs(rates[None, :] - to[:, None]).argmin(axis=1)
        else:
            most = m.max_move or rates.size
            place = start + np.clip(target - start, -most, most)
        matrix[start, place] += share
    return matrix


def stationary_shares(matrix: Floats) -> Floats:
    """Solve π = πP, Σπ = 1: the shares of levels in the long run.

    Raises
    ------
    InputError
        For what is no transition matrix, and where the long run depends on the start (two closed
        classes of levels).

    Examples
    --------
    >>> from pricing.programme.programme_file import read_programme
    >>> stationary_shares(transition_matrix(read_programme("aia_hong_kong"), [0.25] * 4)).round(6)
    array([0.125, 0.375, 0.375, 0.125])
    """
    matrix = np.asarray(matrix, dtype=float)
    n = matrix.shape[0] if matrix.ndim else 0
    if (
        matrix.shape != (n, n)
        or not np.isfinite(matrix).all()
        or (matrix < 0).any()
        or (np.abs(matrix.sum(axis=1) - 1) > 1e-9).any()
    ):
        raise InputError(
            "is no square of shares whose rows sum to 1",
            where="transition matrix",
            do="give what transition_matrix gives",
        )
    system = np.vstack([matrix.T - np.eye(n), np.ones(n)])
    if np.linalg.matrix_rank(system) < n:
        raise InputError(
            "the long run depends on where one starts",
            where="transition matrix",
            do="give every group a probability above zero",
        )
    found: Floats = np.linalg.lstsq(system, np.append(np.zeros(n), 1.0), rcond=None)[0]
    clean: Floats = np.clip(found, 0.0, None) / np.clip(found, 0.0, None).sum()
    return clean


def _passed(cutoffs: Sequence[float], value: pl.Expr) -> pl.Expr:
    return pl.sum_horizontal(
        [(value >= cutoff - _HAIR * max(abs(cutoff), 1.0)).cast(pl.Int32) for cutoff in cutoffs]
    )


def _probabilities(
    programme: Programme, given: Mapping[str, float] | Sequence[float]
) -> list[float]:
    if isinstance(given, Mapping):
        if unknown := sorted(set(map(str, given)) ^ set(programme.groups)):
            raise InputError(
                f"{', '.join(unknown)} stand in only one of probabilities and groups",
                where="target_probabilities",
                do=f"give one for each of {', '.join(programme.groups)}",
            )
        given = [given[name] for name in programme.groups]
    right = all(isinstance(p, int | float) and not isinstance(p, bool) for p in given)
    if not right or len(given) != len(programme.groups) or not all(0 <= p <= 1 for p in given):
        raise InputError(
            f"{list(given)!r} are not {len(programme.groups)} probabilities",
            where="target_probabilities",
            do="give one of 0 to 1 per group, in the groups' order",
        )
    if abs(sum(given) - 1) > 1e-9:
        raise InputError(
            f"sum to {sum(given):g}", where="target_probabilities", do="make them sum to 1"
        )
    return [float(p) for p in given]
