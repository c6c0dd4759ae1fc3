"""The rate review of a study: premium, completion, trend, indication, monitoring."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import polars as pl

from pricing.errors import InputError
from pricing.estimate.time_axis import Period
from pricing.loss_ratio.complement import Complement
from pricing.loss_ratio.control_limits import watch
from pricing.loss_ratio.indication import indicate
from pricing.loss_ratio.monitor import monitor_loss_ratio
from pricing.loss_ratio.permissible import Permissible, permissible_loss_ratio
from pricing.loss_ratio.waterfall import waterfall
from pricing.reserving.average_cost import average_cost
from pricing.reserving.case_reserves import reserve_development
from pricing.reserving.chain_ladder import chain_ladder
from pricing.reserving.expected_loss import bornhuetter_ferguson, expected_loss
from pricing.reserving.mack import mack
from pricing.reserving.periods import Grain
from pricing.reserving.statutory import StatutoryIBNR, statutory_ibnr
from pricing.reserving.ultimates import Ultimates
from pricing.result.shape import Result
from pricing.study.rated_book import Book
from pricing.trend.breaks import find_break
from pricing.trend.trend import Trend, fit_trend

__all__ = ["rate_review", "statutory", "year_before"]

WATCHED = 24  # months
OPEN = 0.5  # share complete below which a month's average claim is not looked at


def rate_review(book: Book, *, progress: Callable[[str], None]) -> dict[str, Result]:
    """Review the rates of a book: every result in reading order.

    Returns
    -------
    dict of str to Result
        indication, tornado, permissible, waterfall, loss_ratio_monitor, early_warning, trend:…,
        trend_break, completion, completion_pattern, development_fan, statutory_ibnr, ultimates:chain_ladder, on_level; the waterfall where two years
        were watched, the early warning where four were, Mack where the triangle allows it.

    Raises
    ------
    InputError
        As the parts.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from pricing.data.book import simulate
    >>> from pricing.experience.person_years import person_years
    >>> folder = simulate(Path(tempfile.mkdtemp()) / "book", policies=3_000, seed=1)
    >>> tables = {n: pl.read_parquet(folder / n) for n in ("policies", "renewals", "claims", "payments")}
    >>> window = (date(2018, 1, 1), date(2026, 1, 1))
    >>> found = person_years(*(tables[n] for n in ("policies", "renewals", "claims")), observed=window)
    >>> from pricing.result.shape import Basis
    >>> from pricing.study.rated_book import book_of
    >>> from pricing.study.sections import RateReview
    >>> wanted = RateReview(valuation=date(2024, 12, 31), effective=date(2025, 7, 1), by="tier", draws=200)
    >>> book = book_of(wanted, found, tables, group="health_group", present=None, basis=Basis())
    >>> results = rate_review(book, progress=lambda step: None)
    >>> list(results)[:3], results["indication"].table["segment"].to_list()
    (['indication', 'tornado', 'permissible'], ['whole book', 'basic', 'premium', 'standard'])
    """
    w = book.wanted
    permissible = permissible_loss_ratio(**w.expenses.model_dump(), basis=book.basis)
    progress("indication")
    complement = None
    if w.complement is not None:
        c = w.complement
        complement = Complement(c.name, c.loss_ratio, c.std_error)
    indication = indicate(
        book.triangle("paid_capped"),
        book.premium.table,
        permissible,
        effective=w.effective,
        experience=w.experience,
        by=w.by,
        in_force_months=w.in_force_months,
        term_months=w.term_months,
        volume=book.in_force * w.in_force_months / 12,
        lags=w.lags,
        seasonality=w.seasonality,
        breaks=w.breaks,
        large=book.large,
        complement=complement,
        credibility="least_error" if w.complement is None else w.complement.credibility,
        draws=w.draws,
        seed=w.seed,
    )
    results: dict[str, Result] = {"indication": indication, "tornado": indication.tornado}
    results["permissible"] = permissible
    moved = year_on_year(book)
    results |= {} if moved is None else {"waterfall": moved}
    results |= monitored(book, permissible)
    progress("trend")
    results |= trends(book)
    progress("reserves")
    results |= {"completion": book.completion, "completion_pattern": book.completion.pattern}
    results["development_fan"] = book.completion.fan
    results |= reserves(book, permissible)
    return results | {"on_level": book.premium_by_year}


def year_on_year(book: Book) -> Result | None:
    """Show what moved the loss ratio from the year before to the last twelve months.

    Both years are taken at the same age, each as it stood at its own end, so that frequency and
    severity compare like with like; the completion factor of the last year is estimated, that of
    the year before is what has come of it since. None where the book is younger than two years.
    """
    ends = [book.wanted.valuation, year_before(book.wanted.valuation)]
    starts = [year_before(day) + timedelta(days=1) for day in ends]
    if book.months["period"][0] > starts[1]:
        return None
    ultimate = book.completion.table
    years = []
    for start, end in zip(starts, ends, strict=True):
        seen = book.known.filter(pl.col("incurred").is_between(start, end), pl.col("day") <= end)
        first = [pl.col(n).first().cast(pl.String) for n in book.keys]
        claims = seen.group_by("claim_id", maintain_order=True).agg(*first, pl.col("paid").sum())
        claims = claims.with_columns(paid_capped=pl.col("paid").clip(upper_bound=book.cap))
        paid = claims.filter(pl.col("paid") > 0).group_by(book.keys).agg(
            claims=pl.len().cast(pl.Float64),
            amount_capped=pl.col("paid_capped").sum(),
            amount_excess=(pl.col("paid") - pl.col("paid_capped")).sum(),
        )  # fmt: skip
        of_year = ultimate.filter(pl.col("origin").is_between(start, end))
        factor = float(of_year["ultimate"].sum()) / float(claims["paid_capped"].sum())
        sums = _premium_sums(book, start, end)
        both = sums.join(paid, on=book.keys, how="left", maintain_order="left").with_columns(
            pl.col("claims", "amount_capped", "amount_excess").fill_null(0.0),
            completion=pl.lit(factor),
        )
        years.append(both.filter(pl.col("exposure") > 0))
    return waterfall(years[1], years[0], by=book.keys, basis=book.basis)


def year_before(day: date) -> date:
    """The end of the month a year before the end of a month.

    Examples
    --------
    >>> year_before(date(2024, 2, 29)), year_before(date(2023, 2, 28))
    (datetime.date(2023, 2, 28), datetime.date(2022, 2, 28))
    """
    first = day + timedelta(days=1)
    return date(first.year - 1, first.month, 1) - timedelta(days=1)


def _premium_sums(book: Book, start: date, end: date) -> pl.DataFrame:
    """Premium of some months by segment, as the waterfall names it."""
    premium = book.premium.table.filter(pl.col("period").is_between(start, end))
    named = {"premium": "earned"}
    if "standard_premium" not in premium.columns:
        named |= {
            "standard_premium": "earned",
            "standard_at_current_level": "premium_at_current_level",
        }
    sums = ["exposure", "standard_premium", "standard_at_current_level", "premium"]
    return (
        premium.with_columns(pl.col(book.keys).cast(pl.String))
        .with_columns(**{name: pl.col(column) for name, column in named.items()})
        .group_by(book.keys, maintain_order=True)
        .agg(pl.col(sums).sum())
    )


def monitored(book: Book, permissible: Permissible) -> dict[str, Result]:
    """Follow the last months' loss ratio, and watch claims against what earlier months expect."""
    whole = book.claims.group_by(month=pl.col("incurred").dt.truncate("1mo")).agg(
        whole=pl.col("paid").sum()
    )
    months = (
        book.by_month(book.completion)
        .join(whole, on="month", how="left", maintain_order="left")
        .filter(pl.col("earned") > 0)
        .tail(WATCHED)
    )
    currency, source = book.basis.currency, book.basis.source
    results: dict[str, Result] = {
        "loss_ratio_monitor": monitor_loss_ratio(
            months.select(
                "month",
                "exposure",
                "completion",
                earned_premium="earned",
                paid=pl.col("whole").fill_null(0.0),
                completion_error="std_error",
                expected=pl.col("earned") * permissible.loss_ratio,
            ),
            dispersion=book.large.dispersion,
            currency=currency,
            source=source,
        )
    }
    counts = book.by_month(book.reported)
    before = counts.head(max(counts.height - WATCHED, 0))
    claims = float(before["paid"].sum())
    if before.height < WATCHED or not claims > 0:
        return results
    line = fit_trend(
        before.select("month", "exposure", "completion", claims="paid"),
        response="frequency",
        completion=before.select("month", "completion", std_error=pl.lit(0.0)),
    )
    looked = counts.tail(WATCHED)
    ahead = [line.at(day + timedelta(days=15)) for day in looked["month"]]
    results["early_warning"] = watch(
        looked.select(
            "month",
            "completion",
            actual="paid",
            expected=pl.col("exposure") * pl.Series([at.estimate for at in ahead]),
        ),
        horizon=60,
        tolerance=2 * max(at.std_error for at in ahead),  # the line may itself be off by this
        currency=currency,
        source=source,
    )
    return results


def trends(book: Book) -> dict[str, Result]:
    """Fit the trends of frequency, severity and loss ratio, and look for a break in the last."""
    w = book.wanted
    share = ["month", "completion", "std_error"]
    counts, paid = book.by_month(book.reported), book.by_month(book.completion)
    enough = paid.filter(pl.col("completion") >= OPEN)["month"]
    named: dict[str, Any] = {"seasonality": w.seasonality, "breaks": w.breaks}
    ratio = fit_trend(
        paid.select("month", "premium_at_current_level", amount="paid"),
        response="loss_ratio",
        premium="premium_at_current_level",
        completion=paid.select(share),
        **named,
    )
    results: dict[str, Result] = {
        "trend:loss_ratio": ratio,
        "trend:frequency": fit_trend(
            counts.select("month", "exposure", claims="paid"),
            response="frequency",
            completion=counts.select(share),
            **named,
        ),
        "trend:severity": _severity(book, enough, named),
    }
    if not w.breaks and paid.height >= WATCHED:
        results["trend_break"] = find_break(ratio)
    return results


def _severity(book: Book, months: pl.Series, named: Mapping[str, Any]) -> Trend:
    """Trend of the amount of settled claims, by the shortest period that has claims throughout."""
    day = pl.col("incurred").dt.truncate("1mo")
    settled = book.claims.filter(pl.col("settled") > 0, day.is_in(months.implode()))
    periods: tuple[tuple[Period, str, int], ...] = (
        ("month", "1mo", 1), ("quarter", "1q", 3), ("year", "1y", 12),
    )  # fmt: skip
    for period, every, length in periods:
        frame = (
            settled.group_by(pl.col("incurred").dt.truncate(every).alias(period))
            .agg(claims=pl.len().cast(pl.Float64), amount=pl.col("paid_capped").sum())
            .sort(period)
        )
        ends = frame[period][0], frame[period][-1]
        span = (ends[1].year - ends[0].year) * 12 + ends[1].month - ends[0].month
        if frame.height == span // length + 1:
            break
    options = dict(named)
    if period != "month" and options["seasonality"] == "month":
        options["seasonality"] = "quarter" if period == "quarter" else "none"
    return fit_trend(frame, period=period, response="severity", **options)


def reserves(book: Book, permissible: Permissible) -> dict[str, Result]:
    """IBNR by the statutory rule, and Mack's error of the chain ladder."""
    ibnr, by_mack = statutory(book, permissible)
    return {
        "statutory_ibnr": ibnr,
        **({} if by_mack is None else {"ultimates:chain_ladder": by_mack}),
    }


def statutory(
    book: Book, permissible: Permissible, valuation: date | None = None
) -> tuple[StatutoryIBNR, Ultimates | None]:
    """Hold the largest IBNR of the methods that the history allows; a method it refuses is named.

    Parameters
    ----------
    book : Book
    permissible : Permissible
        Its loss ratio is the expected one.
    valuation : date, optional
        An earlier end of a month.

    Returns
    -------
    StatutoryIBNR, Ultimates or None
        The second is Mack's chain ladder, where the triangle allows it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from pricing.data.book import simulate
    >>> from pricing.experience.person_years import person_years
    >>> folder = simulate(Path(tempfile.mkdtemp()) / "book", policies=3_000, seed=1)
    >>> tables = {n: pl.read_parquet(folder / n) for n in ("policies", "renewals", "claims", "payments")}
    >>> window = (date(2018, 1, 1), date(2026, 1, 1))
    >>> found = person_years(*(tables[n] for n in ("policies", "renewals", "claims")), observed=window)
    >>> from pricing.result.shape import Basis
    >>> from pricing.study.rated_book import book_of
    >>> from pricing.study.sections import RateReview
    >>> wanted = RateReview(valuation=date(2024, 12, 31), effective=date(2025, 7, 1), by="tier", draws=200)
    >>> book = book_of(wanted, found, tables, group="health_group", present=None, basis=Basis())
    >>> ibnr, by_mack = statutory(book, permissible_loss_ratio(commission=0.3))
    >>> ibnr.facts["taken"] in ibnr.table["method"], by_mack.facts["sigma"]
    (True, 'mack')
    """
    day = valuation or book.wanted.valuation
    grain: Grain = "quarter" if day.month % 3 == 0 else "month"
    paid, incurred, counts = (
        book.triangle(name, grain, day) for name in ("paid", "incurred_change", "reported")
    )
    every = "1q" if grain == "quarter" else "1mo"
    earned = (
        book.months.filter(pl.col("period") <= day)
        .group_by(origin=pl.col("period").dt.truncate(every), maintain_order=True)
        .agg(premium=pl.col("earned").sum())
        .filter(pl.col("origin").is_in(paid.origins))
    )
    rate = permissible.loss_ratio
    ways: dict[str, Callable[[], Ultimates]] = {
        "chain_ladder": lambda: chain_ladder(paid),
        "average_cost": lambda: average_cost(paid, counts),
        "reserve_development": lambda: reserve_development(paid, incurred),
        "bornhuetter_ferguson": lambda: bornhuetter_ferguson(paid, earned, rate=rate),
        "expected_loss": lambda: expected_loss(paid, earned, rate=rate),
    }
    done, notes = [], []
    for name, way in ways.items():
        try:
            done.append(way())
        except InputError as error:
            notes.append(f"{name} left out: {error.problem}")
    basis = replace(book.basis, notes=(*book.basis.notes, *notes))
    found = statutory_ibnr(done, paid, incurred=incurred, basis=basis)
    try:
        by_mack = mack(paid)
    except InputError:
        by_mack = None
    return found, by_mack
