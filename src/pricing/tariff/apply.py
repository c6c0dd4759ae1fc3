"""Each step of a refinement applied to the rates; and whether it can be, before any is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from pricing.errors import InputError, nearest
from pricing.estimate.design import Floats
from pricing.estimate.whittaker import Smooth as Curve
from pricing.estimate.whittaker import choose_smoothing, whittaker
from pricing.tariff.against import Against, Rates
from pricing.tariff.factor import Factor
from pricing.tariff.rates import Tariff
from pricing.tariff.refit import refitted
from pricing.tariff.steps import (
    CapChange,
    Group,
    KeepTotal,
    Rebase,
    Refit,
    Restrict,
    SetLevel,
    Smooth,
    Step,
)

__all__ = ["apply_step", "require_steps"]


def require_steps(steps: Sequence[Step], fitted: Tariff, current: Tariff | None) -> None:
    """Refuse steps on factors or levels that are not there, all at once.

    Raises
    ------
    InputError
        With every fault of every step.

    Examples
    --------
    >>> from pricing.tariff.rates import tariff_from
    >>> step = Rebase(who="Li", when="2026-05-01", why="filed", factor="sx", level="m")
    >>> require_steps([step], tariff_from(1.0, {"sex": {"f": 1.0, "m": 1.1}}), None)
    Traceback (most recent call last):
        ...
    pricing.errors.InputError: steps that cannot be taken
      - step 1 (rebase): 'sx' is not in the tariff; did you mean 'sex'?
    """
    factors = {factor.term: factor for factor in fitted.factors}
    groups: dict[str, dict[str, str]] = {term: {} for term in factors}  # level → its group
    faults = []
    for place, step in enumerate(steps, start=1):
        at = f"step {place} ({step.kind})"
        if isinstance(step, CapChange) or (isinstance(step, KeepTotal) and step.to == "current"):
            faults += [f"{at}: {said}" for said in _faults_of_current(step, fitted, current)]
        if step.factor is None:
            continue
        if step.factor not in factors:
            faults.append(
                f"{at}: {step.factor!r} is not in the tariff{nearest(step.factor, factors)}"
            )
            continue
        own = groups[step.factor]
        faults += [f"{at}: {said}" for said in _faults_of_step(step, factors[step.factor], own)]
        if isinstance(step, Group):
            own |= {level: name for name, levels in step.groups.items() for level in levels}
        elif not isinstance(step, SetLevel | Rebase):
            own.clear()  # they may part the group; what stays together is known only when applied
    if faults:
        raise InputError("steps that cannot be taken", faults=faults)


def apply_step(
    step: Step, rates: Rates, seen: Against, fitted: Tariff, current: Tariff | None
) -> Rates:
    """Apply one step.

    Parameters
    ----------
    step : Step
        What is done.
    rates : Rates
        As they stand.
    seen : Against
        The experience that weighs levels and totals.
    fitted, current : Tariff
        Where the refinement began, and what is charged now.

    Examples
    --------
    >>> from pricing.claims.models import fit_frequency
    >>> from pricing.experience.cells import Experience
    >>> from pricing.tariff.against import against
    >>> from pricing.tariff.fitted import tariff_of
    >>> rows = pl.DataFrame({"sex": ["f", "m", "m"], "exposure": [1.0] * 3, "claims": [1, 2, 4]})
    >>> cells = Experience.collect(rows, ["sex"])
    >>> model = fit_frequency(cells, "sex", base={"sex": "f"})
    >>> start = tariff_of(model)
    >>> rates = Rates(start.base_premium, {f.term: f for f in start.factors})
    >>> step = SetLevel(who="Li", when="2026-05-01", why="filed", factor="sex", level="m", relativity=2.0)
    >>> apply_step(step, rates, against(model, cells, start, 1.0), start, None).factors["sex"].relativities
    (1.0, 2.0)
    """
    match step:
        case Refit():
            return refitted(rates, seen)
        case KeepTotal():
            return _keep_total(step, rates, seen, fitted, current)
        case CapChange():
            return _cap(step, rates, current)
        case Rebase():
            factor = rates.factors[step.factor]
            by = factor.relativities[factor.place(step.level)]
            at = tuple(step.level.split(" × ")) if len(factor.variables) > 1 else (step.level,)
            changed = replace(_with(factor, factor.values / by), base=at)
            return replace(_put(rates, changed), base_premium=rates.base_premium * by)
        case Group():
            return _put(rates, _group(step, rates, seen))
        case Smooth():
            return _hold(rates, _smooth(step, rates, seen))
        case Restrict():
            factor = rates.factors[step.factor]
            given = np.array([float(step.relativities[n]) for n in factor.names])
            return _hold(rates, _with(factor, given))
        case SetLevel():
            factor = rates.factors[step.factor]
            names = list(factor.groups) or factor.names
            own = [step.level == name for name in (names if step.level in names else factor.names)]
            return _hold(rates, _with(factor, np.where(own, step.relativity, factor.values)))
    raise InputError(f"no step {step.kind!r}")


def _with(factor: Factor, values: Floats) -> Factor:
    """Give a factor new relativities; levels of a group that part are charged alone again."""
    groups = list(factor.groups)
    if groups:
        sizes = Counter(set(zip(groups, values.tolist(), strict=True)))
        kinds = Counter(name for name, _ in sizes)
        groups = [g if kinds[g] == 1 else n for g, n in zip(groups, factor.names, strict=True)]
    return replace(factor, relativities=tuple(float(v) for v in values), groups=tuple(groups))


def _put(rates: Rates, factor: Factor) -> Rates:
    return replace(rates, factors={**rates.factors, factor.term: factor})


def _hold(rates: Rates, factor: Factor) -> Rates:
    return replace(_put(rates, factor), held=rates.held | {factor.term})


def _group(step: Group, rates: Rates, seen: Against) -> Factor:
    factor = rates.factors[step.factor]
    names, values = factor.names, factor.values.copy()
    charged = list(factor.groups) or list(names)
    paid = seen.by_level(rates, step.factor)
    for name, levels in step.groups.items():
        own = [names.index(level) for level in levels]
        torn = {charged[i] for i in own if charged[i] != names[i]}
        left = [n for i, n in enumerate(names) if charged[i] in torn and i not in own]
        if left:
            raise InputError(
                f"group {name!r} of {step.factor} parts the group of {', '.join(map(repr, left))}",
                do="name all levels of the group that is there",
            )
        units = (paid[own] / values[own]).sum()  # what the levels would pay at a relativity of one
        mean = paid[own].sum() / units if units > 0 else np.exp(np.log(values[own]).mean())
        values[own] = mean
        for i in own:
            charged[i] = name
    return replace(factor, relativities=tuple(values.tolist()), groups=tuple(charged))


def _smooth(step: Smooth, rates: Rates, seen: Against) -> Factor:
    factor = rates.factors[step.factor]
    logs, weights = np.log(factor.values), seen.by_level(rates, step.factor) / seen.per_unit
    if (weights > 0).sum() <= step.order:
        raise InputError(
            f"{step.factor}: {int((weights > 0).sum())} levels have exposure, too few to smooth with "
            f"order {step.order}"
        )
    if step.method == "polynomial":
        x = np.vander(np.linspace(-1, 1, len(logs)), step.order + 1)
        root = np.sqrt(weights)
        found, *_ = np.linalg.lstsq(x * root[:, None], logs * root)
        return _with(factor, np.exp(x @ found))

    def fit(amount: float) -> Curve:
        return whittaker(logs, weights, order=step.order, smoothing=amount)

    amount = step.smoothing
    if amount is None:
        amount = choose_smoothing(fit, float(weights[weights > 0].mean()))
    return _with(factor, np.exp(fit(amount).fitted))


def _cap(step: CapChange, rates: Rates, current: Tariff | None) -> Rates:
    assert current is not None
    now = {factor.term: factor for factor in current.factors}
    for term, factor in rates.factors.items():
        if term not in now or step.factor not in (None, term):
            continue
        base = factor.place(factor.at_base)
        charged = dict(zip(now[term].names, now[term].relativities, strict=True))
        names, values = factor.names, factor.values
        before = np.array([charged.get(n, np.nan) for n in names])
        before *= values[base] / before[base]
        low, high = before * (1 - step.fall), before * (1 + step.up)
        capped = np.where(np.isnan(before), values, np.clip(values, low, high))
        capped[base] = values[base]
        if (capped != values).any():
            rates = _hold(rates, _with(factor, capped))
    return rates


def _keep_total(
    step: KeepTotal, rates: Rates, seen: Against, fitted: Tariff, current: Tariff | None
) -> Rates:
    if step.to == "observed":
        wanted = float(seen.observed.sum()) * seen.per_unit
    elif step.to == "fitted":
        start = Rates(fitted.base_premium, {f.term: f for f in fitted.factors})
        wanted = seen.total(start)
    else:
        assert current is not None
        cells = seen.experience.cells
        known = [name for name in current.keys if name in cells.columns]
        priced = current.price(cells.select(*known, pl.lit(0).alias("_")))
        wanted = float((seen.weight * priced["premium"].to_numpy()).sum())
    return replace(rates, base_premium=rates.base_premium * (wanted / seen.total(rates)))


def _faults_of_current(step: Step, fitted: Tariff, current: Tariff | None) -> list[str]:
    if current is None:
        return ["needs the current tariff: give current="]
    if not isinstance(step, CapChange):
        return []
    now = {factor.term: factor for factor in current.factors}
    terms = [f.term for f in fitted.factors]
    if step.factor is None and not set(terms) & set(now):
        return ["the current tariff has none of the factors"]
    if step.factor is not None and step.factor in terms and step.factor not in now:
        return [f"{step.factor!r} is not in the current tariff{nearest(step.factor, now)}"]
    return [
        f"{f.term}: the current tariff has no level {f.at_base!r}, the base"
        for f in fitted.factors
        if f.term in now and step.factor in (None, f.term) and f.at_base not in now[f.term].names
    ]


def _faults_of_step(step: Step, factor: Factor, groups: dict[str, str]) -> list[str]:
    names = factor.names
    match step:
        case Group():
            given = [level for levels in step.groups.values() for level in levels]
            said = [f"group {n!r} has the name of a level that is not in it"
                    for n, own in step.groups.items() if n in names and n not in own]  # fmt: skip
            return said + _not_levels(factor, given, names)
        case Restrict():
            missing = [n for n in names if n not in step.relativities]
            said = [f"{len(missing)} levels of {factor.term} have no relativity: {missing[:5]}"]
            return _not_levels(factor, list(step.relativities), names) + (said if missing else [])
        case SetLevel():
            if step.level in groups and step.level != groups[step.level]:
                return [
                    f"level {step.level!r} is charged in group {groups[step.level]!r}: set that"
                ]
            return _not_levels(factor, [step.level], [*names, *groups.values()])
        case Rebase():
            return _not_levels(factor, [step.level], names)
        case Smooth():
            if len(factor.variables) > 1:
                return [f"{factor.term} is an interaction: its levels have no one order"]
            if len(names) <= step.order:
                return [f"{factor.term} has {len(names)} levels, too few for order {step.order}"]
    return []


def _not_levels(factor: Factor, given: Sequence[str], names: Sequence[str]) -> list[str]:
    return [
        f"{factor.term} has no level {n!r}{nearest(str(n), names)}" for n in given if n not in names
    ]
