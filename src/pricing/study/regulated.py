"""What the regulator would ask of a study's rate change, with the study's own figures."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import polars as pl

from pricing.errors import InputError
from pricing.loss_ratio.permissible import Permissible
from pricing.regulation.loading import check_loading
from pricing.regulation.loss_ratio import gate_loss_ratio
from pricing.regulation.product import Product
from pricing.regulation.rate_adjustment import check_rate_adjustment
from pricing.regulation.service_cost import check_service_cost
from pricing.reserving.statutory import StatutoryIBNR
from pricing.result.shape import Result
from pricing.study.founded import founded
from pricing.study.rate_review import rate_review, statutory, year_before
from pricing.study.rated_book import Book
from pricing.study.sections import Regulated
from pricing.study.settings import Settings

__all__ = ["reviewed"]


def reviewed(
    settings: Settings,
    book: Book,
    *,
    by_age: pl.DataFrame | None = None,
    progress: Callable[[str], None],
) -> dict[str, Result]:
    """Review the rates of a study as ``[loss_ratio]`` says, then check them as ``[regulation]`` says.

    Parameters
    ----------
    settings : Settings
        The study file.
    book : Book
        Its terms and claims.
    by_age : polars.DataFrame, optional
        age_band, exposure and premium of the whole book, for the cap on service cost.
    progress : callable
        Told each step.

    Returns
    -------
    dict of str to Result
        Those of :func:`pricing.study.rate_review.rate_review`; rate_adjustment_check,
        regulatory_loss_ratio, and where the loading is given check:loading and service_cost_check.

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
    >>> from pricing.data.tables import bundled
    >>> from pricing.result.shape import Basis
    >>> from pricing.study.rated_book import book_of
    >>> from pricing.study.settings import read_settings
    >>> settings = read_settings(bundled("studies/huoli.toml"))
    >>> review = settings.loss_ratio.model_copy(update={"draws": 200})
    >>> settings = settings.model_copy(update={"loss_ratio": review})
    >>> book = book_of(review, found, tables, group="health_group", present=settings.discount.present,
    ...     basis=Basis())
    >>> results = reviewed(settings, book, progress=lambda step: None)
    >>> results["regulatory_loss_ratio"].kind, "rate_adjustment_check" in results
    ('regulatory_loss_ratio', True)
    """
    results = rate_review(book, progress=progress)
    if settings.regulation is None:
        return founded(results, book.basis)
    bands = None if by_age is None else by_age.with_columns(pl.col("age_band").cast(pl.String))
    permissible, ibnr = results["permissible"], results["statutory_ibnr"]
    assert isinstance(permissible, Permissible)
    assert isinstance(ibnr, StatutoryIBNR)
    change = results["indication"].facts["indicated_change"]
    progress("regulation")
    results |= regulated(settings.regulation, book, permissible, change, ibnr=ibnr, bands=bands)
    return founded(results, book.basis)


def regulated(
    wanted: Regulated,
    book: Book,
    permissible: Permissible,
    change: float,
    *,
    ibnr: StatutoryIBNR,
    bands: pl.DataFrame | None = None,
) -> dict[str, Result]:
    """Check an indicated change against the regulator's rules.

    Parameters
    ----------
    wanted : Regulated
        What only the filing knows: launch, notice, clause cap, the industry's loss ratio.
    book : Book
        For the loss ratio of the gate: paid, outstanding with IBNR, written and unearned premium.
    permissible : Permissible
        For the service cost.
    change : float
        Indicated change of rates.
    ibnr : StatutoryIBNR
        Held at the valuation.
    bands : polars.DataFrame, optional
        age_band and premium per policy-year, for the cap on service cost.

    Returns
    -------
    dict of str to Result
        rate_adjustment_check, regulatory_loss_ratio, and where the loading is given check:loading
        and service_cost_check.

    Raises
    ------
    InputError
        For a book watched for less than a year before the valuation: the gate has no loss ratio.
    """
    on, closing = book.wanted.effective, book.wanted.valuation
    opening = year_before(closing)
    if opening < book.months["period"][0]:
        raise InputError(
            f"the gate asks for the year to {closing}, and the book starts on "
            f"{book.months['period'][0]}",
            where="regulation",
            do="leave [regulation] out until a year has been watched",
        )
    flows = book.premium.table.with_columns(
        within=pl.col("period").is_between(opening, closing, closed="right"),
    )
    in_year = flows.filter(pl.col("within"))
    at_end = _unearned(flows, closing)
    at_start = _unearned(flows, opening)
    paid = book.known.filter(pl.col("day") > opening)["paid"].sum()
    before, _ = statutory(book, permissible, opening)
    ratio = gate_loss_ratio(
        claims_paid=float(paid),
        outstanding_opening=_case(book, opening) + before.ibnr,
        outstanding_closing=_case(book, closing) + ibnr.ibnr,
        premium=float((in_year["written"] - in_year["returned"]).sum()),
        unearned_opening=at_start,
        unearned_closing=at_end,
        on=on,
    )
    product = Product(
        kind="medical",
        term_years=wanted.term_years,
        guaranteed_years=wanted.guaranteed_years,
        group=wanted.group,
    )
    results: dict[str, Result] = {
        "rate_adjustment_check": check_rate_adjustment(
            product,
            launch=wanted.launch,
            on=on,
            change=change,
            clause_cap=wanted.clause_cap,
            loss_ratio=ratio.ratio,
            industry_loss_ratio=wanted.industry_loss_ratio,
            notice_from=wanted.notice_from,
            last_adjustment=wanted.last_adjustment,
        ),
        "regulatory_loss_ratio": ratio,
    }
    if wanted.loading is not None:
        results["check:loading"] = check_loading(
            product, loading=wanted.loading, payment="regular", on=on
        )
        service = next(
            s for c, s in permissible.table.select("component", "share").iter_rows()
            if c == "service_cost"
        )  # fmt: skip
        if service > 0 and bands is not None:
            spent = service * bands["premium"].sum() / bands["exposure"].sum()
            gross = pl.col("premium") / pl.col("exposure")
            results["service_cost_check"] = check_service_cost(
                bands.select("age_band", gross_premium=gross, service_cost=pl.lit(spent)),
                loading=wanted.loading,
                on=on,
            )
    return results


def _unearned(flows: pl.DataFrame, day: date) -> float:
    """Unearned premium at the end of a month, over all segments."""
    month = day.replace(day=1)
    return float(flows.filter(pl.col("period") == month)["unearned"].sum())


def _case(book: Book, day: date) -> float:
    """Case reserves of a day: what was reported less what was paid by then."""
    seen = book.known.filter(pl.col("day") <= day)
    return max(float((seen["incurred_change"] - seen["paid"]).sum()), 0.0)
