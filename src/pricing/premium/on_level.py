"""Premium at current level, exact by day from the company's own terms: rates, discounts, tariff."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from math import isfinite

import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError, nearest
from pricing.experience.domain import listed
from pricing.premium.earned import (
    Grain,
    money_flows,
    require_options,
    taken_terms,
    with_unearned,
)
from pricing.premium.rate_changes import checked_changes, require_levels, with_level
from pricing.result.figure import COLOURS
from pricing.result.series import SERIES
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["OnLevel", "on_level"]

_ADDED = ("rate_day", "at_current", "standard_current", "at_today", "own_level", "current_level")


class OnLevel(Result):
    """Premium written, earned and at current level by period and segment, and on-level factors."""

    kind = "on_level"

    def __add__(self, other: OnLevel) -> OnLevel:
        """Add the premium of another part of the same book: the sums add, the factors follow from them."""
        keys = ["period", *self.details["by"]]
        alike = (
            keys == ["period", *other.details["by"]] and self.table.columns == other.table.columns
        )
        if not alike or any(
            self.facts[n] != other.facts[n] for n in ("last", "method", "currency")
        ):
            raise InputError(
                "only premium of one valuation, method and currency, by the same segments, adds",
                do="make both parts by the same on_level(...)",
            )
        kinds = {
            k: pl.Enum(sorted({*mine.categories, *theirs.categories}))
            for k in keys
            if isinstance(mine := self.table.schema[k], pl.Enum)
            and isinstance(theirs := other.table.schema[k], pl.Enum)
            and mine != theirs  # text has the levels seen in its own part
        }
        both = pl.concat([self.table.cast(kinds), other.table.cast(kinds)])
        sums = both.group_by(keys, maintain_order=True).agg(
            pl.exclude(*keys, "on_level_factor").sum()
        )
        factor = pl.when(pl.col("earned") > 0).then(
            pl.col("premium_at_current_level") / pl.col("earned")
        )
        table = sums.sort(keys).with_columns(on_level_factor=factor).select(self.table.columns)
        held = replace(
            self.basis, notes=self.basis.notes[:-1]
        )  # the note on the method comes again
        return _result(
            table, self.details["by"], self.basis.rows + other.basis.rows,
            date.fromisoformat(self.facts["last"]), held, self.details["method"],
        )  # fmt: skip

    def finding(self, lang: Language = "en") -> str:
        """Say what the earned premium would be today, and which period is furthest from it."""
        facts = dict(self.facts)
        facts["method"] = say(f"sentence.on_level_{facts.pop('method')}", lang)
        return say("finding.on_level", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw earned premium beside that at current level, and the factor between them."""
        total = self.table.group_by("period", maintain_order=True).agg(
            pl.col("earned", "premium_at_current_level").sum()
        )
        most = max(*total["earned"], *total["premium_at_current_level"], 1e-12)
        figure = go.Figure(layout={"template": "pricing", "barmode": "group", "height": 440})
        x = total["period"].to_list()
        for column, colour in (
            ("earned", COLOURS["bars"]),
            ("premium_at_current_level", "#6B7280"),
        ):
            figure.add_bar(
                x=x, y=total[column].to_list(), name=label(column, lang), marker_color=colour
            )
        lines = [(label("on_level_factor", lang), total)]
        by = self.details["by"]
        segments = self.table.select(by).unique(maintain_order=True).rows() if by else []
        if 1 < len(segments) < len(SERIES):
            lines = [(say("sentence.on_level_all", lang), total)]
            for segment in segments:
                part = self.table.filter(pl.col(k) == v for k, v in zip(by, segment, strict=True))
                lines.append((" × ".join(level_label(str(v), lang) for v in segment), part))
        for (name, part), (colour, symbol) in zip(lines, SERIES, strict=False):
            earned = pl.col("earned")
            ratio = pl.when(earned > 0).then(pl.col("premium_at_current_level") / earned)
            figure.add_scatter(
                x=part["period"].to_list(),
                y=part.select(ratio).to_series().to_list(),
                name=name,
                yaxis="y2",
                mode="lines+markers",
                marker={"size": 8, "color": colour, "symbol": symbol},
                line={"width": 2, "color": colour},
            )
        return figure.update_layout(
            xaxis={"title": {"text": label("period", lang)}},
            yaxis={
                "title": {"text": f"{label('premium', lang)} ({self.basis.currency})"},
                "side": "right",
                "showgrid": False,
                "range": [0, 2 * most],  # the bars keep to the lower half
            },
            yaxis2={
                "title": {"text": label("on_level_factor", lang)},
                "side": "left",
                "overlaying": "y",
            },
        )


def on_level(
    terms: pl.DataFrame | pl.LazyFrame,
    changes: pl.DataFrame,
    *,
    valuation: date,
    grain: Grain = "quarter",
    by: Sequence[str] = (),
    premium: str = "premium",
    exit: str | None = None,
    anniversary: str = "start",
    rated: str = "start",
    current: date | None = None,
    present: Mapping[str, float] | None = None,
    group: str = "health_group",
    standard: str = "standard_premium",
    tariff: pl.Expr | None = None,
    basis: Basis | None = None,
) -> OnLevel:
    """Premium at current level by period and segment, each term brought there by its own rate level.

    A term that began at level I(start) would be charged premium × I(current) ÷ I(start) today. Both
    are earned by day, and the on-level factor of a period is their ratio. No pattern of writing is
    assumed. A change to cover in force raises the premium of a running term from its day on: what
    the rest of the term then costs more is written on that day. Discounts are rate changes too:
    with ``present`` the discounts that were charged give way to those of the present schedule,
    standard premium × I(current) ÷ I(start) × (1 − present discount of the group). With ``tariff``
    the exposures are extended: each term is priced anew at today's rates.

    Parameters
    ----------
    terms, valuation, grain, by, premium, exit, anniversary
        As :func:`pricing.premium.earned.premium_by_period` takes them. The annual premium of a
        row is the one in force on its first day.
    changes : polars.DataFrame
        As :func:`pricing.premium.rate_changes.checked_changes` takes them; every further column
        is a segment, and in the terms.
    rated : str
        Column of the day whose rates the row was charged at, where that is not its start: the day
        of the quotation, or, for the pieces of a term that was cut, the first day of the term.
    current : date, optional
        The day whose rates are current; after the last change where left out.
    present : mapping of group to discount, optional
        The present discounts, 0 ≤ discount < 1, for every group in ``group``.
    group, standard : str
        Columns of the health group and of the annual premium before the discount. Where the terms
        have ``standard``, it too is given at its own and at current level.
    tariff : polars.Expr, optional
        Prices a row at today's rates, per policy year: before the discount where ``present`` is
        given, as charged where not.

    Returns
    -------
    OnLevel
        ``.table``: period, by, exposure, written, returned, earned, unearned,
        premium_at_current_level (earned), on_level_factor (null where nothing was earned), and
        standard_premium, standard_at_current_level (earned) where there is a standard premium.

    Raises
    ------
    InputError
        As ``premium_by_period`` and ``checked_changes``; for groups without a present discount,
        discounts out of range, and a tariff that does not price every row above zero.

    References
    ----------
    Werner, G. and Modlin, C. (2016). Basic Ratemaking, 5th ed., chapter 5: extension of exposures.
    Casualty Actuarial Society.

    Examples
    --------
    >>> terms = pl.DataFrame({"start": [date(2022, 1, 1), date(2023, 1, 1)],
    ...                       "end": [date(2023, 1, 1), date(2024, 1, 1)], "premium": [100.0, 110.0]})
    >>> changes = pl.DataFrame({"day": [date(2023, 1, 1)], "change": [0.1]})
    >>> found = on_level(terms, changes, valuation=date(2023, 12, 31), grain="year")
    >>> found.table["on_level_factor"].round(12).to_list()
    [1.1, 1.0]
    """
    by = listed(by)
    require_options(valuation, grain, premium)
    if current is not None and not isinstance(current, date):
        raise InputError(
            f"current is a {type(current).__name__}, not a date: {current!r}",
            do="give the day whose rates are current as datetime.date(...)",
        )
    steps = checked_changes(changes)
    names = terms.lazy().collect_schema().names()
    asked = [] if tariff is None else tariff.meta.root_names()
    faults = [
        f"column {n!r} is missing{nearest(n, names)}"
        for n in dict.fromkeys([rated, *asked])
        if n not in names
    ]
    if faults:
        raise InputError("terms that cannot serve as asked", faults=faults)
    own = [premium]
    own += [standard] if standard != premium and standard in names else []
    needed = [*by, *steps.columns[:-3], *own, "rate_day"]  # the segments of the changes among them
    needed += [standard, group] if present is not None else []
    terms = terms.lazy().with_columns(rate_day=pl.col(rated))
    if tariff is not None:
        terms, needed = terms.with_columns(at_today=tariff), [*needed, "at_today"]
    clash = [k for k in by if k in (*_ADDED, "in_force_level", *own)]
    if clash:
        raise InputError(f"segment {clash[0]!r} has the name of a column of ours; rename it")
    rows = taken_terms(terms, needed, exit=exit, anniversary=anniversary, by=by)
    begun = rows.filter(pl.col("term_start") <= valuation)
    if begun.is_empty():
        raise InputError(
            f"no term begins by the valuation on {valuation}",
            do="check the valuation and the terms",
        )
    require_levels(rows, steps)
    rows = begun
    lacking = rows["rate_day"].null_count()
    if lacking or rows.schema["rate_day"] != pl.Date:
        raise InputError(
            f"{rated!r} is no date in {lacking or rows.height:,} of {rows.height:,} rows"
        )
    rows = _levelled(rows, steps, current)
    rows = rows.with_columns(
        at_current=_at_current(rows, premium, present, group, standard, priced=tariff is not None)
    )
    levelled = ["at_current"]
    if len(own) == 2:  # the standard premium stands beside the one charged
        if tariff is not None and present is not None:
            rows = rows.with_columns(standard_current=pl.col("at_today").cast(pl.Float64))
        else:
            level = pl.col("current_level") / pl.col("own_level")
            rows = rows.with_columns(standard_current=pl.col(standard).cast(pl.Float64) * level)
        levelled.append("standard_current")
    flows = money_flows(rows, [*own, *levelled], valuation=valuation, grain=grain, by=by)
    flows = _with_endorsements(flows, rows, steps, own, valuation=valuation, grain=grain, by=by)
    earned = with_unearned(flows, premium, valuation=valuation, grain=grain, by=by)
    factor = pl.when(pl.col("earned") > 0).then(pl.col("at_current") / pl.col("earned"))
    table = earned.select(
        *("period", *by, "exposure", "written", "returned", "earned", "unearned"),
        pl.col("at_current").alias("premium_at_current_level"),
        on_level_factor=factor,
        **({"standard_premium": pl.col(standard)} if len(own) == 2 else {}),
        **({"standard_at_current_level": pl.col("standard_current")} if len(own) == 2 else {}),
    )
    return _result(table, by, rows.height, valuation, basis, _method(present, tariff))


def _levelled(rows: pl.DataFrame, steps: pl.DataFrame, current: date | None) -> pl.DataFrame:
    """The level every row was charged at, and the current one."""
    rows = with_level(rows, steps, "rate_day", applies_to=["new_and_renewal"], name="own_level")
    rows = with_level(rows, steps, "term_start", applies_to=["in_force"], name="in_force_level")
    return with_level(
        rows.with_columns(own_level=pl.col("own_level") * pl.col("in_force_level")),
        steps,
        current,
        name="current_level",
    )


def _at_current(
    rows: pl.DataFrame,
    premium: str,
    present: Mapping[str, float] | None,
    group: str,
    standard: str,
    *,
    priced: bool,
) -> pl.Series:
    """Annual premium of every row at current level."""
    money = "at_today" if priced else premium if present is None else standard
    if not rows.schema[money].is_numeric():
        raise InputError(f"{money!r} is {rows.schema[money]}, not an amount")
    amount = rows[money].cast(pl.Float64)
    if priced:
        wrong = (~(amount.is_finite() & (amount > 0)).fill_null(False)).sum()
        if wrong:
            raise InputError(
                f"the tariff prices {wrong:,} of {rows.height:,} rows at nothing, null or NaN",
                do="price every row above zero, or leave out the rows that today's tariff does not sell",
            )
    else:
        amount = amount * rows["current_level"] / rows["own_level"]
    if present is None:
        return amount
    wrong_one = {g: d for g, d in present.items() if not (isfinite(d) and 0 <= d < 1)}
    groups = rows[group].cast(pl.String)
    lacking = sorted(set(groups.unique().drop_nulls().to_list()) - {str(g) for g in present})
    faults = [f"the discount of {g!r} is {d}: not from 0 to below 1" for g, d in wrong_one.items()]
    faults += [f"group {g!r} has no present discount" for g in lacking]
    faults += [f"{group!r} is null in {groups.null_count():,} rows"] if groups.null_count() else []
    if faults:
        raise InputError("the present schedule cannot be applied", faults=faults)
    words = {str(g): 1.0 - float(d) for g, d in present.items()}
    return amount * groups.replace_strict(words, return_dtype=pl.Float64)


def _with_endorsements(
    flows: pl.DataFrame,
    rows: pl.DataFrame,
    steps: pl.DataFrame,
    own: list[str],
    *,
    valuation: date,
    grain: Grain,
    by: list[str],
) -> pl.DataFrame:
    """Add what changes to cover in force add to the premium of the rest of each running term."""
    days = steps.filter(pl.col("applies_to") == "in_force")["day"].unique().sort()
    parts = []
    for day in days.filter(days <= valuation):  # a handful of days, never rows
        running = rows.filter((pl.col("term_start") < day) & (pl.col("term_left") > day))
        if running.is_empty():
            continue
        only = ["in_force"]
        running = with_level(running, steps, day, applies_to=only, name="after")
        eve = day - timedelta(days=1)
        running = with_level(running, steps, eve, applies_to=only, name="before")
        more = (pl.col("after") - pl.col("before")) / pl.col("in_force_level")
        parts.append(
            running.with_columns(
                term_start=pl.lit(day),
                **{f"up_{m}": (pl.col(m).cast(pl.Float64) * more).clip(0, None) for m in own},
                **{f"down_{m}": (pl.col(m).cast(pl.Float64) * -more).clip(0, None) for m in own},
            )
        )
    if not parts:
        return flows
    names = [f"{sign}_{m}" for sign in ("up", "down") for m in own]
    added = money_flows(pl.concat(parts), names, valuation=valuation, grain=grain, by=by)
    kinds = ("", "written_", "returned_")
    added = added.select(
        *("period", *by),
        **{
            f"{kind}{m}": pl.col(f"{kind}up_{m}") - pl.col(f"{kind}down_{m}")
            for kind in kinds
            for m in own
        },
    ).with_columns(pl.col(k).cast(flows.schema[k]) for k in by)
    keys = ["period", *by]
    both = pl.concat([flows, added], how="diagonal")
    return both.group_by(keys, maintain_order=True).agg(pl.exclude(keys).sum()).sort(keys)


def _method(present: Mapping[str, float] | None, tariff: pl.Expr | None) -> str:
    name = "rates" if tariff is None else "tariff"
    return name if present is None else f"{name}_discounts"


def _result(
    table: pl.DataFrame,
    by: list[str],
    rows: int,
    valuation: date,
    basis: Basis | None,
    method: str,
) -> OnLevel:
    total = table.group_by("period", maintain_order=True).agg(
        pl.col("earned", "premium_at_current_level").sum()
    )
    total = total.filter(pl.col("earned") > 0).with_columns(
        factor=pl.col("premium_at_current_level") / pl.col("earned")
    )
    if total.is_empty():
        raise InputError(
            f"no premium is earned by the valuation on {valuation}", do="check the premium column"
        )
    far = total.sort((pl.col("factor") - 1).abs(), descending=True, maintain_order=True).row(
        0, named=True
    )
    earned = float(total["earned"].sum())
    at_level = float(total["premium_at_current_level"].sum())
    basis = basis or Basis()
    facts = {
        "first": str(total["period"].min()), "last": valuation.isoformat(), "earned": earned,
        "at_current": at_level, "factor": at_level / earned, "currency": basis.currency,
        "furthest": str(far["period"]), "furthest_factor": far["factor"], "method": method,
        "written": float(table["written"].sum()), "returned": float(table["returned"].sum()),
        "unearned": float(
            table.filter(pl.col("period") == table["period"].max())["unearned"].sum()
        ),
    }  # fmt: skip
    held = Basis(
        source=basis.source,
        period=f"{facts['first']} to {valuation} (inclusive)",
        filters=basis.filters,
        rows=rows,
        exposure=float(table["exposure"].sum()),
        currency=basis.currency,
        fingerprint=basis.fingerprint,
        notes=(*basis.notes, f"on level by {method.replace('_', ' and ')}, exact by day"),
    )
    return OnLevel(table=table, basis=held, facts=facts, details={"by": by, "method": method})
