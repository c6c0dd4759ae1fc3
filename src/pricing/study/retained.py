"""Who renews and who leaves, as ``[persistency]`` asks: rates, price response, exits, value lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from functools import partial

import polars as pl

from pricing.claims.clusters import cluster_errors
from pricing.errors import InputError
from pricing.estimate.design import variables
from pricing.experience.bands import band
from pricing.experience.person_years import PersonYears
from pricing.persistency.discontinuity import PriceDiscontinuity, price_discontinuity
from pricing.persistency.lapse_value import lapse_value
from pricing.persistency.persistency import cumulative_persistency, persistency, price_band
from pricing.persistency.price_response import price_responses
from pricing.persistency.renewal_model import fit_renewal, renewal_elasticity
from pricing.persistency.renewals import RenewalOffers, renewal_offers
from pricing.result.shape import Basis, Result
from pricing.study.founded import founded
from pricing.study.not_shown import Refusals
from pricing.study.sections import Band, Retention
from pricing.survival.competing import cumulative_incidence
from pricing.survival.lives import Lives

__all__ = ["retained"]


def retained(
    wanted: Retention,
    found: PersonYears,
    tables: Mapping[str, pl.DataFrame],
    *,
    group: str,
    bands: Mapping[str, Band],
    observed: tuple[date, date],
    rate: pl.Expr,
    cost: pl.Expr | float,
    true_slope: float | None,
    basis: Basis,
    refused: Refusals,
    progress: Callable[[str], None],
) -> dict[str, Result]:
    """Look at the renewals of a study's book.

    Parameters
    ----------
    wanted : Retention
        ``[persistency]`` of the study file.
    found : PersonYears
        The study's person-years with its bands.
    tables : mapping of str to polars.DataFrame
        Accepted rows of policies, renewals and, where given, offers.
    group : str
        Column of the health group.
    bands : mapping of str to Band
        The study's bands: of age they are cut anew, a year on.
    observed : (date, date)
        The window.
    rate, cost : polars.Expr
        Claims a policy-year and amount a claim, of the study's models; a number for one cost.
    true_slope : float, optional
        Where the book is simulated.
    basis : Basis
        Source, period, currency.
    refused : Refusals
        Takes what the data do not bear.
    progress : callable
        Told each step.

    Returns
    -------
    dict of str to Result
        renewal_offers, persistency:…, cumulative_persistency; where prices are known persistency:price_band,
        renewal_model, renewal_elasticity, price_discontinuity:…, price_responses, lapse_value;
        cumulative_incidence.

    Raises
    ------
    InputError
        For factors that are in no table, and as the parts.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from pricing.data.book import simulate
    >>> from pricing.experience.person_years import person_years
    >>> folder = simulate(Path(tempfile.mkdtemp()) / "book", policies=2_000, seed=1)
    >>> tables = {n: pl.read_parquet(folder / n) for n in ("policies", "renewals", "claims", "offers")}
    >>> window = (date(2018, 1, 1), date(2026, 1, 1))
    >>> found = person_years(*(tables[n] for n in ("policies", "renewals", "claims")), observed=window)
    >>> results = retained(Retention(model="channel", by=["channel"]), found, tables, group="health_group",
    ...     bands={}, observed=window, rate=pl.lit(0.1), cost=10_000.0, true_slope=-5.0, basis=Basis(),
    ...     refused=Refusals(), progress=lambda step: None)
    >>> list(results)[:3], results["renewal_elasticity"].facts["elasticity"] < 0
    (['renewal_offers', 'persistency:channel', 'cumulative_persistency'], True)
    """
    progress("persistency")
    offers = renewal_offers(
        tables["policies"], tables["renewals"], tables.get("offers"), observed=observed,
        currency=basis.currency, source=basis.source,
    )  # fmt: skip
    factors = [*variables(wanted.model)]
    views = wanted.by or [n for n in ("policy_year", group, "channel") if n in offers.rows.columns]
    keys = [*dict.fromkeys([*views, *factors, "policy_year"])]
    _require(keys, offers)
    results: dict[str, Result] = {"renewal_offers": offers.account}
    plain = offers.cells(keys)
    results |= {f"persistency:{name}": persistency(plain, name) for name in views}
    results["cumulative_persistency"] = cumulative_persistency(plain)
    if offers.rows["price_change"].null_count() == 0:
        results |= _priced(wanted, offers, factors, views, group, true_slope, refused)
        scored = _scored(offers, found.rows, bands, group, rate, cost)
        results["lapse_value"] = lapse_value(scored, group, expenses=wanted.expenses)
    results["cumulative_incidence"] = _exits(tables["policies"], wanted, observed)
    return founded(results, basis)


def _priced(
    wanted: Retention,
    offers: RenewalOffers,
    factors: list[str],
    views: list[str],
    group: str,
    true_slope: float | None,
    refused: Refusals,
) -> dict[str, Result]:
    """What the price does, naively and at the cut-offs of the group."""
    keys = [*dict.fromkeys([*factors, *views, "price_change"])]
    cells = offers.cells(keys)
    results: dict[str, Result] = {
        "persistency:price_band": persistency(
            cells.with_keys(price_band=price_band()), "price_band"
        )
    }
    model = fit_renewal(cells, f"{wanted.model} + price_change")
    model = cluster_errors(model, offers.frame(keys), by="policy_id")
    elasticity = renewal_elasticity(model, cells, group if group in keys else None)
    results |= {"renewal_model": model, "renewal_elasticity": elasticity}
    jumps: list[PriceDiscontinuity] = []
    for cut in wanted.cut_offs:
        rows = offers.rows.filter(pl.col(group).cast(pl.String) == cut.group)
        if cut.above is not None:
            rows = rows.filter(pl.col("health_value") > cut.above)
        name = f"price_discontinuity:{cut.group}"
        jump = refused.attempt(name, partial(price_discontinuity, rows, "health_value", cut.value))
        if jump is not None:
            jumps.append(jump)
            results[name] = jump
    if jumps:
        results["price_responses"] = price_responses(elasticity, *jumps, true_slope=true_slope)
    return results


def _scored(
    offers: RenewalOffers,
    rows: pl.DataFrame,
    bands: Mapping[str, Band],
    group: str,
    rate: pl.Expr,
    cost: pl.Expr | float,
) -> RenewalOffers:
    """Add the claims each policy is expected to have in the year offered, at that year's prices."""
    older = rows.with_columns(age=pl.col("age") + 1) if "age" in rows.columns else rows
    again = {n: band(b.column, b.edges) for n, b in bands.items() if b.column == "age"}
    per_claim = pl.lit(cost) if isinstance(cost, int | float) else cost
    levels = _levels(rows, rate, per_claim) if "amount" in rows.columns else None
    older = older.with_columns(**again).with_columns(_cost=rate * per_claim)
    keys = ["policy_id", "policy_year"]  # of the year that ended
    priced = offers.rows.join(older.select(*keys, "_cost"), on=keys, how="left")
    if levels is not None:
        due = priced.with_columns(_year=pl.col("due").dt.year())
        priced = due.join(levels, on="_year", how="left").with_columns(
            _cost=pl.col("_cost") * pl.col("_level").fill_null(1.0)
        )
    lacking = priced["_cost"].null_count()
    if lacking:
        raise InputError(
            f"{lacking:,} of {priced.height:,} renewals offered have no person-year before them",
            do="see pricing check: rows may have been set aside",
        )
    rows = priced.rename({"_cost": "expected_amount"}).drop("_year", "_level", strict=False)
    return replace(offers, rows=rows)


def _levels(rows: pl.DataFrame, rate: pl.Expr, per_claim: pl.Expr) -> pl.DataFrame:
    """Amounts over what the models expect of them, by year: the price level the models average over."""
    return (
        rows.with_columns(_expected=rate * per_claim * pl.col("exposure"))
        .group_by(_year=pl.col("year").cast(pl.Int32), maintain_order=True)
        .agg(_level=pl.col("amount").sum() / pl.col("_expected").sum())
    )


def _exits(policies: pl.DataFrame, wanted: Retention, observed: tuple[date, date]) -> Result:
    """Share that has left by each cause, from the first day of cover on."""
    start, stop = observed
    by = [wanted.exits_by] if wanted.exits_by else []
    seen = policies.filter(pl.col("start") < stop, pl.col("end") > start).with_columns(
        _end=pl.min_horizontal("end", pl.lit(stop)),
        _cause=pl.when(pl.col("end") < stop).then(pl.col("exit_cause").cast(pl.String)),
        _entry=pl.max_horizontal(pl.lit(start), "start"),
    )
    lives = seen.select(
        *by, exit=_months("start", "_end"), entry=_months("start", "_entry"), event="_cause"
    ).filter(pl.col("exit") > pl.col("entry"))
    return cumulative_incidence(Lives.collect(lives, by, entry="entry", unit="month"))


def _months(first: str, last: str) -> pl.Expr:
    """Months of cover, a begun month counted: who leaves on an anniversary leaves after 12, 24, …"""
    a, b = pl.col(first), pl.col(last)
    whole = (
        (b.dt.year() - a.dt.year()) * 12 + b.dt.month().cast(pl.Int32) - a.dt.month().cast(pl.Int32)
    )
    return (whole + (b.dt.day() > a.dt.day()).cast(pl.Int32)).cast(pl.Float64)


def _require(keys: list[str], offers: RenewalOffers) -> None:
    unknown = [n for n in keys if n not in offers.rows.columns]
    if unknown:
        raise InputError(
            f"no column {unknown} among the renewals offered",
            where="persistency",
            do="name factors of policies or renewals; age bands and other bands are not among them",
        )
