"""The loss ratio month by month: what it will come to, how sure that is, and what was expected."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl
from scipy import stats

from pricing.errors import InputError
from pricing.experience.domain import require_columns
from pricing.files import fingerprint
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say

__all__ = ["LossRatioMonitor", "monitor_loss_ratio", "month_faults"]

Array = npt.NDArray[np.float64]
LEVELS = (0.80, 0.95)
OPEN = 0.95


class LossRatioMonitor(Result):
    """Loss ratio by month with completion bands, and actual against expected.

    ``.table``: month, exposure and claims where given, earned_premium, paid, completion, ultimate,
    loss_ratio, lower_80, upper_80, lower_95, upper_95, mature; with expected claims also expected,
    expected_ratio, actual_to_expected and cumulative_actual_to_expected. ``.frames["total"]``: the
    same for all months together.

    Examples
    --------
    >>> from datetime import date
    >>> book = pl.DataFrame({"month": [date(2025, 1, 1), date(2025, 2, 1)],
    ...     "earned_premium": [100.0, 100.0], "paid": [70.0, 30.0], "completion": [1.0, 0.5]})
    >>> monitor_loss_ratio(book, dispersion=1.0).table["loss_ratio"].to_list()
    [0.7, 0.6]
    """

    kind = "loss_ratio_monitor"

    def finding(self, lang: Language = "en") -> str:
        """Name the ratio of all months, its interval, how much is open, and what was expected."""
        said = say(f"finding.{self.kind}", lang, **self.facts)
        if self.facts["actual_to_expected"] is not None:
            said += say("sentence.monitor_expected", lang, **self.facts)
        return said

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the months in their bands, those still open as rings, with what was expected."""
        table = self.table
        months = table["month"].to_list()
        figure = go.Figure(layout={"template": "pricing"})
        figure.add_bar(
            x=months,
            y=table["earned_premium"].to_list(),
            name=label("earned_premium", lang),
            marker_color=COLOURS["bars"],
            yaxis="y2",
        )
        for level, colour in ((95, "rgba(0,114,178,0.14)"), (80, "rgba(0,114,178,0.26)")):
            for edge in ("upper", "lower"):
                figure.add_scatter(
                    x=months,
                    y=table[f"{edge}_{level}"].to_list(),
                    mode="lines",
                    line={"width": 0},
                    fill="tonexty" if edge == "lower" else None,
                    fillcolor=colour,
                    name=label(f"band_{level}", lang),
                    showlegend=edge == "lower",
                    hoverinfo="skip",
                )
        if "expected_ratio" in table.columns:
            figure.add_scatter(
                x=months,
                y=table["expected_ratio"].to_list(),
                mode="lines",
                line={"width": 2, "dash": "dot", "color": COLOURS["second"]},
                name=label("expected_ratio", lang),
            )
        for name, part, symbol in (
            ("loss_ratio", table.filter("mature"), "circle"),
            ("loss_ratio_open", table.filter(~pl.col("mature")), "circle-open"),
        ):
            figure.add_scatter(
                x=part["month"].to_list(),
                y=part["loss_ratio"].to_list(),
                mode="markers",
                marker={
                    "size": 9,
                    "symbol": symbol,
                    "color": COLOURS["estimate"],
                    "line": {"width": 2, "color": COLOURS["estimate"]},
                },
                name=label(name, lang),
            )
        most = max(table["earned_premium"].to_list())
        return figure.update_layout(
            xaxis={"title": {"text": label("month", lang)}},
            yaxis={
                "title": {"text": label("loss_ratio", lang)},
                "tickformat": ".0%",
                "overlaying": "y2",
            },
            yaxis2={
                "title": {"text": label("earned_premium", lang)},
                "side": "right",
                "showgrid": False,
                "range": [0, 4 * most],
                "tickmode": "array",
                "tickvals": [0, most],
                "ticktext": ["0", f"{most:,.0f}"],
            },
        )


def monitor_loss_ratio(
    months: pl.DataFrame,
    *,
    dispersion: float | None = None,
    premium_level: str = "as charged",
    currency: str = "CNY",
    source: str = "",
) -> LossRatioMonitor:
    """Follow the loss ratio by month of claim, with bands for what is not yet paid.

    Parameters
    ----------
    months : polars.DataFrame
        One row per month: ``month`` (first day), ``earned_premium`` above zero, ``paid`` claims to
        date (zero or more); optional ``completion`` (share of the month's claims expected to be paid
        by now, above 0 to 1; 1 where absent), ``completion_error`` (its standard error), ``expected``
        (expected claims of the month, by a plan or a model; above zero), ``exposure`` and ``claims``
        (shown only).
    dispersion : float, optional
        Variance over mean of a month's claims, currency: for compound Poisson claims the mean squared
        amount over the mean amount. Estimated from the months where left out.
    premium_level : str
        At which level the premium is earned, such as "as charged" or "at current level"; noted.
    currency, source : str
        For the basis.

    Returns
    -------
    LossRatioMonitor

    Raises
    ------
    InputError
        For missing columns, months twice or not in calendar sequence, values outside their domain,
        months with nothing paid and no expected claims, a dispersion that cannot be estimated.

    Notes
    -----
    With completion c, paid P and expected E the ultimate is P + (1 − c)·[P + (1 − c)·E], the estimator
    of Benktander (1976; Mack 2000), which believes a month's own payments by c; without expected
    claims P ÷ c, chain ladder. With dispersion φ, U = P + (1 − c)·E the level the outstanding part
    rests on (P ÷ c without E) and s the error of c, the squared error of prediction is
    φU(1 − c)(1 + c(1 − c)) + (P + 2(1 − c)E)²s², or φU(1 − c) ÷ c + (P ÷ c²)²s²: payments to come,
    payments behind the estimate, error of the completion factor. What is outstanding is taken as
    gamma with these moments, so no band goes below what is paid. In the total the errors of
    completion add up as one, since months share the pattern.

    Where not given, φ is Pearson's: Σ (P − ρcE)² ÷ (ρcE) ÷ (n − 1) over months with c of a half or
    more, ρ the total actual over expected; without E, premium stands for it.

    Examples
    --------
    >>> from datetime import date
    >>> book = pl.DataFrame({"month": [date(2025, 1, 1), date(2025, 2, 1)],
    ...     "earned_premium": [100.0, 100.0], "paid": [70.0, 30.0], "completion": [1.0, 0.5],
    ...     "expected": [70.0, 70.0]})
    >>> found = monitor_loss_ratio(book, dispersion=1.0)
    >>> print(found.finding())
    From 2025-01 to 2025-02 the loss ratio comes to 66.2% (95% interval 60.6% to 73.1%); 1 of 2 months are less than 95% complete. Against expected claims of 70.0% of premium the months stand at 94.6%.
    """
    table = _months(months)
    paid, c, s = (table[n].to_numpy() for n in ("paid", "completion", "completion_error"))
    premium = table["earned_premium"].to_numpy()
    expected = table["expected"].to_numpy() if "expected" in table.columns else None
    phi = _dispersion(paid, c, expected if expected is not None else premium, dispersion)
    if expected is None:
        level = paid / c
        ultimate, process = level, phi * level * (1 - c) / c
        slope = paid / c**2
    else:
        level = paid + (1 - c) * expected
        ultimate = paid + (1 - c) * level
        process = phi * level * (1 - c) * (1 + c * (1 - c))
        slope = paid + 2 * (1 - c) * expected
    open_amount = ultimate - paid
    table = table.with_columns(ultimate=ultimate, loss_ratio=ultimate / premium)
    variance = process + (slope * s) ** 2
    bands = _bands(paid, open_amount, variance)
    table = table.with_columns(
        **{name: band / premium for name, band in bands.items()},
        mature=pl.col("completion") >= OPEN,
    )
    total = _bands(
        np.array([paid.sum()]),
        np.array([open_amount.sum()]),
        np.array([process.sum() + (slope * s).sum() ** 2]),
    )
    whole = {
        "earned_premium": premium.sum(),
        "paid": paid.sum(),
        "ultimate": ultimate.sum(),
        "loss_ratio": ultimate.sum() / premium.sum(),
        **{name: float(band[0]) / premium.sum() for name, band in total.items()},
    }
    facts = {
        "first": f"{table['month'][0]:%Y-%m}",
        "last": f"{table['month'][-1]:%Y-%m}",
        "months": table.height,
        "open": int((~table["mature"]).sum()),
        "complete_at": OPEN,
        "loss_ratio": float(whole["loss_ratio"]),
        "lower": float(whole["lower_95"]),
        "upper": float(whole["upper_95"]),
        "level": 0.95,
        "dispersion": phi,
        "expected_ratio": None,
        "actual_to_expected": None,
    }
    if expected is not None:
        table = table.with_columns(
            expected_ratio=expected / premium,
            actual_to_expected=ultimate / expected,
            cumulative_actual_to_expected=np.cumsum(ultimate) / np.cumsum(expected),
        )
        whole |= {"expected": expected.sum(), "actual_to_expected": ultimate.sum() / expected.sum()}
        facts |= {
            "expected_ratio": float(expected.sum() / premium.sum()),
            "actual_to_expected": float(ultimate.sum() / expected.sum()),
        }
    return LossRatioMonitor(
        table=table,
        basis=Basis(
            source=source,
            period=f"{facts['first']} – {facts['last']}",
            rows=months.height,
            exposure=float(table["exposure"].sum()) if "exposure" in table.columns else 0.0,
            claims=float(table["claims"].sum()) if "claims" in table.columns else 0.0,
            currency=currency,
            fingerprint=fingerprint(table.write_json(), repr(dispersion)),
            notes=(
                f"premium {premium_level}",
                f"dispersion {phi:,.4g} {currency}"
                + (", estimated" if dispersion is None else ", given"),
                "Benktander with expected claims" if expected is not None else "chain ladder",
                "bands: outstanding payments and error of the completion factor",
            ),
        ),
        facts=facts,
        frames={"total": pl.DataFrame({name: [float(v)] for name, v in whole.items()})},
    )


def _bands(paid: Array, outstanding: Array, variance: Array) -> dict[str, Array]:
    """Bounds of the ultimate: paid and a gamma for what is outstanding."""
    fixed = (outstanding <= 0) | (variance <= 0)
    mean = np.where(fixed, 1.0, outstanding)
    spread = np.where(fixed, 1.0, variance)
    found = {}
    for level in LEVELS:
        for edge, p in (("lower", (1 - level) / 2), ("upper", (1 + level) / 2)):
            bound = stats.gamma.ppf(p, mean**2 / spread, scale=spread / mean)
            found[f"{edge}_{level * 100:.0f}"] = paid + np.where(fixed, outstanding, bound)
    return found


def _dispersion(paid: Array, c: Array, base: Array, given: float | None) -> float:
    if given is not None:
        if isinstance(given, bool) or not 0 <= given < math.inf:
            raise InputError(f"a dispersion is an amount of zero or more, got {given}")
        return float(given)
    seen = c >= 0.5
    if seen.sum() < 3 or not paid[seen].sum() > 0:
        if np.all(c == 1):
            return 0.0
        raise InputError(
            f"the dispersion cannot be estimated from {int(seen.sum())} months half complete or more",
            do="give dispersion: mean squared claim amount over the mean claim amount",
        )
    mean = c[seen] * base[seen]
    mean = mean * paid[seen].sum() / mean.sum()
    return float((((paid[seen] - mean) ** 2) / mean).sum() / (seen.sum() - 1))


def _months(months: pl.DataFrame) -> pl.DataFrame:
    """Columns in their domain, in the order of the calendar."""
    require_columns(["month", "earned_premium", "paid"], months.columns)
    extra = [n for n in ("exposure", "claims", "expected") if n in months.columns]
    table = months.select(
        "month",
        *extra,
        "earned_premium",
        "paid",
        pl.col("completion") if "completion" in months.columns else pl.lit(1.0).alias("completion"),
        (
            pl.col("completion_error")
            if "completion_error" in months.columns
            else pl.lit(0.0).alias("completion_error")
        ),
    )
    domain = {
        "earned_premium": ("above zero", pl.col("earned_premium") > 0),
        "paid": ("zero or more", pl.col("paid") >= 0),
        "completion": (
            "above 0 and at most 1",
            (pl.col("completion") > 0) & (pl.col("completion") <= 1),
        ),
        "completion_error": ("zero or more", pl.col("completion_error") >= 0),
        "expected": ("above zero", pl.col("expected") > 0),
        "exposure": ("zero or more", pl.col("exposure") >= 0),
        "claims": ("zero or more", pl.col("claims") >= 0),
    }
    table, faults = month_faults(table, {n: domain[n] for n in table.columns[1:]})
    if "expected" not in table.columns:
        none = table.filter((pl.col("paid") == 0) & (pl.col("completion") < 1)).height
        if none:
            faults.append(f"{none:,} open months have nothing paid and no expected claims")
    if faults or not table.height:
        raise InputError("months that cannot be followed", faults=faults or ["there are none"])
    return table


def month_faults(
    table: pl.DataFrame, domain: Mapping[str, tuple[str, pl.Expr]]
) -> tuple[pl.DataFrame, list[str]]:
    """Sort months and say what is wrong with them: values outside their domain, months missing.

    Examples
    --------
    >>> from datetime import date
    >>> month = pl.DataFrame({"month": [date(2025, 1, 2)], "paid": [-1]})
    >>> month_faults(month, {"paid": ("zero or more", pl.col("paid") >= 0)})[1]
    ["1 of 1 months have 'paid' not zero or more, the first 2025-01-02", 'a month is named by its first day']
    """
    if table.schema["month"] != pl.Date:
        raise InputError(f"month is {table.schema['month']}, not a date of its first day")
    words = [n for n in domain if not table.schema[n].is_numeric()]
    if words:
        raise InputError(f"not a number: {', '.join(words)}")
    table = table.with_columns(pl.exclude("month").cast(pl.Float64)).sort("month")
    faults = []
    for name, (line, good) in domain.items():
        wrong = table.filter(~(good & pl.col(name).is_finite()).fill_null(False))
        if wrong.height:
            faults.append(
                f"{wrong.height:,} of {table.height:,} months have {name!r} not {line}, "
                f"the first {wrong['month'][0]}"
            )
    return table, faults + _calendar(table["month"])


def _calendar(month: pl.Series) -> list[str]:
    if month.null_count():
        return [f"{month.null_count():,} months are empty"]
    faults = []
    if (month.dt.day() != 1).any():
        faults.append("a month is named by its first day")
    steps = (month.dt.year().cast(pl.Int32) * 12 + month.dt.month().cast(pl.Int32)).diff()
    wrong = int(steps.drop_nulls().ne(1).sum())
    if wrong:
        faults.append(f"{wrong:,} months stand twice or leave a gap")
    return faults
