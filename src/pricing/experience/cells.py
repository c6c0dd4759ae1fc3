"""Experience: cells of rating factors with sums that add, the waist of the house.

Every estimate of this package is a function of these sums. For a Poisson count model with
claims n, exposure e and a cell rate λ, the row-level quantities are, summed over a cell's rows,

* score                Σ(n − eλ)              = Σn − λΣe
* robust score square  Σ(n − eλ)²             = Σn² − 2λΣne + λ²Σe²
* Pearson χ²           Σ(n − eλ)²/(eλ)        = Σ(n²/e)/λ − 2Σn + λΣe
* deviance             2Σ[n ln(n/eλ) − n + eλ] = 2[Σn ln(n/e) − Σn ln λ − Σn + λΣe]

so a fit on cells gives the row-level coefficients, model-based and robust errors, deviance and
dispersion, to rounding.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import narwhals.stable.v2 as nw
import numpy as np
import numpy.typing as npt
import polars as pl

from pricing.errors import InputError
from pricing.experience.domain import (
    listed,
    require_columns,
    require_names,
    require_numbers,
    require_rows,
)
from pricing.experience.engines import AnyFrame, counted, is_here, opened, to_cells
from pricing.experience.measures import MEASURES, MEASURES_OF_AMOUNTS, measured
from pricing.files import fingerprint, replacing
from pricing.result.shape import Basis

__all__ = ["MEASURES", "Experience"]

MOST = 2.0**53


@dataclass(frozen=True, kw_only=True)
class Experience:
    """Observed experience by cell of rating factors; two over the same keys add.

    Attributes
    ----------
    cells : polars.DataFrame
        One row per combination of levels: keys (Enum for factors, Float64 or integers for
        covariates), the measures of :data:`MEASURES` and further sums (such as premium).
    keys : tuple of str
        The factor and covariate columns.
    basis : Basis
        Source, period, filters and currency; rows, exposure and claims are the cells' totals.

    Examples
    --------
    >>> rows = pl.DataFrame({"sex": ["f", "m", "m"], "exposure": [1.0, 0.5, 1.0], "claims": [0, 1, 2]})
    >>> seen = Experience.collect(rows, ["sex"])
    >>> seen.cells.select("sex", "exposure", "claims", "claims_squared").rows()
    [('f', 1.0, 0, 0), ('m', 1.5, 3, 5)]
    >>> (seen + seen).cells["claims"].to_list()
    [0, 6]
    """

    cells: pl.DataFrame
    keys: tuple[str, ...]
    basis: Basis = field(default_factory=Basis)

    @classmethod
    def collect(
        cls,
        frame: AnyFrame,
        keys: Sequence[str],
        *,
        exposure: str = "exposure",
        claims: str = "claims",
        amount: str | None = None,
        sums: Sequence[str] = (),
        basis: Basis | None = None,
    ) -> Experience:
        """Group rows into cells, once; rows are not needed again.

        Parameters
        ----------
        frame : frame of any engine
            One row per person-year or part of one: a polars DataFrame or LazyFrame, a DuckDB
            relation, a PySpark DataFrame, pandas or pyarrow. DuckDB and Spark count and group
            where the rows are; the cells are the same (``docs/engines.md``).
        keys : sequence of str
            Factors (String, Enum, Categorical, Boolean) and covariates (numbers).
        exposure : str
            Column of exposure in policy-years, above zero.
        claims : str
            Column of claim counts, zero or more (fractional only for expected claims).
        amount : str, optional
            Column of claim amounts in the study's currency, zero or more.
        sums : sequence of str
            Further columns to add up, such as ``standard_premium``.
        basis : Basis, optional
            Source, period, filters, currency.

        Raises
        ------
        InputError
            For a frame of another kind, missing columns, keys or sums that cannot serve as such,
            keys that are null or not finite, an exposure that is null, not finite or not above
            zero, claims or amounts that are null, not finite or negative, or no rows: all said at
            once, with counts; and for whole numbers whose sum in a cell passes 2⁵³.
        """
        keys, sums = listed(keys), listed(sums)
        money = [*([amount] if amount else []), *sums]
        columns = [*keys, exposure, claims, *money]
        rows = opened(frame, columns)
        schema = rows.collect_schema()
        require_columns(columns, schema.names())
        require_numbers(schema, [exposure, claims, *money])
        ours = {"exposure": exposure, "claims": claims, "amount": amount}
        measures = [n for n in MEASURES if amount or n not in MEASURES_OF_AMOUNTS]
        taken = [n for n in sums if n in measures and ours.get(n) != n]
        require_names(schema, keys, sums, taken)

        def look() -> int:
            return require_rows(rows, schema, keys, exposure, claims, money)

        # polars goes on over rows out of their domain, the others stop: there they are looked at first
        many = (counted(rows, rows=nw.len())["rows"] if is_here(rows) else 0) or look()
        quantities, groups, names, whole = measured(rows, keys, exposure, claims, amount, sums)
        cells = to_cells(quantities, list(groups), list(names), rows=many)
        cells = cells.rename(groups | names).select(*keys, "rows", *names.values())
        if _faulty(cells, keys):
            look()
        return cls._of(_whole(cells, whole), tuple(keys), basis or Basis())

    @classmethod
    def _of(cls, cells: pl.DataFrame, keys: tuple[str, ...], basis: Basis) -> Experience:
        cells = cells.with_columns(
            pl.col(name).cast(pl.Enum(cells[name].unique().sort().to_list()))
            for name in keys
            if cells.schema[name] == pl.String
        ).sort(keys)
        totals = cells.select(pl.col("rows", "exposure", "claims").sum()).row(0, named=True)
        return cls(
            cells=cells,
            keys=keys,
            basis=replace(
                basis,
                rows=int(totals["rows"]),
                exposure=float(totals["exposure"]),
                claims=float(totals["claims"]),
                fingerprint=_fingerprint(cells),
            ),
        )

    @property
    def factors(self) -> tuple[str, ...]:
        """The keys that are factors (Enum); the rest are numeric covariates."""
        return tuple(name for name in self.keys if self.cells.schema[name] == pl.Enum)

    def levels(self, factor: str) -> list[str]:
        """List the levels of a factor in order.

        Examples
        --------
        >>> rows = pl.DataFrame({"tier": ["b", "a"], "exposure": [1.0, 1.0], "claims": [0, 1]})
        >>> Experience.collect(rows, ["tier"]).levels("tier")
        ['a', 'b']
        """
        require_columns([factor], self.keys)
        kind = self.cells.schema[factor]
        if not isinstance(kind, pl.Enum):
            raise InputError(f"{factor!r} is a covariate ({kind}), not a factor with levels")
        return kind.categories.to_list()

    def with_keys(self, **keys: pl.Expr) -> Experience:
        """Add keys made of other keys, such as an age band of single ages.

        Right only for an expression of the keys, which every row of a cell shares; leave out the
        keys that are no longer wanted with :meth:`by`. Yes or no becomes a factor of ``no`` and
        ``yes``, as in :meth:`collect`.

        Raises
        ------
        InputError
            For names that are taken, expressions that read what is no key, keys that are neither a
            factor nor a number, and cells that get none, NaN or infinity.

        Examples
        --------
        >>> from pricing.experience.bands import band
        >>> rows = pl.DataFrame({"age": [25, 41, 67], "exposure": [1.0] * 3, "claims": [0, 1, 2]})
        >>> seen = Experience.collect(rows, ["age"]).with_keys(age_band=band("age", [0, 40, 60]))
        >>> seen.by("age_band").cells.select("age_band", "claims").rows()
        [('0-39', 0), ('40-59', 1), ('60+', 2)]
        """
        require_columns([n for key in keys.values() for n in key.meta.root_names()], self.keys)
        faults = [f"{name!r} is there already" for name in keys if name in self.cells.columns]
        cells = self.cells.with_columns(**keys) if not faults else self.cells
        for name in keys if not faults else ():
            kind = cells.schema[name]
            if kind in (pl.Boolean, pl.Categorical):
                yes = pl.when(pl.col(name)).then(pl.lit("yes")).otherwise(pl.lit("no"))
                level = yes if kind == pl.Boolean else pl.col(name).cast(pl.String)
                cells = cells.with_columns(
                    pl.when(pl.col(name).is_not_null()).then(level).alias(name)
                )
            elif not (kind in (pl.String, pl.Enum) or kind.is_integer() or kind.is_float()):
                faults.append(f"{name!r} is {kind}: neither a factor nor a number")
                continue
            there = pl.col(name).is_finite() if kind.is_float() else pl.col(name).is_not_null()
            none = cells.filter(~there.fill_null(False))
            if none.height:
                what = "null, NaN or infinite" if kind.is_float() else "null"
                of = none.select(self.keys).unique(maintain_order=True).head(3).rows(named=True)
                faults.append(f"{name!r} is {what} in {none['rows'].sum():,} rows, such as {of}")
        if faults:
            raise InputError("keys that cannot be added", faults=faults)
        order = [*self.keys, *keys, *(n for n in self.cells.columns if n not in self.keys)]
        return Experience._of(cells.select(order), (*self.keys, *keys), self.basis)

    def with_levels(self, **levels: Sequence[str]) -> Experience:
        """Give factors their levels in an order of their own, such as that of bands.

        A text column, the only kind Spark has, becomes a factor with the levels that occur, sorted.

        Raises
        ------
        InputError
            For keys that are no factors, a level named twice, and levels that occur and are not
            named, with their rows.

        Examples
        --------
        >>> rows = pl.DataFrame({"age_band": ["60+", "18-59"], "exposure": [1.0, 1.0], "claims": [0, 1]})
        >>> Experience.collect(rows, ["age_band"]).with_levels(age_band=["60+", "18-59"]).levels("age_band")
        ['60+', '18-59']
        """
        require_columns(list(levels), self.keys)
        faults = []
        for name, wanted in levels.items():
            if name not in self.factors or len(set(wanted)) < len(wanted):
                raise InputError(
                    f"key {name!r} takes no levels, or one is named twice: {list(wanted)}"
                )
            other = self.cells.filter(~pl.col(name).cast(pl.String).is_in(list(wanted)))
            if other.height:
                few = ", ".join(map(repr, other[name].cast(pl.String).unique().sort().head(5)))
                faults.append(
                    f"{name!r} is none of its levels in {other['rows'].sum():,} rows: {few}"
                )
        if faults:
            raise InputError("levels that were not named", faults=faults, do="name every level")
        kinds = {name: pl.Enum(list(wanted)) for name, wanted in levels.items()}
        cells = self.cells.with_columns(
            pl.col(name).cast(pl.String).cast(kind) for name, kind in kinds.items()
        )
        return Experience._of(cells, self.keys, self.basis)

    def values(self, measure: str) -> npt.NDArray[np.float64]:
        """Give one sum as a writable array of doubles, one value per cell.

        Examples
        --------
        >>> rows = pl.DataFrame({"tier": ["b", "a"], "exposure": [1.0, 2.0], "claims": [0, 1]})
        >>> Experience.collect(rows, ["tier"]).values("claims").tolist()
        [1.0, 0.0]
        """
        require_columns([measure], self.cells.columns)
        return self.cells[measure].cast(pl.Float64).to_numpy(writable=True)

    def by(self, *keys: str) -> Experience:
        """Add up over every key but these.

        Examples
        --------
        >>> rows = pl.DataFrame({"a": ["x", "x"], "b": ["u", "v"], "exposure": [1.0, 1.0],
        ...                      "claims": [0, 1]})
        >>> Experience.collect(rows, ["a", "b"]).by("a").cells.height
        1
        """
        require_columns(keys, self.keys)
        kept = tuple(dict.fromkeys(keys))
        return Experience._of(_add_up(self.cells, kept, self.keys), kept, self.basis)

    def with_sums(self, **sums: pl.Expr) -> Experience:
        """Add or replace sums by an expression of each cell, such as expected claims.

        Right only for what adds over rows: a rate of the cell times a sum of it.

        Raises
        ------
        InputError
            For sums with the name of a key, of columns that are not there, and that are no number,
            null or not finite in a cell.

        Examples
        --------
        >>> rows = pl.DataFrame({"a": ["x", "y"], "exposure": [1.0, 2.0], "claims": [0, 1]})
        >>> seen = Experience.collect(rows, ["a"]).with_sums(expected=0.1 * pl.col("exposure"))
        >>> seen.cells["expected"].to_list()
        [0.1, 0.2]
        """
        require_columns([n for s in sums.values() for n in s.meta.root_names()], self.cells.columns)
        faults = [f"{name!r} is a key" for name in sums if name in self.keys]
        cells = self.cells.with_columns(**sums) if not faults else self.cells
        for name in sums if not faults else ():
            kind = cells.schema[name]
            if not kind.is_numeric():
                faults.append(f"{name!r} is {kind}, not a number")
                continue
            broken = (~pl.col(name).cast(pl.Float64).is_finite()).fill_null(True)
            count = cells.filter(broken).height
            if count:
                faults.append(
                    f"{name!r} is null or not finite in {count:,} of {cells.height:,} cells"
                )
        if faults:
            raise InputError("sums that cannot be added up", faults=faults)
        return Experience._of(cells, self.keys, self.basis)

    def rated(self, rate: pl.Expr, factor: str) -> Experience:
        """Add the expected rate of every cell as ``_rate``, to be compared by ``factor``.

        Raises
        ------
        InputError
            For a factor that is not a key, a rate that is no expression or reads what is not there,
            and cells whose rate is null, not finite or not above zero.

        Examples
        --------
        >>> rows = pl.DataFrame({"a": ["x", "y"], "exposure": [1.0, 2.0], "claims": [0, 1]})
        >>> Experience.collect(rows, ["a"]).rated(pl.lit(0.1), "a").cells["_rate"].to_list()
        [0.1, 0.1]
        """
        if not isinstance(rate, pl.Expr):
            raise InputError(
                f"the expected rate is a {type(rate).__name__}, not an expression: {rate!r}",
                do="give a number as pl.lit(0.1), a sum of expected claims as "
                'pl.col("expected") / pl.col("exposure")',
            )
        require_columns([factor, *rate.meta.root_names()], self.cells.columns)
        require_columns([factor], self.keys)
        cells = self.cells.with_columns(_rate=rate)
        has = (pl.col("_rate").is_finite() & (pl.col("_rate") > 0)).fill_null(False)
        broken = cells.filter(~has)
        if not broken.is_empty():
            raise InputError(
                f"{broken.height:,} cells ({broken['exposure'].sum():,.1f} policy-years) have no "
                "expected rate above zero",
                do="give every cell a rate above zero: a model must have been fitted on the same "
                "levels, a sum must expect something of each cell",
            )
        return replace(self, cells=cells)

    def where(self, *conditions: pl.Expr, note: str = "") -> Experience:
        """Keep some cells; the condition stands in the basis."""
        require_columns([n for c in conditions for n in c.meta.root_names()], self.cells.columns)
        said = note or " and ".join(str(condition) for condition in conditions)
        kept = self.cells.filter(*conditions)
        if kept.is_empty():
            raise InputError(f"no cell is left after {said}")
        basis = replace(self.basis, filters=(*self.basis.filters, said))
        return Experience._of(kept, self.keys, basis)

    def __add__(self, other: Experience) -> Experience:
        if not isinstance(other, Experience):
            return NotImplemented
        if self.keys != other.keys or set(self.cells.columns) != set(other.cells.columns):
            raise InputError(
                f"only experiences over the same keys and sums add: {list(self.cells.columns)} "
                f"against {list(other.cells.columns)}",
                do="collect both with the same keys, or bring them down with .by(...)",
            )
        if self.basis.currency != other.basis.currency:
            raise InputError(f"currencies differ: {self.basis.currency} and {other.basis.currency}")
        unlike = [n for n in self.keys if (n in self.factors) != (n in other.factors)]
        if unlike:
            raise InputError(
                f"a factor in one experience and a covariate in the other: {', '.join(unlike)}",
                do="collect both with the same type of column",
            )
        wide = {
            name: pl.Enum(_merged(self.levels(name), other.levels(name))) for name in self.factors
        }
        both = pl.concat(
            [e.cells.select(self.cells.columns).cast(wide) for e in (self, other)],  # type: ignore[arg-type]
            how="vertical_relaxed",
        )
        basis = replace(
            self.basis,
            source=_join(self.basis.source, other.basis.source),
            period=_join(self.basis.period, other.basis.period),
            filters=tuple(dict.fromkeys([*self.basis.filters, *other.basis.filters])),
            notes=tuple(dict.fromkeys([*self.basis.notes, *other.basis.notes])),
        )
        return Experience._of(_add_up(both, self.keys, self.keys), self.keys, basis)

    def save(self, path: str | Path) -> None:
        """Write the cells as one Parquet file that carries its keys and basis."""
        head = {"keys": json.dumps(self.keys), "basis": json.dumps(asdict(self.basis))}
        with replacing(path) as beside:
            self.cells.write_parquet(beside, metadata=head)

    @classmethod
    def load(cls, path: str | Path) -> Experience:
        """Read back what :meth:`save` wrote; the totals are held against the basis."""
        try:
            head = pl.read_parquet_metadata(path)
            keys, basis = tuple(json.loads(head["keys"])), json.loads(head["basis"])
            cells = pl.read_parquet(path)
            for name in ("filters", "notes"):
                basis[name] = tuple(basis[name])
            read = cls._of(cells, keys, Basis(**basis))
        except (OSError, KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
            raise InputError(f"not a saved experience: {error}", where=str(path)) from error
        if read.basis.fingerprint != basis["fingerprint"]:
            raise InputError(
                f"the cells hash to {read.basis.fingerprint}, not to the {basis['fingerprint']} "
                "they were saved with",
                where=str(path),
                do="the file was changed after it was written: collect the experience anew",
            )
        return read


def _add_up(cells: pl.DataFrame, keys: Sequence[str], all_keys: Sequence[str]) -> pl.DataFrame:
    sums = [n for n, kind in cells.schema.items() if n not in all_keys and kind.is_numeric()]
    return cells.group_by(keys, maintain_order=True).agg(pl.col(sums).sum())


def _merged(one: Sequence[str], other: Sequence[str]) -> list[str]:
    """Join two level lists so that it does not matter which shard came first."""
    both = list(dict.fromkeys([*one, *other]))
    in_order = list(one) == sorted(one) and list(other) == sorted(other)
    return sorted(both) if in_order else both


def _faulty(cells: pl.DataFrame, keys: Sequence[str]) -> bool:
    """Whether rows out of their domain went into cells."""
    absent = [
        ~pl.col(k).is_finite().fill_null(False)
        if cells.schema[k].is_float()
        else pl.col(k).is_null()
        for k in keys
    ]
    return not cells.filter(pl.any_horizontal(pl.col("exposure").is_nan(), *absent)).is_empty()


def _whole(cells: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Make sums of whole numbers whole again; refused where a double no longer holds them."""
    wide = [n for n in names if cells[n].max() >= MOST]  # type: ignore[operator]
    if wide:
        raise InputError(
            "whole numbers whose sum passes 2⁵³ (9·10¹⁵) in a cell: " + ", ".join(map(repr, wide)),
            do="look for a wrong unit, or make the column a floating one",
        )
    return cells.with_columns(pl.col(names).cast(pl.Int64))


def _fingerprint(cells: pl.DataFrame) -> str:
    rounded = cells.select(pl.selectors.float().round_sig_figs(9), ~pl.selectors.float())
    parts = [f"{name}:{rounded.schema[name]}" for name in rounded.columns]
    columns = [rounded[name].to_physical().to_numpy().tobytes() for name in rounded.columns]
    return fingerprint(*parts, *columns)


def _join(a: str, b: str) -> str:
    return " + ".join(dict.fromkeys(part for part in (a, b) if part))
