"""Knapsack: which visits to make with the hours there are, by value per hour or exactly."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, vstack

from pricing.errors import InputError
from pricing.reassessment.domain import Floats, numbers, require_keys_once

__all__ = ["exact_choice", "fractional_value", "require_capacity"]

Flags = npt.NDArray[np.bool_]


def require_capacity(cases: pl.DataFrame, capacity: Mapping[str, float]) -> dict[str, float]:
    """Refuse hours that are no number of 0 or more, and settings without any hours said.

    Examples
    --------
    >>> require_capacity(pl.DataFrame({"setting": ["home"]}), {"home": 10})
    {'home': 10.0}
    """
    kinds = cases["setting"].cast(pl.String).unique().sort().to_list()
    faults = [f"no hours are given for {k!r}" for k in kinds if k not in capacity]
    for name, hours in capacity.items():
        good = isinstance(hours, int | float | np.number) and not isinstance(hours, bool)
        if not (good and np.isfinite(hours) and hours >= 0):
            faults.append(f"hours of {name!r} must be 0 or more and finite, got {hours!r}")
    if faults:
        raise InputError("capacity that cannot be used", faults=faults, do='give hours by setting, such as {"home": 400, "institution": 60}')  # fmt: skip
    return {k: float(v) for k, v in capacity.items()}


def fractional_value(value: Floats, hours: Floats, capacity: float) -> float:
    """Give the most that visits could bring if the last one could be made in part: an upper bound.

    Sorted by value per hour (Dantzig 1957); visits worth nothing are not made.

    Examples
    --------
    >>> fractional_value(np.array([60.0, 100.0, 120.0]), np.array([1.0, 2.0, 3.0]), 5.0)
    240.0
    """
    good = value > 0
    v, h = value[good], hours[good]
    order = np.argsort(-v / h, kind="stable")
    v, h = v[order], h[order]
    before = np.cumsum(h) - h
    part = np.clip((capacity - before) / h, 0.0, 1.0)
    return float(part @ v)


def exact_choice(
    cases: pl.DataFrame,
    capacity: Mapping[str, float],
    *,
    cap_per_provider: int | None = None,
    gap: float = 0.0,
) -> Flags:
    """Choose the visits of the greatest total value exactly, by integer programming.

    Parameters
    ----------
    cases : polars.DataFrame
        case_id, setting, provider, net_value, hours.
    capacity : mapping of str to float
        Hours by setting.
    cap_per_provider : int, optional
        Visits to the cases of one provider at most.
    gap : float
        Relative gap at which the search may stop; 0 proves the optimum.

    Returns
    -------
    array of bool, one per case

    Raises
    ------
    InputError
        For capacity and numbers out of their domain, and where the search does not end.

    Notes
    -----
    max Σ v x, Σ_{setting} hours x ≤ capacity, Σ_{provider} x ≤ cap, x in {0, 1}, by HiGHS through
    ``scipy.optimize.milp``; visits of no value are left out beforehand.

    Examples
    --------
    >>> cases = pl.DataFrame({"case_id": ["a", "b", "c"], "setting": "home", "provider": "x",
    ...     "net_value": [60.0, 100.0, 120.0], "hours": [1.0, 2.0, 3.0]})
    >>> exact_choice(cases, {"home": 5.0}).tolist()
    [False, True, True]
    """
    require_keys_once(cases, "case_id", "cases")
    inf = float("inf")
    read = numbers(cases, "cases", {"net_value": (-inf, inf), "hours": (0.0, inf)}, open_low=["hours"])  # fmt: skip
    room = require_capacity(cases, capacity)
    require_cap(cap_per_provider)
    chosen = np.zeros(cases.height, dtype=bool)
    good = np.flatnonzero(read["net_value"] > 0)
    if not len(good):
        return chosen
    v, h = read["net_value"][good], read["hours"][good]
    setting = cases["setting"].cast(pl.String).to_numpy()[good]
    kinds, kind = np.unique(setting, return_inverse=True)
    here = np.arange(len(good))
    rows = [csr_array((h, (kind.ravel(), here)), shape=(len(kinds), len(good)))]
    most = [np.array([room[k] for k in kinds])]
    if cap_per_provider is not None:
        names, who = np.unique(cases["provider"].cast(pl.String).to_numpy()[good], return_inverse=True)  # fmt: skip
        rows.append(csr_array((np.ones(len(good)), (who.ravel(), here)), shape=(len(names), len(good))))  # fmt: skip
        most.append(np.full(len(names), float(cap_per_provider)))
    found = milp(
        -v * (1e3 / v.max()),  # the search stops within 1e-6 of the optimum: of no unit of money
        constraints=LinearConstraint(vstack(rows), ub=np.concatenate(most)),
        integrality=np.ones(len(good)),
        bounds=Bounds(0, 1),
        # presolve prints lines of its own in this version, and gains nothing on one sum or two
        options={"mip_rel_gap": gap, "presolve": False},
    )
    if found.x is None or not found.success:
        raise InputError(f"the integer programme did not end: {found.message}", do='take method="greedy", or a gap above 0')  # fmt: skip
    chosen[good] = found.x > 0.5
    return chosen


def require_cap(cap: int | None) -> None:
    """Refuse a cap that is no whole number of 0 or more.

    Examples
    --------
    >>> require_cap(3)
    """
    if cap is not None and (isinstance(cap, bool) or not isinstance(cap, int | np.integer) or cap < 0):  # fmt: skip
        raise InputError(f"cap_per_provider must be a whole number, 0 or more, got {cap!r}")
