"""Settlement of a period: the published cases shared among those who pay, to the fen, with a ledger.

A payer's share is aid × (1 + fee) / payers, less what the caps leave out, rounded to the fen. What rounding
brings too much or too little goes to the platform's rounding account, what the caps leave unpaid falls on
the platform or cuts the aid, as the rules say. Always, in whole fen:

    contributions + honorary + platform + surplus used = aid + fee + rounding.

Shares are uniform, or in proportion to weights by cell (age, sex, class), such as those of a share rule
fitted elsewhere; uniform is the only rule that does not change when members are regrouped (Dhaene,
Kazzi and Valdez 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.mutual_aid.aid_cases import judged_cases
from pricing.mutual_aid.cells import MemberCells, member_cells
from pricing.mutual_aid.rules import AidRules
from pricing.result.figure import COLOURS
from pricing.result.readable import amount_text
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say
from pricing.sharing.pool import number_given
from pricing.sharing.settlement import whole_coins

__all__ = ["AidSettlement", "settle", "settle_cells"]

Floats = npt.NDArray[np.float64]


class AidSettlement(Result):
    """A period settled; ``.table``: member_class, members, in_cover, payers, aid_share, contributed.

    ``.frames["ledger"]``: account, side, amount_of_money: both sides add up to the fen. ``.frames["cells"]``:
    class, sex, age, aid_standing, members, pays, covered, aid_share, contributed. ``.frames["not_settled"]``:
    of_table, reason, rows. ``.facts``: share (the common share, before the cap of the year),
    exact_share (before rounding), payers, in_cover, cases, aid, fee_amount, bill, contributed,
    platform, rounding_account, surplus_left, capped_cases, year_capped_members.
    """

    kind = "aid_settlement"

    @property
    def share(self) -> float:
        """What a payer pays for the period, currency, before the cap of the year."""
        return float(self.facts["share"])

    def balance(self) -> float:
        """Sources less uses of the ledger, currency: zero to the last fen."""
        signed = pl.when(pl.col("side") == "source").then(1).otherwise(-1) * pl.col(
            "amount_of_money"
        )
        fen = self.frames["ledger"].select((signed * 100).round().cast(pl.Int64).sum()).item()
        return float(fen) / 100

    def finding(self, lang: Language = "en") -> str:
        """Say the share, who pays it, what the caps left and where the rounding went."""
        said = say("finding.aid_settlement", lang, **self.facts)
        if self.facts["shortfall"] > 0:
            said += say(f"sentence.aid_shortfall_{self.facts['borne_by']}", lang, **self.facts)
        if self.facts["set_aside"]:
            said += say("sentence.aid_set_aside", lang, **self.facts)
        return said

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw both sides of the ledger, account by account."""
        figure = go.Figure(layout={"template": "pricing", "barmode": "relative"})
        ledger = self.frames["ledger"].filter(pl.col("amount_of_money") != 0)
        colours = ("estimate", "second", "third", "line", "bars", "text", "estimate")
        whole = float(ledger["amount_of_money"].abs().sum()) / 2
        for place, (account, side, amount) in enumerate(ledger.rows()):
            figure.add_bar(
                x=[level_label(f"ledger_{side}", lang)],
                y=[amount],
                name=level_label(account, lang),
                marker={"color": COLOURS[colours[place % len(colours)]]},
                text=[amount_text(amount, lang) if abs(amount) > 0.03 * whole else ""],
                textposition="inside",
                textangle=0,
            )
        return figure.update_layout(
            xaxis={"title": {"text": label("side", lang)}, "type": "category"},
            yaxis={"title": {"text": f"{label('amount_of_money', lang)} ({self.basis.currency})"}},
            hovermode="closest",
            uniformtext={"minsize": 11, "mode": "hide"},
        )


def settle(
    rules: AidRules,
    members: pl.DataFrame | pl.LazyFrame,
    cases: pl.DataFrame | pl.LazyFrame,
    *,
    published: date,
    earlier: Sequence[AidSettlement] = (),
    surplus: float = 0.0,
    weights: pl.DataFrame | None = None,
    basis: Basis | None = None,
) -> AidSettlement:
    """Settle the cases published on a day among those who are members then.

    Parameters
    ----------
    rules : AidRules
        Classes, caps, fee, rounding.
    members : polars.DataFrame or LazyFrame
        The contract ``aid_members``; a scan of Parquet is streamed, one pass.
    cases : frame
        The contract ``aid_cases``; those of other days are left to their own periods. Give
        :func:`~pricing.mutual_aid.aid_cases.with_members` to have their members judged.
    published : date
        The day of publication. Who leaves later still pays.
    earlier : sequence of AidSettlement
        The periods of the same calendar year before this one, for the cap of the year.
    surplus : float
        What earlier periods left over, taken off this bill first; currency.
    weights : polars.DataFrame, optional
        Any of age, sex, member_class, and ``weight`` above zero: shares in proportion to it; each
        cell of payers must have one. Left out, all pay alike.
    basis : Basis, optional
        Source and period.

    Returns
    -------
    AidSettlement
        Share, ledger, cells; rows set aside are counted by reason and never settled.

    Raises
    ------
    InputError
        Where nobody pays, weights lack a cell, or an earlier settlement is of another year.

    Examples
    --------
    >>> from pricing.mutual_aid.rules import aid_rules
    >>> members = pl.DataFrame({"birth_date": [date(1980, 5, 1)] * 3, "left": [None] * 3,
    ...     "joined": [date(2019, 1, 1)] * 3, "member_class": ["member", "honorary", "assisted"]},
    ...     schema_overrides={"left": pl.Date})
    >>> cases = pl.DataFrame({"case_id": ["1"], "published": [date(2020, 12, 7)], "amount": [100_000.0]})
    >>> rules = aid_rules("xiang_hu_bao").but(cap_per_case=None, cap_per_year=None)
    >>> found = settle(rules, members, cases, published=date(2020, 12, 7))
    >>> found.share, found.balance(), found.facts["payers"]
    (54000.0, 0.0, 2)
    """
    before = [date.fromisoformat(each.facts["published"]) for each in earlier]
    if any(day.year != published.year for day in before):
        raise InputError(
            "an earlier settlement is of another calendar year",
            do="the cap of the year starts anew in January: give the periods of this year",
        )
    if len(set(before)) < len(before):
        raise InputError(
            "an earlier settlement is given twice",
            faults=sorted({str(day) for day in before if before.count(day) > 1}),
            do="give each period of the year once",
        )
    cells = member_cells(rules, members, published, earlier=before)
    return settle_cells(
        rules,
        cells,
        cases,
        published=published,
        earlier=earlier,
        surplus=surplus,
        weights=weights,
        basis=basis,
    )


def settle_cells(
    rules: AidRules,
    members: MemberCells,
    cases: pl.DataFrame | pl.LazyFrame,
    *,
    published: date,
    earlier: Sequence[AidSettlement] = (),
    surplus: float = 0.0,
    weights: pl.DataFrame | None = None,
    basis: Basis | None = None,
) -> AidSettlement:
    """Settle on members already counted, as :func:`settle` does.

    Examples
    --------
    >>> from pricing.mutual_aid.rules import aid_rules
    >>> cells = pl.DataFrame({"member_class": ["member"], "age": [40], "aid_standing": ["in_cover"],
    ...     "members": [5_000_000], "pays": [1], "covered": [1], "earlier": [0]})
    >>> cases = pl.DataFrame({"case_id": [str(i) for i in range(100)], "amount": [300_000.0] * 100,
    ...     "published": [date(2020, 12, 7)] * 100})
    >>> aside = pl.DataFrame(schema={"reason": pl.String, "members": pl.Int64})
    >>> rules = aid_rules("xiang_hu_bao").but(cap_per_case=10.0)
    >>> settle_cells(rules, MemberCells(cells, aside), cases, published=date(2020, 12, 7)).share
    6.48
    """
    surplus = number_given(surplus, "the surplus")
    if not np.isfinite(surplus) or surplus < 0:
        raise InputError(f"a surplus of {surplus}; zero or more")
    if members.payers == 0:
        raise InputError(
            "nobody pays: no member of a paying class on the day of publication",
            where=f"aid_members on {published}",
        )
    good, bad = judged_cases(rules, cases, published=published)
    fen = (good["amount"].cast(pl.Float64) * 100).round().cast(pl.Int64)
    amounts = fen.value_counts(sort=False).sort(fen.name)
    each = amounts[fen.name].to_numpy().astype(np.int64)
    count = amounts["count"].to_numpy().astype(np.int64)
    rate = Fraction(str(rules.fee))
    aid = int((each * count).sum())
    fee = _half_up(aid * rate)
    used = min(round(surplus * 100), aid + fee)
    cells = members.cells.with_columns(weight=_weights(members.cells, weights))
    payers = (cells["members"] * cells["pays"].cast(pl.Int64)).to_numpy().astype(np.int64)
    weight = cells["weight"].to_numpy()
    kept = 1 - used / (aid + fee) if aid else 1.0
    total = float(payers @ weight)
    # due of one case at each amount, per unit of weight, before the cap of a case
    unit: Floats = np.asarray(each * (1 + rules.fee) * kept / total, dtype=np.float64)
    exact = _capped(weight, unit, count, rules.cap_per_case)
    uniform = weights is None
    capped = _over(weight[payers > 0], unit, rules.cap_per_case)
    if uniform and not capped.any():  # exact where nothing but the rounding stands between
        exact = np.full(weight.size, float(Fraction(aid + fee - used, int(payers.sum()))))
    share = _rounded(exact, rules.rounding, Fraction(aid + fee - used, int(payers.sum()))
                     if uniform and not capped.any() else None)  # fmt: skip
    room = _room(rules, cells, earlier, weights)
    paid = np.minimum(share, room)
    contributed = payers * paid
    unpaid = round(max(aid + fee - used - float(payers @ np.minimum(exact, room)), 0.0))
    unpaid = unpaid if capped.any() or (paid < share).any() else 0
    cut = unpaid if rules.shortfall == "payout" else 0
    given_aid = aid if not cut else int(Fraction(aid + fee - cut) / (1 + rate))
    given_fee = aid + fee - cut - given_aid if cut else fee
    platform = unpaid - cut
    cells = cells.with_columns(aid_share=paid / 100, contributed=contributed / 100)
    table = _by_class(cells, rules)
    honorary = [name for name, one in rules.classes.items() if one.pays and not one.covered]
    by_honorary = int(
        contributed[cells["member_class"].cast(pl.String).is_in(honorary).to_numpy()].sum()
    )
    rounding = int(contributed.sum()) + platform + used - given_aid - given_fee
    ledger = _ledger({
        "contributions": ("source", int(contributed.sum()) - by_honorary),
        "honorary_contributions": ("source", by_honorary),
        "platform_shortfall": ("source", platform),
        "surplus_used": ("source", used),
        "aid_paid": ("use", given_aid),
        "platform_fee": ("use", given_fee),
        "rounding_account": ("use", rounding),
    })  # fmt: skip
    aside = _aside(members.set_aside, bad)
    common = int(share[payers > 0].max()) if uniform else None
    mean = float(contributed.sum()) / float(payers.sum())
    facts: dict[str, Any] = {
        "published": published.isoformat(), "plan": rules.name, "cases": int(count.sum()),
        "share": (mean if common is None else common) / 100,
        "exact_share": float(Fraction(aid + fee, int(payers.sum()))) / 100,
        "mean_share": mean / 100, "payers": int(payers.sum()), "in_cover": members.in_cover,
        "aid_asked": aid / 100, "aid": given_aid / 100, "fee_amount": given_fee / 100,
        "bill": (aid + fee) / 100, "contributed": int(contributed.sum()) / 100,
        "platform": platform / 100, "rounding_account": rounding / 100,
        "shortfall": unpaid / 100, "borne_by": rules.shortfall,
        "surplus_left": (round(surplus * 100) - used) / 100,
        "capped_cases": int(count[capped].sum()),
        "year_capped_members": int(payers[paid < share].sum()),
        "set_aside": int(aside["rows"].sum()), "by_weights": not uniform, "currency": rules.currency,
    }  # fmt: skip
    given = basis or Basis()
    notes = (
        *given.notes,
        f"rules {rules.name}: {rules.source}",
        f"share to the fen by {rules.rounding}; the difference is the platform's rounding account",
        f"what the caps leave unpaid: {rules.shortfall}",
        "members as of the day of publication; those who leave later still pay",
    )
    mark = fingerprint(given.fingerprint, repr(rules), str(facts), cells.write_json())
    return AidSettlement(
        table=table,
        basis=Basis(
            source=given.source or rules.source,
            period=given.period or published.isoformat(),
            filters=given.filters,
            rows=int(cells["members"].sum()),
            claims=float(count.sum()),
            currency=rules.currency,
            fingerprint=mark,
            notes=notes,
        ),
        facts=facts,
        frames={"ledger": ledger, "cells": cells, "not_settled": aside},
    )


def _half_up(value: Fraction) -> int:
    return int((2 * value + 1) // 2)


def _over(weight: Floats, unit: Floats, cap: float | None) -> npt.NDArray[np.bool_]:
    if cap is None or not weight.size:
        return np.zeros(unit.size, dtype=np.bool_)
    return np.asarray(unit * weight.max() > cap * 100 * (1 + 1e-12))


def _capped(
    weight: Floats, unit: Floats, count: npt.NDArray[np.int64], cap: float | None
) -> Floats:
    """Give a payer's exact share of the period in fen: the cases one by one, each under the cap."""
    if not unit.size:
        return np.zeros(weight.size)
    most = np.inf if cap is None else cap * 100
    distinct, place = np.unique(weight, return_inverse=True)
    one = np.minimum(np.outer(distinct, unit), most) @ count
    return np.asarray(one, dtype=float)[place]


def _rounded(exact: Floats, rule: str, common: Fraction | None) -> npt.NDArray[np.int64]:
    if common is not None:
        exactly = {
            "round_up": -int(-common // 1),
            "round_nearest": _half_up(common),
            "round_down": int(common // 1),
        }
        return np.full(exact.size, exactly[rule], dtype=np.int64)
    return whole_coins(exact, rule)


def _room(
    rules: AidRules,
    cells: pl.DataFrame,
    earlier: Sequence[AidSettlement],
    weights: pl.DataFrame | None,
) -> npt.NDArray[np.int64]:
    """What the cap of the year leaves each cell, in fen."""
    if rules.cap_per_year is None:
        return np.full(cells.height, np.iinfo(np.int64).max)
    most = int(cells["earlier"].max() or 0)  # type: ignore[arg-type]
    if most > len(earlier):
        raise InputError(
            f"members have shared up to {most} earlier periods of the year and "
            f"{len(earlier)} are given",
            do="give the settlements of all of them, for the cap of the year",
        )
    weighed = any(each.facts["by_weights"] for each in earlier)
    if earlier and (weights is not None or weighed):
        raise InputError(
            "a cap of the year over earlier periods needs equal shares",
            do="leave the weights out, or the cap of the year",
        )
    said = sorted((each.facts["published"], round(100 * each.share)) for each in earlier)
    # a cell has shared the last `earlier` of the periods before
    back = np.cumsum([0, *(share for _, share in reversed(said))])
    cap = round(rules.cap_per_year * 100)
    left = np.maximum(cap - back[cells["earlier"].to_numpy()], 0)
    return np.asarray(left, dtype=np.int64)


def _weights(cells: pl.DataFrame, weights: pl.DataFrame | None) -> pl.Series:
    if weights is None:
        return pl.Series("weight", np.ones(cells.height))
    keys = [name for name in weights.columns if name != "weight"]
    odd = [name for name in keys if name not in ("age", "sex", "member_class")]
    if "weight" not in weights.columns or not keys or odd or set(keys) - set(cells.columns):
        raise InputError(
            f"weights have the columns {', '.join(weights.columns)}",
            do="give weight and any of age, sex and member_class that the members have",
        )
    texts = [name for name in keys if name != "age"]
    given = weights.with_columns(pl.col(texts).cast(pl.String), pl.col("weight").cast(pl.Float64))
    if given.select(keys).is_duplicated().any():
        raise InputError("weights give a cell twice")
    found = (
        cells.with_columns(pl.col(texts).cast(pl.String))
        .join(given, on=keys, how="left", maintain_order="left", nulls_equal=True)
        .with_columns(
            weight=pl.when(pl.col("pays") == 1).then(pl.col("weight")).otherwise(pl.lit(1.0))
        )
    )
    wrong = found.filter(~((pl.col("weight") > 0) & pl.col("weight").is_finite()).fill_null(False))
    if not wrong.is_empty():
        first = wrong.select(keys).head(3).rows()
        raise InputError(
            f"{wrong.height} cells of payers have no weight above zero: {first}",
            do="give each age, sex and class of payers a weight",
        )
    return found["weight"]


def _by_class(cells: pl.DataFrame, rules: AidRules) -> pl.DataFrame:
    pays, covered, members = pl.col("pays") == 1, pl.col("covered") == 1, pl.col("members")
    return (
        cells.group_by("member_class")
        .agg(
            members=members.sum(),
            in_cover=members.filter(covered).sum(),
            payers=members.filter(pays).sum(),
            contributed=pl.col("contributed").sum().round(2),
        )
        .with_columns(
            aid_share=pl.when(pl.col("payers") > 0).then(pl.col("contributed") / pl.col("payers"))
        )
        .with_columns(pl.col("member_class").cast(pl.Enum(list(rules.classes))))
        .sort("member_class")
        .select("member_class", "members", "in_cover", "payers", "aid_share", "contributed")
    )


def _ledger(accounts: dict[str, tuple[str, int]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "account": list(accounts),
            "side": [side for side, _ in accounts.values()],
            "amount_of_money": [fen / 100 for _, fen in accounts.values()],
        }
    )


def _aside(members: pl.DataFrame, cases: pl.DataFrame) -> pl.DataFrame:
    of = [
        members.select(
            of_table=pl.lit("aid_members"), reason="reason", rows=pl.col("members").cast(pl.Int64)
        ),
        cases.group_by("reason", maintain_order=True)
        .agg(rows=pl.len().cast(pl.Int64))
        .select(of_table=pl.lit("aid_cases"), reason="reason", rows="rows"),
    ]
    return pl.concat(of)
