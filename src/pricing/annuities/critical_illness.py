"""Critical illness: first illness and death of other causes, from the incidence table and its K factors.

Those who would die of a critical illness are counted by its incidence, so of the deaths q only the share
1 − k is of other causes: p = 1 − i − q (1 − k) (annex of 中精协发〔2020〕12号, 2020; k at the table's last age
from :func:`pricing.data.mortality.close_share`).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import plotly.graph_objects as go
import polars as pl
from numpy.typing import NDArray

from pricing.annuities.interest import Interest, as_interest
from pricing.data.rates import RateTable
from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say

__all__ = ["CriticalIllness", "critical_illness"]

Floats = NDArray[np.float64]


class CriticalIllness(Result):
    """A critical-illness cover by year; ``.table``: year, age, in_force_share, illness_rate,
    other_death_rate, natural_premium, premium_due, net_reserve.

    ``.facts``: ``assurance`` (per 1, of illness alone), ``death_assurance``, ``annuity_due``,
    ``annuity_of_premiums``, ``survival``, ``value``, ``level_premium``.
    """

    kind = "critical_illness"

    @property
    def level_premium(self) -> float:
        """Level yearly net premium, currency."""
        return float(self.facts["level_premium"])

    def finding(self, lang: Language = "en") -> str:
        """Say the level premium, the chance of a claim and the highest reserve."""
        return say("finding.critical_illness", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the natural premium, the level one and the reserve, by age."""
        figure = go.Figure(layout={"template": "pricing"})
        age = self.table["age"].to_list()
        figure.add_bar(
            x=age,
            y=self.table["natural_premium"].to_list(),
            name=label("natural_premium", lang),
            marker={"color": COLOURS["bars"]},
        )
        for name, colour, shape in (
            ("net_reserve", "estimate", "linear"),
            ("premium_due", "second", "hv"),
        ):
            figure.add_scatter(
                x=age,
                y=self.table[name].to_list(),
                name=label(name, lang),
                mode="lines",
                line={"width": 2.5, "color": COLOURS[colour], "shape": shape},
            )
        return figure.update_layout(
            xaxis={"title": {"text": label("age", lang)}},
            yaxis={"title": {"text": f"{label('amount_of_money', lang)} ({self.basis.currency})"}},
        )


def critical_illness(
    incidence: RateTable,
    share: RateTable,
    mortality: RateTable,
    *,
    age: int,
    years: int,
    interest: float | Interest,
    amount: float = 100_000.0,
    death_amount: float = 0.0,
    premium_years: int | None = None,
    paid: Literal["mid_year", "end_of_year"] = "mid_year",
    currency: str = "CNY",
) -> CriticalIllness:
    """Price a lump sum on the first critical illness, perhaps with one on death before it.

    Parameters
    ----------
    incidence, share, mortality : RateTable
        i, k and q by age alone: ``table.only("male")`` of ``cn_ci_2020``, ``cn_ci_2020_k`` (k1 with
        ci1, ci3, ci5, k2 with ci2, ci4, ci6, k3 with ci7) and a life table.
    age : int
        At issue, whole years.
    years : int
        Term; a claim ends the cover.
    interest : float or Interest
        Yearly effective rate, force or curve.
    amount, death_amount : float
        Paid on the first illness, and on death of other causes before it.
    premium_years : int, optional
        Years of level premiums, in advance; the term where left out.
    paid : {"mid_year", "end_of_year"}
        When claims of a year are paid.
    currency : str
        Of the amounts.

    Returns
    -------
    CriticalIllness
        Premium, and reserve by year.

    Raises
    ------
    InputError
        For tables by sex, of the wrong kind or without an age of the term, and rates that leave
        more than everyone.

    Examples
    --------
    >>> from pricing.data.rates import rate_table
    >>> i, k, q = (rate_table(*name).only("male") for name in
    ...            (("cn_ci_2020", "ci4"), ("cn_ci_2020_k", "k2"), ("cn_life_2025", "cl2")))
    >>> found = critical_illness(i, k, q, age=30, years=20, interest=0.02)
    >>> round(found.level_premium, 2), round(found.facts["annuity_due"], 6)
    (233.98, 16.359744)
    """
    curve = as_interest(interest)
    if paid not in ("mid_year", "end_of_year"):
        raise InputError(f"claims are paid mid_year or end_of_year, not {paid!r}")
    if age != int(age) or years != int(years) or years < 1:
        raise InputError(f"age {age} and a term of {years} years; both must be whole")
    paying = years if premium_years is None else premium_years
    if paying != int(paying) or not 1 <= paying <= years:
        raise InputError(f"premiums over {premium_years} years in a cover of {years}")
    sums = np.array([amount, death_amount], dtype=float)
    if not np.isfinite(sums).all() or (sums < 0).any() or not sums.any():
        raise InputError(f"sums insured of {amount} and {death_amount}")
    i = _yearly(incidence, "rate", age, years)
    k = _yearly(share, "share", age, years)
    q = _yearly(mortality, "rate", age, years)
    other = q * (1 - k)
    stay = 1 - i - other
    if (stay < -1e-12).any():
        at = int(np.argmax(stay < -1e-12))
        raise InputError(
            f"illness and death leave {stay[at]:.6f} at age {age + at}: more than everyone",
            where=f"{incidence.name}, {share.name}, {mortality.name}",
            do="take the K factors that belong to the incidence table; close_share at the last age",
        )
    alive = np.append(1.0, np.cumprod(np.maximum(stay, 0.0)))
    t = np.arange(years)
    v = curve.discount(t)
    v_paid = curve.discount(t + (0.5 if paid == "mid_year" else 1.0))
    due = v * alive[:-1]
    ill, dead = v_paid * alive[:-1] * i, v_paid * alive[:-1] * other
    cost = amount * ill + death_amount * dead
    income = np.where(t < paying, due, 0.0)
    level = float(cost.sum() / income.sum())
    ahead = np.append(np.cumsum((cost - level * income)[::-1])[::-1], 0.0)
    base = np.append(v, curve.discount(float(years))) * alive
    held = base > 0
    reserve = np.where(held, ahead / np.where(held, base, 1.0), 0.0)
    natural = np.append(np.divide(cost, due, out=np.zeros(years), where=due > 0), 0.0)
    top = int(np.argmax(reserve))
    table = pl.DataFrame(
        {
            "year": np.arange(years + 1),
            "age": int(age) + np.arange(years + 1),
            "in_force_share": alive,
            "illness_rate": [*i, None],
            "other_death_rate": [*other, None],
            "natural_premium": natural,
            "premium_due": np.append(np.where(t < paying, level, 0.0), 0.0),
            "net_reserve": reserve,
        },
        schema_overrides={"illness_rate": pl.Float64, "other_death_rate": pl.Float64},
    )
    facts = {
        "age": int(age), "years": int(years), "premium_years": int(paying), "amount": float(amount),
        "death_amount": float(death_amount), "paid": paid, "currency": currency,
        "assurance": float(ill.sum()), "death_assurance": float(dead.sum()),
        "annuity_due": float(due.sum()), "annuity_of_premiums": float(income.sum()),
        "survival": float(alive[-1]), "claim_chance": float((alive[:-1] * i).sum()),
        "value": float(cost.sum()), "level_premium": level,
        "highest_reserve": float(reserve[top]), "highest_age": int(age) + top,
    }  # fmt: skip
    tables = (incidence, share, mortality)
    basis = Basis(
        source="; ".join(table.source or table.name for table in tables),
        currency=currency,
        fingerprint=fingerprint(str(facts), i.tobytes(), k.tobytes(), q.tobytes()),
        notes=(
            curve.said,
            f"p = 1 - i - q(1 - k); claims paid {paid}; premiums yearly in advance",
            *dict.fromkeys(table.warning for table in tables if table.warning),
        ),
    )
    return CriticalIllness(table=table, basis=basis, facts=facts)


def _yearly(table: RateTable, measure: str, age: int, years: int) -> Floats:
    if table.keys != ("age",) or table.measure != measure:
        raise InputError(
            f"expects {measure}s by age alone, got {table.measure}s by {', '.join(table.keys)}",
            where=table.name,
            do='keep one sex: table.only("female")',
        )
    rates = table.rates.filter(pl.col("age").is_between(int(age), int(age) + int(years) - 1))
    if rates.height < years:
        raise InputError(
            f"has {rates.height} of the {years} ages from {age} to {age + years - 1}",
            where=table.name,
            do="shorten the term; close_share adds the last age of the K factors",
        )
    return np.asarray(rates["rate"].to_numpy(), dtype=float)
