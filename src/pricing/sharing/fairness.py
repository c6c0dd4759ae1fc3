"""Rules side by side: who bears more than own cost, who less, and who pays for whom.

The fairness index of a class is E[share]/μ; 1 is actuarially fair. What a class bears above own cost
is its gift to the others: the gifts of a rule add up to nil. Which class's gift goes to whom no rule
says; the ledger gives every receiver the same part of each giver's gift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.result.series import SERIES
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say
from pricing.sharing.pool import Pool
from pricing.sharing.rule import RULES, share_rule

__all__ = ["ShareFairness", "compare_rules"]

Array = npt.NDArray[np.float64]


class ShareFairness(Result):
    """Rules of sharing side by side.

    ``.table`` by rule and class: rule, member_class, members, own_mean, share_mean, fairness_index,
    cross_subsidy (share_mean − own_mean, a member), cross_subsidy_total (the class), variance_reduction.
    ``.frames["rules"]`` by rule: fairness_gini, cross_subsidy_moved (money that changes classes), share_of_expected
    (of the expected loss), least variance_reduction, share_negative, share_falls.
    ``.frames["gifts"]``: rule, from_class, to_class, amount_of_money.
    ``.frames["shares"]``: rule, member_class, loss, share_amount.

    Examples
    --------
    >>> from pricing.losses.count_law import binomial_count
    >>> from pricing.losses.severity_law import sample_severity
    >>> from pricing.sharing.pool import member_class, pool_of
    >>> one = sample_severity([100.0])
    >>> found = compare_rules(pool_of([member_class("young", 30, binomial_count(1, 0.01), one),
    ...                                member_class("old", 10, binomial_count(1, 0.05), one)]))
    >>> found.frames["gifts"].rows()
    [('uniform', 'young', 'old', 30.0)]
    """

    kind = "share_fairness"

    def finding(self, lang: Language = "en") -> str:
        """Say what the least fair of the rules moves between classes, and from whom to whom."""
        words = dict(self.facts)
        for name in ("rule", "fairest", "giver", "taker"):
            words[name] = level_label(str(words[name]), lang)
        said = say("finding.share_fairness", lang, **words)
        return said + (say("sentence.share_gift", lang, **words) if self.facts["moved"] else "")

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the fairness index by class under each rule."""
        figure = go.Figure(layout={"template": "pricing"})
        for rule, (colour, symbol) in zip(self.facts["rules"], SERIES, strict=False):
            part = self.table.filter(pl.col("rule") == rule)
            figure.add_scatter(
                x=[level_label(name, lang) for name in part["member_class"].to_list()],
                y=part["fairness_index"].to_list(),
                mode="markers+lines",
                name=level_label(rule, lang),
                marker={"size": 9, "color": colour, "symbol": symbol},
                line={"width": 1, "dash": "dot", "color": colour},
            )
        figure.add_hline(y=1, line={"dash": "dot", "color": "#6B7280"})
        return figure.update_layout(
            xaxis={"title": {"text": label("member_class", lang)}, "type": "category"},
            yaxis={"title": {"text": label("fairness_index", lang)}, "rangemode": "tozero"},
        )

    def class_figure(self, name: str, lang: Language = "en") -> go.Figure:
        """Draw the share of a member of one class over the pool's loss, under each rule."""
        shares = self.frames["shares"].filter(pl.col("member_class") == name)
        if not shares.height:
            known = self.frames["shares"]["member_class"].unique(maintain_order=True).to_list()
            raise InputError(f"no class {name!r}", do=f"take one of {', '.join(known[:10])}")
        figure = go.Figure(layout={"template": "pricing"})
        for rule, (colour, _) in zip(self.facts["rules"], SERIES, strict=False):
            part = shares.filter(pl.col("rule") == rule)
            figure.add_scatter(
                x=part["loss"].to_list(),
                y=part["share_amount"].to_list(),
                mode="lines",
                name=level_label(rule, lang),
                line={"width": 2, "color": colour},
            )
        money = self.basis.currency
        return figure.update_layout(
            xaxis={"title": {"text": f"{label('loss', lang)} ({money})"}},
            yaxis={"title": {"text": f"{label('share_amount', lang)} ({money})"}},
        )


def compare_rules(pool: Pool, rules: Sequence[str] = RULES) -> ShareFairness:
    """Compare rules of sharing on one pool.

    Parameters
    ----------
    pool : Pool
        See :func:`pricing.sharing.pool.pool_of`.
    rules : sequence of str
        Of :data:`pricing.sharing.rule.RULES`; all where left out.

    Returns
    -------
    ShareFairness
        ``.facts``: rules, rule and moved (the rule that moves most between classes, and how much),
        gini, fairest and gini_fairest, giver, gift, taker and taken (classes of the former rule),
        expected, currency.

    Raises
    ------
    InputError
        For no rules, an unknown rule, or one given twice.

    Examples
    --------
    >>> from pricing.losses.count_law import poisson
    >>> from pricing.losses.severity_law import sample_severity
    >>> from pricing.sharing.pool import member_class, pool_of
    >>> pool = pool_of([member_class("a", 5, poisson(0.1), sample_severity([1.0])),
    ...                 member_class("b", 5, poisson(0.3), sample_severity([1.0]))])
    >>> compare_rules(pool).frames["rules"]["cross_subsidy_moved"].round(9).to_list()
    [0.5, 0.0, 0.0, 0.0]
    """
    taken = [rules] if isinstance(rules, str) else list(rules)
    if not taken or len(set(taken)) < len(taken):
        raise InputError(f"rules to compare are given once each, got {taken}")
    found = {rule: share_rule(pool, rule) for rule in taken}
    tables, lines, ledgers, shares = [], [], [], []
    for rule, one in found.items():
        named = pl.lit(rule).alias("rule")
        table = one.table.with_columns(
            named, cross_subsidy=pl.col("share_mean") - pl.col("own_mean")
        ).with_columns(cross_subsidy_total=pl.col("cross_subsidy") * pl.col("members"))
        gifts = table["cross_subsidy_total"].to_numpy()
        moved = float(gifts.clip(0).sum())
        moved = moved if moved > 1e-9 * pool.expected else 0.0
        lines.append(
            {
                "rule": rule,
                "fairness_gini": one.facts["gini"],
                "cross_subsidy_moved": moved,
                "share_of_expected": moved / pool.expected,
                "variance_reduction": one.facts["variance_reduction"],
                "share_negative": one.facts["negative"],
                "share_falls": one.facts["falls"],
            }
        )
        tables.append(
            table.select(
                "rule", "member_class", "members", "own_mean", "share_mean", "fairness_index",
                "cross_subsidy", "cross_subsidy_total", "variance_reduction",
            )
        )  # fmt: skip
        shares.append(one.frames["shares"].select(named, "member_class", "loss", "share_amount"))
        ledgers.append(_ledger(rule, pool.names, gifts if moved else np.zeros_like(gifts)))
    table, by_rule = pl.concat(tables), pl.DataFrame(lines)
    # ties go to the rule given last: of several fair ones the conditional mean
    most = by_rule.sort("cross_subsidy_moved", descending=True, maintain_order=True)
    fairest = by_rule.reverse().sort(pl.col("fairness_gini").round(9), maintain_order=True)
    worst = table.filter(pl.col("rule") == most["rule"][0]).sort(
        "cross_subsidy_total", maintain_order=True
    )
    facts = {
        "rules": taken,
        "rule": most["rule"][0],
        "moved": most["cross_subsidy_moved"][0],
        "moved_share": most["share_of_expected"][0],
        "gini": most["fairness_gini"][0],
        "fairest": fairest["rule"][0],
        "gini_fairest": fairest["fairness_gini"][0],
        "giver": worst["member_class"][-1],
        "gift": worst["cross_subsidy"][-1],
        "taker": worst["member_class"][0],
        "taken": -worst["cross_subsidy"][0],
        "expected": pool.expected,
        "currency": pool.basis.currency,
    }
    basis = replace(pool.basis, fingerprint=fingerprint(pool.basis.fingerprint, *taken))
    frames = {"rules": by_rule, "gifts": pl.concat(ledgers), "shares": pl.concat(shares)}
    return ShareFairness(table=table, basis=basis, facts=facts, frames=frames)


def _ledger(rule: str, names: Sequence[str], gifts: Array) -> pl.DataFrame:
    """Every giver's gift to every receiver, in proportion to what each receives."""
    given, got = gifts.clip(0), (-gifts).clip(0)
    total = got.sum()
    table = np.outer(given, got / total) if total > 0 else np.zeros((gifts.size, gifts.size))
    some = table > 1e-9 * max(float(given.sum()), 1e-300)
    rows, columns = np.nonzero(some)
    return pl.DataFrame(
        {
            "rule": [rule] * rows.size,
            "from_class": [names[int(k)] for k in rows],
            "to_class": [names[int(k)] for k in columns],
            "amount_of_money": table[rows, columns].round(9),
        },
        schema_overrides={"rule": pl.String, "from_class": pl.String, "to_class": pl.String},
    )
