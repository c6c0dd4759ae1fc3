"""What the book of one year may come to: large claims, and the distribution of the year's total."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from pricing.claims.models import Frequency
from pricing.claims.severity import Severity
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.experience.person_years import PersonYears
from pricing.health.schedule import Schedule
from pricing.losses.aggregate import aggregate_loss
from pricing.losses.count_law import binomial_count
from pricing.losses.large import pool_large
from pricing.losses.portfolio_loss import aggregate_experience
from pricing.losses.severity_law import SeverityLaw, sample_severity
from pricing.losses.tail import fit_tail, spliced_severity
from pricing.losses.threshold import mean_excess
from pricing.losses.year_loss import AggregateLoss
from pricing.result.shape import Result
from pricing.study.sections import Losses
from pricing.study.tables import money_columns

__all__ = [
    "amounts_on_level",
    "large_claims",
    "losses_of_year",
    "severity_of_year",
    "total_of_year",
]


def losses_of_year(
    wanted: Losses,
    found: PersonYears,
    years: Sequence[int],
    *,
    seen: Experience,
    book: Callable[[int | None], Experience],
    model: Frequency,
    severity: Severity | None,
    schedule: Schedule,
    group: str,
    cost: float,
) -> dict[str, Result]:
    """Give the large claims of a book and the distribution of one year's total.

    Parameters
    ----------
    wanted : Losses
        What the study file asks for.
    found : PersonYears
        Rows and single claims.
    years : sequence of int
        Years of the rows, in order; none where the rows are taken as one year.
    seen : Experience
        All cells, with the group among their keys.
    book : callable
        Gives the cells of a year with ``standard_premium``.
    model, severity, schedule, group
        As for :func:`total_of_year` and :func:`severity_of_year`.
    cost : float
        What a claim costs where there are no amounts.

    Returns
    -------
    dict of str to Result
        pooled_large, mean_excess and tail_fit where ``large`` is given; aggregate_loss.

    Raises
    ------
    InputError
        For a year without rows, large claims without amounts, and as the parts.

    Examples
    --------
    >>> from pricing.health.effect import group_effect
    >>> from pricing.health.schedule import design_schedule
    >>> rows = pl.DataFrame({"health_group": ["G0", "G1"] * 50, "exposure": 1.0, "claims": [1, 0, 1, 1] * 25,
    ...                      "amount": [7.0, 0.0, 7.0, 7.0] * 25, "standard_premium": 9.0})
    >>> seen = Experience.collect(rows, ["health_group"], amount="amount", sums=["standard_premium"])
    >>> effect, model = group_effect(seen, "1", group="health_group", order=["G0", "G1"])
    >>> found = losses_of_year(Losses(), PersonYears(rows, pl.DataFrame()), [], seen=seen,
    ...     book=lambda year: seen, model=model, severity=None, schedule=design_schedule(effect, seen),
    ...     group="health_group", cost=1.0)
    >>> round(found["aggregate_loss"].mean)
    525
    """
    year = wanted.year
    if year is not None and year not in years:
        raise InputError(
            f"no row is of the year {year}: the rows have {list(years) or 'no year'}",
            where="losses.year",
            do="name one of them, or leave it out for the last",
        )
    year = years[-1] if year is None and years else year
    own = book(year)
    results: dict[str, Result] = {}
    law: SeverityLaw
    events: float | None = None
    claims, note = _amounts(found)
    if year is None:
        note += "; all person-years are taken as the book of one year"
    if claims is None:
        if wanted.large is not None:
            raise InputError(
                "large claims need claim amounts, and the tables hold none",
                where="losses.large",
                do="map the amounts, or leave losses.large out",
            )
        law = sample_severity([cost])
    else:
        if found.claims.is_empty():
            events = claims.height / seen.basis.claims
        claims = amounts_on_level(claims, year, wanted.trend)
        note += f"; brought to {year} at {wanted.trend:.1%} a year" if wanted.trend else ""
        if wanted.large is not None:
            results |= large_claims(claims, seen, wanted.large, by=group)
        law = severity_of_year(claims, wanted.large, severity, own, seen, model)
    results["aggregate_loss"] = total_of_year(
        own,
        model,
        wanted,
        law=law,
        per_claim=events,
        schedule=schedule,
        group=group,
        note=note,
    )
    return results


def amounts_on_level(claims: pl.DataFrame, year: int | None, trend: float) -> pl.DataFrame:
    """Bring claim amounts to the money of one year: amount · (1 + trend)^(year − year of the claim).

    Examples
    --------
    >>> claims = pl.DataFrame({"year": [2022, 2024], "amount": [100.0, 100.0]})
    >>> amounts_on_level(claims, 2024, 0.1)["amount"].round(6).to_list()
    [121.0, 100.0]
    """
    if year is None or not trend:
        return claims
    growth = (1.0 + trend) ** (year - pl.col("year").cast(pl.Float64))
    return claims.with_columns(amount=pl.col("amount") * growth)


def large_claims(
    claims: pl.DataFrame, experience: Experience, large: float, *, by: str
) -> dict[str, Result]:
    """Look at the claims above an amount: what they cost by segment, where a tail begins, its shape.

    Parameters
    ----------
    claims : polars.DataFrame
        One claim a row with ``amount`` and the segment.
    experience : Experience
        The exposure they arose from.
    large : float
        Amount above which a claim is large, currency: the cap of the pool, the tail's threshold.
    by : str
        Factor whose levels are the segments.

    Examples
    --------
    >>> claims = pl.DataFrame({"tier": ["a", "b"] * 30, "amount": [3.6e3 / k for k in range(1, 61)]})
    >>> rows = pl.DataFrame({"tier": ["a", "b"], "exposure": [60.0, 40.0], "claims": [30, 30]})
    >>> found = large_claims(claims, Experience.collect(rows, ["tier"]), 100.0, by="tier")
    >>> list(found), found["pooled_large"].facts["large_claims"]
    (['pooled_large', 'mean_excess', 'tail_fit'], 35)
    """
    basis = experience.basis
    return {
        "pooled_large": pool_large(claims, experience, cap=large, by=by),
        "mean_excess": mean_excess(claims["amount"], basis=basis),
        "tail_fit": fit_tail(claims["amount"], large, basis=basis),
    }


def total_of_year(
    book: Experience,
    model: Frequency,
    settings: Losses,
    *,
    law: SeverityLaw,
    per_claim: float | None,
    schedule: Schedule,
    group: str,
    note: str,
) -> AggregateLoss:
    """Give the distribution of a year's claims, and how the premium of each schedule stands to it.

    Parameters
    ----------
    book : Experience
        The exposure of one year, with the sum ``standard_premium``.
    model : Frequency
        Expected claims; its dispersion above one is taken as that of every cell.
    settings : Losses
        Line and level.
    law : SeverityLaw
        Amount of one event, at the money of the year.
    per_claim : float, optional
        Rows with an amount per claim, where the amounts are of rows and not of claims: a row then
        has one event or none. Left out, every claim has its own amount.
    schedule : Schedule
        Discounts by group; the premium of the headline is that of the best-estimate one.
    group : str
        Factor of the groups.
    note : str
        Where the amounts are from.

    Returns
    -------
    AggregateLoss
        With ``.frames["schedules"]``: state, premium_charged, loss_ratio, passes.

    Notes
    -----
    Frequency, amounts and dispersion are taken as known, policies as independent: the year's own
    uncertainty (a trend that was misjudged, an epidemic) comes on top, and the basis says so.
    Amounts of rows carry the dispersion of a row's claims in themselves: the number of rows that
    have one is binomial.

    Examples
    --------
    >>> from pricing.health.effect import group_effect
    >>> from pricing.health.schedule import design_schedule
    >>> rows = pl.DataFrame({"health_group": ["G0", "G1"] * 50, "exposure": 1.0, "claims": [1, 0] * 50,
    ...                      "amount": [70.0, 0.0] * 50, "standard_premium": 60.0})
    >>> rows = pl.concat([rows, rows.with_columns(claims=pl.lit(1, pl.Int64), amount=70.0)])
    >>> book = Experience.collect(rows, ["health_group"], amount="amount", sums=["standard_premium"])
    >>> effect, model = group_effect(book, "1", group="health_group", order=["G0", "G1"])
    >>> year = total_of_year(book, model, Losses(line=0.9), law=sample_severity([70.0]), per_claim=None,
    ...     schedule=design_schedule(effect, book), group="health_group", note="all claims cost 70")
    >>> round(year.mean), year.frames["schedules"]["state"].to_list()
    (10500, ['no_discount', 'proposed', 'prudent'])
    """
    charged = _charged(book, schedule, group)
    asked: dict[str, Any] = {
        "premium": charged["proposed"],
        "line": settings.line,
        "level": settings.level,
    }
    if per_claim is None:
        dispersion = max(float(model.facts["dispersion"]), 1.0)
        found = aggregate_experience(book, model.rate(), law, dispersion=dispersion, **asked)
    else:
        rows = int(book.values("rows").sum())
        events = per_claim * book.cells.select((model.rate() * pl.col("exposure")).sum()).item()
        found = aggregate_loss(
            binomial_count(rows, min(events / rows, 1.0)), law, basis=book.basis, **asked
        )
    schedules = pl.DataFrame(
        {
            "state": list(charged),
            "premium_charged": list(charged.values()),
            "loss_ratio": [found.mean / p for p in charged.values()],
            "passes": [
                found.loss_ratio_exceeds(settings.line, premium=p) for p in charged.values()
            ],
        }
    )
    said = "frequency, amounts and dispersion are taken as known and policies as independent"
    basis = replace(found.basis, notes=(*found.basis.notes, note, said))
    return replace(found, basis=basis, frames={**found.frames, "schedules": schedules})


def severity_of_year(
    claims: pl.DataFrame,
    large: float | None,
    severity: Severity | None,
    book: Experience,
    seen: Experience,
    model: Frequency,
) -> SeverityLaw:
    """Take the amounts seen, the fitted tail above what is large, and the mean of the year's mix.

    Parameters
    ----------
    claims : polars.DataFrame
        One event a row with ``amount``, at the money of the year.
    large : float, optional
        Above it the amounts follow a generalised Pareto law fitted to them.
    severity : Severity, optional
        Brings the amounts to the mix of the year's expected claims: with s the fitted severity,
        the factor is (Σ e·f·s / Σ e·f) of the year over (Σ n·s / Σ n) of all claims.
    book, seen : Experience
        The year's cells, and those all claims are of.
    model : Frequency
        Expected claims of the year.

    Examples
    --------
    >>> from pricing.claims.models import fit_frequency
    >>> rows = pl.DataFrame({"tier": ["a", "b"] * 2, "exposure": 1.0, "claims": 1})
    >>> seen = Experience.collect(rows, ["tier"])
    >>> claims = pl.DataFrame({"amount": [10.0, 20.0, 20.0, 30.0]})
    >>> severity_of_year(claims, None, None, seen, seen, fit_frequency(seen, "tier")).mean
    20.0
    """
    amounts = claims["amount"].cast(pl.Float64)
    law = sample_severity(amounts.to_numpy())
    if large is not None:
        law = spliced_severity(amounts, fit_tail(amounts, large))
    if severity is None:
        return law
    at, count = severity.rate(), pl.col("exposure") * model.rate()
    year = book.cells.select((at * count).sum() / count.sum()).item()
    cells = seen.cells.filter(pl.col("claims") > 0)
    every = cells.select((at * pl.col("claims")).sum() / pl.col("claims").sum()).item()
    return law.scaled(year / every)


def _charged(book: Experience, schedule: Schedule, group: str) -> dict[str, float]:
    """Premium of the year under each schedule: standard premium less the group's discount."""
    columns = {"present": "present_discount", "proposed": "discount", "prudent": "prudent_discount"}
    standard = book.by(group).cells.select(
        pl.col(group).cast(pl.String).alias("_group"), "standard_premium"
    )
    table = schedule.table.select(
        pl.col("health_group").cast(pl.String).alias("_group"),
        pl.lit(0.0).alias("no_discount"),
        *(pl.col(c).alias(n) for n, c in columns.items() if c in schedule.table.columns),
    )
    both = standard.join(table, on="_group", how="left", maintain_order="left")
    states = table.columns[1:]
    sums = both.select(
        (pl.col("standard_premium") * (1 - pl.col(n))).sum().alias(n) for n in states
    )
    return {n: float(v) for n, v in sums.row(0, named=True).items()}


def _amounts(found: PersonYears) -> tuple[pl.DataFrame | None, str]:
    """Single claims with their policy year's factors; rows with an amount where there are none."""
    rows = found.rows
    if not found.claims.is_empty():
        own = found.claims.select("policy_id", "policy_year", "amount")
        keys = ["policy_id", "policy_year"]
        placed = own.join(rows.drop("amount"), on=keys, how="left", maintain_order="left")
        return placed, "amounts are those of single claims"
    if "amount" not in money_columns(rows):
        return None, "every claim costs the same"
    year = (
        pl.col("period").alias("year") if "period" in rows.columns else pl.lit(None).alias("year")
    )
    return (
        rows.filter(pl.col("amount") > 0).with_columns(year),
        "amounts are those of a person-year with a claim, taken as one event",
    )
