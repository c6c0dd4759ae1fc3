"""The free factors of a tariff fitted again, the fixed ones as offset."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import polars as pl
from threadpoolctl import threadpool_limits

from pricing.errors import InputError
from pricing.estimate.design import design
from pricing.estimate.glm import fit_glm
from pricing.tariff.against import Against, Rates
from pricing.tariff.factor import Factor

__all__ = ["refitted"]

BASE = "(base)"
OFFSET = "_held"


def refitted(rates: Rates, seen: Against) -> Rates:
    """Fit base premium and free factors by maximum likelihood, given the held relativities.

    ln μ = β₀ + Σ free effects + ln Π held relativities: the fit on rows with the held
    relativities as offset, exactly, as cells share their keys. A group is one level. Interactions
    of a held factor are held. A free factor's base level, and with an interaction every pair with
    a base level, has the relativity one.

    Parameters
    ----------
    rates : Rates
        As they stand.
    seen : Against
        The experience, the family and the response.

    Raises
    ------
    InputError
        As :func:`pricing.estimate.glm.fit_glm`.

    Examples
    --------
    >>> from pricing.claims.models import fit_frequency
    >>> from pricing.experience.cells import Experience
    >>> from pricing.tariff.against import against
    >>> from pricing.tariff.factor import factor_of
    >>> from pricing.tariff.fitted import tariff_of
    >>> rows = pl.DataFrame({"zip": ["a", "b"], "exposure": [1.0, 2.0], "claims": [1, 3]})
    >>> cells = Experience.collect(rows, ["zip"])
    >>> model = fit_frequency(cells, "1")
    >>> full = fit_frequency(cells + cells, "zip")
    >>> seen = against(full, cells + cells, tariff_of(full), 1.0)
    >>> held = Rates(1.0, {"zip": factor_of("zip", {"a": 1.0, "b": 1.5})}, frozenset({"zip"}))
    >>> refitted(held, seen).base_premium  # claims over exposure × relativity
    1.0
    """
    bound = {v for t in rates.held for v in rates.factors[t].variables if t == v}
    free = {
        term: factor
        for term, factor in rates.factors.items()
        if term not in rates.held
        and not (len(factor.variables) > 1 and bound & {*factor.variables})
    }
    shift = np.zeros(len(seen.weight))
    for term, factor in rates.factors.items():
        if term not in free:
            shift += np.log(factor.values[seen.codes[term]])
    columns: dict[str, pl.Series] = {}
    names: dict[str, str] = {}
    for term, factor in free.items():
        units = _units(factor)
        charged = np.array(units)[seen.codes[term]]
        kinds = list(dict.fromkeys([BASE, *units]))
        present = set(charged.tolist())
        if len(present) < 2 or BASE not in present:
            # there is nothing to compare: it stays as it is
            shift += np.log(factor.values[seen.codes[term]])
            continue
        key = f"free_{len(columns)}"
        columns[key] = pl.Series(key, charged, dtype=pl.String).cast(pl.Enum(kinds))
        names[key] = term
    source = seen.experience
    cells = source.cells.with_columns(pl.Series(OFFSET, shift), **columns)
    keys = (*source.keys, *columns, OFFSET)
    wide = replace(source, cells=cells, keys=keys)
    try:
        with threadpool_limits(1):  # one thread adds in one order: a replay gives the same bits
            matrix = design(" + ".join(columns) or "1", wide, base=dict.fromkeys(columns, BASE))
            fit = fit_glm(matrix, wide, seen.family, seen.response, prior=seen.prior, offset=OFFSET)
    except InputError as error:
        said = [error.problem, *error.faults]
        for key, term in names.items():
            said = [text.replace(f"{key}[", f"{term}[") for text in said]
        raise InputError(f"the refit: {said[0]}", faults=said[1:], do=error.do) from error
    factors = dict(rates.factors)
    found = {
        (c.variables[0], str(c.levels[0])): float(np.exp(b))
        for c, b in zip(matrix.columns[1:], fit.coefficients[1:], strict=True)
        if np.isfinite(b)
    }
    for key, term in names.items():
        factor = rates.factors[term]
        values = [
            1.0 if unit == BASE else found.get((key, unit), was)
            for unit, was in zip(_units(factor), factor.relativities, strict=True)
        ]
        factors[term] = replace(factor, relativities=tuple(values))
    base_premium = float(np.exp(fit.coefficients[0])) * seen.per_unit
    return replace(rates, base_premium=base_premium, factors=factors)


def _units(factor: Factor) -> list[str]:
    """What is fitted as one: the group of each level, and the base for all that is compared with."""
    charged = list(factor.groups) or factor.names
    at_base: npt.NDArray[np.bool_] = np.zeros([len(names) for names in factor.levels], dtype=bool)
    for axis, (names, base) in enumerate(zip(factor.levels, factor.base, strict=True)):
        place: list[slice | int] = [slice(None)] * at_base.ndim
        place[axis] = names.index(base)
        at_base[tuple(place)] = True
    alone = {g for g, base in zip(charged, at_base.ravel(), strict=True) if base}
    return [BASE if name in alone else name for name in charged]
