"""What a rise of the benefit and the admission of further grades cost a year, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from numpy.typing import NDArray

from pricing.care.number import is_number, money_label, said_amount, unit_of
from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.result.figure import COLOURS, error_bars
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["CostOfChange", "Range", "cost_of_change"]

Floats = NDArray[np.float64]
Z90 = 1.6448536269514722


@dataclass(frozen=True)
class Range:
    """A figure that is not known exactly: central value and 90 % interval.

    Read as a distribution whose logarithm is normal on each side of the central value, the median.

    Raises
    ------
    InputError
        For a central value outside its interval, and figures that are not above 0 where they differ.

    Examples
    --------
    >>> Range(0.9, 0.7, 1.1).central
    0.9
    """

    central: float
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        low, high = self.ends
        if not all(is_number(v) for v in (low, self.central, high)):
            raise InputError(f"a range must be finite, got {self}")
        if not low <= self.central <= high or self.central < 0 or (low < high and low <= 0):
            raise InputError(
                f"a range of {low:g} to {high:g} about {self.central:g}",
                do="give a central value within its interval, above 0; zero only without an interval",
            )

    @property
    def ends(self) -> tuple[float, float]:
        """The interval; the central value itself where none was given."""
        return (
            self.central if self.low is None else self.low,
            self.central if self.high is None else self.high,
        )

    def at(self, z: Floats) -> Floats:
        """Values at standard normal scores."""
        low, high = self.ends
        if low == high:
            return np.full_like(z, self.central)
        up, down = np.log(high / self.central) / Z90, np.log(self.central / low) / Z90
        return np.asarray(self.central * np.exp(np.where(z > 0, up, down) * z))


class CostOfChange(Result):
    """Cost a year before, each step, and after; the steps add up.

    ``.table``: step, care_outgo, lower, upper (90 %, whole units), per_insured, cases_paid. ``.frames["drivers"]``: for each
    uncertain figure the cost of all changes at the ends of its interval, the others central.
    """

    kind = "cost_of_change"

    def finding(self, lang: Language = "en") -> str:
        """Say what all changes cost together, and which uncertainty weighs most."""
        facts = {**self.facts, "driver": level_label(self.facts["driver"], lang)}
        for name in ("cost_before", "cost_after", "change", "change_lower", "change_upper", "rise"):
            facts[name] = said_amount(facts[name], lang)
        return say(f"finding.{self.kind}", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the cost before, each step on what stands, and the cost after, with intervals."""
        t = self.table
        size, unit = unit_of(float(t["upper"].max() or 0.0), lang)  # type: ignore[arg-type]
        amounts, lower, upper = ((t[n] / size).to_list() for n in ("care_outgo", "lower", "upper"))
        below = [0.0, *np.cumsum(amounts[:-2]).tolist(), 0.0]
        steps = t["step"].to_list()
        figure = go.Figure(layout={"template": "pricing"})
        figure.add_bar(
            x=[level_label(s, lang) for s in steps], y=amounts, base=below,
            error_y=error_bars(
                [b + a for b, a in zip(below, amounts, strict=True)],
                [b + a for b, a in zip(below, lower, strict=True)],
                [b + a for b, a in zip(below, upper, strict=True)],
            ),
            marker={"color": [COLOURS["estimate" if s in ("before", "after") else "second"] for s in steps]},
        )  # fmt: skip
        return figure.update_layout(
            xaxis={"title": {"text": label("step", lang)}, "type": "category"},
            yaxis={
                "title": {"text": money_label("amount_a_year", unit, self.basis.currency, lang)}
            },
            hovermode="closest",
        )


def cost_of_change(
    *,
    insured: float,
    share: Range,
    before: float,
    after: float,
    admitted: Mapping[str, Range] | None = None,
    factors: Mapping[str, float] | None = None,
    response: Range | None = None,
    draws: int = 20_000,
    seed: int = 1,
    source: str = "",
    currency: str = "CNY",
) -> CostOfChange:
    """Cost a year of raising a monthly benefit and of admitting further grades.

    Parameters
    ----------
    insured : float
        Insured persons.
    share : Range
        Those in payment of a severe grade before, as a share of the insured.
    before, after : float
        Benefit a month.
    admitted : mapping of str to Range, optional
        Further grades, such as ``moderate`` and ``dementia``: cases per one severe case, those not
        counted as another grade.
    factors : mapping of str to float, optional
        Their benefit over that of the severe; 1 where left out.
    response : Range, optional
        Further severe cases that a higher benefit brings, as a share of those before.
    draws, seed : int
        Of the uncertain figures, independent of each other.

    Returns
    -------
    CostOfChange
        before + rise + response + each grade = after, exactly, in the central figures.

    Raises
    ------
    InputError
        For amounts that are not above 0, shares above 1, factors of grades that are not admitted.

    Examples
    --------
    >>> found = cost_of_change(insured=18_000_000, share=Range(0.00711), before=450.0, after=600.0,
    ...                        admitted={"moderate": Range(0.9)}, draws=100)
    >>> found.table.select("step", pl.col("care_outgo").round()).rows()
    [('before', 691092000.0), ('rise', 230364000.0), ('moderate', 829310400.0), ('after', 1750766400.0)]
    """
    grades, times = dict(admitted or {}), dict(factors or {})
    numbers = {"insured": insured, "before": before, "after": after}
    faults = [
        f"{n} must be above 0, got {v!r}"
        for n, v in numbers.items()
        if not (is_number(v) and v > 0)
    ]
    ranges = {"share": share, "response": response, **grades}
    faults += [
        f"{n} must be a Range, got {r!r}"
        for n, r in ranges.items()
        if not (isinstance(r, Range) or (n == "response" and r is None))
    ]
    if not isinstance(seed, int) or seed < 0:
        faults.append(f"the seed must be a whole number of 0 or more, got {seed!r}")
    if isinstance(share, Range) and (not 0 < share.central < 1 or share.ends[1] >= 1):
        faults.append(f"the share in payment must lie in 0 to 1, got {share}")
    faults += [f"{g} has a factor and is not admitted" for g in times if g not in grades]
    faults += [
        f"the factor of {g} is {v!r}" for g, v in times.items() if not (is_number(v) and v >= 0)
    ]
    faults += [
        f"{g} is no name for a grade"
        for g in grades
        if g in ("share", "severe", "before", "rise", "response", "after")
    ]
    if not isinstance(draws, int) or draws < 2:
        faults.append(f"draws must be 2 or more, got {draws!r}")
    if faults:
        raise InputError("a change that cannot be costed", faults=faults)
    inputs = {"share": share, **({} if response is None else {"response": response}), **grades}

    def steps(values: Mapping[str, Any]) -> dict[str, Any]:
        cases = insured * values["share"]
        held: dict[str, Any] = {
            "before": 12 * cases * before,
            "rise": 12 * cases * (after - before),
        }
        more = 0.0
        if response is not None:
            more = values["response"]
            held["response"] = 12 * cases * more * after
        for g in grades:
            held[g] = 12 * cases * (1 + more) * values[g] * after * times.get(g, 1.0)
        held["after"] = sum(held.values())
        return held

    central = steps({name: one.central for name, one in inputs.items()})
    normal = np.random.default_rng(seed).standard_normal((len(inputs), draws))
    drawn = steps({name: one.at(z) for (name, one), z in zip(inputs.items(), normal, strict=True)})
    lower, upper = (
        [round(float(np.quantile(np.broadcast_to(v, draws), p))) for v in drawn.values()]
        for p in (0.05, 0.95)
    )
    cost = {**dict.fromkeys(("before", "rise"), 0.0)}
    base_cases = insured * share.central
    more = 0.0 if response is None else response.central
    cost |= {"before": base_cases, "response": base_cases * more}
    cost |= {g: base_cases * (1 + more) * one.central for g, one in grades.items()}
    cost["after"] = sum(v for k, v in cost.items() if k != "after")
    names = list(central)
    table = pl.DataFrame({
        "step": names, "care_outgo": [float(v) for v in central.values()], "lower": lower, "upper": upper,
        "per_insured": [float(v) / insured for v in central.values()],
        "cases_paid": [float(cost.get(n, 0.0)) for n in names],
    })  # fmt: skip
    change = central["after"] - central["before"]
    drawn_change = drawn["after"] - drawn["before"]
    drivers: list[dict[str, Any]] = []
    for name, one in inputs.items():
        ends = [
            steps({k: (v if k == name else other.central) for k, other in inputs.items()})
            for v in one.ends
        ]
        drivers.append({
            "cost_driver": name, "cost_low": float(ends[0]["after"] - ends[0]["before"]),
            "cost_high": float(ends[1]["after"] - ends[1]["before"]),
        })  # fmt: skip
    widest = max(drivers, key=lambda row: abs(row["cost_high"] - row["cost_low"]))
    facts = {
        "insured": float(insured), "before": float(before), "after": float(after),
        "cost_before": float(central["before"]), "cost_after": float(central["after"]),
        "rise": float(central["rise"]), "change": float(change), "currency": currency,
        "change_lower": float(np.quantile(drawn_change, 0.05)),
        "change_upper": float(np.quantile(drawn_change, 0.95)), "driver": widest["cost_driver"],
        **{f"cost_{g}": float(central[g]) for g in grades},
    }  # fmt: skip
    basis = Basis(
        source=source, currency=currency, exposure=float(insured),
        fingerprint=fingerprint(repr(inputs), repr(times), str(facts), str(seed), str(draws)),
        notes=(
            f"90 % intervals from {draws:,} independent draws of: "
            + "; ".join(f"{n} {r.central:g} ({r.ends[0]:g} to {r.ends[1]:g})" for n, r in inputs.items()),
            "a year at the cases of the start; how they grow is in the projection",
        ),
    )  # fmt: skip
    return CostOfChange(
        table=table, basis=basis, facts=facts, frames={"drivers": pl.DataFrame(drivers)}
    )
