"""Rate tables: rates by sex, age and duration, looked up exactly or not at all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import polars as pl

from pricing.data.tables import provenance, reference_table
from pricing.errors import InputError, nearest

__all__ = ["SEXES", "Measure", "RateTable", "rate_table"]

Measure = Literal["rate", "share", "ratio"]
SEXES = pl.Enum(["female", "male"])

_KEYS = ("sex", "age", "duration")
_PER = {"per mille": 1000, "percent": 100, "fraction": 1}
_OLDEST = 150


@dataclass(frozen=True, kw_only=True)
class RateTable:
    """Rates by age, and by sex and duration where the table has them; checked when made.

    Attributes
    ----------
    name : str
        What to call it in a message, such as ``"cn_ci_2020 ci4"``.
    rates : polars.DataFrame
        One row per key: ``sex`` ("female", "male"; optional), ``age`` (whole years, attained),
        ``duration`` (policy year from 1; optional) and ``rate`` (fraction, per year).
    measure : {"rate", "share", "ratio"}
        A probability or incidence per year and a share lie in 0 to 1, a ratio is 0 or more.
    ultimate : bool
        Whether the last duration stands for all later ones, as in a select-and-ultimate table.
    source, warning : str
        Where it was printed, and what to do before production use.

    Raises
    ------
    InputError
        For columns that are missing or unknown, keys or rates that are null, rates out of range,
        keys given twice, and ages with gaps: all said at once, with counts.

    Examples
    --------
    >>> table = RateTable(name="ours", rates=pl.DataFrame({"age": [30, 31], "rate": [0.001, 0.002]}))
    >>> pl.DataFrame({"age": [31, 30, 32]}).select(table.rate()).to_series().to_list()
    [0.002, 0.001, None]
    """

    name: str
    rates: pl.DataFrame
    measure: Measure = "rate"
    ultimate: bool = False
    source: str = ""
    warning: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "rates", _checked(self.name, self.rates, self.measure))

    @property
    def keys(self) -> tuple[str, ...]:
        """What the rates depend on: of ``sex``, ``age`` and ``duration``."""
        return tuple(self.rates.columns[:-1])

    def rate(
        self,
        *,
        sex: str | pl.Expr = "sex",
        age: str | pl.Expr = "age",
        duration: str | pl.Expr = "duration",
    ) -> pl.Expr:
        """Look the rate up, as an expression any polars frame can take.

        A key that the table does not have gives null, never the rate beside it: not at ages
        beyond its ends, not at an age between two years.

        Parameters
        ----------
        sex : str or polars expression
            Text or Enum, "female" or "male"; read only where the table is by sex.
        age : str or polars expression
            Attained age in whole years, a number.
        duration : str or polars expression
            Policy year, 1 the first; read only where the table is by duration.

        Returns
        -------
        polars.Expr
            Float64, fraction per year.

        Examples
        --------
        >>> lives = pl.DataFrame({"sex": ["male", "female"], "age": [40, 40]})
        >>> lives.select(rate_table("cn_ci_2020", "ci4").rate()).to_series().to_list()
        [0.002299, 0.002758]
        """
        code = _whole(age)
        if "duration" in self.keys:
            policy_year = _whole(duration)
            if self.ultimate:
                policy_year = policy_year.clip(
                    upper_bound=int(self.rates.select(pl.max("duration")).item())
                )
            code += policy_year * 1000
        if "sex" in self.keys:
            named = (pl.col(sex) if isinstance(sex, str) else sex).cast(pl.String)
            codes = {level: code for code, level in enumerate(SEXES.categories)}
            code += 1_000_000 * named.replace_strict(codes, default=None, return_dtype=pl.Int64)
        known = self.rates.select(_code(self.keys)).to_series()
        return code.replace_strict(
            known, self.rates["rate"], default=None, return_dtype=pl.Float64
        ).alias("rate")

    def only(self, sex: str) -> RateTable:
        """Keep one sex, to be used for everyone.

        Examples
        --------
        >>> rate_table("cn_life_2025", "cl2").only("male").keys
        ('age',)
        """
        present = self.rates["sex"].unique().to_list() if "sex" in self.keys else []
        if sex not in present:
            raise InputError(f"{self.name} has no rates of sex {sex!r}{nearest(str(sex), present)}")
        kept = self.rates.filter(pl.col("sex") == sex).drop("sex")
        return replace(self, name=f"{self.name}, {sex}", rates=kept)


def rate_table(name: str, *tables: str) -> RateTable:
    """Read rates that ship with the package, as fractions, checked.

    Parameters
    ----------
    name : str
        ``"cn_life_2010_2013"``, ``"cn_life_2025"``, ``"cn_ci_2020"``, ``"cn_ci_2020_k"`` or
        ``"cn_ci_2020_minor"``; ``docs/reference_tables.md`` says what each is.
    *tables : str
        Which of its tables; two where each has one sex. Not needed where there is only one.

    Returns
    -------
    RateTable
        By sex and age, with source and warning.

    Raises
    ------
    InputError
        For a name or a table that does not ship, with the nearest, and for two tables of one sex.

    Notes
    -----
    Figures per mille are divided by 1000, percents by 100; a band of ages gives its rate to each
    of its ages. Ages that are not printed are absent.

    Examples
    --------
    >>> deaths = rate_table("cn_life_2010_2013", "cl1", "cl2")  # men and women
    >>> deaths.rates.filter(pl.col("age") == 60).rows()
    [('female', 60, 0.004414), ('male', 60, 0.009161)]
    """
    rated = [known for known, entry in provenance().items() if "measure" in entry]
    if name not in rated:
        raise InputError(f"no rate table {name!r} ships{nearest(name, rated)}")
    entry, printed = provenance(name), reference_table(name)
    there = printed["table"].unique(maintain_order=True).to_list()
    chosen = tables or tuple(there if len(there) == 1 else ())
    if not chosen:
        raise InputError(f"{name!r} holds several tables; name one of {', '.join(there)}")
    for table in chosen:
        if table not in there:
            raise InputError(f"no table {table!r} in {name!r}{nearest(table, there)}")
    rates = printed.filter(pl.col("table").is_in(chosen))
    # numpy divides; polars multiplies by 1/100, which is off in the last bit
    fraction = rates[str(entry["unit"]).replace(" ", "_")].to_numpy() / _PER[entry["unit"]]
    rates = rates.with_columns(rate=fraction)
    if "age_from" in rates.columns:
        ages = pl.int_ranges("age_from", pl.col("age_to") + 1).alias("age")
        rates = rates.with_columns(ages).explode("age")
    return RateTable(
        name=" ".join([name, *chosen]),
        rates=rates.select("sex", "age", "rate"),
        measure=entry["measure"],
        source=f"{entry['source']}, {' and '.join(chosen)}",
        warning=entry["warning"],
    )


def _whole(column: str | pl.Expr) -> pl.Expr:
    """Give a whole number from 0 to 999 as Int64, and null for all else; text is refused."""
    value = pl.col(column) if isinstance(column, str) else column
    whole = (value == value.floor()) & value.is_between(0, 999)
    return pl.when(whole).then(value.cast(pl.Int64, strict=False))


def _code(keys: tuple[str, ...]) -> pl.Expr:
    weight = {"sex": 1_000_000, "age": 1, "duration": 1000}
    parts = [
        (pl.col(key).to_physical() if key == "sex" else pl.col(key)).cast(pl.Int64) * weight[key]
        for key in keys
    ]
    return pl.sum_horizontal(parts).alias("code")


def _checked(name: str, rates: pl.DataFrame, measure: str) -> pl.DataFrame:
    """Hold a table against what a rate table must be, and put it in order."""
    if measure not in get_args(Measure):
        raise InputError(f"no measure {measure!r}{nearest(measure, get_args(Measure))}", where=name)
    columns = [key for key in _KEYS if key in rates.columns]
    faults = [f"column {c!r} is missing" for c in ("age", "rate") if c not in rates.columns]
    faults += [
        f"column {c!r} is none of sex, age, duration, rate"
        for c in rates.columns
        if c not in (*_KEYS, "rate")
    ]
    faults += [
        f"column {c!r} is {rates.schema[c]}, not whole numbers"
        for c in columns
        if c != "sex" and not rates.schema[c].is_integer()
    ]
    if "rate" in rates.columns and not rates.schema["rate"].is_numeric():
        faults.append(f"column 'rate' is {rates.schema['rate']}, not a number")
    if not faults and rates.is_empty():
        faults.append("there are no rates")
    if faults:
        raise InputError("not a rate table", where=name, faults=faults)
    types: dict[str, pl.DataType | type[pl.DataType]] = {"age": pl.Int64, "duration": pl.Int64}
    frame = rates.select(*columns, pl.col("rate").cast(pl.Float64)).cast(
        {key: types[key] for key in columns if key in types}
    )
    if "sex" in columns:
        sex = pl.col("sex").cast(pl.String)
        frame = frame.with_columns(
            pl.when(sex.is_in(SEXES.categories.to_list())).then(sex).cast(SEXES).alias("sex")
        )
    faults = _faults(frame, columns, measure)
    if faults:
        raise InputError("rates that cannot be used", where=name, faults=faults)
    return frame.sort(columns)


def _faults(frame: pl.DataFrame, columns: list[str], measure: str) -> list[str]:
    rate, top = pl.col("rate"), float("inf") if measure == "ratio" else 1.0
    bad = {
        "a sex other than female and male": pl.col("sex").is_null() if "sex" in columns else None,
        "an age that is null or not in 0 to 150": _outside("age", 0),
        "a duration that is null or not in 1 to 150": _outside("duration", 1)
        if "duration" in columns
        else None,
        "a rate that is null or not finite": ~rate.is_finite().fill_null(False),
        "a rate below 0" + ("" if measure == "ratio" else " or above 1"): rate.is_finite()
        & ~rate.is_between(0, top),
        "keys given more than once": pl.struct(columns).is_duplicated(),
    }
    faults = []
    for what, condition in bad.items():
        rows = frame.filter(condition) if condition is not None else frame.clear()
        if not rows.is_empty():
            first = "; ".join(", ".join(map(str, row)) for row in rows.head(3).rows())
            faults.append(f"{what} in {rows.height:,} of {frame.height:,} rows: {first}")
    if faults:
        return faults
    others = [key for key in columns if key != "age"]
    step = pl.col("age").diff().over(others) if others else pl.col("age").diff()
    gaps = frame.sort(columns).with_columns(_step=step).filter(pl.col("_step") > 1)
    if not gaps.is_empty():
        said = ", ".join(f"before {age}" for age in gaps["age"].head(3))
        faults.append(f"{gaps.height:,} gaps in the ages: {said}")
    return faults


def _outside(column: str, lowest: int) -> pl.Expr:
    return ~pl.col(column).is_between(lowest, _OLDEST).fill_null(False)
