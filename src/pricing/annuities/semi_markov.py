"""Reserves by state and time spent in it: intensities by age and duration, waiting periods.

Along a stay that began z years ago, d/ds V_i(t + s, z + s) = (r + μ_i.) V_i − b_i − Σ_j μ_ij (b_ij +
V_j(·, 0)): a move starts a new stay (Hoem 1972, Inhomogeneous semi-Markov processes, select actuarial
tables, and duration-dependence in demography; Christiansen 2012, Multistate models in health insurance,
AStA 96(2)). A numerical scheme, and labelled so: steps of h in time and duration together, rates taken at
the middle of a step, new stays valued at both its ends (second order), then once more with h/2 and
Richardson's rule, V = (4 V(h/2) − V(h)) / 3; ``scheme_gap`` is the last correction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import polars as pl
from numpy.typing import NDArray

from pricing.annuities.interest import Interest, as_interest
from pricing.annuities.kolmogorov import grid_of
from pricing.annuities.payments import AtTime, Payment, WhileIn, hold_payments, worth
from pricing.annuities.state_model import state_model
from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.result.series import SERIES
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["DurationRate", "SemiMarkov", "semi_markov"]

Floats = NDArray[np.float64]
ROUGH = 0.01  # last correction over the highest reserve above which nothing is given
DurationRate = float | Callable[[float, Floats], Floats]


class SemiMarkov(Result):
    """Reserve at the start by state and duration; ``.table``: in_state, duration, state_reserve.

    ``duration`` is years already spent in the state. ``.frames["over_time"]`` holds the reserve of a
    stay that begins at each time: years_since_start, age, in_state, state_reserve.
    """

    kind = "semi_markov"

    def reserve(self, state: str, duration: float = 0.0) -> float:
        """Reserve at the start in a state held for a duration of the table."""
        near = (pl.col("duration") - duration).abs() < 1e-9
        row = self.table.filter(near, pl.col("in_state") == state)
        if row.is_empty():
            raise InputError(f"no state {state!r} of duration {duration} in the table")
        return float(row["state_reserve"][0])

    def finding(self, lang: Language = "en") -> str:
        """Say what a new stay in the first state is worth, and where duration matters most."""
        named = {n: level_label(self.facts[n], lang) for n in ("first_state", "widest_state")}
        facts = {**self.facts, **named}
        matters = say("sentence.duration_matters", lang, **facts) if facts["matters"] else ""
        return say("finding.semi_markov", lang, **facts) + matters

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the reserve at the start by years already spent in the state."""
        figure = go.Figure(layout={"template": "pricing"})
        held = self.table.filter((pl.col("state_reserve").abs().max() > 0).over("in_state"))
        names = held["in_state"].unique(maintain_order=True)
        for state, (colour, _) in zip(names, SERIES, strict=False):
            part = held.filter(pl.col("in_state") == state)
            figure.add_scatter(
                x=part["duration"].to_list(),
                y=part["state_reserve"].to_list(),
                name=level_label(state, lang),
                mode="lines",
                line={"width": 2.5, "color": colour},
            )
        return figure.update_layout(
            xaxis={"title": {"text": label("duration", lang)}},
            yaxis={
                "title": {"text": f"{label('state_reserve', lang)} ({self.basis.currency})"},
                "rangemode": "tozero",
            },
            showlegend=True,
        )


def semi_markov(
    moves: Mapping[tuple[str, str], DurationRate],
    benefits: Iterable[Payment],
    *,
    age: float,
    years: float,
    interest: float | Interest,
    states: Sequence[str] | None = None,
    longest: float = 0.0,
    step: float = 1 / 12,
    currency: str = "CNY",
) -> SemiMarkov:
    """Reserve by state and duration, where rates depend on both or benefits wait.

    Parameters
    ----------
    moves : mapping of (from, to) to float or callable
        Intensity per year: a number, or a function of attained age (a number) and years spent in the
        state (an array), which gives an array. Jumps must fall on steps.
    benefits : iterable of WhileIn, AtTime or OnMove
        What is paid; starts, ends, times and waiting periods must fall on steps.
    age, years : float
        Attained age at the start, and term in years.
    interest : float or Interest
        Yearly effective rate, force or curve; a curve's breaks must fall on steps.
    states : sequence of str, optional
        Their order; in the order of the moves where left out.
    longest : float
        Longest duration at the start for which a reserve is wanted, years.
    step : float
        Of time and duration, years; it is halved once.
    currency : str
        Of every amount.

    Returns
    -------
    SemiMarkov
        Reserve at the start by state and duration, and of new stays over time.

    Raises
    ------
    InputError
        For intensities that are negative, not finite or of a wrong shape, times off the steps, and a
        last correction above a hundredth of the highest reserve: steps too long, or jumps off them.

    Examples
    --------
    >>> sick = WhileIn("sick", 1000.0, waiting=0.5)
    >>> found = semi_markov({("healthy", "sick"): 0.1, ("sick", "healthy"): lambda x, z: 1 / (1 + z)},
    ...                     [sick], age=40, years=10, interest=0.03, longest=1.0)
    >>> round(found.reserve("healthy"), 2), round(found.reserve("sick", 1.0), 2)
    (907.75, 3747.74)
    """
    graph = state_model(dict.fromkeys(moves, 0.0), states=states)
    curve = as_interest(interest)
    paid = hold_payments(graph, benefits, years)
    if not paid:
        raise InputError("no benefits were given")
    if not (np.isfinite(age) and np.isfinite(longest) and longest >= 0):
        raise InputError(f"age {age} and a longest duration of {longest} years")
    times = grid_of(years, step)
    _on_steps(paid, curve, years, step)
    places = {(graph.index(a), graph.index(b)): rate for (a, b), rate in moves.items()}
    k, m = len(graph.states), int(np.floor(longest / step + 1e-9))
    names = graph.states
    coarse, coarse_new = _backward(names, places, paid, age, years, curve, step, m)
    fine, fine_new = _backward(names, places, paid, age, years, curve, step / 2, 2 * m)
    ahead, new = ((4 * f - c) / 3 for f, c in ((fine[:, ::2], coarse), (fine_new[::2], coarse_new)))
    gap = float(np.abs(ahead - fine[:, ::2]).max())
    if gap > ROUGH * np.abs(ahead).max():
        raise InputError(
            f"the scheme has not settled: its last correction is {gap / np.abs(ahead).max():.1%} of the "
            "highest reserve",
            do="take a shorter step, on which the jumps of the intensities fall",
        )
    table = pl.DataFrame(
        {
            "in_state": np.repeat(names, m + 1),
            "duration": np.tile(np.arange(m + 1) * step, k),
            "state_reserve": ahead.ravel(),
        }
    )
    over_time = pl.DataFrame(
        {
            "years_since_start": np.repeat(times, k),
            "age": np.repeat(age + times, k),
            "in_state": np.tile(names, len(times)),
            "state_reserve": new.ravel(),
        }
    )
    spread = np.ptp(ahead, axis=1)
    wide = int(np.argmax(spread))
    facts = {
        "age": float(age), "years": float(years), "step": float(step), "currency": currency,
        "scheme_gap": gap, "first_state": names[0], "value": float(ahead[0, 0]),
        "widest_state": names[wide], "widest_new": float(ahead[wide, 0]),
        "widest_old": float(ahead[wide, -1]), "longest": float(m * step),
        "matters": bool(spread[wide] > 1e-9 * np.abs(ahead).max()),
    }  # fmt: skip
    basis = Basis(
        source="state graph with duration: " + ", ".join(names),
        currency=currency,
        fingerprint=fingerprint(str(facts), ahead.tobytes(), new.tobytes()),
        notes=(
            curve.said,
            f"second-order scheme in steps of {step:.6g} years and their halves, Richardson's rule",
            f"last correction {gap:.3g}",
        ),
    )
    return SemiMarkov(table=table, basis=basis, facts=facts, frames={"over_time": over_time})


def _on_steps(payments: Sequence[Payment], curve: Interest, years: float, step: float) -> None:
    found: list[float] = [t for t in curve.breaks if t < years]
    for payment in payments:
        if isinstance(payment, AtTime):
            found += payment.times
        else:
            found += [payment.start, min(payment.end, years)]
        if isinstance(payment, WhileIn):
            found.append(payment.waiting)
    off = [t for t in found if abs(round(t / step) * step - t) > 1e-9]
    if off:
        raise InputError(
            f"{len(off)} times, waiting periods or breaks of the curve fall between steps of "
            f"{step:g} years, first {off[0]:g}",
            do="take a step that divides them, such as 1/365",
        )


def _backward(
    names: Sequence[str], places: Mapping[tuple[int, int], DurationRate],
    payments: Sequence[Payment], age: float, years: float, curve: Interest, h: float, m: int,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Step back from the end; durations at the start run to m steps."""
    k, n = len(names), round(years / h)
    value = np.zeros((k, n + m + 2))  # at the end, by duration in steps
    value += _lump(names, payments, n * h, h)[:, None]
    new = np.empty((n + 1, k))
    new[n] = value[:, 0]
    for step in range(n - 1, -1, -1):
        t = (step + 0.5) * h
        held = np.arange(step + m + 1)  # a stay can be older than the contract by m steps at most
        z = np.asarray((held + 0.5) * h, dtype=np.float64)
        rate = {ij: _rates(f, age + t, z, names, ij) for ij, f in places.items()}
        leave = np.full((k, len(z)), float(curve.force(t)))
        pay = np.zeros((k, len(z)))
        for (i, _), r in rate.items():
            leave[i] += r
        for p in payments:
            if isinstance(p, AtTime) or not p.start <= t < p.end:
                continue
            if isinstance(p, WhileIn):
                pay[names.index(p.state)] += np.where(z > p.waiting, worth(p.rate, t), 0.0)
            else:
                i, j = names.index(p.origin), names.index(p.destination)
                pay[i] += rate.get((i, j), np.zeros(len(z))) * worth(p.amount, t)
        stay = np.exp(-leave * h)
        mean = -np.expm1(-leave * h) / np.where(leave == 0, 1.0, leave)  # ∫ exp(−leave s) ds
        mean = np.where(leave == 0, h, mean)
        known = stay * value[:, held + 1] + mean * pay
        now = np.zeros((k, k))
        for (i, j), r in rate.items():  # new stays: half at each end of the step
            known[i] += h / 2 * stay[i] * r * value[j, 0]
            now[i, j] = h / 2 * r[0]
        fresh = np.linalg.solve(np.eye(k) - now, known[:, 0])
        for (i, j), r in rate.items():
            known[i] += h / 2 * r * fresh[j]
        lump = _lump(names, payments, step * h, h)
        value = np.zeros_like(value)
        value[:, : len(z)] = known + lump[:, None]
        new[step] = value[:, 0]
    return value[:, : m + 1], new


def _lump(names: Sequence[str], payments: Sequence[Payment], time: float, h: float) -> Floats:
    found = np.zeros(len(names))
    for payment in payments:
        if isinstance(payment, AtTime):
            near = [t for t in payment.times if abs(t - time) < h / 4]
            found[names.index(payment.state)] += sum(worth(payment.amount, t) for t in near)
    return found


def _rates(
    rate: DurationRate, age: float, durations: Floats, names: Sequence[str], move: tuple[int, int]
) -> Floats:
    given = np.asarray(rate(age, durations) if callable(rate) else rate, dtype=float)
    called = f"the intensity from {names[move[0]]} to {names[move[1]]}"
    if given.shape not in ((), durations.shape):
        raise InputError(f"{called} has shape {given.shape} for {len(durations)} durations")
    bad = ~np.isfinite(given) | (given < 0)
    if bad.any():
        raise InputError(
            f"{called} is negative or not finite at {int(bad.sum()):,} durations at age {age:g}"
        )
    return np.broadcast_to(given, durations.shape)
