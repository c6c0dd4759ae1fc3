"""Large claims: cut at a cap, what lies above shared out, and not a cent lost.

A few large claims decide the pure premium of any small segment. So each claim is cut at a cap c and
the models are fitted to Σ min(x, c); what was cut, Σ(x − c)₊, comes back as a charge in proportion to
exposure or to expected claims, at the rate of the whole book or of the segment. Total cost is the same
before and after, to rounding. Source: Klugman, Panjer and Willmot, Loss Models (5th ed. 2019), section
8.5; Werner and Modlin, Basic Ratemaking (5th ed. 2016), chapter 6.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, TypeVar, get_args

import plotly.graph_objects as go
import polars as pl
from scipy.special import ndtri

from pricing.errors import InputError, nearest
from pricing.experience.cells import Experience
from pricing.result.figure import interval_figure, with_points
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["PooledLarge", "cap_claims", "pool_large"]

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)
Shared = Literal["book", "segment"]
WHOLE = "whole experience"
GONE = ("log_amount", "amount_rows")


class PooledLarge(Result):
    """What was cut off large claims, and the charge that brings it back."""

    kind = "pooled_large"

    def finding(self, lang: Language = "en") -> str:
        """Say how much lies above the cap and what it costs per unit of the base."""
        facts = {**self.facts, "base_name": label(self.facts["base"], lang).lower()}
        said = say("finding.pooled_large", lang, **facts)
        if self.facts["by"] is None:
            return said
        facts |= {name: level_label(facts[name], lang) for name in ("lowest", "highest")}
        facts["by"] = label(facts["by"], lang)
        return said + say("sentence.pooled_by_segment", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw each segment's own excess per unit with its interval, and the charge as diamonds."""
        table = self.table
        by = self.facts["by"] or "segment"
        places = table[by].cast(pl.String).to_list()
        figure = interval_figure(
            places,
            table["own_excess"].to_list(),
            table["lower"].to_list(),
            table["upper"].to_list(),
            name="own_excess",
            factor=by,
            lang=lang,
            bars=table["exposure"].to_list(),
        )
        return with_points(
            figure, places, table["charge_rate"].to_list(), name="charge_rate", lang=lang
        )

    def charged(self, experience: Experience, *, expected: pl.Expr | None = None) -> Experience:
        """Add the charge to an experience collected from capped amounts.

        Each policy-year of a cell is charged the same, c, so the sums of the rows change exactly:
        Σ(a + ce)² = Σa² + 2cΣae + c²Σe². The cells gain ``amount_capped`` and ``large_charge``; sums
        of ln amount, which a charge has none of, are left out.

        Parameters
        ----------
        experience : Experience
            The same exposure, with ``amount`` summed from ``amount_capped``.
        expected : polars.Expr, optional
            Expected claims per policy-year, where the pool was made with them.

        Raises
        ------
        InputError
            Where the exposure or the capped total is not that of the pool.
        """
        cells = experience.cells
        if "amount" not in cells.columns or "amount_squared" not in cells.columns:
            raise InputError(
                "the experience carries no amounts", do="collect it with amount='amount_capped'"
            )
        for name, seen, pool in (
            ("exposure", experience.basis.exposure, self.facts["exposure"]),
            ("capped amount", float(cells["amount"].sum()), self.facts["amount_capped"]),
        ):
            if not math.isclose(seen, pool, rel_tol=1e-9, abs_tol=1e-9):
                raise InputError(
                    f"the {name} is {seen:,.6g} here and {pool:,.6g} in the pool",
                    do="collect from the same claims, capped by cap_claims",
                )
        by = self.facts["by"]
        rate: pl.Expr = pl.lit(self.table["charge_rate"][0])
        if by is not None and self.facts["shared"] == "segment":
            rate = pl.col(by).cast(pl.String).replace_strict(
                self.table[by].cast(pl.String).to_list(), self.table["charge_rate"].to_list(),
                return_dtype=pl.Float64,
            )  # fmt: skip
        if (expected is None) != (self.facts["base"] == "exposure"):
            raise InputError(
                f"the pool charges per {self.facts['base']}",
                do="give the same expected=... here as there",
            )
        c = rate if expected is None else rate * expected
        charge = c * pl.col("exposure")
        amount = pl.col("amount")
        changed = cells.drop(name for name in GONE if name in cells.columns).with_columns(
            amount_capped=amount,
            large_charge=charge,
            amount=amount + charge,
            amount_squared=pl.col("amount_squared")
            + 2 * c * pl.col("amount_exposure")
            + c**2 * pl.col("exposure_squared"),
            amount_exposure=pl.col("amount_exposure") + c * pl.col("exposure_squared"),
        )
        total = float(changed["amount"].sum())
        if not math.isclose(total, self.facts["amount"], rel_tol=1e-9):
            raise InputError(
                f"capped amounts and charges add up to {total:,.6g}, not to the "
                f"{self.facts['amount']:,.6g} of the claims",
                do="charge the experience the pool was made with",
            )
        note = f"claims capped at {self.facts['cap']:,.6g}, the excess charged per {self.facts['base']}"
        basis = replace(experience.basis, notes=(*experience.basis.notes, note))
        return Experience._of(changed, experience.keys, basis)


def cap_claims(claims: Frame, cap: float, *, amount: str = "amount") -> Frame:
    """Cut every claim at the cap and keep what was cut beside it.

    Parameters
    ----------
    claims : polars DataFrame or LazyFrame
        One row per claim.
    cap : float
        Currency, above zero.
    amount : str
        Column of claim amounts.

    Returns
    -------
    polars DataFrame or LazyFrame
        With ``amount_capped`` and ``amount_excess``, which add up to the amount.

    Examples
    --------
    >>> cap_claims(pl.DataFrame({"amount": [50.0, 900.0]}), 100.0)["amount_excess"].to_list()
    [0.0, 800.0]
    """
    if not 0 < cap < math.inf:
        raise InputError(f"a cap must be above zero and finite, got {cap}")
    names = claims.collect_schema().names()
    if amount not in names:
        raise InputError(f"no column {amount!r} of amounts{nearest(amount, names)}")
    value = pl.col(amount).cast(pl.Float64)
    capped = value.clip(upper_bound=cap)
    return claims.with_columns(amount_capped=capped, amount_excess=value - capped)


def pool_large(
    claims: pl.DataFrame | pl.LazyFrame,
    experience: Experience,
    *,
    cap: float,
    amount: str = "amount",
    by: str | None = None,
    shared: Shared = "book",
    expected: pl.Expr | None = None,
    level: float = 0.95,
) -> PooledLarge:
    """Cut claims at a cap and compute the charge that brings back what was cut.

    Parameters
    ----------
    claims : polars DataFrame or LazyFrame
        One row per claim, with its amount and, where asked, its segment.
    experience : Experience
        The exposure the claims arose from.
    cap : float
        Where each claim is cut, currency.
    amount : str
        Column of claim amounts, zero or more.
    by : str, optional
        Factor of both whose levels are the segments shown.
    shared : {"book", "segment"}
        Whether every segment is charged the book's rate, or its own excess over its own base. Own
        rates of small segments are chance: weigh them by credibility first.
    expected : polars.Expr, optional
        Expected claims per policy-year, such as ``model.rate()``: charge per expected claim. Left
        out, the charge is per policy-year.
    level : float
        Confidence level of each segment's own excess.

    Returns
    -------
    PooledLarge
        ``.table``: segment, exposure, claims, large_claims, amount, amount_capped, amount_excess,
        base, own_excess (excess per unit of base) with std_error, lower and upper, charge_rate,
        large_charge, amount_charged (capped + charge). ``.charged(experience)`` gives the models
        above their capped and charged amounts.

    Raises
    ------
    InputError
        For amounts that are null, not finite or negative, segments without exposure, unknown options.

    Notes
    -----
    The own excess's error is that of a compound Poisson sum, √Σ((x − c)₊)² over the base; a segment
    without a large claim has the exact upper end of a count of zero times the book's mean excess.

    Examples
    --------
    >>> claims = pl.DataFrame({"tier": ["a", "a", "b"], "amount": [50.0, 900.0, 300.0]})
    >>> rows = pl.DataFrame({"tier": ["a", "b"], "exposure": [6.0, 4.0], "claims": [2, 1]})
    >>> pool = pool_large(claims, Experience.collect(rows, ["tier"]), cap=100.0, by="tier")
    >>> pool.table.select("amount_capped", "large_charge").rows()
    [(150.0, 600.0), (100.0, 400.0)]
    """
    if shared not in get_args(Shared):
        raise InputError(f"no such choice: {shared!r}{nearest(str(shared), get_args(Shared))}")
    if not 0 < level < 1:
        raise InputError(f"the confidence level must lie between 0 and 1, got {level}")
    if shared == "segment" and by is None:
        raise InputError("a charge by segment takes a factor", do="name it with by=...")
    rows = _checked(cap_claims(claims.lazy(), cap, amount=amount), amount, by, experience)
    bases = _bases(experience, by, expected)
    key = by or "segment"
    table = bases.join(_by_segment(rows, by, amount), on=key, how="left").with_columns(
        pl.col("claims", "large_claims").fill_null(0),
        pl.col("amount", "amount_capped", "amount_excess", "_square").fill_null(0.0),
    )
    lost = rows.height - int(table["claims"].sum())
    if lost:
        raise InputError(
            f"{lost:,} of {rows.height:,} claims are of levels of {by!r} without exposure",
            do="give claims and exposure of the same period and book",
        )
    excess, base = float(table["amount_excess"].sum()), float(table["base"].sum())
    own = pl.col("amount_excess") / pl.col("base")
    z, mean = float(ndtri((1 + level) / 2)), excess / max(int(table["large_claims"].sum()), 1)
    none = -math.log((1 - level) / 2)  # the upper end of a count of zero (Garwood 1936)
    error = pl.col("_square").sqrt() / pl.col("base")
    charge = own if shared == "segment" else pl.lit(excess / base)
    some = pl.col("large_claims") > 0
    table = table.with_columns(
        own_excess=own,
        std_error=error,
        lower=(own - z * error).clip(0.0),
        upper=pl.when(some).then(own + z * error).otherwise(none * mean / pl.col("base")),
        charge_rate=charge,
    ).with_columns(large_charge=pl.col("charge_rate") * pl.col("base"))
    table = table.with_columns(amount_charged=pl.col("amount_capped") + pl.col("large_charge"))
    ordered = table.sort("own_excess", maintain_order=True)
    facts = {
        "cap": float(cap),
        "by": by,
        "shared": shared,
        "base": "exposure" if expected is None else "expected",
        "claims": rows.height,
        "large_claims": int(table["large_claims"].sum()),
        "exposure": experience.basis.exposure,
        "amount": float(table["amount"].sum()),
        "amount_capped": float(table["amount_capped"].sum()),
        "amount_excess": excess,
        "share": excess / float(table["amount"].sum()),
        "rate": excess / base,
        "currency": experience.basis.currency,
        "level": level,
        "lowest": str(ordered[key][0]),
        "highest": str(ordered[key][-1]),
        "lowest_excess": ordered["own_excess"][0],
        "highest_excess": ordered["own_excess"][-1],
    }
    return PooledLarge(
        table=table.drop("_square"),
        basis=experience.basis,
        facts=facts,
    )


def _checked(
    claims: pl.LazyFrame, amount: str, by: str | None, experience: Experience
) -> pl.DataFrame:
    names = claims.collect_schema()
    if by is not None and by not in experience.factors:
        raise InputError(f"{by!r} is no factor of the experience{nearest(by, experience.factors)}")
    if by is not None and by not in names:
        raise InputError(f"the claims have no column {by!r}{nearest(by, names.names())}")
    if not names[amount].is_numeric():
        raise InputError(f"{amount!r} is {names[amount]}, not a number")
    key = [] if by is None else [_text(by, names[by])]
    rows = claims.select(*key, amount=pl.col(amount).cast(pl.Float64), amount_capped="amount_capped",
                         amount_excess="amount_excess").collect()  # fmt: skip
    if rows.is_empty():
        raise InputError("there are no claims", do="check the source and the filters")
    value = pl.col("amount")
    counts = rows.select(
        pl.lit(0).alias("none") if by is None else pl.col(by).is_null().sum().alias("none"),
        (~value.is_finite().fill_null(False)).sum().alias("broken"),
        (value < 0).sum().alias("negative"),
        (value > 0).sum().alias("some"),
    ).row(0, named=True)
    faults = [
        f"{what} in {counts[name]:,} of {rows.height:,} claims"
        for name, what in (
            ("none", f"{by!r} is null"),
            ("broken", f"{amount!r} is null or not finite"),
            ("negative", f"{amount!r} is negative"),
        )
        if counts[name]
    ]
    if faults:
        raise InputError(
            "claims that cannot be capped",
            faults=faults,
            do="take recoveries off the claim they belong to first",
        )
    if not counts["some"]:
        raise InputError("no claim has an amount above zero")
    return rows


def _text(name: str, kind: pl.DataType) -> pl.Expr:
    """A key as the experience spells its levels."""
    if kind == pl.Boolean:
        return pl.when(name).then(pl.lit("yes")).otherwise(pl.lit("no")).alias(name)
    return pl.col(name).cast(pl.String)


def _bases(experience: Experience, by: str | None, expected: pl.Expr | None) -> pl.DataFrame:
    """Exposure and the base of the charge by segment, in the order of the levels."""
    cells = experience.cells
    if expected is not None:
        if not experience.keys:
            raise InputError("expected claims take an experience by at least one key")
        cells = experience.rated(expected, experience.keys[0]).cells  # refuses what is no rate
    base = pl.col("exposure") if expected is None else pl.col("_rate") * pl.col("exposure")
    cells = cells.with_columns(_base=base)
    sums = {"exposure": pl.col("exposure").sum(), "base": pl.col("_base").sum()}
    if by is None:
        return cells.select(segment=pl.lit(WHOLE), **sums).head(1)
    return (
        cells.group_by(by, maintain_order=True)
        .agg(**sums)
        .sort(by)
        .with_columns(pl.col(by).cast(pl.String))
    )


def _by_segment(rows: pl.DataFrame, by: str | None, amount: str) -> pl.DataFrame:
    excess = pl.col("amount_excess")
    sums = [
        pl.len().cast(pl.Int64).alias("claims"),
        (excess > 0).sum().cast(pl.Int64).alias("large_claims"),
        pl.col("amount", "amount_capped", "amount_excess").sum(),
        (excess**2).sum().alias("_square"),
    ]
    if by is None:
        return rows.select(sums).select(pl.lit(WHOLE).alias("segment"), pl.all())
    return rows.group_by(by, maintain_order=True).agg(sums)
