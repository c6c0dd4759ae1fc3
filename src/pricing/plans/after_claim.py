"""A service after the claim: repeat claims of claimants, what the service changes, and its value per claimant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import Field, model_validator

from pricing.data.aftercare_book import simulate_aftercare
from pricing.errors import InputError
from pricing.experience.bands import band, band_labels
from pricing.files import fingerprint
from pricing.plans.lately import Lately
from pricing.result.shape import Basis, Result
from pricing.study.sections import Strict
from pricing.survival.immortal import immortal_time
from pricing.survival.mean_cumulative import mean_cumulative
from pricing.survival.pseudo_score import pseudo_score
from pricing.survival.recurrent import RecurrentEvents
from pricing.survival.repeat_model import Model, event_intervals, fit_repeat
from pricing.survival.repeat_value import RepeatValue, repeat_value

__all__ = ["AfterClaimSection", "headline", "prepare", "results", "simulate"]

TABLES = ("policies", "claims", "aftercare")
MONTH = 365.25 / 12  # days
ENDS = ("lapse", "death", "cancelled")


class AfterClaimSection(Strict):
    """``[after_claim]``: what counts as a repeat claim, what the service costs, to when its value is asked."""

    until: date = Field(description="The first day no longer observed")
    benefits: list[str] = Field(
        default_factory=list,
        description="Family of benefits that counts as repeat; all where empty",
    )
    age_edges: list[float] = Field(
        default=[0, 50, 60, 70], min_length=1, description="Lower edges of the age bands"
    )
    horizons: list[float] = Field(
        default=[12, 24],
        min_length=1,
        description="Months since the close of the claim at which the value is asked",
    )
    joins_at: float = Field(
        default=0, ge=0, description="Months since the close at which a claimant joins"
    )
    service_cost: float = Field(
        default=0, ge=0, description="Cost of the service, once for each who joins, currency"
    )
    cost_per_month: float = Field(
        default=0, ge=0, description="Cost a month in the service and covered, currency"
    )
    known_ratio: float | None = Field(
        default=None,
        gt=0,
        description="Rate ratio that made a simulated book, shown beside the estimate",
    )
    level: float = Field(default=0.95, gt=0, lt=1, description="Level of the intervals")

    @model_validator(mode="after")
    def _orders(self) -> AfterClaimSection:
        if min(self.horizons) <= self.joins_at:
            raise ValueError(
                "horizons must lie after joins_at: a claimant who has not joined has no value"
            )
        if sorted(set(self.age_edges)) != self.age_edges:
            raise ValueError("age_edges must rise")
        return self


@dataclass(frozen=True)
class Prepared:
    """The accepted rows of the plan's tables."""

    policies: pl.DataFrame
    claims: pl.DataFrame
    register: pl.DataFrame
    lately: Lately[Any] = field(default_factory=Lately, repr=False, compare=False)


def simulate(folder: Path, *, members: int, seed: int) -> None:
    """Write simulated claimants, their claims and the service's register.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> simulate(folder, members=3, seed=1)
    >>> (folder / "aftercare").is_dir()
    True
    """
    simulate_aftercare(folder, members=members, seed=seed)


def prepare(
    section: AfterClaimSection, tables: Mapping[str, pl.DataFrame], basis: Basis
) -> Prepared:
    """Keep the tables; what is a repeat claim is a matter of the section.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> simulate(folder, members=3, seed=1)
    >>> tables = {n: pl.read_parquet(folder / n / "*.parquet") for n in TABLES}
    >>> prepare(AfterClaimSection(until=date(2026, 1, 1)), tables, Basis()).register.height
    3
    """
    del section, basis
    policies, claims, register = (tables[name] for name in TABLES)
    return Prepared(policies, claims, register)


def claimants(
    section: AfterClaimSection, prepared: Prepared
) -> tuple[pl.DataFrame, pl.DataFrame, tuple[str, ...]]:
    """Follow every claimant from the close of the index claim.

    Returns
    -------
    tuple
        Persons (person, exit in months, died, joined, age_band, chronic), repeat claims (person, time,
        amount), and notes of who is not followed.

    Examples
    --------
    >>> day = lambda text: pl.Series([text]).str.to_date()
    >>> prepared = Prepared(
    ...     pl.DataFrame({"policy_id": "A", "birth_date": day("1960-01-01"), "start": day("2022-01-01"),
    ...                   "end": day("2025-01-01"), "exit_cause": "lapse"}),
    ...     pl.DataFrame({"claim_id": "2", "policy_id": "A", "incurred": day("2024-01-01"), "amount": 9.0,
    ...                   "benefit": "inpatient"}),
    ...     pl.DataFrame({"claim_id": "1", "policy_id": "A", "closed": day("2023-01-01"),
    ...                   "joined": day("2023-03-01"), "chronic": True}))
    >>> persons, events, _ = claimants(AfterClaimSection(until=date(2026, 1, 1)), prepared)
    >>> persons["exit"].round(2).item(), persons["died"].item(), events["time"].round(2).item()
    (24.02, True, 11.99)
    """
    stop = pl.min_horizontal("end", pl.lit(section.until))
    cover = prepared.policies.select("policy_id", "birth_date", "end", "exit_cause")
    told = prepared.register.sort("closed", "claim_id").unique(
        "policy_id", keep="first", maintain_order=True
    )
    known = told.join(cover, on="policy_id").with_columns(stop=stop)
    followed = known.filter(pl.col("stop") > pl.col("closed"))
    if followed.is_empty():
        raise InputError("no claimant is followed", do="check until, the policies and the register")
    age = (pl.col("closed") - pl.col("birth_date")).dt.total_days() / 365.25
    leaves = pl.col("exit_cause").cast(pl.String).is_in(ENDS).fill_null(False)
    chronic = pl.when("chronic").then(pl.lit("yes")).when(~pl.col("chronic")).then(pl.lit("no"))
    persons = followed.with_columns(_age=age).select(
        person="policy_id",
        exit=_months("stop"),
        died=leaves & (pl.col("end") <= section.until),
        joined=pl.when(pl.col("joined") < pl.col("stop")).then(_months("joined")),
        age_band=band("_age", section.age_edges).cast(pl.Enum(band_labels(section.age_edges))),
        chronic=chronic.otherwise(pl.lit("unknown")),
    )
    family = prepared.claims
    if section.benefits:
        unknown = [b for b in section.benefits if not (family["benefit"] == b).any()]
        if unknown:
            raise InputError(
                f"no claim has the benefit {unknown[0]!r}", where="after_claim.benefits"
            )
        family = family.filter(pl.col("benefit").is_in(section.benefits))
    later = family.join(
        followed.select("policy_id", "closed", "stop", index="claim_id"), on="policy_id"
    )
    events = later.filter(
        pl.col("incurred") > pl.col("closed"),
        pl.col("incurred") < pl.col("stop"),
        pl.col("claim_id") != pl.col("index"),
    ).select(person="policy_id", time=_months("incurred"), amount="amount")
    notes = [f"time in months since the close of the index claim, observed to {section.until}"]
    several, gone = prepared.register.height - told.height, told.height - followed.height
    notes += (
        [f"{several:,} later index claims of the same policy are repeat claims"] if several else []
    )
    notes += [f"{gone:,} claimants had no day of cover after the close"] if gone else []
    same = events.height - events.select("person", "time").n_unique()
    notes += (
        [
            f"{same:,} repeat claims on the day of another of the claimant are one with it in the models"
        ]
        if same
        else []
    )
    return persons, events, tuple(notes)


def results(section: AfterClaimSection, prepared: Prepared, basis: Basis) -> dict[str, Result]:
    """Give repeat claims by time, the service's effect by every model, immortal time, and its value.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> simulate(folder, members=400, seed=1)
    >>> tables = {n: pl.read_parquet(folder / n / "*.parquet") for n in TABLES}
    >>> section = AfterClaimSection(until=date(2026, 1, 1))
    >>> found = results(section, prepare(section, tables, Basis()), Basis())
    >>> found["immortal_time"].table["method"].to_list()
    ['joined_before_next', 'ever_joined', 'time_varying']
    """
    persons, events, notes = claimants(section, prepared)
    told = fingerprint(basis.fingerprint, section.model_dump_json())
    basis = replace(basis, notes=(*basis.notes, *notes), fingerprint=told)
    seen = RecurrentEvents.collect(
        persons, events, ["chronic"], died="died", amount="amount", unit="month", basis=basis
    )
    others = _others(persons)
    formula = "in_service" + (f" + {others}" if others else "")
    rows = event_intervals(persons, events, switches={"in_service": "joined"}, tied="one")
    level = section.level
    found: dict[str, Result] = {
        "mean_cumulative": mean_cumulative(seen, level=level),
        "mean_cumulative:amount": mean_cumulative(seen, of="amount", level=level),
    }
    if persons["chronic"].n_unique() > 1:
        found["pseudo_score"] = pseudo_score(seen, "chronic", level=level)
    models: dict[str, Model] = {
        "repeat_model": "andersen_gill",
        "repeat_model:prentice_total": "prentice_total",
        "repeat_model:prentice_gap": "prentice_gap",
    }
    for name, model in models.items():
        found[name] = fit_repeat(
            rows,
            formula,
            model=model,
            base={"in_service": "no"},
            unit="month",
            level=level,
            basis=basis,
        )
    found["immortal_time"] = immortal_time(
        persons, events, others, truth=section.known_ratio, level=level, basis=basis
    )
    found["repeat_value"] = _value(section, persons, events, basis)
    return found


def headline(section: AfterClaimSection, prepared: Prepared) -> dict[str, float]:
    """Give the rate ratio, claims avoided, saving, cost, value and break-even at the last horizon.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> simulate(folder, members=400, seed=1)
    >>> tables = {n: pl.read_parquet(folder / n / "*.parquet") for n in TABLES}
    >>> section = AfterClaimSection(until=date(2026, 1, 1))
    >>> sorted(headline(section, prepare(section, tables, Basis())))[:2]
    ['avoided', 'break_even_rate']
    """
    persons, events, _ = _followed(section, prepared)
    value = _value(section, persons, events, Basis())
    row = value.table.row(-1, named=True)
    names = ("repeat_claims", "avoided", "saving", "service_cost", "net_value", "break_even_rate")
    return {"rate_ratio": float(value.facts["ratio"])} | {name: float(row[name]) for name in names}


def at_once(section: AfterClaimSection, prepared: Prepared, basis: Basis) -> dict[str, Result]:
    """Give what a page shows while a cost is dragged: what the service is worth by horizon."""
    persons, events, _ = _followed(section, prepared)
    return {"repeat_value": _value(section, persons, events, basis)}


def _followed(
    section: AfterClaimSection, prepared: Prepared
) -> tuple[pl.DataFrame, pl.DataFrame, tuple[str, ...]]:
    """The claimants of a section, followed once."""
    found: tuple[pl.DataFrame, pl.DataFrame, tuple[str, ...]] = prepared.lately.of(
        section.model_dump_json(include={"until", "age_edges", "benefits"}),
        lambda: claimants(section, prepared),
    )
    return found


def _value(
    section: AfterClaimSection, persons: pl.DataFrame, events: pl.DataFrame, basis: Basis
) -> RepeatValue:
    return repeat_value(
        persons, events, _others(persons), horizons=section.horizons, service_cost=section.service_cost,
        cost_rate=section.cost_per_month, joins_at=section.joins_at, died="died", unit="month",
        level=section.level, basis=basis,
    )  # fmt: skip


def _others(persons: pl.DataFrame) -> str:
    """Factors that have levels to compare."""
    return " + ".join(n for n in ("age_band", "chronic") if persons[n].n_unique() > 1)


def _months(day: str) -> pl.Expr:
    return (pl.col(day) - pl.col("closed")).dt.total_days() / MONTH
