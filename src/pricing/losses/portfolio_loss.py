"""Aggregate loss of a book: the cells of an experience, each with its own rate and amounts.

Independent Poisson cells of one severity add up to a Poisson with the sum of their means; negative
binomials with one dispersion to a negative binomial. So cells are added up by severity first, and
only the sums are transformed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from pricing.errors import InputError, nearest
from pricing.experience.cells import Experience
from pricing.losses.aggregate import LEVELS, aggregate_loss, aggregate_portfolio
from pricing.losses.count_law import CountLaw, negative_binomial, persons, poisson
from pricing.losses.discretise import Method
from pricing.losses.severity_law import SeverityLaw, mixed_severity, severity_law
from pricing.losses.terms import Terms
from pricing.losses.year_loss import AggregateLoss
from pricing.result.shape import Basis

__all__ = ["aggregate_experience"]

GROUPS = 64


def aggregate_experience(
    experience: Experience,
    expected: pl.Expr | str,
    severity: Any,
    *,
    severity_by: str | None = None,
    scale: pl.Expr | None = None,
    dispersion: float = 1.0,
    year_cv: float = 0.0,
    per_claim: Terms | None = None,
    per_person: Terms | None = None,
    per_year: Terms | None = None,
    premium: float | str | None = None,
    line: float = 1.0,
    level: float = 0.995,
    levels: Sequence[float] = LEVELS,
    method: Method = "moments",
    bucket: float | None = None,
    buckets: int | None = None,
) -> AggregateLoss:
    """Give the distribution of a book's total in one year of its exposure.

    Parameters
    ----------
    experience : Experience
        The book: exposure by cell.
    expected : polars.Expr or str
        Expected claims per policy-year of a cell, such as ``model.rate()``; or the name of a sum
        that holds expected claims.
    severity : SeverityLaw, frozen scipy distribution, or mapping of level to these
        Amount of one claim, currency.
    severity_by : str, optional
        Factor whose levels the mapping names.
    scale : polars.Expr, optional
        Factor on a cell's amounts, such as severity relativities; above zero. Where the book has
        more than 64 of them, neighbours are put together at their mean, weighted by claims.
    dispersion : float
        Variance over mean of the number of claims of each cell, independent between cells: 1 is
        Poisson, above that negative binomial.
    year_cv : float
        Coefficient of variation of a gamma factor common to every cell: a bad year for all.
    per_claim, per_person, per_year : Terms, optional
        What is paid of each claim, of each person's year, of the book's year, one after another: an
        out-of-pocket maximum per person counts what ``per_person`` leaves to the person, not what
        ``per_claim`` did.
    premium : float or str, optional
        Premium of the year, or the name of a sum that holds it.
    line, level, levels, method, bucket, buckets
        As for :func:`pricing.losses.aggregate.aggregate_loss`.

    Returns
    -------
    AggregateLoss
        With the basis of the experience.

    Raises
    ------
    InputError
        For cells without an expected rate or a scale above zero, levels without a severity,
        a dispersion below 1, options that exclude each other.

    Notes
    -----
    With ``per_person`` each policy-year is one person: whole ones count as they are, what is left
    of a cell as one person there with that probability. Where they are many, rates are put together
    to 128 groups in all, weighted by exposure, which keeps expected claims.

    Examples
    --------
    >>> from pricing.losses.severity_law import sample_severity
    >>> rows = pl.DataFrame({"sex": ["f", "m"], "exposure": [50.0, 30.0], "claims": [0, 0]})
    >>> book = aggregate_experience(Experience.collect(rows, ["sex"]), pl.lit(0.1),
    ...     sample_severity([100.0]), per_person=Terms(limit=100.0))
    >>> round(book.mean, 4)  # 80 persons, of whom 1 − exp(−0.1) claim
    761.3007
    """
    cells = _cells(experience, expected, scale)
    laws = _severities(cells, severity, severity_by, experience)
    if not 1 <= dispersion < math.inf or not 0 <= year_cv < math.inf:
        raise InputError(
            f"dispersion is 1 or more and year_cv zero or more, got {dispersion} and {year_cv}"
        )
    if year_cv and (dispersion > 1 or per_person is not None):
        raise InputError(
            "a factor common to the year goes with Poisson cells and without terms per person",
            do="leave out year_cv, or dispersion and per_person",
        )
    groups = _grouped(cells, severity_by, "_rate" if per_person is not None else None)
    parts: list[tuple[CountLaw, Any]] = []
    for group in groups.iter_rows(named=True):
        law = laws[group["_law"]]
        law = law if group["_scale"] == 1.0 else law.scaled(group["_scale"])
        if per_person is None:
            parts.append((_count(group["_claims"], dispersion), law))
        else:
            one = aggregate_loss(
                _count(group["_claims"] / group["exposure"], dispersion),
                law,
                per_claim=per_claim,
                per_year=per_person,
                method=method,
            )
            parts.append((persons(group["exposure"]), one))
    if year_cv:
        means = [count.mean for count, _ in parts]
        whole = math.fsum(means)
        count = negative_binomial(mean=whole, dispersion=1 + year_cv**2 * whole)
        parts = [(count, mixed_severity([law for _, law in parts], means))]
    return aggregate_portfolio(
        parts,
        per_claim=None if per_person is not None else per_claim,
        per_year=per_year,
        premium=_premium(experience, premium),
        line=line,
        level=level,
        levels=levels,
        method=method,
        bucket=bucket,
        buckets=buckets,
        basis=_basis(experience.basis, per_person, groups.height),
    )


def _cells(experience: Experience, expected: pl.Expr | str, scale: pl.Expr | None) -> pl.DataFrame:
    """Cells with expected claims ``_claims``, ``_rate`` and ``_scale``."""
    if isinstance(expected, str):
        sums = [n for n in experience.cells.columns if n not in experience.keys]
        if expected not in sums:
            raise InputError(
                f"{expected!r} is not a sum of this experience{nearest(expected, sums)}"
            )
        claims = pl.col(expected).cast(pl.Float64)
    else:
        claims = expected * pl.col("exposure")
    cells = experience.cells.with_columns(
        _claims=claims, _scale=pl.lit(1.0) if scale is None else scale
    ).with_columns(_rate=pl.col("_claims") / pl.col("exposure"))
    faults = []
    for name, what in (("_rate", "expected claims"), ("_scale", "a scale")):
        good = (pl.col(name).is_finite() & (pl.col(name) > 0)).fill_null(False)
        broken = cells.filter(~good).height
        if broken:
            faults.append(f"{broken:,} of {cells.height:,} cells have {what} not above zero")
    if faults:
        raise InputError("cells that cannot be added up", faults=faults)
    return cells


def _severities(
    cells: pl.DataFrame, severity: Any, by: str | None, experience: Experience
) -> dict[str, SeverityLaw]:
    if not isinstance(severity, Mapping):
        if by is not None:
            raise InputError("severity_by names a factor, but there is one severity for all")
        return {"": severity_law(severity)}
    if by is None or by not in experience.factors:
        raise InputError(
            f"severities by level take severity_by, a factor{nearest(str(by), experience.factors)}"
        )
    seen = cells[by].cast(pl.String).unique().sort().to_list()
    missing = [name for name in seen if name not in severity]
    if missing:
        raise InputError(
            f"{len(missing)} levels of {by!r} have no severity: {', '.join(missing[:5])}"
        )
    return {name: severity_law(severity[name]) for name in seen}


def _grouped(cells: pl.DataFrame, by: str | None, rate: str | None) -> pl.DataFrame:
    """Add up cells of one severity, scale and, where persons matter, rate; neighbours if many."""
    law = pl.lit("") if by is None else pl.col(by).cast(pl.String)
    table = cells.with_columns(_law=law)
    keys = ["_law"]
    for name, weight in (("_scale", "_claims"), (rate, "exposure")):
        if name is None:
            continue
        if table.select(*keys, name).n_unique() > GROUPS:
            many = max(2 * GROUPS // table.select(keys).n_unique(), 4) if name == rate else GROUPS
            share = pl.col(weight).cum_sum().over(keys) / pl.col(weight).sum().over(keys)
            table = table.sort([*keys, name]).with_columns(
                (share * many * (1 - 1e-12)).floor().alias(f"{name}_group")
            )
        else:
            table = table.with_columns(pl.col(name).alias(f"{name}_group"))
        keys.append(f"{name}_group")
    mean = (pl.col("_scale") * pl.col("_claims")).sum() / pl.col("_claims").sum()
    return (
        table.group_by(keys, maintain_order=True)
        .agg(pl.col("exposure", "_claims").sum(), _scale=mean)
        .with_columns(pl.col("_scale").round_sig_figs(12))
        .sort(keys)
    )


def _count(mean: float, dispersion: float) -> CountLaw:
    return poisson(mean) if dispersion == 1 else negative_binomial(mean=mean, dispersion=dispersion)


def _premium(experience: Experience, premium: float | str | None) -> float | None:
    if not isinstance(premium, str):
        return premium
    if premium not in experience.cells.columns or premium in experience.keys:
        raise InputError(
            f"{premium!r} is not a sum of this experience"
            f"{nearest(premium, experience.cells.columns)}",
            do="collect it with sums=[...]",
        )
    return float(experience.cells[premium].sum())


def _basis(basis: Basis, per_person: Terms | None, groups: int) -> Basis:
    said = f"per person's year: {per_person}" if per_person is not None else ""
    notes = (f"{groups:,} groups of cells", said) if said else (f"{groups:,} groups of cells",)
    return replace(basis, notes=(*basis.notes, *notes))
