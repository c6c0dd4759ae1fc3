"""The sections of a study file: each key, its type and its domain."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from pricing.data.sources import place_fault

__all__ = [
    "Band",
    "Bilingual",
    "Causal",
    "CutOff",
    "Discount",
    "Effect",
    "Elsewhere",
    "Expenses",
    "Head",
    "Limits",
    "Losses",
    "Model",
    "NamesFile",
    "Outlooks",
    "Premium",
    "RateChange",
    "RateReview",
    "Regulated",
    "Renewed",
    "Retention",
    "Scenario",
    "Simulated",
    "Strict",
    "Table",
    "Validation",
    "is_path",
]


class Strict(BaseModel):
    """A table of the study file; a key it does not know is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NamesFile(Strict):
    """A section that may name a file: by a path from the study file's folder; a plain name is a bundled one."""

    _folder: Path | None = PrivateAttr(default=None)

    def model_post_init(self, context: Any, /) -> None:
        """Take the study file's folder, which who reads the file gives as context."""
        self._folder = (context or {}).get("folder")

    def place(self, said: str) -> str | Path:
        """Give the path of a file that is named, or the name of a bundled one as it is."""
        if self._folder is None or not is_path(said):
            return said
        return self._folder / said


def is_path(said: str) -> bool:
    """Whether a text is the path of a file, and not the plain name of one that ships.

    Examples
    --------
    >>> is_path("huoli"), is_path("huoli.toml"), is_path("own/huoli")
    (False, True, True)
    """
    return re.fullmatch(r"[A-Za-z0-9_-]+", said) is None


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
    minimum_cell: int = Field(
        default=10, ge=0, description="Fewest persons in a cell that leaves; 0 shows everything"
    )
    notes: list[Bilingual] = []
    outside: bool = Field(default=False, description="Whether tables may lie outside its folder")
    parts: bool = Field(
        default=False,
        description="Whether files of one name in every table hold whole policies, and are read one after another",
    )


class Table(Strict):
    """``[tables.NAME]``: where a table comes from and what its rating factors are."""

    files: str | None = None
    duckdb: str | None = None
    database_env: str | None = None
    table: str | None = None
    query: str | None = None
    loader: str | None = None
    encoding: str = "utf-8"
    separator: str = ","
    columns: dict[str, str] = {}
    levels: dict[str, dict[str, str]] = {}
    factors: dict[str, list[str]] = {}
    covariates: list[str] = []

    @model_validator(mode="after")
    def _one_source(self) -> Table:
        ways = ("files", "duckdb", "database_env", "loader")
        given = [name for name in ways if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of files, duckdb, database_env or loader, got {given or 'none'}"
            )
        if fault := place_fault(self.duckdb, self.database_env, self.table, self.query):
            raise ValueError(fault)
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


class Limits(Strict):
    """``[discount.limits]``: what the schedule must keep to, beside its cap and steps."""

    objective: Literal["fit", "margin"] = "fit"
    most_between: float | None = Field(default=None, gt=0)
    mean_discount: float | None = Field(default=None, ge=0)
    loss_ratio: tuple[float, float] | None = None
    service_share: float | None = Field(default=None, gt=0, le=1)
    service_cost: float = Field(default=0.0, ge=0)
    service_by: str | None = None
    loading: float = Field(default=0.0, ge=0, lt=1)
    fairness: dict[str, float] = {}
    expenses: float = Field(default=0.0, ge=0, lt=1)


class Discount(Strict):
    """``[discount]``: the schedule to design."""

    group: str = "health_group"
    order: list[str] = Field(min_length=2)
    cap: float = Field(default=0.20, gt=0, lt=1)
    step: float = Field(default=0.05, gt=0)
    rounding: Literal["down", "nearest"] = "down"
    evidence: Literal["estimate", "lower"] = "estimate"
    present: dict[str, float] | None = None
    value: str | None = None
    limits: Limits | None = None


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


class CutOff(Strict):
    """``[[persistency.cut_offs]]``: a health value at which a group's discount, so its price, jumps."""

    group: str
    value: float
    above: float | None = None


class Retention(Strict):
    """``[persistency]``: who renews, what the price does to it, who leaves."""

    model: str
    by: list[str] = []
    exits_by: str | None = None
    cut_offs: list[CutOff] = []
    expenses: float = Field(default=0.0, ge=0, lt=1)


class Causal(Strict):
    """``[causal]``: selection against effect, every estimator side by side."""

    factors: list[str] = []
    history: list[str] = []
    oracle: list[str] = []
    controls: list[str] = []
    cap: float | None = Field(default=None, gt=0)
    effect: float = Field(default=0.03, gt=0, lt=1)


class Outlooks(Strict):
    """``[projection]``: the book over the years to come, and its stresses."""

    on: date
    years: int = Field(default=10, ge=1, le=60)
    draws: int = Field(default=500, ge=0)
    seed: int = Field(default=1, ge=0)
    level: float = Field(default=0.90, gt=0, lt=1)
    segment: str | None = None
    retention: float | None = Field(default=None, gt=0, lt=1)
    elasticity: float | None = Field(default=None, le=0)
    elasticity_error: float = Field(default=0.0, ge=0)
    trend: float = Field(default=0.03, gt=-1, lt=1)
    trend_error: float = Field(default=0.0, ge=0)
    level_error: float = Field(default=0.0, ge=0)
    claims_ageing: float = 0.0
    premium_ageing: float = 0.0
    effect: float | None = Field(default=None, gt=-1, lt=1)
    effect_error: float = Field(default=0.0, ge=0)
    exits: float = Field(default=0.0, ge=0, lt=1)
    expense_share: float = Field(default=0.0, ge=0, lt=1)
    reliability: float = Field(default=0.5, ge=0, lt=1)
    persistence: float = Field(default=0.8, ge=0, le=1)
    new_share: float = Field(default=0.0, ge=0)
    new_growth: float = Field(default=0.0, gt=-1)
    new_premium: float = Field(default=1.0, gt=0)
    rate_changes: float = 0.0
    target_loss_ratio: float | None = Field(default=None, gt=0)
    top_share: float = Field(default=0.70, gt=0, le=1)
    trend_plus: float = 0.02
    strong_elasticity: float = Field(default=-1.0, le=0)


class Renewed(Strict):
    """``[renewal]``: what the coming renewals pay."""

    schedule: Literal["present", "proposed", "prudent"] = "proposed"
    adjustment: float | Literal["indicated"] = 0.0
    most_rise: float | None = Field(default=None, ge=0)
    most_fall: float | None = Field(default=None, ge=0)
    decimals: int = Field(default=2, ge=0, le=2)
    ageing: float = Field(default=0.0, gt=-1)
    trace: list[str] = Field(default_factory=list, max_length=20)

    @field_validator("trace")
    @classmethod
    def _once(cls, policies: list[str]) -> list[str]:
        if twice := sorted({p for p in policies if policies.count(p) > 1}):
            raise ValueError(f"{twice} stand more than once")
        return policies


class Scenario(Strict):
    """``[[scenarios]]``: the same study with some keys changed."""

    name: str = Field(pattern=r"^[a-z0-9_-]+$", description="Short name, of a-z, 0-9, - and _")
    title: Bilingual = Field(description="What a reader sees")
    change: dict[str, Any] = Field(
        min_length=1, max_length=5, description="Dotted keys and their new values"
    )
