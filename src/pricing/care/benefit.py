"""What a scheme pays for care: a flat sum a month, by the day, by the hour, or up to an indexed cap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from pricing.data.tables import reference_table
from pricing.errors import InputError, nearest

__all__ = [
    "Benefit",
    "FlatMonthly",
    "Hours",
    "IndexedCap",
    "PerDay",
    "benefit_paid",
    "city_benefit",
    "monthly_benefit",
]

DAYS = 365 / 12  # in a month


@dataclass(frozen=True, kw_only=True)
class FlatMonthly:
    """A sum for every month in payment, whatever care costs.

    Attributes
    ----------
    amount : float
        CNY a month.
    cap : float, optional
        Most that is paid in a month; a cap below the amount is a contradiction.

    Examples
    --------
    >>> FlatMonthly(amount=600.0).needs
    ('months',)
    """

    amount: float
    cap: float | None = None

    def __post_init__(self) -> None:
        faults = _below_zero(amount=self.amount, cap=self.cap)
        if not faults and self.cap is not None and self.cap < self.amount:
            faults.append(f"the cap of {self.cap:g} is below the benefit of {self.amount:g}")
        _refuse(faults, "a flat monthly benefit")

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns :func:`benefit_paid` reads."""
        return ("months",)

    def paid(self) -> pl.Expr:
        """Amount paid for a row."""
        return pl.col("months") * self.amount


@dataclass(frozen=True, kw_only=True)
class PerDay:
    """A share of the day's charge up to a cap, or a flat sum a day.

    Attributes
    ----------
    coinsurance : float
        Share of the charge the person pays, 0 to 1; the scheme pays 1 less it.
    cap : float, optional
        Most the scheme pays a day.
    flat : float, optional
        Paid a day whatever it costs, in the place of the share.

    Examples
    --------
    >>> benefit_paid(pl.DataFrame({"days": [30], "daily_charge": [100.0]}), PerDay(coinsurance=0.25, cap=60.0))["paid"].item()
    1800.0
    """

    coinsurance: float = 0.0
    cap: float | None = None
    flat: float | None = None

    def __post_init__(self) -> None:
        faults = _below_zero(coinsurance=self.coinsurance, cap=self.cap, flat=self.flat)
        if not faults and self.coinsurance > 1:
            faults.append(f"coinsurance of {self.coinsurance:g} is over 1: give 0.25 for 25 %")
        if not faults and self.flat is not None and self.coinsurance > 0:
            faults.append("a flat sum a day and a coinsurance contradict each other")
        if not faults and self.flat is not None and self.cap is not None and self.cap < self.flat:
            faults.append(f"the cap of {self.cap:g} is below the benefit of {self.flat:g} a day")
        _refuse(faults, "a benefit by the day")

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns :func:`benefit_paid` reads."""
        return ("days",) if self.flat is not None else ("days", "daily_charge")

    def paid(self) -> pl.Expr:
        """Amount paid for a row."""
        if self.flat is not None:
            return pl.col("days") * self.flat
        day = pl.col("daily_charge") * (1 - self.coinsurance)
        return pl.col("days") * (day if self.cap is None else day.clip(upper_bound=self.cap))


@dataclass(frozen=True, kw_only=True)
class Hours:
    """Hours of care at a price, up to so many hours a month.

    Attributes
    ----------
    price : float
        CNY an hour.
    most : float
        Hours a month paid at most.
    coinsurance : float
        Share the person pays, 0 to 1.

    Examples
    --------
    >>> benefit_paid(pl.DataFrame({"months": [2], "hours": [100.0]}), Hours(price=45.0, most=30.0))["paid"].item()
    2700.0
    """

    price: float
    most: float
    coinsurance: float = 0.0

    def __post_init__(self) -> None:
        faults = _below_zero(price=self.price, most=self.most, coinsurance=self.coinsurance)
        if not faults and self.coinsurance > 1:
            faults.append(f"coinsurance of {self.coinsurance:g} is over 1: give 0.25 for 25 %")
        if not faults and self.most > 744:
            faults.append(f"{self.most:g} hours are more than a month has")
        _refuse(faults, "a benefit by the hour")

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns :func:`benefit_paid` reads: ``hours`` are those of all the months together."""
        return ("months", "hours")

    def paid(self) -> pl.Expr:
        """Amount paid for a row."""
        hours = pl.min_horizontal("hours", pl.col("months") * self.most)
        return hours * self.price * (1 - self.coinsurance)


@dataclass(frozen=True, kw_only=True)
class IndexedCap:
    """Up to base × index × factor of the grade a month, of which the carer's factor is paid.

    Attributes
    ----------
    base : float
        CNY a month at index 1, such as 5,960.
    grade_factors, carer_factors : mapping of str to float
        By disability grade and by carer, 0 to 1.
    index : float
        What the base has grown to.

    Examples
    --------
    >>> rule = IndexedCap(base=5960.0, grade_factors={"severe_3": 0.5}, carer_factors={"family": 0.4})
    >>> benefit_paid(pl.DataFrame({"months": [1.0], "care_level": ["severe_3"], "carer": ["family"],
    ...     "monthly_charge": [4000.0]}), rule)["paid"].item()
    1192.0
    """

    base: float
    grade_factors: Mapping[str, float] = field(default_factory=dict)
    carer_factors: Mapping[str, float] = field(default_factory=dict)
    index: float = 1.0

    def __post_init__(self) -> None:
        faults = _below_zero(base=self.base, index=self.index)
        for what, factors in (("grade", self.grade_factors), ("carer", self.carer_factors)):
            faults += _below_zero(**{f"{what} factor of {k}": v for k, v in factors.items()})
            faults += [
                f"the {what} factor of {name} is {value:g}, over 1"
                for name, value in factors.items()
                if _number(value) and value > 1
            ]
            if not factors:
                faults.append(f"no {what} factors are given")
        _refuse(faults, "a benefit up to an indexed cap")

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns :func:`benefit_paid` reads."""
        return ("months", "care_level", "carer", "monthly_charge")

    def paid(self) -> pl.Expr:
        """Amount paid for a row."""
        cap = self.base * self.index * _factor("care_level", self.grade_factors)
        charge = pl.min_horizontal(pl.col("monthly_charge"), cap)
        return pl.col("months") * charge * _factor("carer", self.carer_factors)


Benefit = FlatMonthly | PerDay | Hours | IndexedCap


def benefit_paid(frame: pl.DataFrame, benefit: Benefit) -> pl.DataFrame:
    """Add what the scheme pays for each row of care.

    Parameters
    ----------
    frame : polars.DataFrame
        The columns the benefit ``needs``: months, days, daily_charge, hours, care_level, carer,
        monthly_charge.
    benefit : FlatMonthly, PerDay, Hours or IndexedCap

    Returns
    -------
    polars.DataFrame
        With ``paid``, CNY.

    Raises
    ------
    InputError
        For columns that lack, amounts that are empty or below zero, grades and carers without a factor.

    Examples
    --------
    >>> benefit_paid(pl.DataFrame({"months": [12]}), FlatMonthly(amount=600.0))["paid"].to_list()
    [7200.0]
    """
    lacking = [name for name in benefit.needs if name not in frame.columns]
    if lacking:
        raise InputError(f"columns {', '.join(lacking)} are missing from the care paid for")
    faults = []
    for name in benefit.needs:
        if name in ("care_level", "carer"):
            factors = benefit.grade_factors if name == "care_level" else benefit.carer_factors  # type: ignore[union-attr]
            other = frame.filter(
                ~pl.col(name).cast(pl.String).is_in(list(factors)).fill_null(False)
            )[name]
            said = "has no factor"
        elif not frame.schema[name].is_numeric():
            faults.append(f"{name} is no number but {frame.schema[name]}")
            continue
        else:
            bad = ~pl.col(name).cast(pl.Float64).is_between(0, float("inf"), closed="left")
            other = frame.filter(bad.fill_null(True))[name]
            said = "is empty, below zero or not finite"
        if len(other):
            first = ", ".join(map(str, other.unique(maintain_order=True).head(3).to_list()))
            faults.append(f"{name} {said} in {len(other):,} of {frame.height:,} rows: {first}")
    if faults:
        raise InputError("care that cannot be paid for", faults=faults)
    return frame.with_columns(paid=benefit.paid().cast(pl.Float64))


def monthly_benefit(benefit: Benefit, **use: float | str) -> float:
    """Amount for a month of given use: the price a projection takes.

    Parameters
    ----------
    benefit : FlatMonthly, PerDay, Hours or IndexedCap
    **use
        What a month holds, of ``daily_charge``, ``hours``, ``care_level``, ``carer``,
        ``monthly_charge``, and ``days`` where they are not 365/12.

    Examples
    --------
    >>> monthly_benefit(PerDay(flat=30.0))
    912.5
    """
    row: dict[str, Any] = {"months": 1.0, "days": DAYS} | use
    return float(benefit_paid(pl.DataFrame([row]), benefit)["paid"].item())


def city_benefit(city: str, benefit: str, grade: str | None = None) -> Benefit:
    """Build a city's benefit from the table of rules ``ltc_city_rules``.

    Parameters
    ----------
    city, benefit : str
        As in the table, such as ``"Tengzhou"`` and ``"home visits"``.
    grade : str, optional
        Hospital level or grade, where the rule has several.

    Raises
    ------
    InputError
        For a city, benefit or grade that is not there, with those that are.

    Examples
    --------
    >>> city_benefit("Tengzhou", "institution care")
    PerDay(coinsurance=0.25, cap=60.0, flat=None)
    >>> city_benefit("Nanjing", "home care", "highest").most
    54.0
    """
    rules = reference_table("ltc_city_rules").filter(pl.col("engine").is_not_null())
    part = rules.filter(pl.col("city") == city)
    if part.is_empty():
        raise InputError(f"no benefit rules of {city!r}{nearest(city, rules['city'])}")
    known = part["benefit"].to_list()
    part = part.filter(pl.col("benefit") == benefit)
    if part.is_empty():
        raise InputError(f"{city} has no benefit {benefit!r}{nearest(benefit, known)}")
    engine = part["engine"][0]
    grades = part["grade"].drop_nulls().unique(maintain_order=True).to_list()
    if engine != "indexed_cap" and grades:
        if grade not in grades:
            raise InputError(
                f"{benefit} of {city} differs by grade; {grade!r} is none of {', '.join(grades)}"
            )
        part = part.filter(pl.col("grade").is_null() | (pl.col("grade") == grade))
    values = {row["parameter"]: float(row["value"]) for row in part.iter_rows(named=True)}
    if engine == "flat_monthly":
        return FlatMonthly(amount=values["amount"])
    if engine == "hours":
        return Hours(price=values["price"], most=values["hours"])
    if engine == "per_day":
        return PerDay(
            coinsurance=round(1 - values.get("share", 1.0), 12),
            cap=values.get("cap"),
            flat=values.get("flat"),
        )
    factors: dict[str, dict[str, float]] = {"grade_factor": {}, "carer_factor": {}}
    for row in part.filter(pl.col("grade").is_not_null()).iter_rows(named=True):
        factors[row["parameter"]][row["grade"]] = float(row["value"])
    return IndexedCap(
        base=values["base"],
        grade_factors=factors["grade_factor"],
        carer_factors=factors["carer_factor"],
    )


def _factor(column: str, factors: Mapping[str, float]) -> pl.Expr:
    named = pl.col(column).cast(pl.String)
    return named.replace_strict(dict(factors), default=None, return_dtype=pl.Float64)


def _number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _below_zero(**values: float | None) -> list[str]:
    return [
        f"{name} must be a finite number of 0 or more, got {value!r}"
        for name, value in values.items()
        if value is not None and not (_number(value) and 0 <= value < float("inf"))
    ]


def _refuse(faults: list[str], where: str) -> None:
    if faults:
        raise InputError("a rule that contradicts itself", where=where, faults=faults)
