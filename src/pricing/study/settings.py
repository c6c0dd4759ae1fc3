"""The study file: one TOML file, every fault in it said at once."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pricing.data.contracts import contract
from pricing.errors import InputError, nearest
from pricing.estimate.design import variables
from pricing.experience.bands import band_labels

__all__ = ["Settings", "read_settings"]

DERIVED = ("age", "year", "policy_year", "prior_claims", "ever_joined", "in_programme")


class Strict(BaseModel):
    """A table of the study file; a key it does not know is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Bilingual(Strict):
    """A text in both languages."""

    en: str
    zh: str


class Head(Strict):
    """``[study]``: what the study is and whose figures it holds."""

    name: str = Field(pattern=r"^[a-z0-9_-]+$")
    title: Bilingual
    source: Bilingual
    currency: str = "CNY"
    period: str = ""
    observed: tuple[date, date] | None = None
    notes: list[Bilingual] = []


class Table(Strict):
    """``[tables.NAME]``: where a table comes from and what its rating factors are."""

    files: str | None = None
    duckdb: str | None = None
    table: str | None = None
    loader: str | None = None
    encoding: str = "utf-8"
    separator: str = ","
    columns: dict[str, str] = {}
    levels: dict[str, dict[str, str]] = {}
    factors: dict[str, list[str]] = {}
    covariates: list[str] = []

    @model_validator(mode="after")
    def _one_source(self) -> Table:
        given = [name for name in ("files", "duckdb", "loader") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"give exactly one of files, duckdb or loader, got {given or 'none'}")
        if (self.duckdb is None) != (self.table is None):
            raise ValueError("duckdb and table go together")
        return self


class Simulated(Strict):
    """``[simulate]``: a book with known truth instead of tables."""

    policies: int = Field(ge=1)
    seed: int = Field(ge=0)
    factors: dict[str, dict[str, list[str]]] = {}


class Band(Strict):
    """``[bands.NAME]``: a numeric column cut at edges."""

    column: str
    edges: list[float] = Field(min_length=1)


class Model(Strict):
    """``[model]``: the frequency model without the health group; the severity, if asked for."""

    frequency: str
    severity: str | None = None
    base: dict[str, str] = {}
    errors: Literal["robust", "model", "quasi"] = "robust"
    cluster: str | None = None
    one_way: list[str] = []
    actual_to_expected: list[str] = []


class Discount(Strict):
    """``[discount]``: the schedule to design."""

    group: str = "health_group"
    order: list[str] = Field(min_length=2)
    cap: float = Field(default=0.20, gt=0, lt=1)
    step: float = Field(default=0.05, gt=0)
    rounding: Literal["down", "nearest"] = "down"
    evidence: Literal["estimate", "lower"] = "estimate"
    present: dict[str, float] | None = None


class Premium(Strict):
    """``[premium]``: where the tables hold no premium or no amounts, how to set them."""

    target_loss_ratio: float = Field(gt=0, le=1)
    cost_per_claim: float = Field(gt=0)


class Validation(Strict):
    """``[validation]``: which part of the book the models are judged on, unseen, and by whom."""

    hold_out: Literal["year", "person"]
    challenger: bool = False


class Losses(Strict):
    """``[losses]``: large claims, and what the book of one year may come to."""

    year: int | None = None
    trend: float = Field(default=0.0, gt=-1, lt=1)
    large: float | None = Field(default=None, gt=0)
    line: float = Field(default=1.0, gt=0)
    level: float = Field(default=0.995, gt=0, lt=1)


class RateChange(Strict):
    """``[[loss_ratio.rate_changes]]``: a change of the filed rates."""

    day: date
    change: float = Field(gt=-1)
    where: dict[str, str] = {}
    applies_to: Literal["new_and_renewal", "in_force"] = "new_and_renewal"


class Expenses(Strict):
    """``[loss_ratio.expenses]``: shares of the premium that do not go to claims."""

    commission: float = Field(default=0.0, ge=0)
    premium_tax: float = Field(default=0.0, ge=0)
    variable_expense: float = Field(default=0.0, ge=0)
    margin: float = Field(default=0.0, ge=0)
    fixed_expense: float = Field(default=0.0, ge=0)
    service_cost: float = Field(default=0.0, ge=0)
    claim_expense: float = Field(default=0.0, ge=0)


class Elsewhere(Strict):
    """``[loss_ratio.complement]``: a loss ratio from elsewhere, at current rates."""

    name: str
    loss_ratio: float = Field(gt=0)
    std_error: float = Field(gt=0)
    credibility: float | Literal["least_error", "limited_fluctuation"] = "least_error"


class RateReview(Strict):
    """``[loss_ratio]``: from claims paid to an indicated rate change."""

    valuation: date
    effective: date
    experience: tuple[date, date] | None = None
    by: str | None = None
    premium: Literal["premium", "standard_premium"] = "premium"
    rate_changes: list[RateChange] = []
    large: float | None = Field(default=None, gt=0)
    lags: int = Field(default=24, ge=1)
    seasonality: Literal["none", "month", "quarter", "harmonic"] = "none"
    breaks: list[date] = []
    in_force_months: int = Field(default=12, ge=1)
    term_months: int = Field(default=12, ge=1)
    expenses: Expenses = Expenses()
    complement: Elsewhere | None = None
    draws: int = Field(default=4000, ge=100)
    seed: int = Field(default=1, ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> RateReview:
        if self.experience is not None and self.experience[0] >= self.experience[1]:
            raise ValueError("experience ends not after its start")
        if any(set(c.where) != set(self.rate_changes[0].where) for c in self.rate_changes):
            raise ValueError("rate changes must name the same columns in where")
        return self


class Regulated(Strict):
    """``[regulation]``: what the regulator's checks need to know of the product."""

    launch: date
    notice_from: date
    clause_cap: float = Field(gt=0)
    guaranteed_years: int = Field(default=0, ge=0)
    term_years: int = Field(default=1, ge=1)
    last_adjustment: date | None = None
    industry_loss_ratio: float | None = Field(default=None, ge=0)
    loading: float | None = Field(default=None, ge=0, lt=1)
    group: bool = False


class Effect(Strict):
    """``[programme_effect]``: the ladder of adjustments from naive to most believed."""

    indicator: str = "in_programme"
    ladder: dict[str, str] = Field(min_length=1)
    oracle: str | None = None


class Settings(Strict):
    """A whole study file."""

    study: Head
    tables: dict[Literal["person_years", "policies", "renewals", "claims", "payments"], Table] = {}
    simulate: Simulated | None = None
    bands: dict[str, Band] = {}
    model: Model
    discount: Discount
    premium: Premium | None = None
    programme_effect: Effect | None = None
    validation: Validation | None = None
    losses: Losses | None = None
    loss_ratio: RateReview | None = None
    regulation: Regulated | None = None


def read_settings(path: str | Path) -> Settings:
    """Read and hold a study file against its contract; every fault is reported at once.

    Parameters
    ----------
    path : path
        A TOML file; ``data/studies/huoli.toml`` is a commented example.

    Raises
    ------
    InputError
        For a missing file, broken TOML (with its line), unknown keys (with the nearest), wrong
        types, values out of range, formulas that name no known column, bands that do not cut,
        a group order that is not the group's levels.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> read_settings(bundled("studies/randhie.toml")).discount.cap
    0.2
    """
    path = Path(path)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        there = [str(f) for f in path.parent.glob("*.toml")] if path.parent.is_dir() else []
        raise InputError(
            f"no such study file{nearest(str(path), there)}", where=str(path)
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InputError(
            f"not a readable TOML file: {error}",
            where=str(path),
            do="correct that place; the file is TOML in UTF-8, as those in data/studies",
        ) from error
    faults: list[str] = []
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        faults += [_said(fault) for fault in error.errors(include_url=False)]
    faults += _cross_faults(raw)
    if faults or settings is None:
        raise InputError(
            f"{len(faults)} fault(s) in the study file",
            where=str(path),
            faults=faults,
            do="correct them all and run again; docs/study_file.md lists every key",
        )
    return settings


def _said(fault: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in fault["loc"] if part != "[key]")
    if fault["type"] == "extra_forbidden":
        return f"{place}: unknown key{nearest(str(fault['loc'][-1]), _siblings(fault['loc']))}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "model_type" and fault.get("ctx", {}).get("class_name") == "Bilingual":
        message = 'give both languages, { en = "…", zh = "…" }'
    given = "" if fault["type"] == "missing" else f", got {fault['input']!r}"
    return f"{place or 'file'}: {message}{given if len(given) < 80 else ''}"


def _siblings(place: tuple[str | int, ...]) -> list[str]:
    """The keys that may stand where an unknown one stands."""
    model: Any = Settings
    by_section = {
        "study": Head,
        "tables": Table,
        "simulate": Simulated,
        "bands": Band,
        "model": Model,
        "discount": Discount,
        "premium": Premium,
        "programme_effect": Effect,
        "validation": Validation,
        "losses": Losses,
        "loss_ratio": RateReview,
        "regulation": Regulated,
    }
    nested = {"expenses": Expenses, "complement": Elsewhere, "rate_changes": RateChange}
    if len(place) > 1:
        model = by_section.get(str(place[0]), Settings)
    if place[0] == "loss_ratio" and len(place) > 2:
        model = nested.get(str(place[1]), RateReview)
    if place[0] == "study" and len(place) > 2:
        model = Bilingual
    return list(model.model_fields)


def _cross_faults(raw: Mapping[str, Any]) -> list[str]:
    """Faults between sections; read from the raw file so that they show beside all others."""
    tables, bands = _section(raw, "tables"), _section(raw, "bands")
    faults = []
    if ("simulate" in raw) == bool(tables):
        faults.append("file: give either [simulate] or [tables.…], one of the two")
    if tables and "person_years" not in tables:
        lacking = [t for t in ("policies", "renewals", "claims") if t not in tables]
        if lacking:
            faults.append(f"tables: {lacking} missing; a book needs policies, renewals and claims")
    if "person_years" in tables and len(tables) > 1:
        faults.append("tables: give person_years, or policies, renewals and claims; not both")
    faults += _window_faults(_section(raw, "study"), book="person_years" not in tables)
    known = _known_columns(raw, tables, bands)
    for name, cut in bands.items():
        faults += _band_faults(name, cut, known)
    model, discount = _section(raw, "model"), _section(raw, "discount")
    ladder = _section(_section(raw, "programme_effect"), "ladder")
    formulas = {"model.frequency": model.get("frequency"), "model.severity": model.get("severity")}
    formulas["programme_effect.oracle"] = _section(raw, "programme_effect").get("oracle")
    formulas |= {f"programme_effect.ladder.{name}": text for name, text in ladder.items()}
    for place, text in formulas.items():
        faults += _formula_faults(place, text, known)
    if _section(raw, "validation").get("hold_out") == "person" and "cluster" not in model:
        faults.append(
            'validation.hold_out: "person" needs model.cluster, the column that names them'
        )
    review = _section(raw, "loss_ratio")
    faults += _review_faults(raw, review, book="person_years" not in tables)
    names = [("discount.group", discount.get("group", "health_group"))]
    for views in ("one_way", "actual_to_expected"):
        names += [(f"model.{views}", n) for n in _strings(model.get(views))]
    names += [("model.cluster", n) for n in _strings([model.get("cluster")])]
    names += [("model.base", n) for n in _section(model, "base")]
    names += [("loss_ratio.by", n) for n in _strings([review.get("by")])]
    names += [
        ("programme_effect.indicator", n)
        for n in _strings([_section(raw, "programme_effect").get("indicator")])
    ]
    faults += [
        f"{p}: {n!r} is not a column{nearest(str(n), known)}" for p, n in names if n not in known
    ]
    return faults + _discount_faults(raw, tables, discount)


def _window_faults(head: Mapping[str, Any], *, book: bool) -> list[str]:
    """A book is seen up to a day; terms that run on after it are not exposure yet."""
    window = head.get("observed")
    if window is None:
        wanted = (
            "study.observed: a book needs its window, as [2021-01-01, 2025-01-01] (end excluded)"
        )
        return [wanted] if book else []
    days = [d for d in window if isinstance(d, date)] if isinstance(window, list) else []
    if len(days) == 2 and days[0] >= days[1]:
        return [f"study.observed: ends on {days[1]}, not after its start {days[0]}"]
    return []


def _review_faults(raw: Mapping[str, Any], review: Mapping[str, Any], *, book: bool) -> list[str]:
    """A rate review needs a book, and regulation a rate review."""
    faults = []
    if review and not book:
        faults.append("loss_ratio: needs a book of policies, renewals and claims")
    if "regulation" in raw and not review:
        faults.append("regulation: checks the change that [loss_ratio] indicates; give that too")
    window = _section(raw, "study").get("observed")
    end = window[1] if isinstance(window, list) and len(window) == 2 else None
    valued = review.get("valuation")
    if isinstance(end, date) and isinstance(valued, date):
        month_end = (valued + timedelta(days=1)).day == 1
        if not month_end:
            faults.append(f"loss_ratio.valuation: {valued} is not the last day of a month")
        if valued >= end:
            faults.append(f"loss_ratio.valuation: {valued} is not before the window's end {end}")
    return faults


def _band_faults(name: str, cut: Any, known: Iterable[str]) -> list[str]:
    if not isinstance(cut, dict):
        return []
    faults = []
    if isinstance(cut.get("column"), str) and cut["column"] not in known:
        faults.append(
            f"bands.{name}.column: {cut['column']!r} is not a column{nearest(cut['column'], known)}"
        )
    edges = cut.get("edges")
    if isinstance(edges, list) and edges and all(isinstance(e, int | float) for e in edges):
        try:
            band_labels(edges)
        except InputError as error:
            faults.append(f"bands.{name}.edges: {error.problem}")
    return faults


def _formula_faults(place: str, text: Any, known: Iterable[str]) -> list[str]:
    if not isinstance(text, str):
        return []
    try:
        return [
            f"{place}: {name!r} is not a column{nearest(name, known)}"
            for name in variables(text)
            if name not in known
        ]
    except InputError as error:
        return [f"{place}: {error.problem}"]


def _discount_faults(
    raw: Mapping[str, Any], tables: Mapping[str, Any], discount: Mapping[str, Any]
) -> list[str]:
    group, order = discount.get("group", "health_group"), _strings(discount.get("order"))
    sources = [
        *tables.values(),
        *(
            {"factors": factors}
            for factors in _section(_section(raw, "simulate"), "factors").values()
        ),
    ]
    faults = []
    for source in sources:
        levels = _strings(
            _section(source if isinstance(source, dict) else {}, "factors").get(group)
        )
        if levels and order and sorted(levels) != sorted(order):
            faults.append(f"discount.order: {order} is not the levels of {group!r}, {levels}")
    present = discount.get("present")
    if isinstance(present, dict) and order and sorted(present) != sorted(order):
        faults.append(f"discount.present: names {sorted(present)}, discount.order has {order}")
    cap, step = discount.get("cap", 0.2), discount.get("step", 0.05)
    if isinstance(cap, int | float) and isinstance(step, int | float) and step > cap:
        faults.append(f"discount.step: {step} is larger than the cap {cap}")
    return faults


def _known_columns(
    raw: Mapping[str, Any], tables: Mapping[str, Any], bands: Mapping[str, Any]
) -> list[str]:
    if "person_years" in tables:
        known = [*contract("person_years").column_names()]
    else:
        truth = ["latent_health", "expected_claims", "expected_amount"] if "simulate" in raw else []
        known = [
            *DERIVED,
            *truth,
            *(c for t in ("policies", "renewals") for c in contract(t).column_names()),
        ]
    sources = [
        *tables.values(),
        *({"factors": f} for f in _section(_section(raw, "simulate"), "factors").values()),
    ]
    for source in sources:
        if isinstance(source, dict):
            known += [*_section(source, "factors"), *_strings(source.get("covariates"))]
    return [*dict.fromkeys([*known, *bands])]


def _section(raw: Any, name: str) -> dict[str, Any]:
    found = raw.get(name) if isinstance(raw, dict) else None
    return found if isinstance(found, dict) else {}


def _strings(values: Any) -> list[str]:
    return [v for v in values if isinstance(v, str)] if isinstance(values, list) else []
