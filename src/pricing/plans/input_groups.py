"""Which key of a study file belongs to which kind of input: data, model, rule, rate."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final, Literal

__all__ = ["GROUPS", "Input", "changed_inputs", "group_of", "mixed"]

Input = Literal["data", "model", "rule", "rate"]
GROUPS: Final[tuple[Input, ...]] = ("data", "model", "rule", "rate")

# The longest pattern decides; * stands for one part of a key. None: said of a study, moves no figure.
BELONGS: Final[Mapping[str, Input | None]] = {
    "study": None,
    "study.currency": "data",
    "study.observed": "data",
    "study.period": "data",
    "scenarios": None,
    "tables": "data",
    "simulate": "data",
    # a book
    "bands": "model",
    "model": "model",
    "validation": "model",
    "programme_effect": "model",
    "causal": "model",
    "persistency": "model",
    "persistency.expenses": "rate",
    "losses": "model",
    "losses.large": "rule",
    "losses.line": "rule",
    "projection": "model",
    "projection.expense_share": "rate",
    "projection.rate_changes": "rate",
    "projection.target_loss_ratio": "rate",
    "discount": "rule",
    "discount.present": "rate",
    "discount.limits.loading": "rate",
    "discount.limits.expenses": "rate",
    "discount.limits.service_cost": "rate",
    "premium": "rate",
    "loss_ratio": "model",
    "loss_ratio.valuation": "data",
    "loss_ratio.experience": "data",
    "loss_ratio.effective": "rule",
    "loss_ratio.large": "rule",
    "loss_ratio.in_force_months": "rule",
    "loss_ratio.term_months": "rule",
    "loss_ratio.premium": "rate",
    "loss_ratio.rate_changes": "rate",
    "loss_ratio.expenses": "rate",
    "regulation": "rule",
    "regulation.loading": "rate",
    "renewal": "rule",
    "renewal.adjustment": "rate",
    "renewal.ageing": "rate",
    # plans
    "programme": "rule",
    "programme.rates": "rate",
    "programme.kappa": "model",
    "tiers": "rule",
    "tiers.persons": "data",
    "tiers.new_share": "model",
    "tiers.observed": "data",
    "tiers.amount": "data",
    "tiers.subsidy": "rate",
    "tiers.loadings": "rate",
    "tiers.tier.*.premium": "rate",
    "tiers.tier.*.benefit.*.elasticity": "model",
    "tiers.tier.*.benefit.*.measured_gate": "model",
    "tiers.tier.*.benefit.*.measured_coinsurance": "model",
    "take_up": "model",
    "take_up.prices": "rate",
    "take_up.subsidies": "rate",
    "take_up.start": "rate",
    "take_up.loss_ratio": "rate",
    "claims_link": "data",
    "claims_link.lookback_days": "model",
    "care": "model",
    "care.insured": "data",
    "care.monthly": "rule",
    "care.monthly_before": "rule",
    "care.waiting_months": "rule",
    "care.grades": "rule",
    "care.grades.*.per_severe": "model",
    "care.prices": "rate",
    "care.fund": "rate",
    "care.assessed": "data",
    "reassessment": "rule",
    "reassessment.as_of": "data",
    "reassessment.form": "model",
    "reassessment.formula": "model",
    "reassessment.hold_out": "model",
    "reassessment.spread": "model",
    "reassessment.visit": "model",
    "reassessment.cost": "rate",
    "mutual_aid": "rule",
    "mutual_aid.published": "data",
    "mutual_aid.observed_from": "data",
    "mutual_aid.observed_to": "data",
    "mutual_aid.each_stands_for": "data",
    "mutual_aid.incidence": "model",
    "mutual_aid.behaviour": "model",
    "mutual_aid.leave_above": "model",
    "mutual_aid.back_test": None,
    "mutual_aid.fee": "rate",
    "mutual_aid.loading": "rate",
    "mutual_aid.interest": "rate",
    "services": "rule",
    "services.observed": "data",
    "services.population": "data",
    "services.insured": "data",
    "services.edges": "model",
    "services.engagement": "model",
    "services.items.*.use": "model",
    "services.items.*.uptake": "model",
    "services.items.*.struck": "model",
    "services.items.*.unit_cost": "rate",
    "services.items.*.fixed_cost": "rate",
    "services.items.*.user_share": "rate",
    "services.price": "rate",
    "services.levels.*.charged": "rate",
    "services.platform_cost": "rate",
    "after_claim": "model",
    "after_claim.until": "data",
    "after_claim.service_cost": "rate",
    "after_claim.cost_per_month": "rate",
    "after_claim.known_ratio": None,
}
ABSENT: Final = object()


def group_of(key: str) -> Input | None:
    """Say which kind of input a key of a study file is; None for what moves no figure.

    Parameters
    ----------
    key : str
        Dotted, such as ``"discount.cap"``; an entry of a list by its ``name`` or its number.

    Raises
    ------
    KeyError
        For a section this table does not know; a test holds it against every section there is.

    Examples
    --------
    >>> group_of("discount.cap"), group_of("loss_ratio.expenses.margin"), group_of("study.title.en")
    ('rule', 'rate', None)
    >>> group_of("tiers.tier.basic.premium"), group_of("tiers.tier.basic.limit")
    ('rate', 'rule')
    """
    parts = key.split(".")
    for length in range(len(parts), 0, -1):
        start = ".".join(parts[:length])
        if start in BELONGS:
            return BELONGS[start]
        for pattern, group in BELONGS.items():
            if "*" in pattern and pattern.count(".") == length - 1 and fnmatchcase(start, pattern):
                return group
    raise KeyError(key)


def changed_inputs(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[Input, list[str]]:
    """Name the keys that differ between two studies' settings, by the kind of input they are.

    Examples
    --------
    >>> changed_inputs({"discount": {"cap": 0.2, "step": 0.05}}, {"discount": {"cap": 0.1, "step": 0.05}})
    {'rule': ['discount.cap']}
    """
    found: dict[Input, list[str]] = {}
    _walk(before, after, "", found)
    return {group: found[group] for group in GROUPS if group in found}


def mixed(
    before: Mapping[str, Any], after: Mapping[str, Any], gone: set[Input] | frozenset[Input]
) -> dict[str, Any]:
    """Give settings whose inputs of some kinds are those after, and all others those before.

    Examples
    --------
    >>> before = {"discount": {"cap": 0.2}, "premium": {"target_loss_ratio": 0.7}}
    >>> after = {"discount": {"cap": 0.1}, "premium": {"target_loss_ratio": 0.6}}
    >>> mixed(before, after, {"rate"})
    {'discount': {'cap': 0.2}, 'premium': {'target_loss_ratio': 0.6}}
    """
    made = _mixed(before, after, "", gone)
    return dict(made)


def _walk(one: Any, other: Any, key: str, found: dict[Input, list[str]]) -> None:
    parts = _parts(one, other)
    if parts is None:
        group = group_of(key) if one != other else None
        if group is not None:
            found.setdefault(group, []).append(key)
        return
    for name, (old, new) in parts.items():
        _walk(old, new, f"{key}.{name}" if key else name, found)


def _mixed(one: Any, other: Any, key: str, gone: set[Input] | frozenset[Input]) -> Any:
    parts = _parts(one, other)
    if parts is None:
        return other if one != other and group_of(key) in gone else one
    made = {
        name: _mixed(old, new, f"{key}.{name}" if key else name, gone)
        for name, (old, new) in parts.items()
    }
    there = {name: value for name, value in made.items() if value is not ABSENT}
    return list(there.values()) if isinstance(one, list) else there


def _parts(one: Any, other: Any) -> dict[str, tuple[Any, Any]] | None:
    """The parts of two values by name, where both have parts; None where they are one value each."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return {
            n: (one.get(n, ABSENT), other.get(n, ABSENT)) for n in dict.fromkeys([*one, *other])
        }
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other) and one:
        entries = [*one, *other]
        if all(isinstance(e, Mapping) for e in entries):
            names = [str(e.get("name", i)) for i, e in enumerate(one)]
            if names == [str(e.get("name", i)) for i, e in enumerate(other)]:
                return dict(zip(names, zip(one, other, strict=True), strict=True))
    return None
