"""How the premium of one policy came about: every step in currency, adding up to the fen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.renewal.ledger import premium_waterfall
from pricing.renewal.price import STEPS
from pricing.renewal.rules import RenewalRules
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, level_label, say

__all__ = ["PriceTrace", "trace_price"]


class PriceTrace(Result):
    """The steps of one renewal's premium; ``.table``: component (step), step_rate (the fraction that
    makes it, where one does), step_amount (currency), premium_after (currency, the sum so far).
    """

    kind = "price_trace"

    def finding(self, lang: Language = "en") -> str:
        """Say what the policy pays, from which standard premium and by which discount."""
        facts = dict(self.facts)
        group = level_label(facts["discount_group"], lang)
        said = say("finding.price_trace", lang, **facts | {"discount_group": group})
        if facts["limits"]:
            said += say("sentence.trace_limits", lang, **facts)
        if not facts["consent"]:
            said += say("sentence.trace_consent", lang, **facts)
        if facts["premium_before"] is not None:
            said += say("sentence.trace_before", lang, **facts)
        return said

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the way from the standard premium to what the policy pays."""
        steps = {name: float(amount) for name, _, amount, _ in self.table.iter_rows()}
        base, *added = steps.values()
        return premium_waterfall(
            list(steps.values()),
            list(steps),
            texts=[f"{base:,.2f}", *(f"{amount:+,.2f}" for amount in added)],
            total=f"{self.facts['premium']:,.2f}",
            currency=self.basis.currency,
            lang=lang,
        )


def trace_price(
    priced: pl.DataFrame | pl.LazyFrame,
    policies: Sequence[str],
    rules: RenewalRules,
    *,
    basis: Basis | None = None,
) -> dict[str, PriceTrace]:
    """Trace the premiums of some policies, step by step.

    Parameters
    ----------
    priced : polars.DataFrame or LazyFrame
        From :func:`~pricing.renewal.price.price_renewals`; only the rows asked for are collected.
    policies : sequence of str
        Policy numbers.
    rules : RenewalRules
        By which they were priced.
    basis : Basis, optional
        Source, period, currency.

    Returns
    -------
    dict of str to PriceTrace
        By policy number, in the order asked for.

    Raises
    ------
    InputError
        For numbers with no renewal due, with several, or set aside without a price; all are named.

    Notes
    -----
    The steps are whole fen: standard premium + change of the filed rates + discount + limits +
    rounding = premium, exactly.

    Examples
    --------
    >>> from pricing.renewal.price import price_renewals
    >>> due = pl.DataFrame({"policy_id": ["P1"], "health_group": ["G1"], "standard_premium": [1800.0]})
    >>> rules = RenewalRules(discounts={"G0": 0, "G1": 0.05}, adjustment=0.1)
    >>> trace = trace_price(price_renewals(due, rules), ["P1"], rules)["P1"]
    >>> trace.table.select("step_amount", "premium_after").rows()
    [(1800.0, 1800.0), (180.0, 1980.0), (-99.0, 1881.0), (0.0, 1881.0), (0.0, 1881.0)]
    >>> trace.finding()[:46]
    'Policy P1 in group G1 pays 1,881.00 CNY at its'
    """
    number = pl.col("policy_id").cast(pl.String)
    rows = priced.lazy().filter(number.is_in(list(policies))).collect(engine="streaming")
    held: dict[str, list[dict[str, object]]] = {}
    for row in rows.iter_rows(named=True):  # of the few that were asked for
        held.setdefault(str(row["policy_id"]), []).append(row)
    if faults := _faults(policies, held):
        raise InputError("premiums that cannot be traced", where="renewal.trace", faults=faults)
    return {p: _traced(held[p][0], rules, basis or Basis()) for p in policies}


def _faults(policies: Sequence[str], held: dict[str, list[dict[str, object]]]) -> list[str]:
    faults = []
    for policy in policies:
        found = held.get(policy, [])
        if not found:
            faults.append(f"policy {policy!r} has no renewal due")
        elif len(found) > 1:
            faults.append(f"policy {policy!r} has {len(found)} renewals due")
        elif found[0]["set_aside"] is not None:
            faults.append(f"policy {policy!r} has no price: {found[0]['set_aside']}")
    return faults


def _traced(row: dict[str, object], rules: RenewalRules, basis: Basis) -> PriceTrace:
    def figure(name: str) -> float:
        return float(row[name])  # type: ignore[arg-type]

    fen = [round(figure(name) * 100) for name in STEPS]
    sums = [sum(fen[: n + 1]) for n in range(len(fen))]
    rates = [None, figure("adjustment"), 0.0 - figure("discount"), None, None]
    names = ["standard_premium_due", *STEPS[1:]]
    table = pl.DataFrame(
        {
            "component": names,
            "step_rate": pl.Series(rates, dtype=pl.Float64),
            "step_amount": [n / 100 for n in fen],
            "premium_after": [n / 100 for n in sums],
        }
    )
    before = row.get("premium_before")
    facts = {
        "policy": str(row["policy_id"]),
        "due": None if row.get("due") is None else str(row["due"]),
        "discount_group": str(row["discount_group"]),
        "consent": row.get("consent") is not False,
        "currency": basis.currency,
        "standard": fen[0] / 100,
        "adjustment": figure("adjustment"),
        "discount": figure("discount"),
        "limits": fen[3] / 100,
        "premium": sums[-1] / 100,
        "premium_before": None if before is None else float(before),  # type: ignore[arg-type]
        "change": None if before is None else sums[-1] / 100 / float(before) - 1,  # type: ignore[arg-type]
    }
    limits = {"rise": rules.most_rise, "fall": rules.most_fall}
    told = [f"{name} at most {v:.1%}" for name, v in limits.items() if v is not None]
    notes = (
        f"the discount is at most {rules.cap:.1%}",
        *([f"from last year's premium, {' and '.join(told)}"] if told else []),
        f"rounded to {rules.decimals} places, halves up",
    )
    mark = fingerprint(basis.fingerprint, str(sorted(facts.items())))
    basis = replace(basis, rows=1, notes=(*basis.notes, *notes), fingerprint=mark)
    return PriceTrace(table=table, basis=basis, facts=facts)
