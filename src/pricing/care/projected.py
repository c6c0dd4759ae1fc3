"""What a projection of a care scheme says: lives, money and fund by year."""

from __future__ import annotations

import plotly.graph_objects as go

from pricing.care.number import money_label, one_zero, said_amount, unit_of, year_label
from pricing.result.figure import COLOURS
from pricing.result.shape import Result
from pricing.result.words import Language, label, say

__all__ = ["CareProjection"]


class CareProjection(Result):
    """The scheme by year; ``.table`` has lives, those in payment and the fund.

    ``year`` counts from ``first_year`` (0 where no calendar year was given); insured, healthy, disabled, aged_share at its start; entrants, deaths,
    onsets, recoveries in it; in_payment (mean), outgo, contributions, subsidy, interest_earned,
    reserve (at its end), payg_contribution (what each insured would have to pay for the year to break
    even, after the subsidy), payg_ratio (to the contribution charged) and reserve_ratio (reserve at the
    end over the year's outgo). ``.frames``: ``settings`` (cost by year and setting), ``occupancy``
    (lives by year and state, the disabled by months since onset).
    """

    kind = "care_projection"

    def finding(self, lang: Language = "en") -> str:
        """Say outgo, the first deficit, and the growth of contributions that closes the balance."""
        never = say("sentence.care_never", lang)
        facts = dict(self.facts)
        for name in ("deficit_year", "exhausted_year"):
            how = "care_calendar_year" if facts["first_year"] else "care_year"
            facts[name] = never if facts[name] is None else say(f"sentence.{how}", lang, year=facts[name])  # fmt: skip
        none = say("sentence.care_no_growth", lang)
        closing = facts["closing_growth"]
        facts["closing"] = none if closing is None else f"{closing:.2%}"
        for name in ("outgo_first", "outgo_last"):
            facts[name] = said_amount(facts[name], lang)
        return say(f"finding.{self.kind}", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw income and outgo by year, and the reserve as bars on an axis of its own; one line is 0."""
        figure, t = go.Figure(layout={"template": "pricing"}), self.table
        flows = [v for n in ("fund_income", "care_outgo") for v in t[n].to_list()]
        held = t["fund_reserve"].to_list()
        size, unit = unit_of(max(*flows, *map(abs, held)), lang)
        ranges = one_zero([v / size for v in flows], [v / size for v in held])
        figure.add_bar(
            x=t["year"].to_list(), y=[v / size for v in held], yaxis="y2",
            name=label("fund_reserve", lang), marker={"color": COLOURS["bars"]},
        )  # fmt: skip
        for name, colour in (("fund_income", "estimate"), ("care_outgo", "second")):
            figure.add_scatter(
                x=t["year"].to_list(), y=(t[name] / size).to_list(), mode="lines", name=label(name, lang),
                line={"color": COLOURS[colour], "width": 3},
            )  # fmt: skip
        return figure.update_layout(
            xaxis={"title": {"text": year_label(self.facts["first_year"], lang)}},
            yaxis={
                "title": {"text": money_label("amount_a_year", unit, self.basis.currency, lang)},
                "overlaying": "y2",
                "range": ranges[0],
            },
            yaxis2={
                "title": {"text": money_label("fund_reserve", unit, self.basis.currency, lang)},
                "range": ranges[1],
                "side": "right",
                "showgrid": False,
                "zeroline": True,
                "zerolinecolor": COLOURS["line"],
            },
        )
