"""Who carries whom: the share each age, sex and class pays against its own fair cost.

A covered member's fair cost a year is (1 + fee) × B(x) × i(x), benefit and incidence at his age. At the
pool's own level (all fair costs together made equal to what is paid) what some pay too much others get: the
ledger by class adds up to nil, the honorary members' donation and the assisted members' subsidy in it.
"""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import polars as pl

from pricing.data.rates import RateTable
from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.mutual_aid.rules import AidRules
from pricing.mutual_aid.settlement import AidSettlement
from pricing.result.figure import COLOURS
from pricing.result.series import SERIES
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["CrossSubsidy", "cross_subsidy", "fair_cost", "unisex"]


class CrossSubsidy(Result):
    """Share against own cost; ``.table``: member_class, sex, age, members, aid_share, fair_cost,
    pool_cost, subsidy (all per member and year), subsidy_total (currency a year).

    ``.frames["classes"]``: member_class, members, shares_paid, pool_cost, subsidy_total, which add to nil.
    ``.facts``: honorary_donation, assisted_subsidy, members_subsidy, pool_to_table, most_carried and
    most_carrying ages, moved (the money that changes hands).
    """

    kind = "cross_subsidy"

    def finding(self, lang: Language = "en") -> str:
        """Say which ages carry which, and what honorary and assisted members bring and take."""
        return say("finding.cross_subsidy", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw what payers pay and what their cover costs at the pool's level, by age."""
        figure = go.Figure(layout={"template": "pricing"})
        rows = self.table.filter((pl.col("aid_share") > 0) & (pl.col("pool_cost") > 0)).sort("age")
        by_sex = "sex" in rows.columns
        sexes = rows["sex"].drop_nulls().unique().sort().to_list() if by_sex else [None]
        mean = rows.group_by("age").agg(
            (pl.col("aid_share") * pl.col("members")).sum() / pl.col("members").sum()
        )
        mean = mean.sort("age")
        figure.add_scatter(
            x=mean["age"].to_list(),
            y=mean["aid_share"].to_list(),
            name=label("share_a_year", lang),
            mode="lines",
            line={"width": 3, "color": COLOURS["line"], "dash": "dash"},
        )
        for sex, (colour, symbol) in zip(sexes, SERIES, strict=False):
            part = rows.filter(pl.col("sex") == sex) if by_sex else rows
            part = part.group_by("age").agg(pl.col("pool_cost").first()).sort("age")
            text = level_label(sex, lang) if sex else level_label("both_sexes", lang)
            figure.add_scatter(
                x=part["age"].to_list(),
                y=part["pool_cost"].to_list(),
                name=f"{label('pool_cost', lang)}, {text}",
                mode="lines+markers",
                marker={"size": 5, "symbol": symbol},
                line={"width": 2, "color": colour},
            )
        return figure.update_layout(
            xaxis={"title": {"text": label("age", lang)}},
            yaxis={"title": {"text": f"{label('amount_a_year', lang)} ({self.basis.currency})"}},
        )


def unisex(incidence: RateTable) -> pl.DataFrame:
    """Give the rate by age, the plain mean of the sexes where the table has both.

    Examples
    --------
    >>> from pricing.data.rates import rate_table
    >>> unisex(rate_table("cn_ci_2020", "ci4")).filter(pl.col("age") == 40)["rate"].item()
    0.0025285
    """
    if "duration" in incidence.keys:
        raise InputError(
            "incidence by duration cannot price a mutual-aid plan", where=incidence.name
        )
    return incidence.rates.group_by("age").agg(pl.col("rate").mean()).sort("age")


def fair_cost(rules: AidRules, incidence: RateTable) -> pl.DataFrame:
    """Fair yearly cost of being covered: (1 + fee) × benefit × incidence, at ages with a benefit.

    Parameters
    ----------
    rules : AidRules
        Fee and benefit by age.
    incidence : RateTable
        First incidence a year by age, and sex where it has both, such as ``cn_ci_2020`` ``ci4``.

    Returns
    -------
    polars.DataFrame
        sex (where the table has it), age, benefit_amount, incidence_rate, fair_cost.

    Examples
    --------
    >>> from pricing.data.rates import rate_table
    >>> from pricing.mutual_aid.rules import aid_rules
    >>> found = fair_cost(aid_rules("xiang_hu_bao"), rate_table("cn_ci_2020", "ci4"))
    >>> found.filter(pl.col("age") == 39)["fair_cost"].round().to_list()
    [798.0, 674.0]
    """
    if "duration" in incidence.keys:
        raise InputError(
            "incidence by duration cannot price a mutual-aid plan", where=incidence.name
        )
    rates = incidence.rates
    benefit = pl.Series("benefit_amount", rules.benefit_at(rates["age"].to_numpy())).fill_nan(None)
    keys = [name for name in ("sex", "age") if name in rates.columns]
    found = (
        rates.with_columns(benefit)
        .filter(pl.col("benefit_amount").is_not_null() & (pl.col("age") < rules.exit_age))
        .select(*keys, "benefit_amount", incidence_rate="rate")
        .with_columns(
            fair_cost=(1 + rules.fee) * pl.col("benefit_amount") * pl.col("incidence_rate")
        )
    )
    if found.is_empty():
        raise InputError("has no age with a benefit", where=incidence.name)
    return found


def cross_subsidy(
    settlement: AidSettlement,
    rules: AidRules,
    incidence: RateTable,
    *,
    periods: float | None = None,
) -> CrossSubsidy:
    """Set what each cell paid against what its cover cost.

    Parameters
    ----------
    settlement : AidSettlement
        A period settled under the rules.
    rules : AidRules
        Fee and benefit.
    incidence : RateTable
        First incidence by age, perhaps sex.
    periods : float, optional
        Periods a year, by which a period's share is multiplied; those of the rules where left out.

    Returns
    -------
    CrossSubsidy
        Per member and year.

    Raises
    ------
    InputError
        Where the incidence lacks an age in cover, or nothing was paid.

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.data.rates import rate_table
    >>> from pricing.mutual_aid.cells import MemberCells
    >>> from pricing.mutual_aid.rules import aid_rules
    >>> from pricing.mutual_aid.settlement import settle_cells
    >>> cells = pl.DataFrame({"member_class": ["member", "member", "honorary"], "age": [25, 55, 60],
    ...     "aid_standing": ["in_cover"] * 3, "members": [500_000] * 3, "pays": [1] * 3,
    ...     "covered": [1, 1, 0], "earlier": [0] * 3})
    >>> cases = pl.DataFrame({"case_id": ["1"], "amount": [300_000.0], "published": [date(2020, 12, 7)]})
    >>> none = pl.DataFrame(schema={"reason": pl.String, "members": pl.Int64})
    >>> rules = aid_rules("xiang_hu_bao").but(cap_per_case=None)
    >>> bill = settle_cells(rules, MemberCells(cells, none), cases, published=date(2020, 12, 7))
    >>> found = cross_subsidy(bill, rules, rate_table("cn_ci_2020", "ci4"))
    >>> abs(found.frames["classes"]["subsidy_total"].sum()) < 1e-6
    True
    """
    year = float(rules.periods if periods is None else periods)
    if not 0 < year < 1e6:
        raise InputError(f"{periods} periods a year")
    by_sex = "sex" in settlement.frames["cells"].columns and "sex" in incidence.keys
    cells = settlement.frames["cells"].filter((pl.col("pays") == 1) | (pl.col("covered") == 1))
    keys = ["sex", "age"] if by_sex else ["age"]
    if by_sex and cells.filter(pl.col("covered") == 1)["sex"].null_count():
        raise InputError(
            "members in cover without a sex; their cost cannot be told by sex",
            do="give incidence of one sex or unisex(), or deliver the sex",
        )
    table = incidence.rates if by_sex else unisex(incidence)
    rates = table.with_columns(pl.col("sex").cast(pl.String)) if by_sex else table
    text = [pl.col("sex").cast(pl.String)] if by_sex else []
    cells = cells.with_columns(text).join(rates, on=keys, how="left", maintain_order="left")
    benefit = pl.Series("benefit_amount", rules.benefit_at(cells["age"].to_numpy())).fill_nan(None)
    cells = cells.with_columns(benefit)
    covered = pl.col("covered") == 1
    lacking = cells.filter(
        covered & (pl.col("rate").is_null() | pl.col("benefit_amount").is_null())
    )
    if not lacking.is_empty():
        ages = lacking["age"].unique().sort().head(5).to_list()
        raise InputError(
            f"{lacking['members'].sum():,} members in cover at ages without incidence or benefit: {ages}",
            where=f"{incidence.name}, {rules.name}",
        )
    cost = (1 + rules.fee) * pl.col("benefit_amount") * pl.col("rate")
    cells = cells.with_columns(
        aid_share=pl.col("aid_share") * year * pl.col("pays"),
        fair_cost=pl.when(covered).then(cost).otherwise(0.0),
    )
    members = pl.col("members")
    paid, table_cost = cells.select(
        (pl.col("aid_share") * members).sum().alias("shares_paid"),
        (pl.col("fair_cost") * members).sum().alias("cost"),
    ).row(0)
    if paid <= 0 or table_cost <= 0:
        raise InputError("nothing was paid or nobody is in cover; there is nothing to set against")
    level = paid / table_cost
    out = ["member_class", *keys]
    cells = (
        cells.with_columns(pool_cost=pl.col("fair_cost") * level)
        .with_columns(subsidy=pl.col("aid_share") - pl.col("pool_cost"))
        .with_columns(subsidy_total=pl.col("subsidy") * members)
    )
    by = (
        cells.group_by(out)
        .agg(
            members=members.sum(),
            **{
                name: (pl.col(name) * members).sum() / members.sum()
                for name in ("aid_share", "fair_cost", "pool_cost", "subsidy")
            },
            subsidy_total=pl.col("subsidy_total").sum(),
        )
        .sort(out)
    )
    classes = (
        cells.group_by("member_class")
        .agg(
            members=members.sum(),
            shares_paid=(pl.col("aid_share") * members).sum(),
            pool_cost=(pl.col("pool_cost") * members).sum(),
            subsidy_total=pl.col("subsidy_total").sum(),
        )
        .sort("member_class")
    )
    only_pay = [name for name, one in rules.classes.items() if one.pays and not one.covered]
    only_get = [name for name, one in rules.classes.items() if one.covered and not one.pays]
    named = classes.with_columns(pl.col("member_class").cast(pl.String))
    brought = _of(named, only_pay)
    taken = -_of(named, only_get)
    both = [name for name in rules.classes if name not in (*only_pay, *only_get)]
    told = by.filter((pl.col("aid_share") > 0) & (pl.col("pool_cost") > 0))
    told = told.group_by("age").agg(
        (pl.col("subsidy_total").sum() / members.sum()).alias("subsidy")
    )
    told = told.sort("subsidy", "age")
    facts: dict[str, Any] = {
        "plan": rules.name, "paid": paid, "pool_to_table": level, "honorary_donation": brought,
        "assisted_subsidy": taken, "members_subsidy": _of(named, both),
        "moved": float(cells["subsidy_total"].clip(0).sum()),
        "moved_share": float(cells["subsidy_total"].clip(0).sum()) / paid,
        "carried_age": int(told["age"][0]) if told.height else 0,
        "carried": float(-told["subsidy"][0]) if told.height else 0.0,
        "carrying_age": int(told["age"][-1]) if told.height else 0,
        "carrying": float(told["subsidy"][-1]) if told.height else 0.0,
        "currency": rules.currency,
    }  # fmt: skip
    return CrossSubsidy(
        table=by,
        basis=Basis(
            source=f"{settlement.basis.source}; {incidence.source or incidence.name}",
            period=settlement.basis.period,
            rows=settlement.basis.rows,
            claims=settlement.basis.claims,
            currency=rules.currency,
            fingerprint=fingerprint(settlement.basis.fingerprint, incidence.name, str(facts)),
            notes=(
                f"a period's share times {year:g}; fair cost (1 + fee) × benefit × incidence",
                "pool_cost: fair costs times one factor so that together they are what was paid",
                *(() if by_sex else ("incidence is the plain mean of the sexes",)),
                *((incidence.warning,) if incidence.warning else ()),
            ),
        ),
        facts=facts,
        frames={"classes": classes},
    )


def _of(classes: pl.DataFrame, names: list[str]) -> float:
    return float(classes.filter(pl.col("member_class").is_in(names))["subsidy_total"].sum())
