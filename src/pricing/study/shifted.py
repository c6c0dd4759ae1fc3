"""Who pays more and who less once the discounts change, by group and by every factor, and who stays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.health.price_response import PriceResponse
from pricing.result.figure import COLOURS
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["DiscountShift", "discount_shift"]

SAME = 1e-9  # of the premium: what two discounts may lie apart and be the same


class DiscountShift(Result):
    """Premiums before and after a change of discounts.

    ``.table``: factor, level, exposure, standard_premium, charged_before, charged_after, difference
    (currency), relative_difference and, where the answer to price is known, renewed_share.
    """

    kind = "discount_shift"

    def finding(self, lang: Language = "en") -> str:
        """Say what share of the premium comes to pay more, what less, and the total."""
        kept = self.facts["renewed_share"]
        said = say("finding.discount_shift", lang, **self.facts)
        return said if kept is None else said + say("sentence.discount_shift_kept", lang, kept=kept)

    def titled(self, lang: Language = "en") -> pl.DataFrame:
        """Give the table with the factors' names in a language."""
        names = {name: label(name, lang) for name in self.table["factor"].unique()}
        return self.table.with_columns(pl.col("factor").replace(names))

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the change of premium by level: who wins below zero, who loses above."""
        rows = self.table.reverse()
        change = rows["relative_difference"].to_list()
        figure = go.Figure(
            layout={"template": "pricing", "height": max(320, 110 + 24 * rows.height)}
        )
        figure.add_bar(
            y=[
                f"{label(factor, lang)} · {level_label(level, lang)}"
                for factor, level in rows.select("factor", "level").iter_rows()
            ],
            x=change,
            orientation="h",
            marker={"color": [COLOURS["second"] if v > 0 else COLOURS["third"] for v in change]},
            text=[f"{v:+.1%}" for v in change],
            textposition="auto",
        )
        return figure.update_layout(
            xaxis={"title": {"text": label("relative_difference", lang)}, "tickformat": "+.0%"},
            yaxis={"showgrid": False, "type": "category"},
            hovermode="closest",
        )


def discount_shift(
    money: Experience,
    before: Mapping[str, float],
    after: Mapping[str, float],
    *,
    group: str = "health_group",
    response: PriceResponse | None = None,
) -> DiscountShift:
    """Hold the premiums of a book under new discounts against those under the old ones.

    Parameters
    ----------
    money : Experience
        Cells of the group and any factors, with the sum ``standard_premium`` (currency).
    before, after : mapping of str to float
        Discount by group, a fraction of the standard premium in [0, 1).
    group : str
        Column of the health group.
    response : PriceResponse, optional
        Who renews at what premium; where given, each level has the share that would renew.

    Returns
    -------
    DiscountShift
        The group first, then every other factor of the cells.

    Raises
    ------
    InputError
        For groups without a discount, and cells without ``standard_premium``.

    Notes
    -----
    With S the standard premium of a cell and d its group's discount, before and after are Σ S(1 − d)
    over the cells of a level. The share that renews is Σ e·σ(α − η ln((1 − d')/(1 − d))) / Σ e, with e
    the exposure.

    Examples
    --------
    >>> rows = pl.DataFrame({"health_group": ["G0", "G1"], "exposure": [1.0, 1.0], "claims": [0, 0],
    ...                      "standard_premium": [100.0, 100.0]})
    >>> money = Experience.collect(rows, ["health_group"], sums=["standard_premium"])
    >>> found = discount_shift(money, {"G0": 0.0, "G1": 0.2}, {"G0": 0.0, "G1": 0.1})
    >>> found.table.select("level", "charged_before", "charged_after").rows()
    [('G0', 100.0, 100.0), ('G1', 80.0, 90.0)]
    """
    if "standard_premium" not in money.cells.columns:
        raise InputError("the cells hold no standard_premium", do="collect it as a sum")
    levels = money.levels(group)
    missing = [level for level in levels if level not in before or level not in after]
    if missing:
        raise InputError(f"no discount for the group {missing[0]!r}", where=group)
    old = np.array([before[level] for level in levels])
    new = np.array([after[level] for level in levels])
    log_change = np.log((1 - new) / (1 - old))
    kept = np.ones(len(levels)) if response is None else response.renews(log_change)
    sums: dict[str, pl.Expr] = {
        "charged_before": _at(group, levels, 1 - old) * pl.col("standard_premium"),
        "charged_after": _at(group, levels, 1 - new) * pl.col("standard_premium"),
        "_kept": _at(group, levels, kept) * pl.col("exposure"),
    }
    amounts = ["exposure", "standard_premium", *sums]
    cells = money.cells.select(*money.keys, "exposure", "standard_premium", **sums)
    factors = [group, *(name for name in money.factors if name != group)]
    parts = [
        cells.group_by(name, maintain_order=True)
        .agg(pl.col(amounts).sum())
        .sort(name)
        .select(factor=pl.lit(name), level=pl.col(name).cast(pl.String), **{a: a for a in amounts})
        for name in factors
    ]
    table = pl.concat(parts).with_columns(
        difference=pl.col("charged_after") - pl.col("charged_before"),
        relative_difference=pl.col("charged_after") / pl.col("charged_before") - 1,
        renewed_share=pl.col("_kept") / pl.col("exposure"),
    )
    table = table.drop("_kept") if response is not None else table.drop("_kept", "renewed_share")
    whole = cells.select(pl.col(amounts).sum()).row(0, named=True)
    own = table.filter(factor=group)
    share = own["standard_premium"] / own["standard_premium"].sum()
    change = own["relative_difference"]
    facts = {
        "charged_before": whole["charged_before"],
        "charged_after": whole["charged_after"],
        "relative_difference": whole["charged_after"] / whole["charged_before"] - 1,
        "loses": float(share.filter(change > SAME).sum()),
        "wins": float(share.filter(change < -SAME).sum()),
        "renewed_share": None if response is None else whole["_kept"] / whole["exposure"],
        "currency": money.basis.currency,
    }
    return DiscountShift(table=table, basis=money.basis, facts=facts)


def _at(group: str, levels: list[str], values: np.ndarray) -> pl.Expr:
    return pl.col(group).cast(pl.String).replace_strict(levels, values.tolist())
