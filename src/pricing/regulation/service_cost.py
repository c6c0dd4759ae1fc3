"""The cap on the cost of health services: a share of the NET premium, held in every age band."""

from __future__ import annotations

from datetime import date

import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.experience.domain import require_columns
from pricing.regulation.check import Check, Condition, at_most, checked, require_share
from pricing.regulation.rule import Rulebook, read_rules
from pricing.result.figure import COLOURS
from pricing.result.words import Language, label, level_label

__all__ = ["ServiceCostCheck", "check_service_cost"]


class ServiceCostCheck(Check):
    """Whether service costs keep to the cap; ``.frames["bands"]`` has premium, cap and excess.

    Examples
    --------
    >>> bands = pl.DataFrame({"age_band": ["30-39"], "gross_premium": [500.0], "service_cost": [80.0]})
    >>> found = check_service_cost(bands, loading=0.35, on=date(2024, 1, 1))
    >>> found.frames["bands"].select("net_premium", "cap_amount", "priced_apart").row(0)
    (325.0, 65.0, 15.0)
    """

    kind = "service_cost_check"

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the cap of each age band as a bar and the cost against it."""
        bands = self.frames["bands"]
        places = [level_label(band, lang) for band in bands["age_band"]]
        figure = go.Figure(layout={"template": "pricing"})
        figure.add_bar(
            x=places,
            y=bands["cap_amount"].to_list(),
            name=label("cap_amount", lang),
            marker_color=COLOURS["bars"],
        )
        for verdict, colour, symbol in (("pass", "estimate", "circle"), ("fail", "second", "x")):
            cost = [
                value if found == verdict else None
                for value, found in zip(bands["service_cost"], self.table["verdict"], strict=True)
            ]
            if any(value is not None for value in cost):
                figure.add_scatter(
                    x=places,
                    y=cost,
                    mode="markers",
                    marker={"size": 12, "color": COLOURS[colour], "symbol": symbol},
                    name=f"{label('service_cost', lang)}: {level_label(verdict, lang)}",
                )
        return figure.update_layout(
            xaxis={"title": {"text": label("age_band", lang)}, "type": "category"},
            yaxis={"title": {"text": f"{label('service_cost', lang)}, {self.basis.currency}"}},
        )


def check_service_cost(
    bands: pl.DataFrame,
    *,
    loading: float | str,
    on: date,
    pilot_cap: float | None = None,
    rules: Rulebook | None = None,
) -> ServiceCostCheck:
    """Hold the cost of health services against 20 % of the net premium, band by band.

    Parameters
    ----------
    bands : polars.DataFrame
        ``age_band`` (text), ``gross_premium`` and ``service_cost`` per policy-year, currency.
    loading : float or str
        Loading as a fraction of the gross premium, zero or more and below 1; or the column of it.
    on : date
        Day checked.
    pilot_cap : float, optional
        A higher cap granted to a well-rated specialist health insurer (金发〔2025〕34号); its
        number is not public in the sources read, so it is given by hand.
    rules : Rulebook, optional
        Instead of the bundled rules.

    Raises
    ------
    InputError
        For missing columns, no bands, premiums not above zero, costs or loadings that cannot be, a
        band twice, a pilot cap before the pilot or below the cap.

    Notes
    -----
    Net premium = gross premium × (1 − loading); cap = 20 % of it; what exceeds the cap is priced
    separately. 健康保险管理办法 (2019) art. 57, 银保监办发〔2020〕83号. The regulator's list of faults
    names a share too high in any one age band, hence band by band.

    Examples
    --------
    >>> bands = pl.DataFrame({"age_band": ["30-39", "60-69"], "gross_premium": [500.0, 2000.0],
    ...                       "service_cost": [65.0, 261.0]})
    >>> found = check_service_cost(bands, loading=0.35, on=date(2024, 1, 1))
    >>> found.table.select("segment", "value", "threshold", "verdict").rows()
    [('30-39', 65.0, 65.0, 'pass'), ('60-69', 261.0, 260.0, 'fail')]
    """
    book = rules or read_rules()
    rule, in_force = book.cited("service_cost", on)
    cap = rule.numbers["cap"]
    if pilot_cap is not None:
        pilot, running = book.cited("service_cost_pilot", on)
        given = require_share("the pilot's cap", pilot_cap, below=1.0)
        if not running or given < cap:
            raise InputError(
                f"a pilot cap of {given:.0%} on {on}: the pilot began on {pilot.start}, "
                f"and raises the cap of {cap:.0%}"
            )
        rule, cap = pilot, given
    table = _bands(bands, loading, cap)
    conditions = [
        Condition(
            name="service_cost",
            holds=at_most(cost, line),
            value=cost,
            threshold=line,
            relation="at_most",
            unit="currency",
            segment=band,
        )
        for band, cost, line in table.select("age_band", "service_cost", "cap_amount").iter_rows()
    ]
    return checked(
        ServiceCostCheck,
        [rule] * len(conditions),
        True,
        conditions,
        on,
        in_force=in_force,
        facts={"cap": cap, "priced_apart": float(table["priced_apart"].max())},  # type: ignore[arg-type]
        frames={"bands": table},
    )


def _bands(bands: pl.DataFrame, loading: float | str, cap: float) -> pl.DataFrame:
    wanted = ["age_band", "gross_premium", "service_cost"]
    if isinstance(loading, str):
        wanted.append(loading)
        rate = pl.col(loading)
    else:
        rate = pl.lit(require_share("the loading", loading, below=1.0))
    require_columns(wanted, bands.columns)
    table = bands.select(
        pl.col("age_band").cast(pl.String),
        pl.col("gross_premium").cast(pl.Float64),
        rate.cast(pl.Float64).alias("loading"),
        pl.col("service_cost").cast(pl.Float64),
    )
    tests = {
        "gross premiums are not above zero": pl.col("gross_premium") > 0,
        "service costs are not zero or more": pl.col("service_cost") >= 0,
        "loadings are not zero or more and below 1": pl.col("loading").is_between(0, 1, "left"),
    }
    finite = {"gross": "gross_premium", "service": "service_cost", "loadings": "loading"}
    faults = [
        f"{wrong:,} {what}"
        for what, good in tests.items()
        if (
            wrong := table.filter(
                ~(good & pl.col(finite[what.split()[0]]).is_finite()).fill_null(False)
            ).height
        )
    ]
    if table["age_band"].null_count() or table["age_band"].n_unique() < table.height:
        faults.append("an age band is missing or stands twice")
    if faults or not table.height:
        raise InputError("age bands that cannot be checked", faults=faults or ["there are none"])
    net = pl.col("gross_premium") * (1 - pl.col("loading"))
    return table.with_columns(net_premium=net).with_columns(
        cap_amount=cap * pl.col("net_premium")
    ).with_columns(
        share_of_net=pl.col("service_cost") / pl.col("net_premium"),
        priced_apart=(pl.col("service_cost") - pl.col("cap_amount")).clip(lower_bound=0.0),
    )  # fmt: skip
