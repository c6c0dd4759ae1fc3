"""One factor table of a tariff: a relativity for every level, or every pair of levels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import polars as pl

from pricing.claims.score import level_text
from pricing.errors import InputError, nearest
from pricing.estimate.design import Floats

__all__ = ["BETWEEN", "Factor", "Pairs", "above_zero", "factor_of"]

BETWEEN = " × "  # between the levels of an interaction, as models name them
MOST_CELLS = 1_000_000
Pairs = Mapping[Any, float] | Sequence[tuple[Any, float]]


@dataclass(frozen=True)
class Factor:
    """Relativities of one rating factor or of an interaction of two.

    Attributes
    ----------
    variables : tuple of str
        The columns it reads, one or two.
    levels : tuple of tuple of str
        Levels of each variable, in order.
    relativities : tuple of float
        Above zero; those of an interaction row by row, the last variable running fastest.
    base : tuple of str
        The level of each variable that a row is given where its own is not known and that is
        allowed.
    groups : tuple of str
        Name of the group each relativity is charged in; the level itself where it is alone.
    """

    variables: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    relativities: tuple[float, ...]
    base: tuple[str, ...]
    groups: tuple[str, ...] = field(default=())

    @property
    def term(self) -> str:
        """Its name, such as ``sex`` or ``sex:tier``."""
        return ":".join(self.variables)

    @property
    def names(self) -> list[str]:
        """Name each relativity's level, such as ``female × basic``."""
        return [BETWEEN.join(pair) for pair in product(*self.levels)]

    @property
    def at_base(self) -> str:
        """Name the base level."""
        return BETWEEN.join(self.base)

    @property
    def values(self) -> Floats:
        """The relativities as an array."""
        return np.array(self.relativities, dtype=np.float64)

    def place(self, level: str) -> int:
        """Number a level.

        Raises
        ------
        InputError
            For a level that is not there.
        """
        names = self.names
        if level not in names:
            raise InputError(f"{self.term} has no level {level!r}{nearest(level, names)}")
        return names.index(level)

    def codes(self, cells: pl.DataFrame) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Number the level of every cell; −1 where it is not known."""
        code = self._code(cells.schema, unknown=False)
        found = cells.select(code.cast(pl.Int64).fill_null(-1).alias("code"))["code"]
        return found.to_numpy()

    def expression(self, schema: pl.Schema | None = None, *, unknown: bool = False) -> pl.Expr:
        """Write the relativity of a row as an expression; null for an unknown level.

        Parameters
        ----------
        schema : polars.Schema, optional
            Types of the frame: a factor of type Enum is then looked up by its code, much faster.
        unknown : bool
            Give an unknown level the relativity of the base.
        """
        if len(self.variables) == 1:
            values = list(self.relativities)
            other = values[self.levels[0].index(self.base[0])] if unknown else None
            found = _lookup(self.variables[0], self.levels[0], values, pl.Float64, schema, other)
        else:
            series = pl.Series(self.relativities, dtype=pl.Float64)
            found = pl.lit(series).gather(self._code(schema, unknown=unknown))
        return found.alias(f"relativity:{self.term}")

    def _code(self, schema: pl.Schema | None, *, unknown: bool) -> pl.Expr:
        code: pl.Expr | None = None
        for name, levels, base in zip(self.variables, self.levels, self.base, strict=True):
            other = levels.index(base) if unknown else None
            one = _lookup(name, levels, list(range(len(levels))), pl.UInt32, schema, other)
            code = one if code is None else code * pl.lit(len(levels), dtype=pl.UInt32) + one
        assert code is not None
        return code


def factor_of(term: str, relativities: Pairs, base: str | None = None) -> Factor:
    """Make a factor table from its levels and relativities, given by hand or read from a file.

    Parameters
    ----------
    term : str
        Column, or two joined by a colon: ``"sex:tier"``.
    relativities : mapping, or sequence of (level, relativity)
        A level is a text; that of an interaction a pair of texts, or both joined by ``" × "``.
        An interaction names every pair. The order is kept.
    base : str, optional
        Base level; else the first whose relativity is one, or the first.

    Raises
    ------
    InputError
        With every fault: no levels, a level twice or empty, a relativity that is no number above
        zero, pairs that are missing, a base that is no level.

    Examples
    --------
    >>> factor_of("sex", {"f": 1.0, "m": 1.2}).base
    ('f',)
    >>> factor_of("sex", [("f", 1.0), ("f", -1.2)])
    Traceback (most recent call last):
        ...
    pricing.errors.InputError: factor table that cannot be used
      - sex: level 'f' stands 2 times
      - sex: relativity of 'f' is -1.2, not a number above zero
    """
    variables = tuple(term.split(":"))
    pairs = list(relativities.items() if isinstance(relativities, Mapping) else relativities)
    faults = []
    if not all(variables) or len(variables) > 2 or len(set(variables)) < len(variables):
        faults.append(f"{term!r} is not one column or two joined by a colon")
    if not pairs:
        faults.append(f"{term}: there are no levels")
    keys = [_pair(level, len(variables)) for level, _ in pairs]
    wanted = "a text" if len(variables) == 1 else "a pair of texts"
    odd = [level for (level, _), key in zip(pairs, keys, strict=True) if key is None]
    faults += [f"{term}: level {level!r} is not {wanted}" for level in odd]
    times = Counter(BETWEEN.join(key) for key in keys if key is not None)
    faults += [f"{term}: level {name!r} stands {n} times" for name, n in times.items() if n > 1]
    faults += [
        f"{term}: relativity of {level!r} is {value!r}, not a number above zero"
        for level, value in pairs
        if not above_zero(value)
    ]
    if faults:
        raise InputError("factor table that cannot be used", faults=faults)
    known: dict[tuple[str, ...], float] = {
        key: float(value) for key, (_, value) in zip(keys, pairs, strict=True) if key is not None
    }
    levels = tuple(tuple(dict.fromkeys(key[i] for key in known)) for i in range(len(variables)))
    every = list(product(*levels)) if math.prod(map(len, levels)) <= MOST_CELLS else []
    missing = [BETWEEN.join(pair) for pair in every if pair not in known]
    if missing or not every:
        faults.append(f"{term}: {len(missing):,} pairs have no relativity, such as {missing[:3]}")
    at = _pair(base, len(variables)) if base is not None else None
    if base is not None and at not in known:
        names = [BETWEEN.join(key) for key in known]
        faults.append(f"{term}: base {base!r} is not a level{nearest(str(base), names)}")
    if faults:
        raise InputError("factor table that cannot be used", faults=faults)
    first = next((key for key, value in known.items() if value == 1.0), next(iter(known)))
    return Factor(variables, levels, tuple(known[pair] for pair in every), at or first)


def above_zero(value: Any) -> bool:
    """Whether a value is a finite number above zero; True and False are none.

    Examples
    --------
    >>> above_zero(1.2), above_zero(0), above_zero(float("nan")), above_zero("1"), above_zero(True)
    (True, False, False, False, False)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        return False
    return bool(math.isfinite(value) and value > 0)


def _pair(level: Any, size: int) -> tuple[str, ...] | None:
    parts = tuple(level) if isinstance(level, tuple | list) else (level,)
    if size == 2 and len(parts) == 1 and isinstance(level, str):
        parts = tuple(level.split(BETWEEN))
    good = len(parts) == size and all(isinstance(p, str) and p for p in parts)
    return parts if good else None


def _lookup(
    name: str,
    levels: Sequence[str],
    values: Sequence[float],
    dtype: type[pl.DataType],
    schema: pl.Schema | None,
    other: float | None,
) -> pl.Expr:
    known = dict(zip(levels, values, strict=True))
    kind = schema.get(name) if schema else None
    if isinstance(kind, pl.Enum):
        by_code = pl.Series([known.get(x, other) for x in kind.categories], dtype=dtype)
        return pl.lit(by_code).gather(pl.col(name).to_physical())
    return level_text(name, levels).replace_strict(known, default=other, return_dtype=dtype)
