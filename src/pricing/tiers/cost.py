"""What a tier costs: each benefit, a person's year, and the loss ratio of everybody together.

Convention: given the person, benefits are independent. Losses of persons in their first term and of
those renewing are compounded apart and added up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.losses.aggregate import aggregate_loss, aggregate_portfolio
from pricing.losses.count_law import CountLaw, fixed_count
from pricing.losses.count_law import persons as persons_law
from pricing.losses.terms import Terms
from pricing.losses.year_loss import AggregateLoss
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say
from pricing.tiers.tier import Subsidy, Tier, read_subsidy

__all__ = ["LEVELS", "TierCost", "cost_tier", "person_year", "split_persons"]

LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.995)
FREE = Terms()


class TierCost(Result):
    """Cost of a tier.

    ``.table``: benefit, frequency, severity (mean bill of a claim), bill, paid_by_plan (by the terms
    of the benefit, its sub-limit among them), share_of_bill (paid over bill). ``.frames["levels"]``:
    probability, portfolio_amount, loss_ratio. ``.frames["distribution"]``: loss_ratio, probability.
    ``.facts``: bill, pure_premium (a person's year after all terms), person_sd, portfolio_sd,
    actuarial_value, loss_ratio, passes, line, income, service.
    """

    kind = "tier_cost"

    def finding(self, lang: Language = "en") -> str:
        """Say what a person's year costs, the loss ratio and how often it passes the line."""
        facts = {**self.facts, "tier": level_label(self.facts["tier"], lang)}
        return say("finding.tier_cost", lang, **facts, currency=self.basis.currency)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the distribution of the loss ratio with its mean and the line."""
        shown = self.frames["distribution"]
        figure = go.Figure(layout={"template": "pricing"})
        figure.add_bar(
            x=shown["loss_ratio"].to_list(),
            y=shown["probability"].to_list(),
            name=label("probability", lang),
            marker={"color": COLOURS["bars"], "line": {"width": 0}},
        )
        top = float(shown["probability"].max() or 0.0)  # type: ignore[arg-type]
        for name, at, colour in (
            ("loss_ratio", self.facts["loss_ratio"], "second"),
            ("passing_line", self.facts["line"], "third"),
        ):
            figure.add_scatter(
                x=[at, at],
                y=[0.0, top],
                mode="lines",
                name=f"{label(name, lang)}: {at:.1%}",
                line={"color": COLOURS[colour], "width": 2, "dash": "dash"},
            )
        return figure.update_layout(
            bargap=0,
            hovermode="closest",
            xaxis={"title": {"text": label("loss_ratio", lang)}, "tickformat": ".1%"},
            yaxis={"title": {"text": label("probability", lang)}, "rangemode": "tozero"},
        )


def cost_tier(
    tier: Tier,
    persons: int,
    *,
    new_share: float = 1.0,
    subsidy: Subsidy | None = None,
    line: float = 0.7,
    levels: Sequence[float] = LEVELS,
    basis: Basis | None = None,
) -> TierCost:
    """Give what a tier costs and the distribution of its loss ratio.

    Parameters
    ----------
    tier : Tier
        Benefits, terms, premium.
    persons : int
        Insured for the year, 1 or more.
    new_share : float
        Share of them in their first term, in which waiting periods count; 1 for a plan that starts.
    subsidy : Subsidy, optional
        Paid to the plan it counts as income beside the premium.
    line : float
        Loss ratio whose passing is looked at.
    levels : sequence of float
        Probabilities of the table of quantiles.
    basis : Basis, optional
        Source, period, currency.

    Returns
    -------
    TierCost
        ``pure_premium`` is what the plan pays per insured-year of this mix of new and renewing.

    Raises
    ------
    InputError
        For persons, shares or lines outside their domain, a severity without a finite mean and
        without a limit.

    Examples
    --------
    >>> from scipy import stats
    >>> from pricing.tiers.benefit import Benefit
    >>> visits = Benefit(name="outpatient", frequency=1.0, severity=stats.expon(scale=437.5),
    ...                  coinsurance=0.2)
    >>> cost = cost_tier(Tier(name="basic", benefits=(visits,), premium=500.0), 1000)
    >>> round(cost.facts["bill"], 4), round(cost.facts["pure_premium"], 4)
    (437.5, 350.0)
    >>> round(cost.facts["loss_ratio"], 4), round(cost.facts["passes"], 3)
    (0.7, 0.496)
    """
    given = read_subsidy(subsidy)
    given.price(tier.premium)
    if isinstance(line, bool) or not isinstance(line, int | float) or not 0 < line < math.inf:
        raise InputError(f"the line of the loss ratio must be above zero, got {line!r}")
    income = given.income(tier.premium)
    parts, single = [], []
    for n, new in split_persons(tier, persons, new_share):
        each = [_benefit_year(tier, b.name, new, {}) for b in tier.benefits]
        parts.append((n, _together(tier, each, {})))
        single.append((n / persons, each))
    whole = aggregate_portfolio(
        [(_lives(n), one) for n, one in parts],
        premium=income * persons,
        line=line,
        level=tier.loadings.level,
        levels=list(levels),
        basis=basis,
    )
    mean = math.fsum(n * one.mean for n, one in parts) / persons
    square = math.fsum(n * (one.facts["sd"] ** 2 + one.mean**2) for n, one in parts) / persons
    claims = _claims(tier, new_share)
    paid = [math.fsum(w * each[i].mean for w, each in single) for i in range(len(tier.benefits))]
    table = _table(tier, claims, paid)
    at = whole.table["value_at_risk"].to_list()
    amount = pl.DataFrame(
        {
            "probability": list(levels),
            "portfolio_amount": at,
            "loss_ratio": [x / (income * persons) for x in at],
        }
    )
    bill = tier.bill()
    notes = (
        "benefits are independent given the person",
        "actuarial value: what the plan pays over all bills of the year, those in a waiting period "
        "among them",
    )
    return TierCost(
        table=table,
        basis=replace(
            whole.basis,
            notes=(*whole.basis.notes, *notes),
            fingerprint=fingerprint(whole.basis.fingerprint, table.write_json(), str(persons)),
        ),
        facts={
            "tier": tier.name,
            "persons": persons,
            "new_share": new_share,
            "premium": tier.premium,
            "member_price": given.price(tier.premium),
            "income": income,
            "bill": bill,
            "pure_premium": mean,
            "person_sd": math.sqrt(max(square - mean**2, 0.0)),
            "portfolio_sd": whole.facts["sd"],
            "no_claim": math.fsum(n * one.facts["no_loss"] for n, one in parts) / persons,
            "actuarial_value": mean / bill,
            "loss_ratio": mean / income,
            "line": line,
            "passes": whole.facts["passes"],
            "capital": whole.facts["value_at_risk"] / persons - mean,
            "service": tier.service(claims),
        },
        frames={"levels": amount, "distribution": _drawn(whole, income * persons)},
    )


def person_year(tier: Tier, *, first_term: bool = False, **options: Any) -> AggregateLoss:
    """Give the distribution of what the tier pays for one person's year.

    Parameters
    ----------
    tier : Tier
        Benefits and terms.
    first_term : bool
        Whether waiting periods count.
    **options
        As for :func:`pricing.losses.aggregate.aggregate_portfolio`.

    Examples
    --------
    >>> from scipy import stats
    >>> from pricing.tiers.benefit import Benefit
    >>> nursing = Benefit(name="home_nursing", frequency=0.5, severity=stats.expon(scale=800.0),
    ...                   year_limit=2000.0)
    >>> year = person_year(Tier(name="premium", benefits=(nursing,), premium=2000.0))
    >>> round(year.facts["no_loss"], 4), round(year.exceeds(2000.0), 4)
    (0.6069, 0.0)
    """
    each = [_benefit_year(tier, b.name, first_term, options) for b in tier.benefits]
    return _together(tier, each, options)


def _together(tier: Tier, each: Sequence[AggregateLoss], options: dict[str, Any]) -> AggregateLoss:
    """All benefits of a person's year, under the terms of the year."""
    terms = None if tier.terms == FREE else tier.terms
    if len(each) == 1:
        return each[0] if terms is None else each[0].under(terms)
    return aggregate_portfolio([(fixed_count(1), one) for one in each], per_year=terms, **options)


def _benefit_year(
    tier: Tier, name: str, first_term: bool, options: dict[str, Any]
) -> AggregateLoss:
    benefit = tier.benefit(name)
    capped = benefit.year_limit < math.inf
    return aggregate_loss(
        benefit.count(first_term=first_term, term_days=tier.term_days),
        benefit.bills(),
        per_claim=None if benefit.terms == FREE else benefit.terms,
        per_year=Terms(limit=benefit.year_limit) if capped else None,
        **options,
    )


def split_persons(tier: Tier, persons: int, new_share: float) -> list[tuple[int, bool]]:
    """Say how many persons are in their first term, as far as that matters.

    Examples
    --------
    >>> from pricing.losses.severity_law import sample_severity
    >>> from pricing.tiers.benefit import Benefit
    >>> allowance = Benefit(name="allowance", frequency=0.1, severity=sample_severity([500.0]),
    ...                     waiting_days=30)
    >>> split_persons(Tier(name="basic", benefits=(allowance,), premium=100.0), 1000, 0.25)
    [(250, True), (750, False)]
    """
    if isinstance(persons, bool) or not isinstance(persons, int) or persons < 1:
        raise InputError(f"a tier is priced for 1 person or more, got {persons!r}")
    if not isinstance(new_share, int | float) or not 0 <= new_share <= 1:
        raise InputError(f"the share of first terms is a share from 0 to 1, got {new_share!r}")
    if not tier.waits:
        return [(persons, False)]
    new = round(persons * new_share)
    return [(n, first) for n, first in ((new, True), (persons - new, False)) if n]


def _lives(number: int) -> CountLaw:
    return persons_law(float(number))


def _claims(tier: Tier, new_share: float) -> dict[str, float]:
    """Claims in cover per insured-year of the mix."""
    return {
        b.name: new_share * b.claims(first_term=True, term_days=tier.term_days)
        + (1 - new_share) * b.claims()
        for b in tier.benefits
    }


def _table(tier: Tier, claims: dict[str, float], paid: Sequence[float]) -> pl.DataFrame:
    bill = [b.bill() for b in tier.benefits]
    return pl.DataFrame(
        {
            "benefit": [b.name for b in tier.benefits],
            "frequency": [claims[b.name] for b in tier.benefits],
            "severity": [b.bills().mean for b in tier.benefits],
            "bill": bill,
            "paid_by_plan": list(paid),
            "share_of_bill": [p / g for p, g in zip(paid, bill, strict=True)],
        }
    )


def _drawn(whole: AggregateLoss, income: float) -> pl.DataFrame:
    """At most 100 bars of the loss ratio, together the whole distribution."""
    ratio, p = whole.loss / income, whole.probability
    low, high = float(ratio[0]), max(float(ratio[-1]), float(ratio[0]) + 1e-12)
    inside = np.cumsum(p)
    if ratio.size > 100:
        low = float(ratio[np.searchsorted(inside, 1e-4)])
        high = float(ratio[min(int(np.searchsorted(inside, 1 - 1e-4)), ratio.size - 1)])
        high = max(high, low + 1e-12)
    bars = min(100, ratio.size)
    place = np.clip(((ratio - low) / (high - low) * bars).astype(np.int64), 0, bars - 1)
    return pl.DataFrame(
        {
            "loss_ratio": (low + (high - low) / bars * (np.arange(bars) + 0.5)).tolist(),
            "probability": np.bincount(place, weights=p, minlength=bars).tolist(),
        }
    )
