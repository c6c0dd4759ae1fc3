"""What a scheme has paid per assessment, and how many months of benefit that stands for."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go
import polars as pl

from pricing.annuities.kolmogorov import kolmogorov
from pricing.care.definition import definition_model
from pricing.care.number import is_number
from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["AssessedCost", "assessed_cost"]


class AssessedCost(Result):
    """Months of benefit that the amount paid stands for, by benefit.

    ``.table``: benefit, monthly_benefit, months_per_assessment, months_per_admitted. ``.frames["stays"]``:
    expected months disabled of a life disabled now, by sex and age, to hold the months against.
    """

    kind = "assessed_cost"

    def finding(self, lang: Language = "en") -> str:
        """Say the amount per assessment and the months it stands for."""
        facts = {n: v for n, v in self.facts.items() if n != "benefit"}
        return say(
            f"finding.{self.kind}", lang, benefit=level_label(self.facts["benefit"], lang), **facts
        )

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the months per admitted case by benefit, and the months a case is expected to last."""
        figure = go.Figure(layout={"template": "pricing"})
        figure.add_bar(
            x=[level_label(b, lang) for b in self.table["benefit"].to_list()],
            y=self.table["months_per_admitted"].to_list(), name=label("months_per_admitted", lang),
            marker={"color": COLOURS["estimate"]},
        )  # fmt: skip
        for sex, dash in (("female", "dash"), ("male", "dot")):
            row = self.frames["stays"].filter(age=self.facts["age"], sex=sex)
            figure.add_hline(
                y=row["months_disabled"].item(), line={"dash": dash, "color": COLOURS["second"]},
                annotation={"text": f"{label('months_disabled', lang)}, {level_label(sex, lang)}, {self.facts['age']}"},
            )  # fmt: skip
        return figure.update_layout(
            xaxis={"title": {"text": label("benefit", lang)}, "type": "category"},
            yaxis={"title": {"text": label("benefit_months", lang)}},
        )


def assessed_cost(
    *,
    assessments: int,
    paid: float,
    benefits: Mapping[str, float],
    admitted: float = 1.0,
    age: int = 80,
    source: str = "",
    currency: str = "CNY",
) -> AssessedCost:
    """Read months of benefit out of the number of assessments and the amount paid since the start.

    Parameters
    ----------
    assessments : int
        Made since the start.
    paid : float
        Paid since the start.
    benefits : mapping of str to float
        CNY a month, each a reading of what one case is paid.
    admitted : float
        Share of assessments that led to a benefit; Shanghai's pilot of 2017 accepted 14,000 of 25,000.
    age : int
        At which the expected months disabled are compared, 65 to 100.

    Returns
    -------
    AssessedCost
        Months of payment so far per assessment and per admitted case.

    Notes
    -----
    Paid so far per case stands for fewer months than a case lasts in the end: cases are still running.
    The expected months are those of the Chinese static model of Fu, Sherris and Xu (2021).

    Examples
    --------
    >>> found = assessed_cost(assessments=17_600, paid=220e6, benefits={"flat 600": 600.0})
    >>> found.facts["per_assessment"], round(found.table["months_per_assessment"][0], 3)
    (12500.0, 20.833)
    """
    faults = []
    if not isinstance(assessments, int) or assessments < 1:
        faults.append(f"assessments must be a whole number of 1 or more, got {assessments!r}")
    if not (is_number(paid) and paid >= 0):
        faults.append(f"the amount paid must be 0 or more, got {paid!r}")
    if not (is_number(admitted) and 0 < admitted <= 1):
        faults.append(f"the share admitted must be above 0, 1 at most, got {admitted!r}")
    faults += [
        f"{b} pays {v!r} a month" for b, v in benefits.items() if not (is_number(v) and v > 0)
    ]
    if not benefits:
        faults.append("no benefits are given")
    if not (isinstance(age, int) and 65 <= age <= 100):
        faults.append(f"the age must be whole and 65 to 100, got {age!r}")
    if faults:
        raise InputError("assessments that cannot be read", faults=faults)
    each = paid / assessments
    table = pl.DataFrame({"benefit": list(benefits), "monthly_benefit": list(map(float, benefits.values()))}).with_columns(
        months_per_assessment=each / pl.col("monthly_benefit"),
        months_per_admitted=each / admitted / pl.col("monthly_benefit"),
    )  # fmt: skip
    stays = pl.DataFrame([
        {
            "sex": sex, "age": x,
            "months_disabled": 12 * kolmogorov(
                definition_model("clhls", sex), age=x, years=120 - x, start="disabled", step=1.0
            ).years("disabled"),
        }
        for sex in ("female", "male") for x in sorted({70, 80, 90, age})
    ])  # fmt: skip
    facts = {
        "assessments": assessments, "paid": float(paid), "per_assessment": each,
        "per_admitted": each / admitted, "admitted": float(admitted), "age": age,
        "benefit": table["benefit"][0], "months": float(table["months_per_admitted"][0]),
        "expected": float(stays.filter(age=age)["months_disabled"].mean()),  # type: ignore[arg-type]
        "currency": currency,
    }  # fmt: skip
    basis = Basis(
        source=source, currency=currency, claims=float(assessments),
        fingerprint=fingerprint(str(facts), repr(table.rows())),
        notes=("cases are still running: what they were paid so far is less than they will be paid",),
    )  # fmt: skip
    return AssessedCost(table=table, basis=basis, facts=facts, frames={"stays": stays})
