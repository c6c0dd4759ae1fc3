"""Annuities, assurances, premiums and reserves of one life, without commutation columns.

ä = Σ v^t ₜpₓ, A = Σ v^{t+1} (ₜpₓ − ₜ₊₁pₓ), at every year of a contract by sums from its end (Bowers et al.
1997, Actuarial Mathematics, 2nd ed., chapters 4 to 7; Dickson, Hardy and Waters 2013, chapters 4 to 7).
Payments m times a year are summed as they fall, under a named assumption on deaths within the year, or
by Woolhouse's formula with three terms, ä − (m−1)/2m (1 − ₙEₓ) − (m²−1)/12m² (δ + μₓ − ₙEₓ (δ + μₓ₊ₙ)).
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import plotly.graph_objects as go
import polars as pl
from numpy.typing import NDArray

from pricing.annuities.interest import Interest, as_interest
from pricing.annuities.life_law import MakehamLaw, survival
from pricing.data.rates import RateTable
from pricing.errors import InputError, nearest
from pricing.files import fingerprint
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say

__all__ = ["Contract", "LifeValues", "Within", "life_values"]

Floats = NDArray[np.float64]
Contract = Literal["whole_life", "term", "endowment", "pure_endowment"]
Within = Literal["uniform", "constant_force", "exact", "woolhouse"]


class LifeValues(Result):
    """A contract by year; ``.table``: year (0 the start), age, in_force_share, and from that year on
    annuity_due, annuity_of_premiums, assurance (per 1 insured), natural_premium, net_reserve.

    ``.facts`` hold the values at the start: ``annuity_due``, ``annuity_immediate``,
    ``annuity_mthly_due``, ``annuity_mthly_immediate``, ``assurance``, ``level_premium``, ``value``.
    """

    kind = "life_values"

    def finding(self, lang: Language = "en") -> str:
        """Say the worth of the contract, its level premium and how high the reserve goes."""
        named = label(f"contract_{self.facts['contract']}", lang)
        return say("finding.life_values", lang, **{**self.facts, "contract_name": named})

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the reserve by contract year, level and natural premium below it in bars."""
        figure = go.Figure(layout={"template": "pricing"})
        age = self.table["age"].to_list()
        figure.add_bar(
            x=age,
            y=self.table["natural_premium"].to_list(),
            name=label("natural_premium", lang),
            marker={"color": COLOURS["bars"]},
        )
        for name, colour in (("net_reserve", "estimate"), ("premium_due", "second")):
            figure.add_scatter(
                x=age,
                y=self.table[name].to_list(),
                name=label(name, lang),
                mode="lines",
                line={"width": 2.5, "color": COLOURS[colour], "shape": "linear" if name == "net_reserve" else "hv"},
            )  # fmt: skip
        return figure.update_layout(
            xaxis={"title": {"text": label("age", lang)}},
            yaxis={"title": {"text": f"{label('amount_of_money', lang)} ({self.basis.currency})"}},
        )


def life_values(
    mortality: RateTable | MakehamLaw,
    *,
    age: int,
    interest: float | Interest,
    contract: Contract = "whole_life",
    years: int | None = None,
    premium_years: int | None = None,
    amount: float = 1.0,
    per_year: int = 1,
    within: Within = "uniform",
    currency: str = "CNY",
) -> LifeValues:
    """Value an annuity and an assurance on one life, with premiums and reserves year by year.

    Parameters
    ----------
    mortality : RateTable or MakehamLaw
        Yearly probabilities of death by age alone (``table.only("male")``), or a law.
    age : int
        At issue, whole years.
    interest : float or Interest
        Yearly effective rate, force or curve.
    contract : {"whole_life", "term", "endowment", "pure_endowment"}
        What is insured: death whenever, within the term, death or survival, survival alone. Deaths
        are paid at the end of the year.
    years : int, optional
        Term; needed by all but the whole life contract, which has none.
    premium_years : int, optional
        Years of level premiums, in advance; those of the contract where left out.
    amount : float
        Sum insured.
    per_year : int
        m of the m-thly annuities.
    within : {"uniform", "constant_force", "exact", "woolhouse"}
        For the m-thly annuities: deaths even within the year (UDD), at one force, as the law has it, or
        Woolhouse's three terms, with μₓ = −ln(pₓ₋₁ pₓ)/2 from a table.
    currency : str
        Of the amount.

    Returns
    -------
    LifeValues
        By contract year; the values at the start in ``.facts``.

    Raises
    ------
    InputError
        For a table by sex, ages outside it, one that is not closed, terms that do not fit the
        contract, and Woolhouse's formula with a curve.

    Examples
    --------
    >>> from pricing.annuities.life_law import STANDARD_ULTIMATE
    >>> found = life_values(STANDARD_ULTIMATE, age=60, interest=0.05, amount=100_000)
    >>> [round(found.facts[name], 5) for name in ("annuity_due", "assurance")]
    [14.90407, 0.29028]
    >>> round(found.facts["level_premium"], 2)
    1947.67
    """
    curve = as_interest(interest)
    if contract not in get_args(Contract):
        raise InputError(f"no contract {contract!r}{nearest(str(contract), get_args(Contract))}")
    if within not in get_args(Within):
        raise InputError(f"no assumption {within!r}{nearest(str(within), get_args(Within))}")
    if (years is None) != (contract == "whole_life"):
        raise InputError(
            "a whole life contract has no term"
            if years is not None
            else f"{contract} needs a term",
            do="leave years out" if years is not None else "give years=20",
        )
    if not (np.isfinite(amount) and amount > 0):
        raise InputError(f"a sum insured of {amount}")
    if per_year < 1 or per_year != int(per_year):
        raise InputError(f"{per_year} parts of a year")
    alive = survival(mortality, age, years)
    n = len(alive) - 1
    paying = n if premium_years is None else premium_years
    if paying != int(paying) or not 1 <= paying <= n:
        raise InputError(f"premiums over {premium_years} years in a contract of {n}")
    t = np.arange(n + 1)
    v = curve.discount(t)
    due = v * alive  # of 1 at the start of each year to who is alive then
    base = np.where(due > 0, due, np.inf)  # years that nobody lives to are worth 0
    until = np.append(due[:-1], 0.0)
    annuity = _ahead(until) / base
    income = _ahead(np.where(t < paying, until, 0.0)) / base
    deaths = -np.diff(alive, append=0.0)
    deaths[-1] = 0.0
    paid = np.append(v[1:], 0.0) * deaths if contract != "pure_endowment" else np.zeros(n + 1)
    ends = float(due[-1]) if contract in ("endowment", "pure_endowment") else 0.0
    assurance = (_ahead(paid) + ends) / base
    level = amount * float(assurance[0]) / float(income[0])
    reserve = amount * assurance - level * income
    mthly = _mthly(mortality, age, years, curve, per_year, within)
    last = float(due[-1])
    table = pl.DataFrame(
        {
            "year": t,
            "age": int(age) + t,
            "in_force_share": alive,
            "annuity_due": annuity,
            "annuity_of_premiums": income,
            "assurance": assurance,
            "natural_premium": amount * paid / base,
            "premium_due": np.where(t < paying, level, 0.0),
            "net_reserve": reserve,
        }
    )
    if years is None:
        table = table.filter(pl.col("in_force_share") > 0)
    top = int(np.argmax(reserve))
    facts = {
        "contract": contract, "age": int(age), "years": n, "premium_years": int(paying),
        "amount": float(amount), "currency": currency, "per_year": int(per_year), "within": within,
        "annuity_due": float(annuity[0]), "annuity_immediate": float(annuity[0]) - 1 + last,
        "annuity_mthly_due": mthly, "annuity_mthly_immediate": mthly - (1 - last) / per_year,
        "assurance": float(assurance[0]), "value": amount * float(assurance[0]),
        "pure_endowment": last, "level_premium": level, "highest_reserve": float(reserve[top]),
        "highest_age": int(age) + top,
    }  # fmt: skip
    source, warning = str(mortality), ""
    if isinstance(mortality, RateTable):
        source, warning = mortality.source or mortality.name, mortality.warning
    basis = Basis(
        source=source,
        currency=currency,
        fingerprint=fingerprint(str(facts), alive.tobytes(), v.tobytes()),
        notes=(
            curve.said,
            "deaths paid at the end of the year; premiums yearly in advance",
            f"payments {per_year} times a year: {within}",
            *([warning] if warning else []),
        ),
    )
    return LifeValues(table=table, basis=basis, facts=facts)


def _ahead(amounts: Floats) -> Floats:
    """Sums from each year on, the last first."""
    return np.asarray(np.cumsum(amounts[::-1])[::-1])


def _mthly(
    mortality: RateTable | MakehamLaw, age: int, years: int | None, curve: Interest, m: int,
    within: Within,
) -> float:  # fmt: skip
    """Annuity of 1 a year in m parts, the first at once."""
    if within != "woolhouse":
        alive = survival(mortality, age, years, per_year=m, fraction=within)[:-1]
        return float((curve.discount(np.arange(len(alive)) / m) * alive).sum() / m)
    if not curve.flat:
        raise InputError(
            "Woolhouse's formula takes one rate, not a curve", do='take within="uniform"'
        )
    alive = survival(mortality, age, years, per_year=1)
    n = len(alive) - 1
    v = curve.discount(np.arange(n + 1))
    annuity, last = float((v * alive)[:-1].sum()), float(v[-1] * alive[-1])
    force = float(curve.forces[0])
    at_end = last * (force + _force(mortality, age + n)) if last > 1e-15 else 0.0
    third = (m * m - 1) / (12 * m * m) * (force + _force(mortality, age) - at_end)
    return annuity - (m - 1) / (2 * m) * (1 - last) - third


def _force(mortality: RateTable | MakehamLaw, age: int) -> float:
    if isinstance(mortality, MakehamLaw):
        return float(mortality.force(age))
    near = mortality.rates.filter(pl.col("age").is_in([age - 1, age]))["rate"].to_numpy()
    if len(near) < 2 or (near == 1).any():
        raise InputError(
            f"μ at {age} needs the rates at {age - 1} and {age}, below 1", where=mortality.name
        )
    return float(-np.log1p(-near).sum() / 2)
