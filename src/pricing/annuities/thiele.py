"""Reserves by state: Thiele's differential equation, backwards in time.

V_i'(t) = r(t) V_i − b_i − Σ_j μ_ij (b_ij + V_j − V_i), V(n) = 0, and V_i(t−) = V_i(t) + what is paid
in state i at t (Hoem 1969, Markov chain models in life insurance, Blätter der DGVFM 9(2); Dickson,
Hardy and Waters 2013, chapter 8). Exact: where intensities and payments are level in pieces a matrix
exponential, else Dormand and Prince's method of order 8. By the book: Euler steps of a month from the
end, the slope taken at the later end of each step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
import polars as pl
from numpy.typing import NDArray

from pricing.annuities.interest import Interest, as_interest
from pricing.annuities.kolmogorov import (
    HAIR,
    TIGHT,
    Method,
    grid_of,
    hold_method,
    knots_of,
    pieces,
)
from pricing.annuities.payments import AtTime, OnMove, Payment, WhileIn, hold_payments, worth
from pricing.annuities.state_model import StateModel
from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.multistate.exponential import series
from pricing.result.series import SERIES
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["Thiele", "thiele"]

Floats = NDArray[np.float64]


class Thiele(Result):
    """Reserve by state and time; ``.table``: years_since_start, age, in_state, state_reserve.

    The reserve at a time is the worth then of benefits from that time on, those at the time itself
    included, less that of the premiums.
    """

    kind = "thiele"

    def reserve(self, state: str, time: float = 0.0) -> float:
        """Reserve in a state at a time of the table."""
        near = (pl.col("years_since_start") - time).abs() < 1e-9
        row = self.table.filter(near, pl.col("in_state") == state)
        if row.is_empty():
            raise InputError(f"no state {state!r} at {time} years in the table")
        return float(row["state_reserve"][0])

    def finding(self, lang: Language = "en") -> str:
        """Say the premium, and where the reserve is highest."""
        facts = {**self.facts, "scheme": say(f"sentence.scheme_{self.facts['method']}", lang)}
        facts["highest_state"] = level_label(facts["highest_state"], lang)
        said = say("finding.thiele", lang, **facts)
        if facts["level_premium"] is not None:
            facts["payer"] = level_label(facts["payer"], lang)
            said += say("sentence.thiele_premium", lang, **facts)
        return said

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the reserve of each state that ever has one, over time."""
        figure = go.Figure(layout={"template": "pricing"})
        held = self.table.filter((pl.col("state_reserve").abs().max() > 0).over("in_state"))
        names = held["in_state"].unique(maintain_order=True)
        for state, (colour, _) in zip(names, SERIES, strict=False):
            part = held.filter(pl.col("in_state") == state)
            figure.add_scatter(
                x=part["years_since_start"].to_list(),
                y=part["state_reserve"].to_list(),
                name=level_label(state, lang),
                mode="lines",
                line={"width": 2.5, "color": colour},
            )
        return figure.update_layout(
            xaxis={"title": {"text": label("years_since_start", lang)}},
            yaxis={
                "title": {"text": f"{label('state_reserve', lang)} ({self.basis.currency})"},
                "zeroline": True,
                "zerolinecolor": "#6B7280",
            },
            showlegend=True,
        )


def thiele(
    model: StateModel,
    benefits: Iterable[Payment],
    *,
    age: float,
    years: float,
    interest: float | Interest,
    premiums: Iterable[Payment] = (),
    payer: str | None = None,
    method: Method = "exact",
    step: float = 1 / 12,
    currency: str = "CNY",
) -> Thiele:
    """Reserve by state and time, net of the level premium where premiums are given.

    Parameters
    ----------
    model : StateModel
        States and intensities by age.
    benefits : iterable of WhileIn, AtTime or OnMove
        What is paid to the insured; waiting periods are for
        :func:`pricing.annuities.cash_flow.cash_flow` and
        :func:`pricing.annuities.semi_markov.semi_markov`.
    age, years : float
        Attained age at the start, and term in years.
    interest : float or Interest
        Yearly effective rate, force or curve.
    premiums : iterable of WhileIn, AtTime or OnMove
        What the insured pays, up to the factor that makes the reserve of ``payer`` 0 at the start.
    payer : str, optional
        State at the start; the first of the model where left out.
    method : {"exact", "euler"}
        Exact, or the textbook's steps.
    step : float
        Years between the rows of the table; the Euler step too.
    currency : str
        Of every amount.

    Returns
    -------
    Thiele
        Reserve by state and time.

    Raises
    ------
    InputError
        For payments, states, terms and methods that cannot be valued.

    Examples
    --------
    >>> from pricing.annuities.payments import OnMove, WhileIn
    >>> from pricing.annuities.state_model import state_model
    >>> model = state_model({("alive", "dead"): 0.1})
    >>> found = thiele(model, [WhileIn("alive", 1.0)], age=60, years=10, interest=0.05)
    >>> force = 0.1 + np.log(1.05)
    >>> round(found.reserve("alive"), 6), round(float((1 - np.exp(-10 * force)) / force), 6)
    (5.202991, 5.202991)
    """
    hold_method(method)
    curve = as_interest(interest)
    times = grid_of(years, step)
    model.hold(age, years)
    paid, unit = (hold_payments(model, given, years) for given in (benefits, premiums))
    if not paid:
        raise InputError("no benefits were given")
    waits = sum(isinstance(p, WhileIn) and p.waiting > 0 for p in [*paid, *unit])
    if waits:
        raise InputError(
            f"{waits} payments have a waiting period, and a reserve by state alone cannot know how "
            "long a stay has lasted",
            do="use cash_flow for the value, semi_markov for reserves by state and duration",
        )
    solve = _exact if method == "exact" else _euler
    reserves = solve(model, paid, age, times, curve)
    level = None
    who = model.states[0] if payer is None else payer
    if unit:
        income = solve(model, unit, age, times, curve)
        at = model.index(who)
        if not income[0, at] > 0:
            raise InputError(f"the premiums are worth {income[0, at]:g} to one who is {who}")
        level = float(reserves[0, at] / income[0, at])
        reserves = reserves - level * income
    states = model.states
    high = np.unravel_index(int(np.argmax(reserves)), reserves.shape)
    table = pl.DataFrame(
        {
            "years_since_start": np.repeat(times, len(states)),
            "age": np.repeat(age + times, len(states)),
            "in_state": np.tile(states, len(times)),
            "state_reserve": reserves.ravel(),
        }
    )
    facts = {
        "age": float(age), "years": float(years), "method": method, "step": float(step),
        "currency": currency, "level_premium": level, "payer": who,
        "highest": float(reserves[high]), "highest_state": states[int(high[1])],
        "highest_time": float(times[int(high[0])]),
    }  # fmt: skip
    basis = Basis(
        source="state graph: " + ", ".join(states),
        currency=currency,
        fingerprint=fingerprint(str(facts), reserves.tobytes()),
        notes=(curve.said, "exact" if method == "exact" else f"Euler steps of {step:.6g} years"),
    )
    return Thiele(table=table, basis=basis, facts=facts)


def _running(
    model: StateModel, payments: Sequence[Payment], generator: Floats, time: float
) -> Floats:
    """Expected rate of payment in each state at a time: b_i + Σ_j μ_ij b_ij."""
    found = np.zeros(len(model.states))
    for payment in payments:
        if isinstance(payment, AtTime) or not payment.start <= time < payment.end:
            continue
        if isinstance(payment, WhileIn):
            found[model.index(payment.state)] += worth(payment.rate, time)
        elif isinstance(payment, OnMove):
            i, j = model.index(payment.origin), model.index(payment.destination)
            found[i] += generator[i, j] * worth(payment.amount, time)
    return found


def _at_times(model: StateModel, payments: Sequence[Payment]) -> dict[float, Floats]:
    found: dict[float, Floats] = {}
    for payment in payments:
        if isinstance(payment, AtTime):
            for time in payment.times:
                here = found.setdefault(float(time), np.zeros(len(model.states)))
                here[model.index(payment.state)] += worth(payment.amount, time)
    return found


def _jumps(payments: Sequence[Payment]) -> list[float]:
    found: list[float] = []
    for payment in payments:
        found += payment.times if isinstance(payment, AtTime) else (payment.start, payment.end)
    return found


def _exact(
    model: StateModel, payments: Sequence[Payment], age: float, times: Floats, curve: Interest
) -> Floats:
    knots = pieces(times, [*(b - age for b in model.breaks), *curve.breaks, *_jumps(payments)])
    k = len(model.states)
    lumps = np.zeros((len(knots), k))
    for time, amount in _at_times(model, payments).items():
        lumps[max(int(np.searchsorted(knots, time, side="right")) - 1, 0)] += amount
    found = np.zeros((len(knots), k))
    found[-1] = lumps[-1]
    widths = np.diff(knots)
    middles = knots[:-1] + widths / 2
    level = model.constant and not any(
        callable(p.rate if isinstance(p, WhileIn) else p.amount)
        for p in payments
        if not isinstance(p, AtTime)
    )
    if level:
        block = np.zeros((len(widths), k + 1, k + 1))
        rates = np.array([model.generator(age + m) for m in middles])
        block[:, :k, :k] = rates - curve.force(middles)[:, None, None] * np.eye(k)
        block[:, :k, k] = [
            _running(model, payments, r, m) for r, m in zip(rates, middles, strict=True)
        ]
        moved = series(block * widths[:, None, None])[0]
        for n in range(len(widths) - 1, -1, -1):  # backwards in time, in order
            found[n] = moved[n, :k, :k] @ found[n + 1] + moved[n, :k, k]
            found[n] += lumps[n]
    else:
        from scipy.integrate import solve_ivp

        jumps = [*(b - age for b in model.breaks), *curve.breaks, *_jumps(payments)]
        for m, n in [*pairwise(knots_of(knots, jumps))][::-1]:
            a, b = knots[m], knots[n]
            inside = np.arange(m, n + 1)[::-1]
            force = float(curve.force((a + b) / 2))
            hair = min(HAIR, (b - a) / 4)

            def slope(
                t: float, v: Floats, a: float = a, b: float = b, r: float = force, e: float = hair
            ) -> Floats:
                within = min(max(t, a + e), b - e)
                rate = model.generator(age + within)
                return r * v - rate @ v - _running(model, payments, rate, within)

            solved = solve_ivp(slope, (b, a), found[n], t_eval=knots[inside], **TIGHT)
            if not solved.success:
                raise InputError(f"Thiele's equation has no solution: {solved.message}")
            found[inside[1:]] = solved.y.T[1:]
            found[m] += lumps[m]
    return np.asarray(found[np.searchsorted(knots, times, side="right") - 1])


def _lump(lumps: dict[float, Floats], time: float, k: int) -> Floats:
    near = [amount for at, amount in lumps.items() if abs(at - time) < 1e-9]
    return np.asarray(sum(near, np.zeros(k)))


def _euler(
    model: StateModel, payments: Sequence[Payment], age: float, times: Floats, curve: Interest
) -> Floats:
    h, k = times[1] - times[0], len(model.states)
    off = [t for t in _jumps(payments) if t < times[-1] and abs(round(t / h) * h - t) > 1e-9]
    if off:
        raise InputError(
            f"a payment starts, ends or falls at {off[0]:g} years, between steps of {h:g}",
            do="take a step that divides it",
        )
    lumps = _at_times(model, payments)
    found = np.zeros((len(times), k))
    found[-1] = _lump(lumps, times[-1], k)
    for n in range(len(times) - 2, -1, -1):
        later = times[n + 1]
        rate = model.generator(age + later - 1e-9 * h)  # the end of this step, not the next one
        later_paid = _running(model, payments, rate, later - 1e-9 * h)
        v = found[n + 1]
        force = float(curve.force(later - 1e-9 * h))
        found[n] = v + h * (rate @ v - force * v + later_paid)
        found[n] += _lump(lumps, times[n], k)
    return found
