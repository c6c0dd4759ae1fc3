"""The price of services: as a rider of their own, or inside the premium under the regulator's cap."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.regulation.check import is_number
from pricing.regulation.service_cost import check_service_cost
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say
from pricing.services.cost import ServiceCost

__all__ = ["RiderTerms", "ServicePrice", "service_price"]

MOST_SERVICES = 16


@dataclass(frozen=True, kw_only=True)
class RiderTerms:
    """Loadings that a rider's price carries, as shares of the price.

    Attributes
    ----------
    expense, commission, tax, profit : float
        Shares of the price, zero or more, together below 1.
    fixed_expense : float
        Currency per insured-year, zero or more.

    Examples
    --------
    >>> RiderTerms(expense=0.1, commission=0.1).price(80.0)
    100.0
    """

    expense: float = 0.0
    commission: float = 0.0
    tax: float = 0.0
    profit: float = 0.0
    fixed_expense: float = 0.0

    def __post_init__(self) -> None:
        given = vars(self)
        faults = [
            f"{name} must be zero or more, got {value!r}"
            for name, value in given.items()
            if not (is_number(value) and value >= 0)
        ]
        if not faults and self.loading >= 1:
            faults.append(
                f"the loadings add up to {self.loading:.0%} of the price: nothing is left"
            )
        if faults:
            raise InputError("a rider cannot be priced on these terms", faults=faults)

    @property
    def loading(self) -> float:
        """Shares of the price together.

        Examples
        --------
        >>> RiderTerms(expense=0.25, profit=0.25).loading
        0.5
        """
        return self.expense + self.commission + self.tax + self.profit

    def price(self, cost: float) -> float:
        """Gross a cost up: (cost + fixed expense)/(1 − loadings).

        Examples
        --------
        >>> RiderTerms(profit=0.5, fixed_expense=5.0).price(45.0)
        100.0
        """
        return (cost + self.fixed_expense) / (1 - self.loading)


class ServicePrice(Result):
    """Rider price, and service cost against the cap on the net premium, by age band."""

    kind = "service_price"

    def finding(self, lang: Language = "en") -> str:
        """Say it in one sentence, services by their names in the language."""
        services = [level_label(one, lang) for one in self.details["kept"]]
        kept = ("、" if lang == "zh" else ", ").join(services) or "–"
        fails, plan = self.facts["failing"] > 0, level_label(self.facts["plan"], lang)
        judged = say(
            "sentence.services_over" if fails else "sentence.services_within",
            lang,
            **{**self.facts, "kept": kept},
        )
        return say("finding.service_price", lang, **{**self.facts, "plan": plan}, judged=judged)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the service cost as a share of the net premium by age band, with the cap."""
        figure = go.Figure(layout={"template": "pricing"})
        bands = self.table["age_band"].cast(pl.String).to_list()
        for verdict, colour in (("pass", "estimate"), ("fail", "second")):
            share = [
                value if found == verdict else None
                for value, found in zip(
                    self.table["share_of_net"], self.table["verdict"], strict=True
                )
            ]
            if any(value is not None for value in share):
                figure.add_bar(
                    x=bands, y=share, marker_color=COLOURS[colour], name=level_label(verdict, lang)
                )
        figure.add_hline(
            y=self.facts["cap"], line={"dash": "dash", "color": COLOURS["line"]},
            annotation_text=f"{label('cap_amount', lang)} {self.facts['cap']:.0%}",
        )  # fmt: skip
        return figure.update_layout(
            barmode="overlay",
            xaxis={
                "title": {"text": label("age_band", lang)}, "type": "category",
                "categoryorder": "array", "categoryarray": bands,
            },
            yaxis={"title": {"text": label("share_of_net", lang)}, "tickformat": ".0%"},
        )  # fmt: skip


def service_price(
    cost: ServiceCost,
    premiums: pl.DataFrame,
    *,
    loading: float | str,
    on: date,
    terms: RiderTerms | None = None,
    pilot_cap: float | None = None,
) -> ServicePrice:
    """Price services as a rider, and hold them inside the premium against the cap, band by band.

    Parameters
    ----------
    cost : ServiceCost
        From :func:`pricing.services.cost.service_cost`.
    premiums : polars.DataFrame
        ``age_band`` (as in ``cost``) and ``gross_premium`` per insured-year, currency.
    loading : float or str
        Loading of the main cover as a fraction of its gross premium; or the column of it.
    on : date
        Day checked.
    terms : RiderTerms, optional
        Loadings of the rider; none where left out.
    pilot_cap : float, optional
        As :func:`pricing.regulation.service_cost.check_service_cost` takes it.

    Returns
    -------
    ServicePrice
        ``.table`` by age_band: insured, service_cost, rider_price, net_premium, cap_amount,
        share_of_net, priced_apart, verdict. ``.facts``: content_limit (multiple of the use of every
        service that passes in every band), failing bands, worst band and excess. ``.frames["services"]``:
        the services of the dearest set that passes everywhere.

    Raises
    ------
    InputError
        For bands without a premium, and what the check refuses.

    Notes
    -----
    Net premium = gross × (1 − loading); cap 20 % of it in every age band: 健康保险管理办法 (2019)
    art. 57, 银保监办发〔2020〕83号. Content limit = min over bands of (cap − fixed cost)/variable cost.
    The dearest set is found among all sets (up to 16 services), each with its own fixed cost.

    Examples
    --------
    >>> from pricing.services.cost import service_cost
    >>> from pricing.services.service import Service, ServicePlan
    >>> plan = ServicePlan(name="p", services=[Service(name="a", use=1.0, unit_cost=60.0),
    ...                                        Service(name="b", use=1.0, unit_cost=40.0)])
    >>> people = pl.DataFrame({"sex": ["male"] * 2, "age": [35, 65], "insured": [1, 1]})
    >>> premiums = pl.DataFrame({"age_band": ["30-39", "60-69"], "gross_premium": [500.0, 2000.0]})
    >>> found = service_price(service_cost(plan, people), premiums, loading=0.35, on=date(2024, 1, 1))
    >>> found.table.select("age_band", "verdict", "priced_apart").rows()
    [('30-39', 'fail', 35.0), ('60-69', 'pass', 0.0)]
    >>> found.facts["content_limit"], found.details["kept"]
    (0.65, ['a'])
    """
    rider = terms or RiderTerms()
    bands = cost.frames["bands"].with_columns(pl.col("age_band").cast(pl.String))
    missing = [name for name in ("age_band", "gross_premium") if name not in premiums.columns]
    if missing:
        raise InputError(f"premiums by age band lack {', '.join(missing)}", where="premiums")
    if not premiums.schema["gross_premium"].is_numeric():
        raise InputError(
            f"'gross_premium' is {premiums.schema['gross_premium']}, not a number", where="premiums"
        )
    given = premiums.with_columns(pl.col("age_band").cast(pl.String))
    lacking = bands.join(given, on="age_band", how="anti")["age_band"].to_list()
    if lacking:
        raise InputError(
            f"{len(lacking)} age band(s) with insured have no premium: {', '.join(lacking)}",
            where="premiums",
            do="give a gross premium for every band of the population",
        )
    beside = bands.join(given, on="age_band", how="left", maintain_order="left")
    check = check_service_cost(beside, loading=loading, on=on, pilot_cap=pilot_cap)
    held = check.frames["bands"]
    table = pl.DataFrame(
        {
            "age_band": held["age_band"],
            "insured": bands["insured"],
            "service_cost": held["service_cost"],
            "rider_price": (held["service_cost"] + rider.fixed_expense) / (1 - rider.loading),
            "gross_premium": held["gross_premium"],
            "net_premium": held["net_premium"],
            "cap_amount": held["cap_amount"],
            "share_of_net": held["share_of_net"],
            "priced_apart": held["priced_apart"],
            "verdict": check.table["verdict"],
        }
    )
    fixed = cost.facts["fixed_cost"] / cost.facts["insured"]
    cap, spend = held["cap_amount"].to_numpy(), held["service_cost"].to_numpy()
    variable = spend - fixed
    some = variable > 1e-12
    limit = float(((cap - fixed)[some] / variable[some]).min()) if some.any() else None
    if (cap < fixed).any() or (limit is not None and limit < 0):
        limit = 0.0 if some.any() else None
    chosen = _dearest_set(cost, bands["age_band"].to_list(), cap)
    failing = table.filter(pl.col("verdict") == "fail")
    worst = table.sort("share_of_net", descending=True, maintain_order=True).row(0, named=True)
    mean = float((table["service_cost"] * table["insured"]).sum()) / cost.facts["insured"]
    kept = chosen.filter(pl.col("kept"))["service"].to_list()
    facts: dict[str, Any] = {
        "plan": cost.facts["plan"],
        "cost_per_insured": mean,
        "rider_price": rider.price(mean),
        "cap": check.facts["cap"],
        "bands": table.height,
        "failing": failing.height,
        "failing_bands": ", ".join(failing["age_band"].to_list()) or "–",
        "worst_band": worst["age_band"],
        "worst_share": worst["share_of_net"],
        "priced_apart": float(table["priced_apart"].max()),  # type: ignore[arg-type]
        "content_limit": limit,
        "kept_number": len(kept),
        "verdict": check.verdict,
        "on": str(on),
    }
    basis = Basis(
        source=cost.basis.source,
        rows=table.height,
        exposure=cost.basis.exposure,
        currency=cost.basis.currency,
        fingerprint=fingerprint(
            cost.basis.fingerprint, beside.write_json(), repr((loading, on, rider, pilot_cap))
        ),
        notes=(*cost.basis.notes, *check.basis.notes),
    )
    frames = {
        "services": chosen.with_columns(
            kept=pl.col("kept").replace_strict({True: "yes", False: "no"}, return_dtype=pl.String)
        )
    }
    return ServicePrice(
        table=table, basis=basis, facts=facts, frames=frames, details={"kept": kept}
    )


def _dearest_set(cost: ServiceCost, bands: list[str], cap: np.ndarray) -> pl.DataFrame:
    """Among all sets of services, the one of most cost that keeps to the cap in every band."""
    services = cost.frames["services"]
    names, insured = services["service"].to_list(), cost.facts["insured"]
    if len(names) > MOST_SERVICES:
        raise InputError(
            f"{len(names)} services: the dearest set is sought among {MOST_SERVICES} at most",
            do="price several small services as one",
        )
    by_band = (
        cost.table.group_by("service", "age_band", maintain_order=True)
        .agg(pl.col("cost_total", "insured").sum())
        .with_columns(cost=pl.col("cost_total") / pl.col("insured"))
        .with_columns(pl.col("age_band").cast(pl.String))
        .pivot("service", index="age_band", values="cost")
    )
    by_band = pl.DataFrame({"age_band": bands}).join(
        by_band, on="age_band", how="left", maintain_order="left"
    )
    each = by_band.select(names).to_numpy() + services["fixed_cost"].to_numpy() / insured
    total = services["cost_total"].to_numpy()
    sets = (np.arange(1 << len(names))[:, None] >> np.arange(len(names))) & 1
    passes = (sets @ each.T <= cap * (1 + 1e-9)).all(axis=1)
    best = int(np.argmax(np.where(passes, sets @ total, -1.0)))
    return pl.DataFrame(
        {
            "service": names,
            "cost_per_insured": services["cost_per_insured"],
            "kept": sets[best].astype(bool),
        }
    )
