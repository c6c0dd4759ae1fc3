"""What a share may come to: its distribution over a year or a period, and how large a pool must be.

Each member in cover of age x falls ill with probability q(x), independently of the others, so the number of
cases of a benefit is Poisson-binomial, P(z) = Π (1 − q + qz)^n over the cells, and the aid is the sum over
benefits of number × amount. Where all amounts lie on a lattice the distribution is exact: the transform of
:mod:`pricing.losses.compound` leaves rounding only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.losses.aggregate import aggregate_portfolio
from pricing.losses.severity_law import sample_severity
from pricing.mutual_aid.rules import AidRules
from pricing.result.figure import COLOURS
from pricing.result.readable import amount_text
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say
from pricing.sharing.few_claims import members_for, poisson_binomial

__all__ = ["ShareRisk", "share_risk"]

LEVELS = (0.5, 0.75, 0.9, 0.95, 0.99, 0.995)


class ShareRisk(Result):
    """The share's distribution; ``.table``: probability, aid_share (the quantile).

    ``.frames["share_lines"]``: share_line, probability of a share above it. ``.frames["share_distribution"]``: aid_share,
    probability. ``.frames["pool_needs"]``: age, members, benefit_amount, incidence_rate, members_for_10 (a
    pool of that cell alone for a coefficient of variation of 10 %). ``.facts``: mean, sd, cv, share_95, share_99, no_case, capped (the cap of a case binds).
    """

    kind = "share_risk"

    def quantile(self, level: float) -> float:
        """Smallest share that is not passed with the given probability."""
        if not 0 < level < 1:
            raise InputError(f"a probability between 0 and 1, got {level}")
        table = self.frames["share_distribution"]
        at = int(np.searchsorted(table["probability"].cum_sum().to_numpy(), level - 1e-12))
        return float(table["aid_share"][min(at, table.height - 1)])

    def passes(self, line: float) -> float:
        """Probability that the share is above a line."""
        table = self.frames["share_distribution"]
        hair = 1e-9 * max(abs(line), 1.0)
        return float(table.filter(pl.col("aid_share") > line + hair)["probability"].sum())

    def finding(self, lang: Language = "en") -> str:
        """Say the expected share, its spread and the 95 and 99 % shares."""
        return say("finding.share_risk", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the probability that the share is above each amount."""
        figure = go.Figure(layout={"template": "pricing"})
        table = self.frames["share_distribution"]
        # a step of less than 0.1 % is not to be seen: without it a thousand points draw the curve
        curve = table.select("aid_share", above=(1 - pl.col("probability").cum_sum()).clip(0, 1))
        drawn = curve.filter(pl.col("above").round(3).diff().fill_null(1.0) != 0)
        figure.add_scatter(
            x=drawn["aid_share"].to_list(),
            y=drawn["above"].to_list(),
            name=label("above_line", lang),
            mode="lines",
            line={"width": 3, "color": COLOURS["estimate"], "shape": "hv"},
        )
        for line in self.frames["share_lines"]["share_line"].to_list():
            figure.add_vline(
                x=line,
                line={"dash": "dot", "color": COLOURS["second"]},
                annotation={
                    "text": f"{label('share_line', lang)} {amount_text(line, lang)}",
                    "yref": "paper",
                    "y": 1.08,
                },
            )
        return figure.update_layout(
            xaxis={"title": {"text": f"{label('share_of_payer', lang)} ({self.basis.currency})"}},
            yaxis={"title": {"text": label("above_line", lang)}, "tickformat": ".0%"},
        )


def share_risk(
    rules: AidRules,
    cells: pl.DataFrame,
    *,
    payers: int | None = None,
    lines: Sequence[float] = (),
    periods: float = 1.0,
    basis: Basis | None = None,
) -> ShareRisk:
    """Give the distribution of a payer's share over a year, or one of so many periods of it.

    Parameters
    ----------
    rules : AidRules
        Benefit by age, fee, cap of a case.
    cells : polars.DataFrame
        age, members (in cover) and incidence (probability a year); one row per cell.
    payers : int, optional
        Who share the bill; those in cover where left out.
    lines : sequence of float
        Shares whose passing is looked at, currency.
    periods : float
        1 for the share of a year, 24 for that of a period of half a month.
    basis : Basis, optional
        Source and period.

    Raises
    ------
    InputError
        For cells without the columns, ages without a benefit, numbers outside their domain.

    Examples
    --------
    >>> from pricing.mutual_aid.rules import aid_rules
    >>> pool = pl.DataFrame({"age": [30], "members": [1000], "incidence": [0.001]})
    >>> plan = aid_rules("generic").but(cap_per_case=None, fee=0.0, least_members=None)
    >>> found = share_risk(plan, pool, lines=[300.0])
    >>> round(found.facts["mean"], 6), found.facts["share_95"], round(found.passes(300.0), 6)
    (300.0, 900.0, 0.264241)
    """
    lacking = [name for name in ("age", "members", "incidence") if name not in cells.columns]
    if lacking or cells.is_empty():
        raise InputError(f"cells of the pool lack {', '.join(lacking) or 'rows'}")
    if not 0 < periods < 1e6:
        raise InputError(f"{periods} periods a year")
    if not all(np.isfinite(line) and line >= 0 for line in lines):
        raise InputError(f"lines are amounts, zero or more, got {list(lines)}")
    pool = cells.select(
        pl.col("age").cast(pl.Float64), pl.col("members", "incidence").cast(pl.Float64)
    )
    benefit = rules.benefit_at(pool["age"].fill_null(float("nan")).to_numpy())
    outside = ~np.isfinite(benefit)
    if outside.any():
        raise InputError(f"{int(outside.sum())} cells at ages without a benefit", where=rules.name)
    number = pool["members"].fill_null(-1).to_numpy()
    probability = pool["incidence"].fill_null(-1).to_numpy() / periods
    n = int(number.sum()) if payers is None else int(payers)
    if n < 1:
        raise InputError(f"{n} payers", where=rules.name)
    cap = np.inf if rules.cap_per_case is None else rules.cap_per_case * n / (1 + rules.fee)
    paid = np.minimum(benefit, cap)
    parts = []
    for amount in np.unique(paid):
        one = paid == amount
        if (number[one] * probability[one]).any():
            law = poisson_binomial(number[one], probability[one], name=f"cases of {amount:,.0f}")
            parts.append((law, sample_severity([float(amount)])))
    if not parts:
        raise InputError("nobody can fall ill: no members, or probabilities of zero")
    year = aggregate_portfolio(parts)
    per = (1 + rules.fee) / n
    share, chance = year.loss * per, year.probability
    mean = float(share @ chance)
    sd = max(float((share - mean) ** 2 @ chance), 0.0) ** 0.5
    distribution = pl.DataFrame({"aid_share": share, "probability": chance})
    facts: dict[str, Any] = {
        "plan": rules.name, "members": int(number.sum()), "payers": n, "mean": mean, "sd": sd,
        "cv": sd / mean, "no_case": float(year.facts["no_loss"]), "capped": bool((paid < benefit).any()),
        "periods": float(periods), "currency": rules.currency,
        "case_chance": float((number * probability).sum() / number.sum()),
    }  # fmt: skip
    # the same mix of ages and benefits, larger or smaller: the variation goes with 1/√n
    facts["pool_for_10"] = float(number.sum()) * (facts["cv"] / 0.10) ** 2
    found = ShareRisk(
        table=pl.DataFrame(), facts=facts, frames={"share_distribution": distribution}
    )
    table = pl.DataFrame(
        {"probability": list(LEVELS), "aid_share": [found.quantile(level) for level in LEVELS]}
    )
    facts |= {"share_95": found.quantile(0.95), "share_99": found.quantile(0.99)}
    asked = sorted({float(line) for line in lines})
    told = pl.DataFrame(
        {"share_line": asked, "probability": [found.passes(line) for line in asked]},
        schema={"share_line": pl.Float64, "probability": pl.Float64},
    )
    given = basis or Basis(source=rules.source)
    needs = pl.DataFrame(
        {
            "age": pool["age"],
            "members": number,
            "benefit_amount": benefit,
            "incidence_rate": probability,
        }
    ).filter(pl.col("incidence_rate").is_between(0, 1, closed="none"))
    alone = [members_for(q, variation=0.10) for q in needs["incidence_rate"]]
    needs = needs.with_columns(members_for_10=pl.Series(alone, dtype=pl.Int64)).sort("age")
    seen: Mapping[str, pl.DataFrame] = {
        "share_distribution": distribution,
        "share_lines": told,
        "pool_needs": needs,
    }
    return ShareRisk(
        table=table,
        basis=Basis(
            source=given.source or rules.source,
            period=given.period,
            rows=pool.height,
            exposure=float(number.sum()),
            currency=rules.currency,
            fingerprint=fingerprint(repr(rules), pool.write_json(), str(facts)),
            notes=(
                *given.notes,
                "members fall ill independently, at most once; before rounding to the fen",
                _lattice(paid, float(year.facts["bucket"])),
            ),
        ),
        facts=facts,
        frames=seen,
    )


def _lattice(paid: npt.NDArray[np.float64], bucket: float) -> str:
    """Say whether the amounts lie on the lattice, or were put there."""
    steps = paid / bucket
    if (np.abs(steps - steps.round()) < 1e-9 * np.maximum(steps, 1.0)).all():
        return f"exact: all amounts lie on a lattice of {bucket:g}"
    return f"amounts put on a lattice of {bucket:g}, their moments kept: a cap leaves odd amounts"
