"""The mutual share beside critical-illness insurance: what a year costs and what a yuan brings, by age and sex.

The insurer's cost of a year of cover of B is B·i(x) (mid-year), its level premium to the age of exit comes
from the double decrement p = 1 − i − q(1 − k). Both are grossed up by a loading. A member's yuan brings
B(x)·i(x)·f / share in expected aid, f the pool's incidence against the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import polars as pl

from pricing.annuities.critical_illness import critical_illness
from pricing.data.rates import RateTable
from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.mutual_aid.rules import AidRules
from pricing.result.series import SERIES
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["AgainstInsurance", "against_insurance"]


class AgainstInsurance(Result):
    """Mutual aid and insurance by age and sex; ``.table``: sex, age, benefit_amount, incidence_rate, aid_share (a
    year), one_year_cost (net), one_year_premium, level_premium (gross, to the age of exit),
    expected_aid, aid_per_yuan, insurance_per_yuan (expected claims per yuan of premium).
    """

    kind = "aid_against_insurance"

    def finding(self, lang: Language = "en") -> str:
        """Say at how many ages the share is below the one-year premium, and where it pays most."""
        named = {"best_sex": level_label(str(self.facts["best_sex"]), lang)}
        said = say("finding.aid_against_insurance", lang, **(dict(self.facts) | named))
        if self.facts["funded"] > 0.995:
            return said
        return said + say("sentence.aid_not_funded", lang, funded=self.facts["funded"])

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw share, one-year premium and level premium by age."""
        figure = go.Figure(layout={"template": "pricing"})
        sexes = self.table["sex"].unique().sort().to_list()
        for sex, dash in zip(sexes, ("solid", "dot"), strict=False):
            part = self.table.filter(pl.col("sex") == sex).sort("age")
            for name, (colour, symbol) in zip(
                ("one_year_premium", "level_premium"), SERIES, strict=False
            ):
                figure.add_scatter(
                    x=part["age"].to_list(),
                    y=part[name].to_list(),
                    name=f"{label(name, lang)}, {level_label(str(sex), lang)}",
                    mode="lines+markers",
                    marker={"symbol": symbol, "size": 6, "color": colour},
                    line={"width": 2, "dash": dash, "color": colour},
                )
        figure.add_hline(
            y=float(self.facts["share"]),
            line={"dash": "dash", "width": 3, "color": SERIES[2][0]},
            annotation_text=f"{label('share_a_year', lang)} {self.facts['share']:,.0f}",
        )
        return figure.update_layout(
            xaxis={"title": {"text": label("age", lang)}},
            yaxis={"title": {"text": f"{label('amount_a_year', lang)} ({self.basis.currency})"}},
        )


def against_insurance(
    rules: AidRules,
    share: float,
    incidence: RateTable,
    death_share: RateTable,
    mortality: RateTable,
    *,
    ages: Sequence[int] = (20, 25, 30, 35, 39, 40, 45, 50, 55, 59),
    interest: float = 0.02,
    loading: float = 0.35,
    incidence_factor: float = 1.0,
    owed: float | None = None,
) -> AgainstInsurance:
    """Set the yearly share of a plan beside critical-illness cover of the same benefit.

    Parameters
    ----------
    rules : AidRules
        Benefit by age and age of exit.
    share : float
        What a member pays a year, currency, above zero.
    incidence, death_share, mortality : RateTable
        i, k and q by sex and age: ``cn_ci_2020 ci4``, ``cn_ci_2020_k k2``, ``cn_life_2025 cl2``.
    ages : sequence of int
        Ages at which cover starts.
    interest : float
        Yearly rate of the insurer's premiums.
    loading : float
        Expenses and margin as a share of the gross premium, 0 to below 1.
    incidence_factor : float
        The plan's incidence against the table, for the expected aid.
    owed : float, optional
        What a year's aid and fee come to for each payer before any cap; where the share is less, the
        finding says how much of the aid it pays.

    Raises
    ------
    InputError
        For numbers outside their domain, ages without a benefit, tables without both sexes.

    Examples
    --------
    >>> from pricing.data.rates import rate_table
    >>> from pricing.mutual_aid.rules import aid_rules
    >>> found = against_insurance(aid_rules("xiang_hu_bao"), 91.0, rate_table("cn_ci_2020", "ci4"),
    ...     rate_table("cn_ci_2020_k", "k2"), rate_table("cn_life_2025", "cl2"), ages=[30, 50])
    >>> found.table.filter(sex="male", age=30)["one_year_cost"].round(1).item()
    241.2
    """
    for name, value, low, high in (
        ("share", share, 0.0, 1e9), ("loading", loading, -1e-12, 1.0),
        ("incidence_factor", incidence_factor, 0.0, 100.0),
    ):  # fmt: skip
        if not low < value < high:
            raise InputError(f"{name} of {value}")
    if not ages or any(a != int(a) for a in ages):
        raise InputError("ages are whole years", do="give such as [30, 40, 50]")
    exit_age = rules.exit_age
    benefit = rules.benefit_at(list(ages))
    bad = [int(a) for a, b in zip(ages, benefit, strict=True) if not b > 0 or a >= exit_age]
    if bad:
        raise InputError(f"no benefit at ages {bad}", where=rules.name)
    rows = []
    for sex in ("male", "female"):
        i, k, q = (table.only(sex) for table in (incidence, death_share, mortality))
        for age, amount in zip((int(a) for a in ages), benefit.tolist(), strict=True):
            common: dict[str, Any] = {
                "interest": interest,
                "amount": amount,
                "currency": rules.currency,
            }
            one = critical_illness(i, k, q, age=age, years=1, **common)
            level = critical_illness(i, k, q, age=age, years=exit_age - age, **common)
            rate = float(one.table["illness_rate"][0])
            rows.append((sex, age, amount, rate, one.level_premium, level.level_premium))
    columns = ["sex", "age", "benefit_amount", "incidence_rate", "one_year_cost", "_level"]
    table = pl.DataFrame(rows, schema=columns, orient="row").with_columns(
        aid_share=pl.lit(float(share)),
        one_year_premium=pl.col("one_year_cost") / (1 - loading),
        level_premium=pl.col("_level") / (1 - loading),
        expected_aid=pl.col("benefit_amount") * pl.col("incidence_rate") * incidence_factor,
    )
    table = table.with_columns(
        aid_per_yuan=pl.col("expected_aid") / share,
        insurance_per_yuan=pl.col("one_year_cost") / pl.col("one_year_premium"),
    ).select(
        "sex", "age", "benefit_amount", "incidence_rate", "aid_share", "one_year_cost", "one_year_premium",
        "level_premium", "expected_aid", "aid_per_yuan", "insurance_per_yuan",
    )  # fmt: skip
    best = table.sort("aid_per_yuan", descending=True, maintain_order=True).row(0, named=True)
    least = table.sort("aid_per_yuan", maintain_order=True).row(0, named=True)
    facts = {
        "funded": 1.0 if not owed else min(float(share) / float(owed), 1.0),
        "plan": rules.name, "share": float(share), "rows": table.height,
        "cheaper": int((table["aid_share"] < table["one_year_premium"]).sum()),
        "best_age": int(best["age"]), "best_sex": best["sex"], "best": float(best["aid_per_yuan"]),
        "least": float(least["aid_per_yuan"]), "least_age": int(least["age"]),
        "loading": float(loading), "interest": float(interest), "exit_age": exit_age,
        "incidence_factor": float(incidence_factor), "currency": rules.currency,
    }  # fmt: skip
    tables = (incidence, death_share, mortality)
    return AgainstInsurance(
        table=table,
        basis=Basis(
            source="; ".join(each.source or each.name for each in tables),
            currency=rules.currency,
            rows=table.height,
            fingerprint=fingerprint(repr(rules), str(facts), table.write_json()),
            notes=(
                f"premiums net of {interest:.1%} interest, grossed up by a loading of {loading:.0%}",
                "the level premium insures today's benefit to the age of exit, mutual aid falls with age",
                "insurance is a promise with a reserve; a share is not fixed and a plan may close",
            ),
        ),
        facts=facts,
    )
