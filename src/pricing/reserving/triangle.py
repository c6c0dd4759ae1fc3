"""Claims triangle: sums by period of origin and lag; two over the same periods add.

Experience is additive, and so is a triangle: number, amount and amount² of payments by cell of
segment, origin and lag. The squares carry the error of a sum of payments (compound Poisson). Cells
without a payment are not stored; :meth:`Triangle.incremental` writes them as the zeros they are, and
what is not yet seen as NaN. Source: Mack, Schadenversicherungsmathematik (2nd ed. 2002), chapter 3;
Friedland, Estimating Unpaid Claims Using Basic Techniques (2010), chapter 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl
from plotly.colors import sample_colorscale

from pricing.errors import InputError, nearest
from pricing.experience.domain import listed, require_columns
from pricing.experience.engines import AnyFrame
from pricing.experience.shards import Shards
from pricing.files import fingerprint
from pricing.reserving.payments import MEASURES, first_origin, require_domain, require_kinds
from pricing.reserving.periods import (
    Grain,
    first_day,
    period_number,
    period_of,
    require_grain,
    whole,
)
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say

__all__ = ["MEASURES", "Floats", "Triangle", "claim_triangle"]

Floats = npt.NDArray[np.float64]
COUNTED = ("reported", "settled")  # columns of transactions that count claims
# Multiples of a power of two add up without rounding, in whatever order threads add them (to 2**53
# of them); what is left of each value is small, and its rounding is lost in the sum: the same rows
# give the same bytes.
COARSE = {"amount": 2.0**-10, "amount_squared": 2.0**8}
NAMED = 12  # origins that still fit a legend


class Triangle(Result):
    """Payments by origin and lag, whole periods up to the valuation.

    ``.table``: the segment keys, origin (first day of the period), lag (whole periods after it),
    payments (number of rows whose amount is not 0), amount and amount_squared; cells without a payment are absent.
    """

    kind = "triangle"

    @property
    def grain(self) -> Grain:
        """Length of a period: month, quarter or year."""
        grain: Grain = self.details["grain"]
        return grain

    @property
    def valuation(self) -> date:
        """Last day whose payments are known, the last of a period."""
        return date.fromisoformat(self.details["valuation"])

    @property
    def keys(self) -> tuple[str, ...]:
        """Segment keys."""
        return tuple(self.details["by"])

    @property
    def origins(self) -> list[date]:
        """First day of every origin period, from the first to the valuation's, none left out."""
        first = period_of(date.fromisoformat(self.details["first"]), self.grain)
        last = whole(self.valuation, self.grain)
        return [first_day(i, self.grain) for i in range(first, last + 1)]

    def incremental(self, measure: str = "amount") -> Floats:
        """Give origin by lag as a square array: 0 where nothing was paid, NaN where not yet seen.

        Parameters
        ----------
        measure : {"amount", "payments", "amount_squared"}
            Which sum; over all segments, take some with :meth:`where`.
        """
        if measure not in MEASURES:
            raise InputError(f"no measure {measure!r}{nearest(str(measure), MEASURES)}")
        size = len(self.origins)
        first = period_of(self.origins[0], self.grain)
        out = np.zeros((size, size))
        at = self.table.select(
            row=period_number(pl.col("origin"), self.grain) - first, lag="lag", value=measure
        )
        np.add.at(
            out,
            (at["row"].to_numpy(), at["lag"].to_numpy()),
            at["value"].cast(pl.Float64).to_numpy(),
        )
        rows, lags = np.indices(out.shape)
        out[rows + lags >= size] = np.nan
        return out

    def cumulative(self, measure: str = "amount") -> Floats:
        """Give origin by lag, added up along the lags; NaN where not yet seen."""
        total: Floats = np.cumsum(self.incremental(measure), axis=1)
        return total

    def latest(self, measure: str = "amount") -> Floats:
        """Give what is known of each origin at the valuation."""
        latest: Floats = np.nansum(self.incremental(measure), axis=1)
        return latest

    def wide(self, measure: str = "amount", *, cumulative: bool = True) -> pl.DataFrame:
        """Give the triangle as it is printed: a row per origin, a column per lag, null unseen."""
        values = self.cumulative(measure) if cumulative else self.incremental(measure)
        columns = {str(lag): values[:, lag] for lag in range(values.shape[1])}
        return pl.DataFrame({"origin": self.origins, **columns}).with_columns(
            pl.selectors.float().fill_nan(None)
        )

    def by(self, *keys: str) -> Triangle:
        """Add up over every segment key but these."""
        require_columns(keys, self.keys)
        kept = list(dict.fromkeys(keys))
        return _triangle(self.table, {**self.details, "by": kept}, self.basis, self.facts["beyond"])

    def where(self, **levels: str) -> Triangle:
        """Keep one level of each of some segment keys; the origins stay the same."""
        require_columns(list(levels), self.keys)
        kept, said = self.table, []
        for key, level in levels.items():
            there = self.table[key].unique().cast(pl.String).to_list()
            if str(level) not in there:
                raise InputError(f"{key!r} has no level {level!r}{nearest(str(level), there)}")
            kept = kept.filter(pl.col(key).cast(pl.String) == str(level))
            said.append(f"{key} = {level}")
        if kept.is_empty():
            raise InputError(f"no payment is left where {' and '.join(said)}")
        basis = replace(self.basis, filters=(*self.basis.filters, *said))
        return _triangle(kept, self.details, basis, self.facts["beyond"])

    def __add__(self, other: Triangle) -> Triangle:
        """Add two triangles of the same grain, valuation and keys, such as two months of payments."""
        if not isinstance(other, Triangle):
            return NotImplemented
        faults = [
            f"{name}: {self.details[name]} and {other.details[name]}"
            for name in ("grain", "valuation", "by", "amount")
            if self.details[name] != other.details[name]
        ]
        if self.basis.currency != other.basis.currency:
            faults.append(f"currency: {self.basis.currency} and {other.basis.currency}")
        if faults:
            raise InputError(
                "triangles that do not add",
                faults=faults,
                do="make both with the same grain, valuation, keys and amount",
            )
        text = {
            key: pl.String
            for key in self.keys
            if isinstance(self.table.schema[key], (pl.Enum, pl.String))
            and self.table.schema[key] != other.table.schema[key]
        }
        both = pl.concat(
            [t.table.with_columns(pl.col(k).cast(kind) for k, kind in text.items())
             for t in (self, other)],
            how="vertical_relaxed",
        )  # fmt: skip
        basis = replace(
            self.basis,
            rows=self.basis.rows + other.basis.rows,
            source=" + ".join(
                dict.fromkeys(s for s in (self.basis.source, other.basis.source) if s)
            ),
            filters=tuple(dict.fromkeys([*self.basis.filters, *other.basis.filters])),
        )
        details = {**self.details, "first": min(self.details["first"], other.details["first"])}
        return _triangle(both, details, basis, self.facts["beyond"] + other.facts["beyond"])

    def finding(self, lang: Language = "en") -> str:
        """Say what was paid, over which origins, up to when, and what was left out."""
        facts = {
            **self.facts,
            "grain_name": label(f"period_{self.grain}", lang),
            "unit_name": label(self.facts["unit"], lang),
        }
        said = say("finding.triangle", lang, **facts)
        return said + (say("sentence.triangle_beyond", lang, **facts) if facts["beyond"] else "")

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw how each origin develops: cumulative amount by lag, one line per origin."""
        values, origins = self.cumulative(), self.origins
        size = len(origins)
        shades = sample_colorscale("Cividis_r", np.linspace(0.15, 1.0, size).tolist())
        figure = go.Figure(layout={"template": "pricing"})
        for row, (origin, shade) in enumerate(zip(origins, shades, strict=True)):
            seen = size - row
            figure.add_scatter(
                x=list(range(seen)),
                y=values[row, :seen].tolist(),
                mode="lines+markers",
                name=period_name(origin, self.grain),
                line={"color": shade, "width": 2},
                marker={"size": 5},
                showlegend=size <= NAMED,
            )
        if size > NAMED:
            figure.add_annotation(
                text=f"{period_name(origins[0], self.grain)} → {period_name(origins[-1], self.grain)}",
                xref="paper", yref="paper", x=0, y=1.08, showarrow=False,
                font={"color": COLOURS["line"]},
            )  # fmt: skip
        grain, unit = label(f"period_{self.grain}", lang), label(self.facts["unit"], lang)
        what = label("cumulative_amount", lang)
        return figure.update_layout(
            hovermode="closest",
            legend={"orientation": "v", "x": 1.02, "y": 1.0, "yanchor": "top"},
            xaxis={"title": {"text": f"{label('lag', lang)} ({grain})"}, "zeroline": False},
            yaxis={"title": {"text": f"{what} ({unit})"}, "rangemode": "tozero"},
        )


def period_name(origin: date, grain: Grain) -> str:
    """Name a period: 2024, 2024Q2 or 2024-05.

    Examples
    --------
    >>> [period_name(date(2024, 4, 1), grain) for grain in ("year", "quarter", "month")]
    ['2024', '2024Q2', '2024-04']
    """
    if grain == "year":
        return f"{origin.year}"
    return f"{origin:%Y-%m}" if grain == "month" else f"{origin.year}Q{origin.month // 3 + 1}"


def claim_triangle(
    transactions: AnyFrame,
    *,
    valuation: date,
    origin: str = "incurred",
    day: str = "paid",
    amount: str = "amount",
    grain: Grain = "month",
    by: Sequence[str] = (),
    start: date | None = None,
    basis: Basis | None = None,
) -> Triangle:
    """Add payments up by period of origin and lag.

    The triangle is complete: every origin from the first payment's (or ``start``) to the valuation,
    whole periods only, a zero where nothing was paid. What was paid after the valuation, or has an
    origin before ``start``, is left out and counted.

    Parameters
    ----------
    transactions : frame of any engine
        One row per payment: a polars DataFrame or LazyFrame (streamed), a DuckDB relation, a
        PySpark DataFrame; from :func:`pricing.reserving.transactions.claim_transactions` take
        ``day="day"`` and ``amount="paid"``, ``"incurred_change"``, ``"reported"`` or ``"settled"``.
    valuation : date
        Last day whose payments are known; the last day of a period.
    origin, day : str
        Columns of dates: when the claim belongs to (incurral, report or start of the term), and
        when the amount moved.
    amount : str
        Column of amounts in currency (recoveries are negative), or of counts.
    grain : {"month", "quarter", "year"}
        Length of origin periods and of lags.
    by : sequence of str
        Segment keys: text, Enum, yes or no, or whole numbers.
    start : date, optional
        First day of the first origin period.
    basis : Basis, optional
        Source and currency.

    Returns
    -------
    Triangle
        Sums by cell; ``.incremental()``, ``.cumulative()``, ``+``.

    Raises
    ------
    InputError
        For no rows, columns that are missing or of the wrong type, dates that are null, amounts that
        are null or not finite, payments before the day of origin, a valuation inside a period, and
        more than 500 periods.

    Examples
    --------
    >>> payments = pl.DataFrame({
    ...     "incurred": [date(2024, 1, 30), date(2024, 1, 31), date(2024, 3, 1)],
    ...     "paid": [date(2024, 2, 1), date(2024, 3, 5), date(2024, 3, 8)],
    ...     "amount": [100.0, -20.0, 50.0]})
    >>> seen = claim_triangle(payments, valuation=date(2024, 3, 31))
    >>> seen.cumulative().tolist()
    [[0.0, 100.0, 80.0], [0.0, 0.0, nan], [50.0, nan, nan]]
    >>> (seen + seen).table["payments"].sum()
    6
    """
    require_grain(grain)
    last, by = whole(valuation, grain), listed(by)
    columns = [origin, day, amount, *by]
    shards = Shards.of(transactions, columns)
    require_kinds(shards.schema, origin, day, amount, by)
    keys = {f"k{i}": key for i, key in enumerate(by)}
    job = partial(_cells, keys=keys, origin=origin, day=day, amount=amount, grain=grain)
    cells = shards.gather(job, partial(_added, keys=[*keys, "o", "d"])).rename(keys)
    cells = cells.with_columns(pl.col(n) + pl.col(f"{n}_rest") for n in COARSE).drop(
        f"{n}_rest" for n in COARSE
    )
    require_domain(cells, by, origin, day, amount)
    first = first_origin(cells, last, start, grain)
    early = (pl.col("o") < first) & (start is not None)
    outside = int(cells.filter(early)["rows"].sum())
    kept = cells.filter((pl.col("o") >= first) & (pl.col("d") <= last))
    beyond = int(cells["rows"].sum()) - outside - int(kept["rows"].sum())
    starts = [first_day(i, grain) for i in range(first, last + 1)]
    table = kept.with_columns(
        origin=pl.lit(pl.Series(starts, dtype=pl.Date)).gather(pl.col("o") - first),
        lag=(pl.col("d") - pl.col("o")).cast(pl.Int32),
    )
    details = {
        "grain": grain, "valuation": valuation.strftime("%Y-%m-%d"), "by": by, "amount": amount,
        "first": first_day(first, grain).isoformat(), "origin": origin, "day": day,
    }  # fmt: skip
    basis = basis or Basis()
    if outside:
        note = f"{outside:,} rows of origins before {details['first']} left out"
        basis = replace(basis, filters=(*basis.filters, note))
    return _triangle(table, details, replace(basis, rows=int(kept["rows"].sum())), beyond)


def _cells(
    rows: pl.LazyFrame,
    *,
    keys: dict[str, str],
    origin: str,
    day: str,
    amount: str,
    grain: Grain,
) -> pl.DataFrame:
    """Group the rows once; what is wrong with a row is seen in the sums of its cell."""
    value = pl.col("a")
    sums = {"amount": value, "amount_squared": value * value}
    coarse = {n: (of / COARSE[n]).round() * COARSE[n] for n, of in sums.items()}
    return (
        rows.select(
            **{k: pl.col(key) for k, key in keys.items()},
            u=pl.col(origin).cast(pl.Date),
            v=pl.col(day).cast(pl.Date),
            a=pl.col(amount).cast(pl.Float64),
        )
        .with_columns(
            o=period_number(pl.col("u"), grain),
            d=period_number(pl.col("v"), grain),
            early=pl.col("v") < pl.col("u"),
        )
        .group_by(*keys, "o", "d")
        .agg(
            rows=pl.len().cast(pl.Int64),
            payments=(value != 0).sum().cast(pl.Int64),
            known=value.count().cast(pl.Int64),
            early=pl.col("early").sum().cast(pl.Int64),
            **{n: of.sum() for n, of in coarse.items()},
            **{f"{n}_rest": (of - coarse[n]).sum() for n, of in sums.items()},
        )
        .collect(engine="streaming")
    )


def _added(cells: pl.DataFrame, *, keys: list[str]) -> pl.DataFrame:
    return cells.group_by(keys).agg(pl.exclude(keys).sum())


def _triangle(
    table: pl.DataFrame, details: Mapping[str, Any], basis: Basis, beyond: int
) -> Triangle:
    """Add cells up and put them in order."""
    by: list[str] = list(details["by"])
    keys = [*by, "origin", "lag"]
    made = table.group_by(keys).agg(pl.col(*MEASURES).sum())
    made = made.with_columns(_level(made, name) for name in by).sort(keys)
    totals = made.select(pl.col("payments", "amount").sum()).row(0, named=True)
    grain, valuation = details["grain"], details["valuation"]
    number = period_of(date.fromisoformat(valuation), grain)
    size = number - period_of(date.fromisoformat(details["first"]), grain) + 1
    facts = {
        "payments": int(totals["payments"]), "total": float(totals["amount"]), "origins": size,
        "first": period_name(date.fromisoformat(details["first"]), grain),
        "last": period_name(first_day(number, grain), grain), "grain": grain,
        "valuation": valuation, "beyond": int(beyond), "currency": basis.currency,
        "unit": "unit_claims" if details["amount"] in COUNTED else basis.currency,
    }  # fmt: skip
    rounded = made.select(pl.selectors.float().round_sig_figs(9), ~pl.selectors.float())
    columns = [rounded[name].to_physical().to_numpy().tobytes() for name in rounded.columns]
    basis = replace(
        basis,
        period=f"{details['first']} / {valuation}",
        fingerprint=fingerprint(*rounded.columns, str(grain), str(valuation), *columns),
        notes=(
            *(n for n in basis.notes if not n.startswith("valued at")),
            f"valued at {valuation}; {beyond:,} rows after it left out",
        ),
    )  # fmt: skip
    return Triangle(table=made, basis=basis, facts=facts, details=dict(details))


def _level(table: pl.DataFrame, key: str) -> pl.Expr:
    kind = table.schema[key]
    if kind == pl.Boolean:
        return (
            pl.when(key).then(pl.lit("yes")).otherwise(pl.lit("no")).cast(pl.Enum(["no", "yes"]))
            .alias(key)
        )  # fmt: skip
    if not (isinstance(kind, pl.Enum) or kind.is_integer()):
        levels = sorted(table[key].cast(pl.String).unique().to_list())
        return pl.col(key).cast(pl.String).cast(pl.Enum(levels))
    return pl.col(key)
