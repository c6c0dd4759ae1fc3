"""What the sections of a study file must hold of each other: columns, levels, days, books."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

from pricing.data.contracts import contract
from pricing.errors import InputError, nearest
from pricing.estimate.design import variables
from pricing.experience.bands import band_labels

__all__ = ["cross_faults"]

MOST_LEVELS = 2_000  # rows of a table that a page draws in seconds; as many as a fit takes
DERIVED = ("age", "year", "policy_year", "prior_claims", "ever_joined", "in_programme")


def cross_faults(raw: Mapping[str, Any]) -> list[str]:
    """Find the faults between sections, from the raw file so that they show beside all others.

    Examples
    --------
    >>> cross_faults({"tables": {"claims": {}}, "study": {"observed": []}})[0]
    "tables: ['policies', 'renewals'] missing; a book needs policies, renewals and claims"
    """
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
    kept, causal = _section(raw, "persistency"), _section(raw, "causal")
    faults += [
        f"{name}: needs a book of policies, renewals and claims"
        for name in ("persistency", "causal", "projection", "renewal")
        if name in raw and "person_years" in tables
    ]
    limits = _section(discount, "limits")
    faults += _formula_faults("persistency.model", kept.get("model"), known)
    names = [("discount.group", discount.get("group", "health_group"))]
    for views in ("one_way", "actual_to_expected"):
        names += [(f"model.{views}", n) for n in _strings(model.get(views))]
    levels = _level_counts(raw, tables)
    faults += [
        f"{place}: {name} has {levels[name]:,} levels, and a table of a report shows {MOST_LEVELS:,}: group them"
        for place, name in names
        if levels.get(name, 0) > MOST_LEVELS
    ]
    names += [("model.cluster", n) for n in _strings([model.get("cluster")])]
    names += [("model.base", n) for n in _section(model, "base")]
    names += [("discount.value", n) for n in _strings([discount.get("value")])]
    names += [("discount.limits.fairness", n) for n in _section(limits, "fairness")]
    names += [("discount.limits.service_by", n) for n in _strings([limits.get("service_by")])]
    names += [
        (f"causal.{k}", n)
        for k in ("factors", "history", "oracle", "controls")
        for n in _strings(causal.get(k))
    ]
    names += [
        ("projection.segment", n) for n in _strings([_section(raw, "projection").get("segment")])
    ]
    names += [("persistency.by", n) for n in _strings(kept.get("by"))]
    names += [("persistency.exits_by", n) for n in _strings([kept.get("exits_by")])]
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
    group, order = str(discount.get("group", "health_group")), _strings(discount.get("order"))
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
    for source in _sources(raw, tables):
        if isinstance(source, dict):
            known += [*_section(source, "factors"), *_strings(source.get("covariates"))]
    return [*dict.fromkeys([*known, *bands])]


def _sources(raw: Mapping[str, Any], tables: Mapping[str, Any]) -> list[Any]:
    """The tables of a study, simulated ones too, with their factors."""
    simulated = _section(_section(raw, "simulate"), "factors").values()
    return [*tables.values(), *({"factors": factors} for factors in simulated)]


def _level_counts(raw: Mapping[str, Any], tables: Mapping[str, Any]) -> dict[str, int]:
    """How many levels each factor declares."""
    return {
        name: len(levels)
        for source in _sources(raw, tables)
        if isinstance(source, dict)
        for name, levels in _section(source, "factors").items()
        if isinstance(levels, list)
    }


def _section(raw: Any, name: str) -> dict[str, Any]:
    found = raw.get(name) if isinstance(raw, dict) else None
    return found if isinstance(found, dict) else {}


def _strings(values: Any) -> list[str]:
    return [v for v in values if isinstance(v, str)] if isinstance(values, list) else []
