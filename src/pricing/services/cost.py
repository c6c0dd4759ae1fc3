"""What the services of a plan cost per insured, by age and sex and in total."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots
from scipy.special import ndtri

from pricing.errors import InputError
from pricing.experience.bands import band
from pricing.files import fingerprint
from pricing.regulation.check import is_number
from pricing.result.series import SERIES
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say
from pricing.services.activation import UNIT_COST_NOTE
from pricing.services.service import ServicePlan, require_population
from pricing.services.use import AGE_EDGES, ServiceUse

__all__ = ["ServiceCost", "service_cost"]

SEXES = ("female", "male")


class ServiceCost(Result):
    """Cost per insured-year by service, age band and sex; totals in ``.frames["services"]``."""

    kind = "service_cost"

    def finding(self, lang: Language = "en") -> str:
        """Say it in one sentence, services by their names in the language."""
        named = {key: level_label(self.facts[key], lang) for key in ("plan", "dearest")}
        return say(f"finding.{self.kind}", lang, **{**self.facts, **named})

    def figure(self, lang: Language = "en") -> go.Figure:
        """Stack the services' cost per insured by age band, a panel per sex."""
        sexes = [sex for sex in SEXES if self.table["sex"].eq(sex).any()]
        figure = make_subplots(
            cols=len(sexes), shared_yaxes=True, horizontal_spacing=0.04,
            subplot_titles=[level_label(sex, lang) for sex in sexes],
        )  # fmt: skip
        services = self.frames["services"]["service"].to_list()
        for (place, one), (i, sex) in product(enumerate(services), enumerate(sexes)):
            again = "" if place < len(SERIES) else "/"  # colours end, patterns go on
            part = self.table.filter((pl.col("service") == one) & (pl.col("sex") == sex))
            figure.add_bar(
                x=part["age_band"].cast(pl.String).to_list(),
                y=part["cost_per_insured"].to_list(),
                name=level_label(one, lang),
                legendgroup=one,
                showlegend=i == 0,
                marker={"color": SERIES[place % len(SERIES)][0], "pattern": {"shape": again}},
                row=1,
                col=i + 1,
            )
        figure.update_layout(template="pricing", barmode="stack", legend={"y": 1.1})
        figure.update_xaxes(title={"text": label("age_band", lang)}, type="category")
        return figure.update_yaxes(
            title={"text": f"{label('cost_per_insured', lang)}, {self.basis.currency}"}, col=1
        )


def service_cost(
    plan: ServicePlan,
    population: pl.DataFrame,
    *,
    use: ServiceUse | None = None,
    edges: Sequence[int] = AGE_EDGES,
    level: float = 0.95,
    currency: str = "CNY",
) -> ServiceCost:
    """Price the services of a plan on a population: use × unit cost, plus what stands ready.

    Parameters
    ----------
    plan : ServicePlan
        Services with use, unit cost and fixed cost.
    population : polars.DataFrame
        Cells of ``sex``, ``age`` and ``insured`` (insured-years).
    use : ServiceUse, optional
        Use counted from rows: it replaces the plan's use of the services it has, by age band and
        sex, and gives their cost an interval. Uptake and scope of the plan still apply on top.
    edges : sequence of int
        Lower ages of the bands of the table.
    level : float
        Of the intervals.

    Returns
    -------
    ServiceCost
        ``.table`` by service, age_band, sex: insured, use_rate, uses_expected, cost_per_insured with
        cost_lower, cost_upper (null where the use is given, not estimated), cost_total.
        ``.frames["services"]`` in total, with fixed cost; ``.frames["bands"]`` per insured by age
        band, fixed cost spread evenly.

    Raises
    ------
    InputError
        For populations that cannot be priced, and insured of an age a rate table does not have.

    Notes
    -----
    Cost of a cell = insured × use × unit cost × (1 − user's share). All ages of a band share one
    estimated rate, so its error is common: the variance of a service's total is Σ over estimated cells
    of (Σ insured × net cost)² × variance of the rate, and that of the whole has the covariances of the
    services beside; the interval is normal on it. A rate of no uses in e years has the variance 1/e².

    Examples
    --------
    >>> from pricing.services.service import Service
    >>> plan = ServicePlan(name="p", services=[
    ...     Service(name="视频问诊", use=2.0, unit_cost=30.0, fixed_cost=1000.0)])
    >>> people = pl.DataFrame({"sex": ["male", "female"], "age": [40, 40], "insured": [50, 50]})
    >>> found = service_cost(plan, people)
    >>> found.facts["cost_per_insured"], found.table["cost_per_insured"].to_list()
    (70.0, [60.0, 60.0])
    """
    if not is_number(level) or not 0 < level < 1:
        raise InputError(f"the level must lie above 0 and below 1, got {level!r}")
    people = require_population(population)
    cells = people.group_by("sex", "age", maintain_order=True).agg(pl.col("insured").sum())
    cells = cells.sort("age", "sex").with_columns(age_band=band("age", edges))
    if young := cells.filter(pl.col("age_band").is_null()).height:
        raise InputError(
            f"{young:,} cells have ages below the first band, {edges[0]}",
            do="begin the edges at the youngest age",
        )
    z = float(ndtri((1 + level) / 2))
    parts = [_priced(one, cells, use) for one in plan.services]
    by_age = pl.concat(parts)
    _require_rates(by_age)
    table = _added(by_age, ["service", "age_band", "sex"], z)
    totals = _added(by_age, ["service"], z).with_columns(
        unit_cost=pl.Series([one.net_cost for one in plan.services]),
        fixed_cost=pl.Series([float(one.fixed_cost) for one in plan.services]),
    )
    insured = float(cells["insured"].sum())
    fixed = float(totals["fixed_cost"].sum())
    totals = totals.with_columns(
        cost_total=pl.col("cost_total") + pl.col("fixed_cost"),
        cost_per_insured=pl.col("cost_per_insured") + pl.col("fixed_cost") / insured,
        cost_lower=pl.col("cost_lower") + pl.col("fixed_cost") / insured,
        cost_upper=pl.col("cost_upper") + pl.col("fixed_cost") / insured,
    )
    ages = cells.group_by("age_band", maintain_order=True).agg(pl.col("insured").sum())
    bands = by_age.group_by("age_band", maintain_order=True).agg(
        variable_cost=pl.col("cost_total").sum()
    )
    bands = ages.join(bands, on="age_band", maintain_order="left").with_columns(
        service_cost=pl.col("variable_cost") / pl.col("insured") + fixed / insured
    )
    error = 0.0
    if use is not None:
        own = float((by_age["_group_error"] ** 2).sum())
        error = max(0.0, own + _together(plan, cells, use)) ** 0.5
    cost = float(totals["cost_total"].sum())
    dearest = totals.sort("cost_total", descending=True, maintain_order=True).row(0, named=True)
    facts: dict[str, Any] = {
        "plan": plan.name,
        "services": len(plan.services),
        "insured": insured,
        "cost_total": cost,
        "cost_per_insured": cost / insured,
        "cost_lower": (cost - z * error) / insured if use is not None else None,
        "cost_upper": (cost + z * error) / insured if use is not None else None,
        "fixed_cost": fixed,
        "uses": float(totals["uses_expected"].sum()),
        "dearest": dearest["service"],
        "dearest_share": dearest["cost_total"] / cost if cost else 0.0,
        "cheapest_band": str(bands.sort("service_cost", maintain_order=True)["age_band"][0]),
        "cheapest_cost": float(bands["service_cost"].min()),  # type: ignore[arg-type]
        "dearest_band": str(
            bands.sort("service_cost", descending=True, maintain_order=True)["age_band"][0]
        ),
        "highest_cost": float(bands["service_cost"].max()),  # type: ignore[arg-type]
    }
    data = cells.select("sex", "age", "insured").write_json()
    basis = Basis(
        source=plan.name,
        rows=population.height,
        exposure=insured,
        currency=currency,
        fingerprint=fingerprint(
            plan.fingerprint(), data, repr((list(edges), level)),
            use.basis.fingerprint if use is not None else "",
        ),
        notes=(UNIT_COST_NOTE,),
    )  # fmt: skip
    detail = by_age.drop("_group_error", "_variance")
    frames = {"services": totals, "bands": bands, "ages": detail}
    return ServiceCost(table=table, basis=basis, facts=facts, frames=frames)


def _priced(one: Any, cells: pl.DataFrame, use: ServiceUse | None) -> pl.DataFrame:
    """Cost of one service by age and sex; the error of an estimated rate stands once per group."""
    variance, rate = pl.lit(None, dtype=pl.Float64), one.rate().cast(pl.Float64)
    if use is not None and one.name in use.services:
        factor = one.uptake * one.scope
        seen = use.table.filter(pl.col("service") == one.name)
        bands = seen["age_band"].dtype
        asked = cells.schema["age_band"]
        if bands != asked:
            raise InputError(
                "the use was counted in other age bands than the cost is asked in",
                do="give service_use and service_cost the same edges",
            )
        joined = seen.select(
            "age_band", pl.col("sex").cast(pl.String), _rate="use_rate",
            _variance=pl.when(pl.col("use_rate") > 0).then("rate_variance").otherwise(pl.col("exposure") ** -2),
        )  # fmt: skip
        cells = cells.join(joined, on=["age_band", "sex"], how="left", maintain_order="left")
        rate, variance = pl.col("_rate") * factor, pl.col("_variance") * factor**2
    priced = cells.select(
        "sex",
        "age",
        "age_band",
        "insured",
        service=pl.lit(one.name),
        use_rate=rate,
        _variance=variance,
    ).with_columns(
        uses_expected=pl.col("insured") * pl.col("use_rate"),
        cost_per_insured=pl.col("use_rate") * one.net_cost,
        _variance=pl.col("_variance") * one.net_cost**2,
    )
    group = ["age_band", "sex"]
    weight = pl.col("insured").sum().over(group)
    first = pl.int_range(pl.len()).over(group) == 0
    return priced.with_columns(
        cost_total=pl.col("insured") * pl.col("cost_per_insured"),
        _group_error=pl.when(first).then(weight * pl.col("_variance").sqrt()),
    ).select(
        "service", "age_band", "sex", "age", "insured", "use_rate", "uses_expected",
        "cost_per_insured", "cost_total", "_variance", "_group_error",
    )  # fmt: skip


def _together(plan: ServicePlan, cells: pl.DataFrame, use: ServiceUse) -> float:
    """What the services' errors have in common adds to the variance of the whole cost."""
    pairs = use.frames.get("together")
    if pairs is None:
        return 0.0
    worth = {one.name: one.net_cost * one.uptake * one.scope for one in plan.services}
    weight = cells.group_by("age_band", "sex").agg(pl.col("insured").sum())
    each = [
        pl.col(name).replace_strict(worth, default=0.0, return_dtype=pl.Float64)
        for name in ("service", "service_beside")
    ]
    found = pairs.join(weight, on=["age_band", "sex"], maintain_order="left").select(
        2 * pl.col("insured") ** 2 * each[0] * each[1] * pl.col("use_covariance")
    )
    return float(found.to_series().sum())


def _added(by_age: pl.DataFrame, keys: list[str], z: float) -> pl.DataFrame:
    added = by_age.group_by(keys, maintain_order=True).agg(
        pl.col("insured", "uses_expected", "cost_total").sum(),
        known=pl.col("_group_error").is_not_null().any(),
        error=(pl.col("_group_error") ** 2).sum().sqrt(),
    )
    cost = pl.col("cost_total") / pl.col("insured")
    wide = pl.when(pl.col("known")).then(z * pl.col("error") / pl.col("insured"))
    return added.select(
        *keys,
        "insured",
        "uses_expected",
        use_rate=pl.col("uses_expected") / pl.col("insured"),
        cost_per_insured=cost,
        cost_lower=(cost - wide).clip(lower_bound=0.0),
        cost_upper=cost + wide,
        cost_total="cost_total",
    )


def _require_rates(by_age: pl.DataFrame) -> None:
    lacking = by_age.filter(~pl.col("use_rate").is_finite().fill_null(False))
    if lacking.height:
        faults = [
            f"{name}: {rows:,} cells, such as {sex} aged {age}"
            for name, rows, sex, age in lacking.group_by("service", maintain_order=True)
            .agg(pl.len(), pl.col("sex").first(), pl.col("age").first())
            .iter_rows()
        ]
        raise InputError(
            "insured of an age or sex that a service has no rate for", faults=faults,
            do="give rates for these ages, or leave these insured out",
        )  # fmt: skip
