"""Power: how many people a saving takes to be seen, and what a book of this size could see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import ndtri

from pricing.causal.people import People
from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.result.figure import COLOURS
from pricing.result.shape import Result
from pricing.result.words import Language, label, say

__all__ = ["PowerStatement", "detectable_effect", "people_needed", "power_statement"]


def people_needed(
    effect: float,
    cv: float,
    *,
    alpha: float = 0.05,
    power: float = 0.80,
    allocation: float = 1.0,
    design_effect: float = 1.0,
) -> float:
    """Policy-years inside the programme that a saving takes to be seen; as many × allocation outside.

    n = (z_{1−α/2} + z_{power})²·CV²·(1 + 1/k)·D/δ²: 15.7·CV²/δ² per arm for α = 5 %, power 80 %,
    equal arms and independent policy-years.

    Parameters
    ----------
    effect : float
        Relative saving δ, such as 0.05.
    cv : float
        Coefficient of variation of a policy-year's cost; √((1 − p)/p) for an event of probability p.
    alpha, power : float
        Two-sided error, and the chance to see the effect if it is there.
    allocation : float
        k, policy-years outside per one inside.
    design_effect : float
        D: variance with clusters over variance without, 1 + (m − 1)ρ for m years of one person.

    Examples
    --------
    >>> round(people_needed(0.05, 3.0)), round(people_needed(0.05, 3.0, allocation=3.0))
    (56512, 37675)
    """
    if not _numbers(effect) or not effect or not np.isfinite(effect):
        raise InputError("no number of people shows an effect of nil", where="effect")
    spread = _spread(cv, alpha, power, allocation, design_effect)
    return spread / effect**2


def detectable_effect(
    inside: float,
    cv: float,
    *,
    alpha: float = 0.05,
    power: float = 0.80,
    allocation: float = 1.0,
    design_effect: float = 1.0,
) -> float:
    """Smallest relative effect that so many policy-years would show; the other way round.

    Examples
    --------
    >>> round(detectable_effect(56512, 3.0), 4)
    0.05
    """
    if not _numbers(inside) or not 0 < inside < np.inf:
        raise InputError(f"policy-years are above zero, got {inside!r}", where="inside")
    return float(np.sqrt(_spread(cv, alpha, power, allocation, design_effect) / inside))


class PowerStatement(Result):
    """What a book of this size could detect.

    ``.table``: smallest_effect (a relative saving), needed (policy-years inside the programme at
    the book's own ratio of outside to inside), at_hand (those of the book) and enough.
    """

    kind = "power_statement"

    def finding(self, lang: Language = "en") -> str:
        """Say the smallest effect this book could detect, and what the wanted one would take."""
        key = "finding.power_statement" if self.facts["enough"] else "sentence.too_small"
        return say(key, lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw policy-years needed against the effect, with those at hand as a line."""
        t = self.table
        figure = go.Figure(layout={"template": "pricing"})
        figure.add_scatter(
            x=t["smallest_effect"].to_list(), y=t["needed"].to_list(), mode="lines+markers",
            name=label("needed", lang), marker={"size": 9},
        )  # fmt: skip
        figure.add_scatter(
            x=t["smallest_effect"].to_list(), y=t["at_hand"].to_list(), mode="lines",
            name=label("at_hand", lang), line={"dash": "dash", "color": COLOURS["second"]},
        )  # fmt: skip
        figure.update_layout(
            xaxis={"title": {"text": label("smallest_effect", lang)}, "tickformat": ".0%",
                   "type": "log", "tickmode": "array", "tickvals": t["smallest_effect"].to_list()},
            yaxis={"title": {"text": label("needed", lang)}, "type": "log", "tickmode": "array",
                   "tickvals": [10.0**k for k in range(2, 10)],
                   "ticktext": [f"{10**k:,}" for k in range(2, 10)]},
        )  # fmt: skip
        return figure


def power_statement(
    rows: pl.DataFrame,
    *,
    treated: str,
    outcome: str = "claims",
    exposure: str = "exposure",
    person: str | None = None,
    effect: float = 0.03,
    effects: Sequence[float] = (0.01, 0.02, 0.03, 0.05, 0.10, 0.15, 0.20),
    alpha: float = 0.05,
    power: float = 0.80,
    source: str = "",
) -> PowerStatement:
    """State what a book of this size could detect, from its own variation and clusters.

    The variation is that of the rows: CV² = E·Σ_person(Y − θE)²/(ΣY)², with θ = ΣY/ΣE, which holds
    over-dispersion, short exposures and the likeness of one person's years. Adjusting for who joins
    takes more people still.

    Parameters
    ----------
    rows : polars.DataFrame
        Person-years.
    treated, outcome, exposure, person : str
        As in :meth:`pricing.causal.people.People.collect`.
    effect : float
        The saving one hopes for, as a positive fraction.
    effects : sequence of float
        Savings to list.
    alpha, power : float
        As in :func:`people_needed`.

    Examples
    --------
    >>> rows = pl.DataFrame({"in": [0, 1] * 50, "claims": [0, 0, 0, 1] * 25, "exposure": [1.0] * 100})
    >>> power_statement(rows, treated="in").facts["enough"]
    False
    """
    if not _numbers(effect, *effects) or not all(0 < d < 1 for d in (effect, *effects)):
        raise InputError("savings are fractions between 0 and 1", where="effect")
    people = People.collect(
        rows, treated=treated, outcome=outcome, exposure=exposure, person=person, source=source
    )
    y, e = people.total, people.exposure
    rate = y.sum() / e.sum()
    left = y - rate * e
    by_person = np.bincount(people.person, weights=left)
    cv = float(np.sqrt(e.sum() * (by_person @ by_person)) / y.sum())
    design = float((by_person @ by_person) / (left @ left))
    inside = float(e[people.treated].sum())
    allocation = float(e[~people.treated].sum()) / inside
    how = {"alpha": alpha, "power": power, "allocation": allocation}
    listed = sorted({*effects, effect})
    needed = [people_needed(d, cv, **how) for d in listed]
    table = pl.DataFrame({
        "smallest_effect": listed, "needed": needed, "at_hand": [inside] * len(listed),
        "enough": [n <= inside for n in needed],
    })  # fmt: skip
    seen = detectable_effect(inside, cv, **how)
    facts = {
        "smallest": seen, "effect": effect, "needed": people_needed(effect, cv, **how),
        "inside": inside, "outside": inside * allocation, "cv": cv, "design_effect": design,
        "alpha": alpha, "chance": power, "enough": bool(seen <= effect),
    }  # fmt: skip
    notes = (f"coefficient of variation of a policy-year {cv:.2f}, clusters included (design effect {design:.3f})",)  # fmt: skip
    basis = replace(
        people.basis, notes=(*people.basis.notes, *notes),
        fingerprint=fingerprint(people.basis.fingerprint, str(effect), str(alpha), str(power)),
    )  # fmt: skip
    return PowerStatement(table=table, basis=basis, facts=facts)


def _numbers(*values: object) -> bool:
    return all(isinstance(v, int | float | np.number) and not isinstance(v, bool) for v in values)


def _spread(cv: float, alpha: float, power: float, allocation: float, design: float) -> float:
    if not _numbers(alpha, power, cv, allocation, design):
        raise InputError("alpha, power, cv, allocation and design_effect are numbers")
    if not (0 < alpha < 1 and 0 < power < 1):
        raise InputError(f"alpha {alpha} and power {power} lie between 0 and 1")
    faults = [
        f"{name} is {value}"
        for name, value in (("cv", cv), ("allocation", allocation), ("design_effect", design))
        if not (np.isfinite(value) and value > 0)
    ]
    if faults:
        raise InputError("numbers above zero are wanted", faults=faults)
    z = float(ndtri(1 - alpha / 2) + ndtri(power))
    return z**2 * cv**2 * (1 + 1 / allocation) * design
