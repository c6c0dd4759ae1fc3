"""What a schedule needs to pay for itself: base premium, fall of claims, loss ratio by group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.result.figure import interval_figure, with_points
from pricing.result.shape import Basis, Result
from pricing.result.words import Language

__all__ = ["BreakEven", "break_even"]


class BreakEven(Result):
    """Loss ratio by group under a schedule, and what would keep margin or loss ratio."""

    kind = "break_even"

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the loss ratio of each group over its share, and that of a book without discounts."""
        t = self.table
        groups, ratio = t["health_group"].to_list(), t["loss_ratio"].to_list()
        figure = interval_figure(
            groups, ratio, ratio, ratio, name="loss_ratio", factor="health_group", lang=lang,
            bars=t["group_share"].to_list(), bars_name="group_share", percent=True,
        )  # fmt: skip
        figure.data[1].error_y = None
        most = max(t["group_share"].to_list())
        figure.update_layout(yaxis2={"tickvals": [0, most], "ticktext": ["0%", f"{most:.0%}"]})
        figure.update_yaxes(tickformat=".1%", selector={"overlaying": "y2"})
        before = [self.facts["loss_ratio_before"]] * len(groups)
        return with_points(figure, groups, before, name="loss_ratio_before", lang=lang, line=True)


def break_even(
    shares: Mapping[str, float],
    discounts: Mapping[str, float],
    *,
    relativities: Mapping[str, float] | None = None,
    loss_ratio: float = 0.70,
    source: str = "",
) -> BreakEven:
    """What a schedule of discounts needs to pay for itself.

    Parameters
    ----------
    shares : mapping of str to float
        Share of the standard premium by group, adding to 1.
    discounts : mapping of str to float
        By group, 0 to below 1.
    relativities : mapping of str to float, optional
        Claims per standard premium beside those of the standard group, whose loss ratio is
        ``loss_ratio``; all alike where left out.
    loss_ratio : float
        Claims over the standard premium, before any discount.

    Returns
    -------
    BreakEven
        ``.table``: health_group, group_share, discount_given_share (the discount), claims_relativity,
        loss_ratio. ``.facts``: mean_discount d̄, base_factor 1/(1 − d̄), margin_fall (claims must fall by
        this share to keep the margin in currency, d̄/loss ratio), ratio_fall (to keep the loss ratio, d̄),
        mean_relativity, loss_ratio_after.

    Raises
    ------
    InputError
        For shares that do not add to 1, groups that differ, discounts or relativities out of domain.

    Examples
    --------
    >>> found = break_even({"G0": 0.5, "G1": 0.5}, {"G0": 0.0, "G1": 0.2})
    >>> round(found.facts["base_factor"], 4), found.table["loss_ratio"].round(3).to_list()
    (1.1111, [0.7, 0.875])
    """
    names = list(discounts)
    given = relativities or dict.fromkeys(names, 1.0)
    if set(shares) != set(names) or set(given) != set(names) or not names:
        raise InputError(
            f"shares name {sorted(shares)}, discounts {names}, relativities {sorted(given)}"
        )
    try:
        w, d, r = (np.array([float(m[g]) for g in names]) for m in (shares, discounts, given))
    except (TypeError, ValueError) as error:
        raise InputError(f"shares, discounts and relativities must be numbers: {error}") from error
    faults = []
    if not (w >= 0).all() or abs(w.sum() - 1) > 1e-9:
        faults.append(f"shares must be zero or more and add to 1, not {w.sum():.6g}")
    if not ((d >= 0) & (d < 1)).all():
        faults.append(f"discounts must lie in 0 to below 1, got {dict(discounts)}")
    if not (np.isfinite(r) & (r > 0)).all():
        faults.append(f"relativities must be above zero, got {dict(given)}")
    if not 0 < loss_ratio < 10:
        faults.append(f"the loss ratio must be above zero, got {loss_ratio}")
    if faults:
        raise InputError("no break-even follows from these", faults=faults)
    mean, cost = float(w @ d), float(w @ r)
    table = pl.DataFrame(
        {
            "health_group": names,
            "group_share": w,
            "discount_given_share": d,
            "claims_relativity": r,
            "loss_ratio": loss_ratio * r / (1 - d),
        }
    )
    facts: dict[str, Any] = {
        "mean_discount": mean,
        "base_factor": 1 / (1 - mean),
        "margin_fall": mean / loss_ratio,
        "ratio_fall": mean,
        "mean_relativity": cost,
        "loss_ratio_before": loss_ratio,
        "loss_ratio_after": loss_ratio * cost / (1 - mean),
    }
    basis = Basis(
        source=source,
        fingerprint=fingerprint(w.tobytes(), d.tobytes(), r.tobytes(), repr((names, loss_ratio))),
    )
    return BreakEven(table=table, basis=basis, facts=facts)
