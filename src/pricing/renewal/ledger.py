"""The ledger of a renewal: what every step adds over all policies, by group, to the fen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.renewal.price import STEPS
from pricing.renewal.rules import ALL, RenewalRules
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say

__all__ = ["Ledger", "balanced", "ledger_of", "premium_waterfall", "totals"]


class Ledger(Result):
    """Totals of a renewal; ``.table``: discount_group (``all`` last), policies, a column for each
    step, premium = their sum, mean_discount (from_discount over the adjusted standard premium).

    ``.frames["change"]``: where last year's premium is known, by group: renewals that have one,
    premium_before, premium, change of the total, and the 5th, 50th and 95th percentile of the
    policies' changes, to a tenth of a point. ``.frames["set_aside"]``: reason, policies.
    """

    kind = "renewal_ledger"

    def finding(self, lang: Language = "en") -> str:
        """Say how many renewals are priced, what they pay, and how many were set aside."""
        facts = self.facts
        gate = "" if facts["checked"] else say("sentence.unchecked_adjustment", lang)
        aside = say("sentence.renewals_set_aside", lang, **facts) if facts["set_aside"] else ""
        moved = say("sentence.renewal_change", lang, **facts) if facts["change"] is not None else ""
        return say("finding.renewal_ledger", lang, **facts) + moved + aside + gate

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the way from the standard premium to what is charged."""
        total = self.table.filter(pl.col("discount_group") == ALL).row(0, named=True)
        steps = [name for name in STEPS[1:] if total[name] != 0]
        base = total["standard_premium"]
        return premium_waterfall(
            [base, *(total[n] for n in steps)],
            ["standard_premium_due", *steps],
            texts=[f"{base:,.0f}", *(f"{total[n] / base:+.2%}" for n in steps)],
            total=f"{total['premium']:,.0f}",
            currency=self.basis.currency,
            lang=lang,
        )


def premium_waterfall(
    amounts: Sequence[float],
    names: Sequence[str],
    *,
    texts: Sequence[str],
    total: str,
    currency: str,
    lang: Language,
) -> go.Figure:
    """Draw the way from the standard premium, step by step, to the premium.

    Parameters
    ----------
    amounts : sequence of float
        The standard premium, then what each step adds to it, in currency.
    names : sequence of str
        Catalogue names of the steps.
    texts : sequence of str
        What stands at each step.
    total : str
        What stands at the premium.
    currency : str
        Of the amounts.
    lang : {"en", "zh"}
        Language of every label.

    Examples
    --------
    >>> figure = premium_waterfall([100.0, -5.0], ["standard_premium_due", "from_discount"],
    ...     texts=["100", "-5"], total="95", currency="CNY", lang="en")
    >>> figure.data[0].y
    (100.0, -5.0, 95.0)
    """
    figure = go.Figure(layout={"template": "pricing", "height": 440, "showlegend": False})
    figure.add_waterfall(
        x=[label(n, lang) for n in (*names, "premium")],
        y=[*amounts, sum(amounts)],
        measure=["absolute", *["relative"] * (len(amounts) - 1), "total"],
        text=[*texts, total],
        textposition="outside",
        cliponaxis=False,
        connector={"line": {"color": COLOURS["line"], "width": 1, "dash": "dot"}},
        increasing={"marker": {"color": COLOURS["second"]}},
        decreasing={"marker": {"color": COLOURS["third"]}},
        totals={"marker": {"color": COLOURS["estimate"]}},
    )
    ends = [sum(amounts[: n + 1]) for n in range(len(amounts))]
    room = max(max(ends) - min(ends), 0.02 * amounts[0])
    return figure.update_layout(
        xaxis={"type": "category"},
        yaxis={
            "title": {"text": f"{label('premium', lang)} ({currency})"},
            "range": [max(0.0, min(ends) - 0.6 * room), max(ends) + 0.3 * room],
        },
        hovermode="closest",
    )


def ledger_of(
    priced: pl.DataFrame | pl.LazyFrame, rules: RenewalRules, *, basis: Basis | None = None
) -> Ledger:
    """Add up priced renewals, step by step.

    Parameters
    ----------
    priced : polars.DataFrame or LazyFrame
        From :func:`~pricing.renewal.price.price_renewals`.
    rules : RenewalRules
        By which they were priced.
    basis : Basis, optional
        Source, period, currency.

    Raises
    ------
    InputError
        Where no renewal has a price, or a policy stands twice.

    Examples
    --------
    >>> from pricing.renewal.price import price_renewals
    >>> due = pl.DataFrame({"policy_id": ["P1", "P2"], "health_group": ["G1", "G0"],
    ...     "standard_premium": [1800.0, 1700.0]})
    >>> rules = RenewalRules(discounts={"G0": 0, "G1": 0.05})
    >>> ledger_of(price_renewals(due, rules), rules).table.select("discount_group", "premium").rows()
    [('G0', 1700.0), ('G1', 1710.0), ('all', 3410.0)]
    """
    rows = priced.lazy()
    found = pl.collect_all(totals(rows), engine="streaming")
    return balanced(rows, found, rules, basis=basis or Basis())


def totals(rows: pl.LazyFrame) -> list[pl.LazyFrame]:
    """Give the sums a ledger is made of, to be collected in one pass with what else is wanted.

    Examples
    --------
    >>> from pricing.renewal.price import price_renewals
    >>> due = pl.DataFrame({"policy_id": ["P1"], "health_group": ["G0"], "standard_premium": [9.0]})
    >>> len(totals(price_renewals(due, RenewalRules(discounts={"G0": 0}))))
    2
    """
    schema, policies = rows.collect_schema(), pl.len().cast(pl.Int64)
    before = "premium_before" in schema
    money = [*STEPS, *(["premium_before"] if before else [])]
    fen = [(pl.col(name) * 100).round().cast(pl.Int64).sum() for name in money]
    keys = [pl.col("discount_group"), pl.col("set_aside")]
    if before:  # a cell for every tenth of a point, so that percentiles add
        keys.append((pl.col("change") * 1000).round().cast(pl.Int64))
    number = pl.col("policy_id")  # a file sorted by it, as most are, holds none twice
    rising = (number.shift(1) < number).sum().cast(pl.Int64)
    sums = rows.group_by(keys).agg(policies.alias("policies"), *fen)
    return [
        sums.with_columns(premium=pl.sum_horizontal(STEPS)),
        rows.select(rising=rising, rows=policies),
    ]


def balanced(
    rows: pl.LazyFrame, found: Sequence[pl.DataFrame], rules: RenewalRules, *, basis: Basis
) -> Ledger:
    """Make the ledger of what :func:`totals` collected; twice the same policy is refused.

    Examples
    --------
    >>> from pricing.renewal.price import price_renewals
    >>> due = pl.DataFrame({"policy_id": ["P1"], "health_group": ["G0"], "standard_premium": [9.0]})
    >>> rules = RenewalRules(discounts={"G0": 0})
    >>> rows = price_renewals(due, rules)
    >>> balanced(rows, pl.collect_all(totals(rows)), rules, basis=Basis()).facts["premium"]
    9.0
    """
    seen, counts = found
    kept = pl.col("set_aside").is_null()
    sums = (
        seen.filter(kept)
        .group_by("discount_group")
        .agg(pl.col("policies", *STEPS, "premium").sum())
    )
    aside = seen.filter(~kept).group_by("set_aside").agg(pl.col("policies").sum())
    _require(rows, sums, counts)
    groups = sums.sort("discount_group").with_columns(pl.col("discount_group").cast(pl.String))
    total = groups.select(pl.lit(ALL).alias("discount_group"), pl.exclude("discount_group").sum())
    table = pl.concat([groups, total]).with_columns((pl.col(*STEPS, "premium") / 100).round(2))
    adjusted = pl.col("standard_premium") + pl.col("from_adjustment")
    table = table.with_columns(mean_discount=pl.col("from_discount").abs() / adjusted)
    frames = {
        "set_aside": aside.sort("set_aside").select(pl.col("set_aside").cast(pl.String), "policies")
    }
    all_row = table.row(-1, named=True)
    facts = {
        "policies": all_row["policies"],
        "premium": all_row["premium"],
        "mean_discount": all_row["mean_discount"],
        "set_aside": int(aside["policies"].sum()),
        "checked": rules.checked,
        "change": None,
        "change_95": None,
    }
    if "change" in seen.columns and not seen.filter(kept)["change"].is_null().all():
        frames["change"] = _changes(seen.filter(kept, pl.col("change").is_not_null()))
        facts |= frames["change"].select("change", "change_95").row(-1, named=True)
    named = [str(rules.discounts), str(rules.adjustment), *map(str, table.rows())]
    hashed = fingerprint(basis.fingerprint, *named)
    basis = replace(basis, rows=int(counts["rows"][0]), fingerprint=hashed)
    facts["currency"] = basis.currency
    return Ledger(table=table, basis=basis, facts=facts, frames=frames)


def _changes(cells: pl.DataFrame) -> pl.DataFrame:
    """By group and in all: totals of both years, and percentiles to a tenth of a point."""
    cells = cells.with_columns(pl.col("discount_group").cast(pl.String))
    cells = pl.concat([cells, cells.with_columns(discount_group=pl.lit(ALL))])
    cells = cells.sort("discount_group", "change", maintain_order=True)
    up_to = pl.col("policies").cum_sum().over("discount_group")
    cells = cells.with_columns(share=up_to / pl.col("policies").sum().over("discount_group"))
    found = cells.group_by("discount_group", maintain_order=True).agg(
        pl.col("policies").sum(),
        (pl.col("premium_before", "premium").sum() / 100).round(2),
        (pl.col("premium").sum() / pl.col("premium_before").sum() - 1).alias("total"),
        *(
            (pl.col("change").filter(pl.col("share") >= q - 1e-12).first() / 1000).alias(f"change_{round(100 * q):02d}")
            for q in (0.05, 0.5, 0.95)
        ),
    ).rename({"total": "change"})  # fmt: skip
    last = pl.col("discount_group") == ALL
    return pl.concat([found.filter(~last), found.filter(last)])


def _require(rows: pl.LazyFrame, sums: pl.DataFrame, counts: pl.DataFrame) -> None:
    if sums.is_empty():
        raise InputError(
            f"none of {counts['rows'][0]:,} renewals can be priced",
            do="see the reason in set_aside",
        )
    number = pl.col("policy_id")
    if counts["rising"][0] == counts["rows"][0] - 1:
        return
    rows = rows.filter(pl.col("set_aside").is_null() | (pl.col("set_aside") != "no_policy_id"))
    different = rows.select(number.hash(seed=1).n_unique()).collect(engine="streaming").item()
    if different == counts["rows"][0]:
        return
    counted = rows.group_by("policy_id").agg(n=pl.len()).filter(pl.col("n") > 1)
    twice = counted.sort("policy_id").collect(engine="streaming")
    if not twice.is_empty():  # fewer numbers than rows may be rows without one
        keys = ", ".join(map(str, twice["policy_id"].head(5)))
        raise InputError(
            f"{twice.height:,} policies stand more than once among the renewals due: {keys}",
            do="keep one row per policy and renewal",
        )
