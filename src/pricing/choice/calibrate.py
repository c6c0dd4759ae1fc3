"""Calibration: a choice model that passes through published points, where there is nothing to fit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from scipy.optimize import root

from pricing.choice.choice_model import ALL, PRICE, ChoiceModel
from pricing.choice.market import money_by_tier
from pricing.choice.nested import Menus
from pricing.errors import InputError
from pricing.estimate.design import Column, Floats
from pricing.files import fingerprint
from pricing.result.shape import Basis

__all__ = ["calibrate"]

STEPS = 20


def calibrate(
    prices: Mapping[str, float],
    *,
    take_up: float,
    at: Mapping[str, float],
    then: float,
    split: Mapping[str, float] | None = None,
    dissimilarity: float = 1.0,
    awareness: float = 1.0,
    risk_effect: float = 0.0,
    risks: pl.DataFrame | None = None,
    outside: str = "none",
    source: str = "",
) -> ChoiceModel:
    """Solve for the constants and the price effect that give take-up at two published prices.

    This is no estimate: it has no error and passes its points by construction. It says what the two
    figures imply together, and carries that to other prices by the form of the logit.

    Parameters
    ----------
    prices : mapping of tier to float
        Price paid a year at the first point.
    take_up : float
        Share of persons in any tier there, between 0 and 1.
    at, then : mapping of tier to float, float
        Price paid and take-up at the second point.
    split : mapping of tier to float, optional
        Shares of the tiers among the insured at the first point, adding to 1; needed for two or more.
    dissimilarity : float
        λ of the nest, assumed.
    awareness : float
        Share who know of the plan; no take-up can pass it.
    risk_effect : float
        Change of every tier's utility per unit of the column ``risk``: selection, assumed.
    risks : polars.DataFrame, optional
        Columns ``risk`` and ``persons``, needed for a risk effect.
    outside : str
        Name of taking none.
    source : str
        Where the points come from.

    Raises
    ------
    InputError
        For shares out of their domain, a take-up above awareness, prices that do not move or move take-up
        the wrong way, and points the model cannot pass.

    Notes
    -----
    Unknowns: a constant per tier and b; equations: two take-ups, and the split but one. For one tier and
    one type, b = (logit s₁ − logit s₀)/(p₁ − p₀), s the take-up of the aware.

    Examples
    --------
    >>> model = calibrate({"basic": 500.0}, take_up=0.10, at={"basic": 300.0}, then=0.80)
    >>> model.facts["price_effect"].__round__(6)
    -0.017918
    >>> calibrate({"basic": 500.0}, take_up=0.10, at={"basic": 300.0}, then=0.80, awareness=0.30)
    Traceback (most recent call last):
    pricing.errors.InputError: take-up: the published points contradict each other
      - 80.0% cannot take a tier where 30.0% know of the plan
      do: raise awareness, or take the people in without their asking
    """
    for where, given in (("prices", prices), ("at", at)):
        if not isinstance(given, Mapping):
            raise InputError(f"a price for each tier by its name, got {given!r}", where=where)
    tiers = tuple(prices)
    if not tiers:
        raise InputError("there is no tier", where="prices")
    first, second = money_by_tier(tiers, prices, "prices"), money_by_tier(tiers, at, "at")
    _require(take_up, then, awareness, dissimilarity, risk_effect, first, second)
    if outside in tiers:
        raise InputError(f"{outside!r} is the outside option, not a tier", where="prices")
    parts = _split(tiers, split)
    x, weights = _types(risk_effect, risks)
    n, size = len(x), len(tiers)
    known = [s / awareness for s in (take_up, then)]
    slope = float(np.diff(np.log(known) - np.log1p(-np.array(known)))[0] / (second - first).mean())

    def menus(paid: Floats) -> Menus:
        every = np.broadcast_to(np.append(0.0, paid), (n, size + 1))
        one = np.ones((n, 1))
        return Menus(
            x,
            one,
            every,
            np.ones(every.shape),
            np.zeros(every.shape),
            awareness,
            False,
            dissimilarity,
        )

    def parameters(unknown: Floats, effect: float) -> Floats:
        a = np.column_stack([unknown[:size], np.full(size, effect)])[:, : x.shape[1]]
        return np.append(a.ravel(), unknown[size] * slope)

    here, there = menus(first), menus(second)

    def miss(unknown: Floats, effect: float) -> Floats:
        theta = parameters(unknown, effect)
        now = weights @ here.shares(theta).every[:, 1:]
        later = weights @ there.shares(theta).every[:, 1:]
        odd = [_odds(now.sum(), take_up, awareness), _odds(later.sum(), then, awareness)]
        return np.array([*odd, *(now[1:] / now.sum() - parts[1:])])

    unknown = np.append(
        np.log(known[0] / (1 - known[0])) - slope * first + np.log(parts) * dissimilarity, 1.0
    )
    mean = float(weights @ x[:, -1]) if x.shape[1] > 1 else 0.0
    for k in range(1, STEPS + 1):  # the effect of risk grows to its size, the constants follow
        effect = risk_effect * k / STEPS
        unknown[:size] -= risk_effect / STEPS * mean
        unknown = np.asarray(root(miss, unknown, args=(effect,), tol=1e-13).x)
    if not np.abs(miss(unknown, risk_effect)).max() <= 1e-9:
        raise InputError(
            "no constants pass the points",
            where="calibration",
            do="weaken the risk effect or change λ",
        )
    theta = parameters(unknown, risk_effect)
    columns = [Column("(intercept)", (), ())]
    if x.shape[1] > 1:
        columns.append(Column("risk", ("risk",), (None,)))
    names = [c.name for _ in tiers for c in columns]
    none = [None] * (len(theta))
    table = pl.DataFrame(
        {"alternative": [t for t in tiers for _ in columns] + [ALL], "coefficient_name": [*names, PRICE],
         "utility": theta, "std_error": none, "lower": none, "upper": none, "p_value": none},
        schema_overrides=dict.fromkeys(("std_error", "lower", "upper", "p_value"), pl.Float64),
    )  # fmt: skip
    effect = float(theta[-1])
    facts = {
        "tiers": size, "take_up": take_up, "then": then, "price": float(first.mean()), "price_then": float(second.mean()),
        "price_effect": effect, "odds": float(np.exp(100 * effect)), "dissimilarity": dissimilarity,
        "aware": awareness, "calibrated": True, "currency": "CNY",
    }  # fmt: skip
    details = {
        "alternatives": [outside, *tiers], "by": [c.name for c in columns[1:]],
        "x": [c.record() for c in columns], "z": [Column("(intercept)", (), ()).record()], "levels": {},
        "parameters": theta.tolist(), "covariance": np.zeros((len(theta), len(theta))).tolist(),
        "nested": False, "dissimilarity": dissimilarity, "aware": awareness,
    }  # fmt: skip
    note = "calibrated to two published points, not estimated: there is no interval"
    basis = Basis(source=source, notes=(note,), fingerprint=fingerprint(repr(details)))
    return ChoiceModel(table=table, basis=basis, facts=facts, details=details)


def _odds(share: float, wanted: float, awareness: float) -> float:
    """Log odds ratio of a share to the one wanted, among those who know of the plan."""
    share, wanted = (min(max(s / awareness, 1e-300), 1 - 1e-16) for s in (share, wanted))
    return float(np.log(share / wanted) - np.log((1 - share) / (1 - wanted)))


def _require(
    take_up: float,
    then: float,
    awareness: float,
    lam: float,
    risk_effect: float,
    first: Floats,
    second: Floats,
) -> None:
    given = {"take-up": take_up, "take-up then": then, "awareness": awareness, "dissimilarity": lam}
    faults = [
        f"{name} is a number above 0, got {v!r}"
        for name, v in {**given}.items()
        if isinstance(v, bool) or not isinstance(v, int | float) or not 0 < v < np.inf
    ]
    if (
        isinstance(risk_effect, bool)
        or not isinstance(risk_effect, int | float)
        or not np.isfinite(risk_effect)
    ):
        faults.append(f"risk effect is a finite number, got {risk_effect!r}")
    if not faults:
        faults = [f"{n} is a share, got {v!r}" for n, v in list(given.items())[:3] if v > 1]
        most = max(take_up, then)
        if most >= 1:
            faults.append("a take-up of 100% has no logit: give a share below 1")
        moved = second - first
        if not (moved < 0).all() and not (moved > 0).all():
            faults.append("every price must move, all the same way, between the two points")
        elif (then - take_up) * moved[0] >= 0:
            faults.append(
                f"take-up goes from {take_up:.1%} to {then:.1%} as the price moves by {moved[0]:+,.0f}"
            )
        if 1 > most >= awareness:
            faults.append(f"{most:.1%} cannot take a tier where {awareness:.1%} know of the plan")
    if faults:
        raise InputError(
            "the published points contradict each other",
            where="take-up",
            faults=faults,
            do="raise awareness, or take the people in without their asking"
            if any("know of" in f for f in faults)
            else "correct the points",
        )


def _split(tiers: tuple[str, ...], split: Mapping[str, float] | None) -> Floats:
    if split is None:
        if len(tiers) > 1:
            raise InputError(
                "two tiers or more need their split", where="split", do="say who takes which"
            )
        return np.ones(1)
    parts = money_by_tier(tiers, split, "split", above_zero=True)
    if abs(parts.sum() - 1) > 1e-9:
        raise InputError(f"the shares add to {parts.sum():.6g}, not to 1", where="split")
    return parts


def _types(risk_effect: float, risks: pl.DataFrame | None) -> tuple[Floats, Floats]:
    if risk_effect == 0 and risks is None:
        return np.ones((1, 1)), np.ones(1)
    if risks is None or risks.is_empty() or not {"risk", "persons"} <= set(risks.columns):
        raise InputError("a risk effect needs risks: columns risk and persons", where="risks")
    texts = [n for n in ("risk", "persons") if not risks.schema[n].is_numeric()]
    if texts:
        raise InputError(f"{' and '.join(texts)} must be numbers", where="risks")
    values = risks.select(pl.col("risk", "persons").cast(pl.Float64)).to_numpy()
    if not np.isfinite(values).all() or (values < 0).any() or values[:, 1].sum() == 0:
        raise InputError("risk and persons must be finite and not below zero", where="risks")
    return np.column_stack([np.ones(len(values)), values[:, 0]]), values[:, 1] / values[:, 1].sum()
