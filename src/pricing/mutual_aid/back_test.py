"""The share formula held against what Xiang Hu Bao published, with every input's origin stated.

share = cases × mean payout × (1 + fee) / members. Members, cases and fee were published; the mean payout
never was. Backed out of the very share it is then to explain it makes an identity, not a test, so each point
is also predicted with the mean payout of the nearest other point. Where the share is one case of a known
benefit, or an amount published with its members, no payout is inferred at all.

The structural model goes further: cases(t) = members of ``waiting + lag`` days before × incidence, with the
incidence of one year for all. Its errors are told, not hidden: real plans are young, then not.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from pricing.data.tables import reference_table, source_of
from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.mutual_aid.rules import AidRules, aid_rules
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["ShareBackTest", "mean_payout", "member_path", "share_back_test", "structural_model"]

Floats = npt.NDArray[np.float64]
_METRICS = ("members", "members_peak", "participants")
_DAY = date(1970, 1, 1)


class ShareBackTest(Result):
    """Published shares and ours; ``.table``: point, day, role (identity, prediction, arithmetic),
    published, modelled, gap (modelled / published − 1), members, cases, payout, payout_from.

    ``.frames["structural"]``: quantity, span, role (calibrated, prediction), published, modelled, gap.
    ``.frames["lags"]``: lag_days and the gaps of the cases of 2019 and 2021. ``.facts``: predictions,
    within (those within the tolerance), identities, tolerance, incidence.
    """

    kind = "share_back_test"

    def finding(self, lang: Language = "en") -> str:
        """Say how many predictions lie within the tolerance, and how far off the structural model is."""
        return say("finding.share_back_test", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw each modelled share over the published one; the band is the tolerance."""
        figure = go.Figure(layout={"template": "pricing"})
        tolerance = self.facts["tolerance"]
        styles = (
            ("prediction", "estimate", "circle"),
            ("identity", "line", "x"),
            ("arithmetic", "third", "diamond"),
        )
        points = self.table["point"].unique(maintain_order=True).to_list()
        for role, colour, symbol in styles:
            part = self.table.filter(pl.col("role") == role)
            if part.is_empty():
                continue
            figure.add_scatter(
                x=[level_label(point, lang) for point in part["point"]],
                y=part["gap"].to_list(),
                name=level_label(role, lang),
                mode="markers",
                marker={"size": 12, "symbol": symbol, "color": COLOURS[colour]},
                cliponaxis=False,
            )
        figure.add_hrect(
            y0=-tolerance, y1=tolerance, fillcolor="rgba(0,114,178,0.12)", line_width=0
        )
        return figure.update_layout(
            xaxis={
                "type": "category",
                "categoryorder": "array",
                "categoryarray": [level_label(point, lang) for point in points],
            },
            yaxis={"title": {"text": label("gap", lang)}, "tickformat": "+.0%", "zeroline": True},
            hovermode="closest",
        )


def mean_payout(share: float, *, members: float, cases: float, fee: float) -> float:
    """Back the mean payout of a case out of a share: share × members / ((1 + fee) × cases).

    Examples
    --------
    >>> round(mean_payout(0.51, members=72e6, cases=150, fee=0.08))
    226667
    """
    if not (share > 0 and members > 0 and cases > 0 and 0 <= fee < 1):
        raise InputError(
            f"share {share}, members {members}, cases {cases}, fee {fee}: above zero, fee 0 to 1"
        )
    return share * members / ((1 + fee) * cases)


def member_path(timeline: pl.DataFrame, days: npt.ArrayLike) -> Floats:
    """Members on days (since 1970-01-01), on straight lines between those published; 0 at the launch.

    Examples
    --------
    >>> table = reference_table("xhb_timeline")
    >>> float(member_path(table, [18075]))  # 2019-06-28
    72000000.0
    """
    known = (
        timeline.filter(pl.col("metric").is_in([*_METRICS, "launch"]))
        .select(
            pl.col("day").cast(pl.String).str.to_date().to_physical().alias("at"),
            pl.when(pl.col("metric") == "launch").then(0.0).otherwise(pl.col("value")).alias("n"),
        )
        .sort("at")
    )
    if known.height < 2:
        raise InputError(
            "the timeline has no members on two days", where="metrics " + ", ".join(_METRICS)
        )
    found = np.interp(np.asarray(days, dtype=float), known["at"].to_numpy(), known["n"].to_numpy())
    return np.asarray(found.squeeze(), dtype=float)


def share_back_test(
    timeline: pl.DataFrame | None = None,
    rules: AidRules | None = None,
    *,
    lag_days: int = 60,
    tolerance: float = 0.10,
) -> ShareBackTest:
    """Reproduce the published shares of Xiang Hu Bao.

    Parameters
    ----------
    timeline : polars.DataFrame, optional
        In the form of the reference table ``xhb_timeline``, which it is where left out.
    rules : AidRules, optional
        Fee, benefits and waiting period; those of Xiang Hu Bao where left out.
    lag_days : int
        Days from diagnosis to publication in the structural model. Assumed: no source says.
    tolerance : float
        A prediction is good within this share of what was published.

    Returns
    -------
    ShareBackTest
        Every point as identity and as prediction.

    Examples
    --------
    >>> found = share_back_test()
    >>> found.table.filter(point="period_2020_12", role="prediction")["gap"].round(3).item()
    -0.061
    >>> found.facts["predictions"], found.facts["within"]
    (6, 4)
    """
    table = reference_table("xhb_timeline") if timeline is None else timeline
    lacking = [name for name in ("day", "metric", "value") if name not in table.columns]
    if lacking:
        raise InputError(f"a timeline lacks {', '.join(lacking)}", where="xhb_timeline")
    plan = rules or aid_rules("xiang_hu_bao")
    if not 0 < tolerance < 10:
        raise InputError(f"a tolerance of {tolerance}")
    fee = plan.fee
    structure = structural_model(table, plan, lag_days=lag_days)
    year_members = {year: _year_members(table, plan, year, lag_days) for year in (2019, 2020)}
    points = [
        # point, day, share, members, cases
        ("period_2019_06", date(2019, 6, 28), _value(table, "2019-06-28", "share_per_member"),
         _value(table, "2019-06-28", "members"), _value(table, "2019-06-28", "cases_in_period")),
        ("year_2019", date(2019, 7, 1), _value(table, "2019-07-01", "annual_share"),
         year_members[2019], _value(table, "2019-07-01", "cases_year")),
        ("year_2020", date(2020, 7, 1), _value(table, "2020-07-01", "annual_share"),
         year_members[2020], _value(table, "2020-07-01", "cases_year")),
        ("period_2020_12", date(2020, 12, 7), _value(table, "2020-12-07", "share_per_member"),
         _value(table, "2020-12-07", "participants"), _value(table, "2020-12-07", "cases_in_period")),
    ]  # fmt: skip
    payout = {
        name: mean_payout(share, members=n, cases=cases, fee=fee)
        for name, _, share, n, cases in points
    }
    rows: list[tuple[Any, ...]] = []
    first = _value(table, "2018-10-26", "members")
    largest = max(band.amount for band in plan.benefit)
    then = float(member_path(table, [(date(2018, 12, 28) - _DAY).days]))
    first_later = largest * (1 + fee) / then
    one = _value(table, "2018-12-28", "cases_in_period")
    rows.append(
        _row("period_2018_12", date(2018, 12, 28), "prediction",
             _value(table, "2018-12-28", "share_per_member"),
             np.floor(one * largest * (1 + fee) / first * 100 + 0.5) / 100, first, one, largest,
             "largest_benefit")
    )  # fmt: skip
    for name, day, share, n, cases in points:
        other = min(
            (p for p in points if p[0] != name), key=lambda p: (abs((p[1] - day).days), p[0])
        )
        for role, source in (("identity", name), ("prediction", other[0])):
            modelled = cases * payout[source] * (1 + fee) / n
            rows.append(_row(name, day, role, share, modelled, n, cases, payout[source], source))
    december = points[-1]
    rows.append(
        _row("month_2020_11", date(2020, 11, 15), "prediction",
             _value(table, "2020-11-15", "monthly_share_ordinary"),
             2 * december[4] * payout["year_2020"] * (1 + fee) / december[3], december[3],
             2 * december[4], payout["year_2020"], "year_2020")
    )  # fmt: skip
    bill, last = (
        _value(table, "2021-12-21", "amount_to_share"),
        _value(table, "2021-12-28", "members"),
    )
    rows.append(
        ("period_2021_12", date(2021, 12, 21), "arithmetic", 7.4, bill / last, bill / last / 7.4 - 1,
         last, None, None, None)
    )  # fmt: skip
    columns = {
        "point": pl.String, "day": pl.Date, "role": pl.String, "published": pl.Float64,
        "modelled": pl.Float64, "gap": pl.Float64, "members": pl.Float64, "cases": pl.Float64,
        "payout": pl.Float64, "payout_from": pl.String,
    }  # fmt: skip
    out = pl.DataFrame(rows, schema=columns, orient="row")
    told = out.filter(pl.col("role") == "prediction")
    near = told.filter(pl.col("gap").abs() <= tolerance)
    lags = pl.concat(
        structural_model(table, plan, lag_days=lag)
        .filter(pl.col("quantity") == "cases")
        .select(lag_days=pl.lit(lag), span="span", gap="gap")
        for lag in (30, 60, 90, 120, 180)
    )
    wrong = structure.filter(pl.col("role") == "prediction")
    worst = wrong.sort(pl.col("gap").abs(), descending=True).row(0, named=True)
    facts: dict[str, Any] = {
        "predictions": told.height, "within": near.height, "tolerance": float(tolerance),
        "identities": out.filter(pl.col("role") == "identity").height,
        "worst_gap": float(told["gap"][int(told["gap"].abs().arg_max() or 0)]),
        "incidence": _incidence(table, plan, lag_days), "incidence_mille": 1000 * _incidence(table, plan, lag_days),
        "structural_points": wrong.height,
        "structural_within": wrong.filter(pl.col("gap").abs() <= tolerance).height,
        "structural_worst": float(worst["gap"]), "lag_days": int(lag_days),
    }  # fmt: skip
    return ShareBackTest(
        table=out,
        basis=Basis(
            source=source_of("xhb_timeline"),
            period="2018-10-16/2022-01-28",
            rows=table.height,
            currency=plan.currency,
            fingerprint=fingerprint(table.write_csv(), repr(plan), str(lag_days)),
            notes=(
                f"fee {fee:g} of the aid throughout; the first periods may have paid 0.10 (date recalled)",
                "published: shares, members, cases; inferred: every mean payout, from the share of payout_from",
                "members of a year: harmonic mean over its periods, weighted by the structural model's cases",
                "identity: the payout comes from the share it reproduces, so it tests nothing",
                f"the first case: the members of 2018-10-26, the last published before it; with those "
                f"on the line to June 2019 its share would be {first_later:.2f}",
                "the first case's benefit is not published: 300,000 is the larger of two, 100,000 would make 0.01",
                "December 2021: the amount to share over the members; the printed share is that division",
            ),
        ),
        facts=facts,
        frames={"structural": structure, "lags": lags},
    )


def structural_model(
    timeline: pl.DataFrame, rules: AidRules, *, lag_days: int = 60
) -> pl.DataFrame:
    """Model cases and shares from members alone: those past waiting and lag × one incidence.

    The incidence is that which makes the cases of 2020 come right, the payout that of 2020; all
    other spans are predictions.

    Returns
    -------
    polars.DataFrame
        quantity (cases, aid_share), span, role, published, modelled, gap.

    Examples
    --------
    >>> from pricing.mutual_aid.rules import aid_rules
    >>> found = structural_model(reference_table("xhb_timeline"), aid_rules("xiang_hu_bao"))
    >>> found.filter(quantity="cases", span="year_2020")["gap"].abs().item() < 1e-12
    True
    """
    if lag_days != int(lag_days) or not 0 <= lag_days <= 365:
        raise InputError(f"a lag of {lag_days} days; whole, 0 to 365")
    rate, fee = _incidence(timeline, rules, lag_days), rules.fee
    days = {year: _settlements(rules, year) for year in (2019, 2020, 2021)}
    cases = {year: rate * _eligible(timeline, rules, at, lag_days) for year, at in days.items()}
    crowd = {year: member_path(timeline, at) for year, at in days.items()}
    share = _value(timeline, "2020-07-01", "annual_share")
    per_yuan = float((cases[2020] * (1 + fee) / crowd[2020]).sum())
    payout = share / per_yuan
    until = _value(timeline, "2021-12-28", "cases_cumulative")
    before = [_value(timeline, f"{year}-07-01", "cases_year") for year in (2019, 2020)]
    rows: list[tuple[str, str, str, float, float]] = [
        ("cases", "year_2019", "prediction", before[0], float(cases[2019].sum())),
        ("cases", "year_2020", "calibrated", before[1], float(cases[2020].sum())),
        ("cases", "year_2021", "prediction", until - sum(before), float(cases[2021].sum())),
    ]
    for name, metric, on, year, times in (
        ("period_2019_06", "share_per_member", date(2019, 6, 28), 2019, 1),
        ("month_2020_01", "monthly_share_avg", date(2020, 1, 15), 2020, 2),
        ("month_2020_11", "monthly_share_ordinary", date(2020, 11, 15), 2020, 2),
        ("period_2020_12", "share_per_member", date(2020, 12, 7), 2020, 1),
    ):
        k = int(np.argmin(np.abs(days[year] - (on - _DAY).days)))
        modelled = times * cases[year][k] * payout * (1 + fee) / crowd[year][k]
        rows.append(
            (
                "aid_share",
                name,
                "prediction",
                _value(timeline, on.isoformat(), metric),
                float(modelled),
            )
        )
    annual = {year: float((cases[year] * payout * (1 + fee) / crowd[year]).sum()) for year in days}
    rows.append(
        (
            "aid_share",
            "year_2019",
            "prediction",
            _value(timeline, "2019-07-01", "annual_share"),
            annual[2019],
        )
    )
    rows.append(("aid_share", "year_2020", "calibrated", share, annual[2020]))
    last = float(cases[2021][-1] * payout * (1 + fee) / crowd[2021][-1])
    bill = _value(timeline, "2021-12-21", "amount_to_share") / _value(
        timeline, "2021-12-28", "members"
    )
    rows.append(("aid_share", "period_2021_12", "prediction", bill, last))
    columns = ["quantity", "span", "role", "published", "modelled"]
    table = pl.DataFrame(rows, schema=columns, orient="row")
    return table.with_columns(gap=pl.col("modelled") / pl.col("published") - 1)


def _settlements(rules: AidRules, year: int) -> npt.NDArray[np.int64]:
    days = [date(year, m, d) for m in range(1, 13) for d in rules.published_days]
    return np.array([(day - _DAY).days for day in days])


def _eligible(
    timeline: pl.DataFrame, rules: AidRules, days: npt.NDArray[np.int64], lag: int
) -> Floats:
    """Members a period's cases come from, in years: those of waiting and lag before who can still be there."""
    then = member_path(timeline, days - rules.waiting_days - lag)
    return np.asarray(np.minimum(then, member_path(timeline, days - lag)) / rules.periods)


def _incidence(timeline: pl.DataFrame, rules: AidRules, lag: int) -> float:
    at = _eligible(timeline, rules, _settlements(rules, 2020), lag)
    return _value(timeline, "2020-07-01", "cases_year") / float(at.sum())


def _year_members(timeline: pl.DataFrame, rules: AidRules, year: int, lag: int) -> float:
    days = _settlements(rules, year)
    weight = _eligible(timeline, rules, days, lag)
    return float(weight.sum() / (weight / member_path(timeline, days)).sum())


def _value(timeline: pl.DataFrame, day: str, metric: str) -> float:
    at = (pl.col("day").cast(pl.String) == day) & (pl.col("metric") == metric)
    found = timeline.filter(at)["value"].drop_nulls()
    if found.len() != 1:
        raise InputError(
            f"{found.len()} values of {metric} on {day}, not one",
            where="xhb_timeline",
            do="give the reference table, or one with its points",
        )
    return float(found[0])


def _row(
    name: str, day: date, role: str, published: float, modelled: float, members: float,
    cases: float, payout: float, source: str,
) -> tuple[Any, ...]:  # fmt: skip
    gap = float(modelled) / published - 1
    return (name, day, role, published, float(modelled), gap, members, cases, payout, source)
