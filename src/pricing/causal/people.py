"""People: person-years as arrays, who is treated, and what is known of them beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import numpy.typing as npt
import polars as pl

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.experience.domain import listed, require_columns, require_numbers, require_rows
from pricing.files import fingerprint
from pricing.result.shape import Basis

__all__ = ["Codes", "Flags", "People", "added", "alike", "covariates", "indicator", "require_apart"]

Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]
LEVELS = 500  # of a factor of text
FEW = 5  # values a number may have and still go in without its square


@dataclass(frozen=True)
class People:
    """Person-years to compare: who is in the programme, claims, exposure, what was known before.

    A row is a person-year, a part of one, or any sum of those of one person (claims and exposure
    add). Rows of one person are never taken for independent. Cells of many people of the same
    factors serve as well; each is then one cluster, and there must be many.

    Attributes
    ----------
    treated : boolean array
        In the programme during the row.
    total, exposure : array
        Claims (or amount, after the cap) and policy-years of the row.
    design : array
        A constant, factors as indicators, numbers standardised with their squares: one row for all
        rows of which the same is known.
    cell : integer array
        Row of the design that is known of each row.
    columns : tuple of str
        Names of the design's columns.
    person : integer array
        Code of the person, 0 up.
    outcome : str
        Column that ``total`` came from.
    basis : Basis
        What the rows are.
    """

    treated: Flags
    total: Floats
    exposure: Floats
    design: Floats
    cell: Codes
    columns: tuple[str, ...]
    person: Codes
    outcome: str
    basis: Basis

    @classmethod
    def collect(
        cls,
        rows: pl.DataFrame,
        *,
        treated: str,
        factors: Sequence[str] = (),
        outcome: str = "claims",
        exposure: str = "exposure",
        person: str | None = None,
        cap: float | None = None,
        source: str = "",
    ) -> People:
        """Hold rows against what a comparison needs and make arrays of them.

        Parameters
        ----------
        rows : polars.DataFrame
            Person-years.
        treated : str
            Yes or no, true or false, 1 or 0.
        factors : sequence of str
            What is known *before* the year and may drive both joining and claims: text becomes
            indicators, numbers go in with their squares. Nothing the programme changes, such as
            the health value of the year itself.
        outcome, exposure : str
            Claims or amount, and policy-years.
        person : str, optional
            Who the row belongs to; every row a person of its own where left out.
        cap : float, optional
            Amounts of a row above this count as this: shock claims belong to the pool.
        source : str
            Name of the data.

        Raises
        ------
        InputError
            For missing columns, rows that cannot be priced, empty factors or persons, a factor that
            is the outcome, who is treated or who it is, and where nobody or everybody is treated.

        Examples
        --------
        >>> rows = pl.DataFrame({"in": [True, False], "sex": ["f", "m"], "claims": [1, 0],
        ...                      "exposure": [1.0, 0.5]})
        >>> People.collect(rows, treated="in", factors=["sex"]).columns
        ('1', 'sex[m]')
        """
        names = listed(factors)
        if not isinstance(rows, pl.DataFrame):
            raise InputError(
                f"rows are a {type(rows).__name__}", do="give a polars DataFrame (.collect())"
            )
        used = [*names, treated, outcome, exposure, *([person] if person else [])]
        require_columns(used, rows.columns)
        frame = nw.from_native(rows.lazy())
        schema = frame.collect_schema()
        require_numbers(schema, [outcome, exposure])
        require_apart(names, treated, outcome, *([person] if person else []))
        require_rows(frame, schema, [*names, *([person] if person else [])], exposure, outcome, [])
        taken = indicator(rows[treated])
        total = rows[outcome].cast(pl.Float64).to_numpy()
        notes = [f"outcome: {outcome}", "adjusted for: " + (", ".join(names) or "nothing")]
        if cap is not None:
            if isinstance(cap, bool) or not isinstance(cap, int | float) or not cap > 0:
                raise InputError(f"a cap is above zero, got {cap!r}", where="cap")
            above = int((total > cap).sum())
            notes.append(f"{above:,} rows above {cap:,.0f} are capped there")
            total = np.minimum(total, cap)
        if not total.sum() > 0:
            raise InputError(f"{outcome!r} is zero in every row: there is nothing to compare")
        cell, known, count = alike(rows, names)
        design, columns = covariates(known, names, count)
        codes = (
            np.arange(rows.height)
            if person is None
            else rows[person].rank("dense").to_numpy().astype(np.int64) - 1
        )
        hashed = rows.select(list(dict.fromkeys(used))).hash_rows().sort().to_numpy().tobytes()
        basis = Basis(
            source=source,
            rows=rows.height,
            exposure=float(rows[exposure].sum()),
            claims=float(rows["claims"].sum()) if "claims" in rows.columns else float(total.sum()),
            fingerprint=fingerprint(hashed, *used, str(cap)),
            notes=(*notes, f"errors are clustered by {person or 'row'}: {codes.max() + 1:,}"),
        )
        weight = rows[exposure].cast(pl.Float64).to_numpy()
        return cls(taken, total, weight, design, cell, columns, codes, outcome, basis)

    @property
    def matrix(self) -> Floats:
        """The design, row by row."""
        return self.design[self.cell]

    @property
    def number(self) -> int:
        """Persons."""
        return int(self.person.max()) + 1

    def folds(self, number: int, seed: int = 0) -> Codes:
        """Deal persons to folds of equal size; all rows of one go together."""
        if isinstance(number, bool) or not isinstance(number, int):
            raise InputError(f"folds are a whole number, got {number!r}", where="folds")
        if number == 1:
            return np.zeros(len(self.person), dtype=np.int64)
        if not 2 <= number <= self.number:
            raise InputError(f"{number} folds for {self.number:,} persons", where="folds")
        order = np.random.default_rng(seed).permutation(self.number)
        return np.asarray((order % number)[self.person], dtype=np.int64)

    def with_outcome(self, total: Floats, name: str) -> People:
        """Give the same people another outcome."""
        return replace(self, total=total, outcome=name)


def require_apart(factors: Sequence[str], *roles: str) -> None:
    """Refuse a factor that is the outcome, who is treated or who it is: it would explain itself.

    Examples
    --------
    >>> require_apart(["age"], "in", "claims")
    """
    if both := [name for name in factors if name in roles]:
        raise InputError(
            f"{', '.join(both)} cannot be adjusted for: the comparison is made of it",
            where="factors",
            do="leave it out; a factor is known before the year begins",
        )


def indicator(values: pl.Series) -> Flags:
    """Read who is treated: true and false, yes and no, 1 and 0; both must be there.

    Examples
    --------
    >>> indicator(pl.Series("in", ["yes", "no"])).tolist()
    [True, False]
    """
    words: dict[str, Any] = {"yes": True, "no": False, "true": True, "false": False}
    words |= {"1": True, "0": False, "1.0": True, "0.0": False}
    found = values
    if values.dtype != pl.Boolean:
        found = values.cast(pl.String).replace_strict(words, default=None, return_dtype=pl.Boolean)
    if found.null_count():
        odd = values.filter(found.is_null()).cast(pl.String).unique().sort().to_list()[:3]
        raise InputError(
            f"{found.null_count():,} rows are neither yes nor no, such as {odd}",
            where=values.name,
            do="give true and false, yes and no, or 1 and 0",
        )
    taken = found.to_numpy().astype(bool)
    if taken.all() or not taken.any():
        whom = "everybody" if taken.all() else "nobody"
        raise InputError(
            f"{whom} is in: there is nobody to compare with",
            where=values.name,
            do="give rows of both sides",
        )
    return np.asarray(taken)


def added(values: Floats, cell: Codes, cells: int) -> Floats:
    """Add values of rows up by cell.

    Examples
    --------
    >>> added(np.array([1.0, 2.0, 3.0]), np.array([0, 1, 0]), 2).tolist()
    [4.0, 2.0]
    """
    return np.bincount(cell, values, minlength=cells).astype(np.float64, copy=False)


def alike(rows: pl.DataFrame, factors: Sequence[str]) -> tuple[Codes, pl.DataFrame, Codes]:
    """Tell rows of which the same is known: the cell of each row, the cells, how many rows each has.

    Examples
    --------
    >>> cell, known, count = alike(pl.DataFrame({"sex": ["f", "m", "f"]}), ["sex"])
    >>> cell.tolist(), known["sex"].to_list(), count.tolist()
    ([0, 1, 0], ['f', 'm'], [2, 1])
    """
    if not factors or rows.is_empty():
        count = np.full(min(rows.height, 1), rows.height)
        return np.zeros(rows.height, dtype=np.int64), rows.head(1), count
    numbered = rows.select(*factors, _row=pl.int_range(pl.len()))
    known = numbered.group_by(factors, maintain_order=True).agg("_row")
    count = known["_row"].list.len().cast(pl.Int64).to_numpy()
    cell = np.empty(rows.height, dtype=np.int64)
    cell[known["_row"].explode().to_numpy()] = np.repeat(np.arange(len(count)), count)
    return cell, known.drop("_row"), count


def covariates(
    rows: pl.DataFrame, factors: Sequence[str], count: Codes | None = None
) -> tuple[Floats, tuple[str, ...]]:
    """Make a matrix of what is known: a constant, indicators, numbers standardised and squared.

    With ``count`` each row stands for as many.

    Examples
    --------
    >>> covariates(pl.DataFrame({"n": [0, 1, 1]}), ["n"])[1]
    ('1', 'n')
    """
    parts, names = [np.ones(rows.height)], ["1"]
    for name in factors:
        column = rows[name]
        if column.dtype == pl.Boolean:
            column = column.cast(pl.Int8)
        if column.dtype.is_numeric():
            value = column.cast(pl.Float64).to_numpy()
            if not (finite := np.isfinite(value)).all():
                odd = (~finite).sum() if count is None else count[~finite].sum()
                raise InputError(
                    f"{int(odd):,} rows are null, NaN or infinite",
                    where=name,
                    do="fill them or leave the rows out",
                )
            value = value - np.average(value, weights=count)
            spread = np.sqrt(np.average(value**2, weights=count))
            if not spread > 0:
                continue
            value = value / spread
            parts.append(value)
            names.append(name)
            if column.n_unique() > FEW:
                parts.append(value**2 - 1)
                names.append(f"{name}²")
            continue
        if column.dtype.is_temporal():
            raise InputError(
                f"is {column.dtype}, of which every value would be a level of its own",
                where=name,
                do="make a number of it, such as the age",
            )
        text = column.cast(pl.String)
        levels = text.unique().sort()
        if len(levels) > LEVELS:
            raise InputError(
                f"has {len(levels):,} levels, of which {LEVELS} can be told apart",
                where=name,
                do="group them; an id is no factor",
            )
        own = text.cast(pl.Enum(levels)).to_physical().to_numpy()
        for number, level in enumerate(levels[1:], start=1):
            parts.append((own == number).astype(np.float64))
            names.append(f"{name}[{level}]")
    return np.column_stack(parts), tuple(names)
