"""What is expected to be paid, year by year, and what it is worth: forwards in time.

The value of payments is E ∫ v(t) dB(t): of a rate b in state i, ∫ v p_i(t) b dt, on a move i to j,
∫ v p_i(t) μ_ij(x + t) b dt. With a waiting period w the rate is paid to who has been in the state
since t − w: p_i(t − w) exp(−∫ μ_i.) in the place of p_i(t). Exact: Gauss and Legendre's rule of 10
points between all breaks, a year apart at most and closer where lives leave their states fast, on the
exact chances. By the book: Euler steps for the chances and repeated
Simpson for the integrals (Dickson, Hardy and Waters 2013, chapter 8).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
import polars as pl
from numpy.typing import NDArray

from pricing.annuities.interest import Interest, as_interest
from pricing.annuities.kolmogorov import (
    HAIR,
    Method,
    flow,
    grid_of,
    hold_method,
    kolmogorov,
    pieces,
)
from pricing.annuities.payments import AtTime, Payment, WhileIn, hold_payments, worth
from pricing.annuities.state_model import StateModel
from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say

__all__ = ["CashFlow", "cash_flow"]

Floats = NDArray[np.float64]
Dated = tuple[Floats, Floats]  # times and expected amounts at them
POINTS = 10
MOST = 20_000  # pieces
LEAVE = 2.0  # intensity × years between breaks up to which 10 points give all digits


class CashFlow(Result):
    """Expected payments by year; ``.table``: year, expected_benefit, discounted_benefit, and of premiums.

    ``premium_unit`` and ``discounted_premium_unit`` are those of the premiums as given; ``.facts``
    hold ``value``, ``premium_value`` and ``level_premium``, their ratio.
    """

    kind = "cash_flow"

    @property
    def value(self) -> float:
        """Worth of the benefits at the start."""
        return float(self.facts["value"])

    @property
    def level_premium(self) -> float:
        """How many times the premiums as given pay for the benefits (equivalence)."""
        found = self.facts["level_premium"]
        if found is None:
            raise InputError("no premiums were given", do="give premiums=[WhileIn(state, 1.0)]")
        return float(found)

    def finding(self, lang: Language = "en") -> str:
        """Say the worth, the level premium and the scheme."""
        facts = {**self.facts, "scheme": say(f"sentence.scheme_{self.facts['method']}", lang)}
        said = say("finding.cash_flow", lang, **facts)
        if facts["level_premium"] is not None:
            said += say("sentence.cash_flow_premium", lang, **facts)
        return said

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the expected benefits of each year, and what they are worth at the start."""
        figure = go.Figure(layout={"template": "pricing"})
        for name, colour in (("expected_benefit", "bars"), ("discounted_benefit", "estimate")):
            figure.add_bar(
                x=self.table["year"].to_list(),
                y=self.table[name].to_list(),
                name=label(name, lang),
                marker={"color": COLOURS[colour]},
            )
        return figure.update_layout(
            barmode="group",
            xaxis={"title": {"text": label("contract_year", lang)}},
            yaxis={"title": {"text": f"{label('expected_benefit', lang)} ({self.basis.currency})"}},
        )


def cash_flow(
    model: StateModel,
    benefits: Iterable[Payment],
    *,
    age: float,
    years: float,
    interest: float | Interest,
    start: str | Mapping[str, float],
    premiums: Iterable[Payment] = (),
    duration: float = 0.0,
    method: Method = "exact",
    step: float = 1 / 12,
    currency: str = "CNY",
) -> CashFlow:
    """Value payments forwards, with any waiting period, and the premium that pays for them.

    Parameters
    ----------
    model : StateModel
        States and intensities by age.
    benefits : iterable of WhileIn, AtTime or OnMove
        What is paid to the insured.
    age, years : float
        Attained age at the start, and term in years.
    interest : float or Interest
        Yearly effective rate, force or curve.
    start : str or mapping of str to float
        State at the start, or shares.
    premiums : iterable of WhileIn, AtTime or OnMove
        What is paid by the insured, up to a factor: give 1 a year to read the level premium.
    duration : float
        Years that a life already spent in its state at the start; counts toward a waiting period.
    method : {"exact", "euler"}
        Exact, or the textbook's Euler and Simpson, which takes no waiting period.
    step : float
        Euler step, years; each payment's window needs an even number of them.
    currency : str
        Of every amount.

    Returns
    -------
    CashFlow
        Expected and discounted amounts by year, value and level premium.

    Raises
    ------
    InputError
        For payments, states, terms and methods that cannot be valued, and premiums worth nothing.

    Examples
    --------
    >>> from pricing.annuities.payments import OnMove
    >>> from pricing.annuities.state_model import state_model
    >>> model = state_model({("alive", "dead"): 0.1})
    >>> found = cash_flow(model, [OnMove("alive", "dead", 1.0)], age=60, years=10, interest=0.05,
    ...                   start="alive", premiums=[WhileIn("alive", 1.0)])
    >>> round(found.level_premium, 6)  # level intensity: the premium is the intensity
    0.1
    """
    hold_method(method)
    curve = as_interest(interest)
    model.hold(age, years)
    begin = model.start(start)
    paid = hold_payments(model, benefits, years)
    unit = hold_payments(model, premiums, years)
    if not paid:
        raise InputError("no benefits were given")
    if not (np.isfinite(duration) and duration >= 0):
        raise InputError(f"a duration of {duration} years at the start")
    if method == "exact":
        dated = [_exact(model, p, age, years, curve, begin, duration) for p in [*paid, *unit]]
    else:
        dated = _by_the_book([*paid, *unit], model, age, years, step, start)
    span = int(np.ceil(years - 1e-9))
    out, into = (
        [_by_year(part, span, curve, discounted=d) for d in (False, True)]
        for part in (dated[: len(paid)], dated[len(paid) :])
    )
    value, income = float(out[1].sum()), float(into[1].sum())
    if unit and not income > 0:
        raise InputError(f"the premiums are worth {income:g}, which pays for nothing")
    columns = {
        "year": np.arange(1, span + 1),
        "expected_benefit": out[0],
        "discounted_benefit": out[1],
    }
    if unit:
        columns |= {"premium_unit": into[0], "discounted_premium_unit": into[1]}
    facts = {
        "age": float(age), "years": float(years), "method": method, "value": value,
        "currency": currency, "premium_value": income if unit else None,
        "level_premium": value / income if unit else None,
        "start": start if isinstance(start, str) else dict(start),
    }  # fmt: skip
    table = pl.DataFrame(columns)
    basis = Basis(
        source="state graph: " + ", ".join(model.states),
        currency=currency,
        fingerprint=fingerprint(str(facts), str(table.to_dict(as_series=False))),
        notes=(
            curve.said,
            "exact" if method == "exact" else f"Euler steps of {step:.6g} years, Simpson's rule",
        ),
    )
    return CashFlow(table=table, basis=basis, facts=facts)


def _by_year(dated: Sequence[Dated], span: int, curve: Interest, *, discounted: bool) -> Floats:
    found = np.zeros(span)
    for times, amounts in dated:
        worth_then = amounts * curve.discount(times) if discounted else amounts
        # a payment at the end of the term belongs to its last year; a year ends before the next
        place = np.clip(np.floor(times + 1e-9).astype(int), 0, span - 1)
        np.add.at(found, place, worth_then)
    return found


def _exact(
    model: StateModel, payment: Payment, age: float, years: float, curve: Interest,
    begin: Floats, duration: float,
) -> Dated:  # fmt: skip
    if isinstance(payment, AtTime):
        times = np.array(sorted(payment.times), dtype=float)
        grid = np.union1d([0.0], times)
        shares = flow(model, age, grid, begin)[0] if len(grid) > 1 else begin[None, :]
        held = shares[np.searchsorted(grid, times), model.index(payment.state)]
        return times, held * np.array([worth(payment.amount, t) for t in times])
    waiting = payment.waiting if isinstance(payment, WhileIn) else 0.0
    end = min(payment.end, years)
    jumps = [b - age for b in model.breaks]
    jumps += [j + waiting for j in jumps] if waiting else []
    ends = pieces(
        np.array([payment.start, end]),
        [*jumps, *curve.breaks, *range(1, int(years) + 1), waiting, waiting - duration],
    )
    ends = _finer(model, ends, age, waiting)
    points, weights = np.polynomial.legendre.leggauss(POINTS)
    half = np.diff(ends)[:, None] / 2
    nodes = (ends[:-1, None] + half * (1 + points)).ravel()
    weight = (half * weights).ravel()
    grid = np.unique(np.concatenate([[0.0], nodes, np.maximum(nodes - waiting, 0.0)]))
    shares, _, left = flow(model, age, grid, begin)
    at = np.searchsorted(grid, nodes)
    if isinstance(payment, WhileIn):
        i = model.index(payment.state)
        before = np.searchsorted(grid, np.maximum(nodes - waiting, 0.0))
        held = shares[before, i] * np.exp(left[before, i] - left[at, i])
        # who is in the state since before the start has a duration; others have none yet
        held = np.where((nodes >= waiting) | (nodes + duration >= waiting), held, 0.0)
        rate = np.array([worth(payment.rate, t) for t in nodes])
    else:
        i, j = model.index(payment.origin), model.index(payment.destination)
        held = shares[at, i] * np.array([model.generator(age + t)[i, j] for t in nodes])
        rate = np.array([worth(payment.amount, t) for t in nodes])
    return nodes, weight * held * rate


def _finer(model: StateModel, ends: Floats, age: float, waiting: float) -> Floats:
    """Cut pieces in equal parts where intensities are high, now or a waiting period ago."""
    widths = np.diff(ends)
    fast = np.array([
        max(-model.generator(age + at).diagonal().min() for at in (a, b, max(a - waiting, 0.0), max(b - waiting, 0.0)))
        for a, b in ((a + HAIR, b - HAIR) for a, b in pairwise(ends))
    ])  # fmt: skip
    parts = np.maximum(np.ceil(fast * widths / LEAVE), 1).astype(int)
    if parts.sum() > MOST:
        raise InputError(
            f"intensities of {fast.max():.3g} a year are too fast to value payments by",
            do="merge states between which lives change at once",
        )
    inside = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    cut = np.repeat(ends[:-1], parts) + inside * np.repeat(widths / parts, parts)
    return np.append(cut, ends[-1])


def _by_the_book(
    payments: Sequence[Payment], model: StateModel, age: float, years: float, step: float,
    start: str | Mapping[str, float],
) -> list[Dated]:  # fmt: skip
    """Chances by Euler steps, integrals by repeated Simpson over each payment's window."""
    times = grid_of(years, step)
    found = kolmogorov(model, age=age, years=years, start=start, method="euler", step=step)
    shares = found.table["state_share"].to_numpy().reshape(len(times), -1)
    dated: list[Dated] = []
    for payment in payments:
        if isinstance(payment, AtTime):
            at = [_place(times, step, t) for t in sorted(payment.times)]
            held = shares[at, model.index(payment.state)]
            dated.append(
                (times[at], held * np.array([worth(payment.amount, times[n]) for n in at]))
            )
            continue
        if isinstance(payment, WhileIn) and payment.waiting:
            raise InputError("the textbook scheme takes no waiting period", do='use method="exact"')
        a, b = (_place(times, step, t) for t in (payment.start, min(payment.end, years)))
        if (b - a) % 2:
            raise InputError(
                f"Simpson's rule needs an even number of steps, the payment runs over {b - a}",
                do="halve the step",
            )
        window = times[a : b + 1]
        weights = np.where(np.arange(b - a + 1) % 2, 4.0, 2.0)
        weights[[0, -1]] = 1.0
        if isinstance(payment, WhileIn):
            held = shares[a : b + 1, model.index(payment.state)]
            rate = np.array([worth(payment.rate, t) for t in window])
        else:
            i, j = model.index(payment.origin), model.index(payment.destination)
            held = shares[a : b + 1, i] * np.array([model.generator(age + t)[i, j] for t in window])
            rate = np.array([worth(payment.amount, t) for t in window])
        dated.append((window, weights * step / 3 * held * rate))
    return dated


def _place(times: Floats, step: float, time: float) -> int:
    n = round(time / step)
    if abs(n * step - time) > 1e-9:
        raise InputError(
            f"a payment starts, ends or falls at {time:g} years, between steps of {step:g}",
            do="take a step that divides it",
        )
    return min(n, len(times) - 1)
