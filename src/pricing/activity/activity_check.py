"""What devices sent, what of it counts and what was set aside for which reason: a ledger that re-adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

import plotly.graph_objects as go
import polars as pl

from pricing.activity.plausible import Rules, late_surge
from pricing.activity.samples import REASONS
from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["ActivityCheck", "activity_check"]

OUTCOMES = ("counted", "marker", "not_used", "overlapped", *REASONS.categories.to_list())


class ActivityCheck(Result):
    """Samples and steps by what became of them, without any id.

    ``.table``: outcome, samples, share_of_samples, steps, share_of_steps, persons. Samples and steps
    add up to what came in. ``.frames``: ``unknown_codes`` (metric, unit, samples not understood, and
    records a reader does not read), ``days_by_reason`` (outcome, days, persons).
    """

    kind = "activity_check"

    def finding(self, lang: Language = "en") -> str:
        """Say how much counts and what took most away."""
        facts = dict(self.facts)
        most = facts.pop("most")
        told = ""
        if most:
            told = say(
                "sentence.activity_most_aside",
                lang,
                reason=level_label(most, lang),
                samples=facts["most_samples"],
                steps=facts["most_steps"],
            )
        late = say("sentence.activity_surge", lang, **facts) if facts["surge_judged"] else ""
        return say("finding.activity_check", lang, **facts, aside_text=told, surge_text=late)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the share of samples and of steps by what became of them."""
        table = self.table.reverse()
        figure = go.Figure(layout={"template": "pricing"})
        names = [level_label(one, lang) for one in table["outcome"]]
        for column, colour in (("share_of_steps", "second"), ("share_of_samples", "estimate")):
            values = table[column].to_list()
            figure.add_bar(
                y=names,
                x=values,
                orientation="h",
                name=label(column, lang),
                marker_color=COLOURS[colour],
                text=[f"{value:.2%}" for value in values],
                textposition="outside",
                cliponaxis=False,
            )
        figure.update_layout(
            barmode="group",
            bargap=0.3,
            hovermode="y unified",
            height=max(320, 130 + 52 * table.height),
            margin={"l": 150, "r": 90},
            xaxis={
                "tickformat": ".0%",
                "range": [0, 1.05],
                "title": {"text": label("share", lang)},
            },
            yaxis={
                "type": "category",
                "showgrid": False,
                "title": {"text": label("outcome", lang)},
            },
            legend={"traceorder": "reversed"},
        )
        return figure


def activity_check(
    ledger: pl.DataFrame,
    days: pl.DataFrame,
    *,
    rules: Rules,
    key_check: str,
    unread: Mapping[str, int] | None = None,
) -> ActivityCheck:
    """Add up the ledger of samples and the days that came of them.

    Parameters
    ----------
    ledger : polars.DataFrame
        ``person``, ``metric``, ``unit``, ``outcome``, ``samples``, ``steps``; the person goes no further.
    days : polars.DataFrame
        ``person``, ``day``, ``steps``, ``valid``, ``reason``.
    rules : Rules
        What counted.
    key_check : str
        Which key made the pseudonyms (:attr:`pricing.activity.pseudonym.Key.check`).
    unread : mapping of str to int, optional
        Records a reader met and does not read.

    Returns
    -------
    ActivityCheck
        The table, with ``frames["days_by_reason"]`` and ``frames["unknown_codes"]``.

    Examples
    --------
    >>> import datetime as dt
    >>> ledger = pl.DataFrame({"person": [1, 1], "metric": ["steps"] * 2, "unit": [""] * 2,
    ...     "outcome": ["counted", "manual_entry"], "samples": [9, 1], "steps": [900.0, 100.0]})
    >>> days = pl.DataFrame({"person": ["x"], "day": [dt.date(2024, 3, 1)], "steps": [900.0],
    ...     "valid": [False], "reason": ["too_little_wear"]}, schema_overrides={"reason": REASONS})
    >>> activity_check(ledger, days, rules=Rules(), key_check="").table["share_of_steps"].to_list()
    [0.9, 0.1]
    """
    if ledger.is_empty():
        raise InputError("there are no samples", where="samples")
    samples, steps = int(ledger["samples"].sum()), float(ledger["steps"].sum())
    order = {name: i for i, name in enumerate(OUTCOMES)}
    table = (
        ledger.group_by("outcome", maintain_order=True)
        .agg(
            pl.col("samples").sum(),
            pl.col("steps").sort().sum(),
            persons=pl.col("person").drop_nulls().n_unique().cast(pl.Int64),
        )
        .with_columns(
            share_of_samples=pl.col("samples") / samples,
            share_of_steps=pl.col("steps") / steps if steps else pl.lit(0.0),
        )
        .sort(pl.col("outcome").replace_strict(order, return_dtype=pl.Int64))
        .select("outcome", "samples", "share_of_samples", "steps", "share_of_steps", "persons")
    )
    apart = ("counted", "marker", "not_used", "overlapped")
    aside = table.filter(~pl.col("outcome").is_in(apart))
    top = aside.sort("samples", "outcome", descending=[True, False]).head(1)
    by_day = (
        days.with_columns(outcome=pl.col("reason").cast(pl.String).fill_null("valid_day"))
        .group_by("outcome")
        .agg(days=pl.len().cast(pl.Int64), persons=pl.col("person").n_unique().cast(pl.Int64))
        .sort("days", "outcome", descending=[True, False])
    )
    flagged = late_surge(days) if days.height else None
    facts: dict[str, Any] = {
        "samples": samples,
        "steps": steps,
        "persons": int(ledger["person"].drop_nulls().n_unique()),
        "aside_samples": int(aside["samples"].sum()),
        "counted_steps": float(table.filter(outcome="counted")["steps"].sum()),
        "overlapped_steps": float(table.filter(outcome="overlapped")["steps"].sum()),
        "days": days.height,
        "valid_days": int(days["valid"].sum()),
        "most": top["outcome"][0] if top.height else "",
        "most_samples": int(top["samples"][0]) if top.height else 0,
        "most_steps": float(top["steps"][0]) if top.height else 0.0,
        "surge": int(flagged["surge"].sum()) if flagged is not None else 0,
        "surge_judged": flagged.height if flagged is not None else 0,
    }
    period = " – ".join(days["day"].cast(pl.String).sort()[[0, -1]]) if days.height else ""
    basis = Basis(
        source="samples",
        period=period,
        rows=samples,
        fingerprint=fingerprint(
            table.write_csv(), by_day.write_csv(), days.sort("person", "day").write_csv(),
            repr(astuple(rules)), key_check,
        ),
        notes=(f"pseudonyms made with key {key_check}", f"rules: {rules}"),
    )  # fmt: skip
    return ActivityCheck(
        table=table,
        basis=basis,
        facts=facts,
        frames={"unknown_codes": _unknown(ledger, unread or {}), "days_by_reason": by_day},
        details={"key_check": key_check},
    )


def _unknown(ledger: pl.DataFrame, unread: Mapping[str, int]) -> pl.DataFrame:
    """Codes and units that are not known, by number."""
    found = (
        ledger.filter(pl.col("outcome").is_in(["unknown_metric", "unknown_unit"]))
        .group_by(pl.col("metric").fill_null(""), pl.col("unit").fill_null(""))
        .agg(pl.col("samples").sum())
    )
    more = pl.DataFrame(
        [(name, "", int(n)) for name, n in unread.items()],
        ["metric", "unit", "samples"],
        orient="row",
    )
    if more.height:
        found = pl.concat(
            [found, more.cast({"metric": pl.String, "unit": pl.String, "samples": pl.Int64})]
        )
    return found.sort("samples", "metric", "unit", descending=[True, False, False])
