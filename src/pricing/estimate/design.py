"""Formula to matrices on cells: factors as codes, covariates as columns, aliased columns found.

Factors are coded by treatment contrasts against a base level, so a coefficient is the log of a
relativity to that base.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from itertools import product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sps
import tabmat
from formulaic import Formula
from formulaic.errors import FormulaicError

from pricing.errors import InputError, nearest
from pricing.estimate.splines import Spline, read_spline, spline_basis
from pricing.experience.cells import Experience

__all__ = ["Column", "Design", "Floats", "design", "intercept", "parse", "squares", "variables"]

Floats = npt.NDArray[np.float64]
INTERCEPT = "(intercept)"
MOST_COLUMNS = 2_000  # the information matrix is dense: 32 MB at 2,000, 80 GB at 100,000


@dataclass(frozen=True)
class Column:
    """One coefficient: the variables it multiplies and, for factors, their levels.

    ``levels[i]`` is the level of ``variables[i]``, or None where that variable is a covariate.
    ``spline`` is the function of the covariate ``smooth`` that stands in its place.
    """

    term: str
    variables: tuple[str, ...]
    levels: tuple[str | None, ...]
    spline: Spline | None = None
    smooth: str = ""

    @property
    def name(self) -> str:
        """Name the coefficient, such as ``sex[male]:age``."""
        if not self.variables:
            return self.term
        said = ":".join(
            v if level is None else f"{v}[{level}]"
            for v, level in zip(self.variables, self.levels, strict=True)
        )
        return said if self.spline is None else f"{said}~{self.spline.part}"

    @property
    def level(self) -> str:
        """Name the levels, such as ``male × premium``; empty for a covariate."""
        parts = [level for level in self.levels if level is not None]
        return " × ".join(parts if self.spline is None else [*parts, f"~{self.spline.part}"])

    def value(self) -> pl.Expr:
        """Write the column's value in a row: 1 at its levels, times its covariates."""
        parts = [
            self.covariate(v) if at is None else _is_at(v, at)
            for v, at in zip(self.variables, self.levels, strict=True)
        ]
        return reduce(lambda a, b: a * b, parts, pl.lit(1.0))

    def covariate(self, name: str) -> pl.Expr:
        """Write one of its covariates, or the spline that stands in its place."""
        if self.spline is not None and name == self.smooth:
            return self.spline.value(pl.col(name))
        return pl.col(name).cast(pl.Float64)

    def record(self) -> dict[str, Any]:
        """Give what is saved of it; :meth:`read` reads it back."""
        said: dict[str, Any] = {
            "term": self.term,
            "variables": list(self.variables),
            "levels": list(self.levels),
        }
        if self.spline is not None:
            spline = asdict(self.spline)
            said["spline"] = spline | {name: list(spline[name]) for name in ("knots", "weights")}
            said["smooth"] = self.smooth
        return said

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Column:
        """Read what :meth:`record` gave."""
        spline = said.get("spline")
        if spline is not None:
            spline = Spline(**spline | {name: tuple(spline[name]) for name in ("knots", "weights")})
        variables, levels = tuple(said["variables"]), tuple(said["levels"])
        return cls(said["term"], variables, levels, spline, said.get("smooth", ""))


@dataclass(frozen=True)
class Design:
    """A design matrix on cells, with what each column means.

    Attributes
    ----------
    columns : tuple of Column
        One per column of ``matrix``; the first is the intercept.
    matrix : tabmat.SplitMatrix
        Cells × columns.
    base : mapping of str to str
        Base level of each factor.
    levels : mapping of str to tuple of str
        The levels of each factor that have exposure, in order; the model knows no others.
    """

    columns: tuple[Column, ...]
    matrix: Any
    base: Mapping[str, str]
    levels: Mapping[str, tuple[str, ...]]

    def keep(self, kept: npt.NDArray[np.bool_]) -> Any:
        """Give the matrix with only the columns marked in ``kept``."""
        if kept.all():
            return self.matrix
        # tabmat joins the dense blocks, so its blocks are not the terms: indices say whose columns
        places = np.cumsum(kept) - 1
        pairs = [
            (block, columns, kept[columns])
            for block, columns in zip(self.matrix.matrices, self.matrix.indices, strict=True)
        ]
        return tabmat.SplitMatrix(
            [_narrow(block, mask) for block, _, mask in pairs if mask.any()],
            [places[columns[mask]] for _, columns, mask in pairs if mask.any()],
        )


def parse(formula: str, experience: Experience) -> list[tuple[str, ...]]:
    """Read a formula into terms, each a tuple of keys; an intercept is always in.

    Parameters
    ----------
    formula : str
        Wilkinson notation on the experience's keys: ``"age_band + sex * tier"``. Factors and
        covariates are told apart by the keys' types. Empty or ``"1"`` is the intercept alone.
    experience : Experience
        Names the keys.

    Raises
    ------
    InputError
        For a formula that cannot be read, a term that is not a key (with the nearest key), or an
        interaction without its main effects.

    Examples
    --------
    >>> rows = pl.DataFrame({"sex": ["f"], "age": [40.0], "exposure": [1.0], "claims": [1]})
    >>> parse("sex * age", Experience.collect(rows, ["sex", "age"]))
    [('sex',), ('age',), ('sex', 'age')]
    """
    read = _read(formula)
    if ("1",) not in read:
        raise InputError("a rating model keeps its intercept", where=formula, do="leave out '- 1'")
    found = [term for term in read if term != ("1",)]
    names = dict.fromkeys(name for term in found for name in term)
    faults = [
        f"{key!r} is not a key of the experience{nearest(key, experience.keys)}"
        for key in dict.fromkeys(_variable(name) for name in names)
        if key not in experience.keys
    ]
    faults += [
        f"{name} smooths a factor: a spline takes a number"
        for name in names
        if name != _variable(name) and _variable(name) in experience.factors
    ]
    faults += [
        f"{':'.join(term)} has more than one spline"
        for term in found
        if sum(name != _variable(name) for name in term) > 1
    ]
    faults += [
        f"{':'.join(term)} needs {name!r} as a main effect"
        for term in found
        for name in term
        if len(term) > 1 and (name,) not in found and _variable(name) in experience.keys
    ]
    if faults:
        raise InputError("terms that cannot be fitted", where=formula, faults=faults)
    return sorted(found, key=len)


def variables(formula: str) -> tuple[str, ...]:
    """List the keys a formula names, in order, before there is any experience.

    Examples
    --------
    >>> variables("sex * tier + age_band")
    ('sex', 'tier', 'age_band')
    """
    names = (name for term in _read(formula) for name in term if name != "1")
    return tuple(dict.fromkeys(_variable(name) for name in names))


def _variable(name: str) -> str:
    """The key behind a name of a formula: that of a spline is its covariate."""
    spline = read_spline(name)
    return name if spline is None else spline[1]


def _read(formula: str) -> list[tuple[str, ...]]:
    try:
        terms = list(Formula(formula.strip() or "1"))
        return [tuple(str(factor.expr) for factor in term.factors) for term in terms]
    except (FormulaicError, SyntaxError, ValueError, TypeError, AttributeError) as error:
        # the lines that follow the first point at the place with terminal colours
        reason = "one side only, without ~ or |" if isinstance(error, AttributeError) else error
        raise InputError(
            f"the formula cannot be read: {str(reason).splitlines()[0]}",
            where=str(formula),
            do="write it as age_band + sex * tier",
        ) from error


def design(
    formula: str, experience: Experience, *, base: Mapping[str, str] | None = None
) -> Design:
    """Build the design matrix of a formula on the cells of an experience.

    Parameters
    ----------
    formula : str
        See :func:`parse`.
    experience : Experience
        Cells.
    base : mapping of str to str, optional
        Base level of a factor; else the level with the largest exposure.

    Raises
    ------
    InputError
        As :func:`parse`; for a base that is not a level or has no exposure, or of a factor that is
        not in the formula; for a factor that has a single level with exposure; for more than
        :data:`MOST_COLUMNS` coefficients.

    Examples
    --------
    >>> rows = pl.DataFrame({"sex": ["f", "m"], "exposure": [2.0, 1.0], "claims": [1, 1]})
    >>> [c.name for c in design("sex", Experience.collect(rows, ["sex"])).columns]
    ['(intercept)', 'sex[m]']
    """
    terms = parse(formula, experience)
    known = experience.factors
    factors = [n for n in dict.fromkeys(n for term in terms for n in term) if n in known]
    levels = {name: _present(experience, name) for name in factors}
    bases = _bases(experience, factors, base or {})
    _require_size(terms, levels, formula)
    columns = [Column(INTERCEPT, (), ())]
    blocks: list[Any] = [tabmat.DenseMatrix(np.ones((experience.cells.height, 1)))]
    for term in terms:
        for block, described in _blocks(term, experience, levels, bases):
            blocks.append(block)
            columns += described
    return Design(tuple(columns), tabmat.SplitMatrix(blocks), bases, levels)


def intercept(cells: int) -> Any:
    """Give the matrix of the intercept alone.

    Examples
    --------
    >>> intercept(3).shape
    (3, 1)
    """
    return tabmat.SplitMatrix([tabmat.DenseMatrix(np.ones((cells, 1)))])


def squares(matrix: Any, values: Floats) -> Floats:
    """Give Σx²v of every column: the diagonal of X'VX without the rest.

    Examples
    --------
    >>> rows = pl.DataFrame({"sex": ["f", "m"], "exposure": [2.0, 1.0], "claims": [1, 1]})
    >>> x = design("sex", Experience.collect(rows, ["sex"])).matrix
    >>> squares(x, np.array([2.0, 1.0])).tolist()
    [3.0, 1.0]
    """
    found = np.zeros(matrix.shape[1])
    for block, columns in zip(matrix.matrices, matrix.indices, strict=True):
        if isinstance(block, tabmat.CategoricalMatrix):
            found[columns] = block.transpose_matvec(values)
        elif isinstance(block, tabmat.SparseMatrix):
            found[columns] = block.array_csc.power(2).T @ values
        else:
            found[columns] = (np.asarray(block.toarray()) ** 2).T @ values
    return found


def _is_at(variable: str, level: str) -> pl.Expr:
    text = pl.col(variable).cast(pl.String)
    spelt = {"yes": ["yes", "true"], "no": ["no", "false"]}.get(level, [level])
    return text.is_in(spelt).cast(pl.Float64)


def _present(experience: Experience, name: str) -> tuple[str, ...]:
    every = experience.levels(name)
    codes = experience.cells[name].to_physical().to_numpy()
    seen = np.bincount(codes, minlength=len(every)) > 0
    return tuple(level for level, some in zip(every, seen, strict=True) if some)


def _require_size(
    terms: Sequence[tuple[str, ...]], levels: Mapping[str, tuple[str, ...]], formula: str
) -> None:
    sizes = {
        ":".join(term): prod(max(len(levels[n]) - 1, 1) for n in term if n in levels)
        for term in terms
    }
    if 1 + sum(sizes.values()) > MOST_COLUMNS:
        worst = sorted(sizes, key=lambda term: -sizes[term])[:3]
        raise InputError(
            f"{1 + sum(sizes.values()):,} coefficients are more than the {MOST_COLUMNS:,} "
            "that a fit takes",
            where=formula,
            faults=[f"{term}: {sizes[term]:,} coefficients" for term in worst],
            do="group the levels, or leave the term out and use credibility for it",
        )


def _bases(
    experience: Experience, factors: Sequence[str], wanted: Mapping[str, str]
) -> dict[str, str]:
    bases: dict[str, str] = {}
    faults = [
        f"{name}: a base is given, but the formula has no such factor{nearest(name, factors)}"
        for name in wanted
        if name not in factors
    ]
    exposure = experience.values("exposure")
    for name in factors:
        codes, every = experience.cells[name].to_physical().to_numpy(), experience.levels(name)
        seen = np.bincount(codes, minlength=len(every)) > 0
        behind = np.where(seen, np.bincount(codes, weights=exposure, minlength=len(every)), -1.0)
        present = [level for level, some in zip(every, seen, strict=True) if some]
        bases[name] = wanted.get(name, every[int(np.argmax(behind))])
        if bases[name] not in present:
            faults.append(
                f"{name}: base {bases[name]!r} has no exposure{nearest(bases[name], present)}"
            )
        elif len(present) == 1:
            faults.append(f"{name}: only {present[0]!r} has exposure, there is nothing to compare")
    if faults:
        raise InputError(
            "factors that cannot be fitted", faults=faults, do="change base or formula"
        )
    return bases


def _blocks(
    term: tuple[str, ...],
    experience: Experience,
    levels: Mapping[str, tuple[str, ...]],
    bases: Mapping[str, str],
) -> list[tuple[Any, list[Column]]]:
    """One block for a term, or one for each function of its spline."""
    smooth = next((name for name in term if name != _variable(name)), None)
    if smooth is None:
        return [_block(term, experience, levels, bases, ":".join(term))]
    at = _variable(smooth)
    values, plain = experience.values(at), tuple(_variable(name) for name in term)
    parts = spline_basis(smooth, values, experience.values("exposure"))
    functions = pl.DataFrame({at: values}).select(
        **{str(p.part): p.value(pl.col(at)) for p in parts}
    )
    found = []
    for p in parts:
        own = functions[str(p.part)].to_numpy()
        block, described = _block(plain, experience, levels, bases, ":".join(term), (at, own))
        found.append((block, [replace(c, spline=p, smooth=at) for c in described]))
    return found


def _block(
    term: tuple[str, ...],
    experience: Experience,
    levels: Mapping[str, tuple[str, ...]],
    bases: Mapping[str, str],
    name: str,
    smooth: tuple[str, Floats] | None = None,
) -> tuple[Any, list[Column]]:
    factors = [name for name in term if name in levels]
    rest = [[v for v in levels[name] if v != bases[name]] for name in factors]
    combinations = list(product(*rest))
    cells = experience.cells
    described = [
        Column(name, term, tuple(dict(zip(factors, c, strict=True)).get(v) for v in term))
        for c in combinations
    ]
    covariate = np.ones(cells.height)
    for variable in term:
        if smooth is not None and variable == smooth[0]:
            covariate = covariate * smooth[1]
        elif variable not in levels:
            covariate = covariate * experience.values(variable)
    if not factors:
        return tabmat.DenseMatrix(covariate[:, None]), described
    codes = _codes(experience, factors, rest)
    if len(factors) == len(term):
        return _categorical(codes, len(combinations)), described
    rows = np.flatnonzero(codes >= 0)
    sparse = sps.csc_matrix(
        (covariate[rows], (rows, codes[rows])), shape=(cells.height, len(combinations))
    )
    return tabmat.SparseMatrix(sparse), described


def _narrow(block: Any, mask: npt.NDArray[np.bool_]) -> Any:
    if not isinstance(block, tabmat.CategoricalMatrix):
        return block[:, np.flatnonzero(mask)]
    codes = np.asarray(block.indices)
    places = np.append(np.where(mask, np.cumsum(mask) - 1, -1), -1)  # the last one serves code −1
    return _categorical(places[codes].astype(np.int32), int(mask.sum()))


def _categorical(codes: npt.NDArray[np.int32], levels: int) -> Any:
    """One column per code, none for −1; tabmat's own check of the codes runs through them in Python."""
    first = np.full(1, codes.min(initial=0), dtype=np.int32)
    block = tabmat.CategoricalMatrix(first, np.arange(levels), cat_missing_method="zero")
    block.indices, block.shape = codes, (len(codes), levels)
    return block


def _codes(
    experience: Experience, factors: Sequence[str], rest: Sequence[Sequence[str]]
) -> npt.NDArray[np.int32]:
    """Number each cell's combination of non-base levels; −1 where any factor is at its base."""
    code = np.zeros(experience.cells.height, dtype=np.int64)
    at_base = np.zeros(experience.cells.height, dtype=bool)
    for name, names in zip(factors, rest, strict=True):
        places = {level: place for place, level in enumerate(names)}
        categories = experience.levels(name)  # the codes count every level, with exposure or not
        of_code = np.array([places.get(level, -1) for level in categories], dtype=np.int64)
        one = of_code[experience.cells[name].to_physical().to_numpy()]
        at_base |= one < 0
        code = code * len(names) + one
    return np.where(at_base, -1, code).astype(np.int32)
