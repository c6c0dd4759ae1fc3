"""Offers of a plan's tiers: who was offered what at which price and took which, as cells that add.

One row per person and alternative comes in; what a likelihood of choices needs is how many of the same
attributes, facing the same prices, took each alternative. So a choice model is fitted on cells and never
sees a row, and months and shards of offers add.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from pricing.errors import InputError, nearest
from pricing.estimate.design import Floats
from pricing.experience.cells import Experience
from pricing.experience.domain import listed
from pricing.files import fingerprint
from pricing.result.shape import Basis

__all__ = ["Offered", "collect_offers"]

MENU = "menu of tiers"
CLUSTER = "cluster of offers"


@dataclass(frozen=True, kw_only=True)
class Offered:
    """Offers by cell of attributes, prices paid and tiers on offer; two of the same shape add.

    Attributes
    ----------
    experience : Experience
        Keys: the attributes, the tiers on offer and the price paid for each; exposure counts persons,
        claims those who took a tier; further sums count who took which, and their expected cost.
    alternatives : tuple of str
        The outside option first, then the tiers.
    by : tuple of str
        Attributes of persons.
    clustered : bool
        Whether persons come in clusters, such as communities.
    with_cost : bool
        Whether expected cost was delivered.
    aware : tuple of float, or None
        Persons who knew of the plan, and persons asked; offers then are those of the aware alone.

    Examples
    --------
    >>> rows = pl.DataFrame({"person_id": [1, 1, 2, 2], "alternative": ["none", "basic"] * 2,
    ...                      "price": [0.0, 500.0] * 2, "chosen": [True, False, False, True]})
    >>> seen = collect_offers(rows)
    >>> (seen + seen).taken.tolist()
    [[2.0, 2.0]]
    """

    experience: Experience
    alternatives: tuple[str, ...]
    by: tuple[str, ...]
    clustered: bool = False
    with_cost: bool = False
    aware: tuple[float, float] | None = None

    def __add__(self, other: Offered) -> Offered:
        """Add the offers of another month or shard."""
        if not isinstance(other, Offered):
            return NotImplemented
        same = ("alternatives", "by", "clustered", "with_cost")
        if any(getattr(self, n) != getattr(other, n) for n in same) or (
            (self.aware is None) != (other.aware is None)
        ):
            raise InputError(
                "offers of another shape do not add",
                do="collect both with the same alternatives, attributes, cluster, cost and awareness",
            )
        aware = (
            None
            if self.aware is None or other.aware is None
            else (self.aware[0] + other.aware[0], self.aware[1] + other.aware[1])
        )
        return replace(self, experience=self.experience + other.experience, aware=aware)

    @property
    def tiers(self) -> tuple[str, ...]:
        """Every alternative but the outside option."""
        return self.alternatives[1:]

    @property
    def paid(self) -> Floats:
        """Price paid after the subsidy, cells × alternatives; zero where not on offer."""
        return self._columns("paid")

    @property
    def taken(self) -> Floats:
        """Persons who took each alternative, cells × alternatives."""
        return self._columns("took")

    @property
    def offered(self) -> Floats:
        """One where an alternative was on offer, else zero; cells × alternatives."""
        menus = self.experience.cells[MENU].cast(pl.String)
        return np.column_stack(
            [
                menus.str.slice(j, 1).cast(pl.Float64).to_numpy()
                for j in range(len(self.alternatives))
            ]
        )

    @property
    def clusters(self) -> pl.Series | None:
        """The cluster of each cell."""
        return self.experience.cells[CLUSTER] if self.clustered else None

    def _columns(self, what: str) -> Floats:
        return np.column_stack([self.experience.values(f"{what}: {a}") for a in self.alternatives])


def collect_offers(
    frame: pl.DataFrame | pl.LazyFrame,
    by: str | Sequence[str] = (),
    *,
    alternatives: Sequence[str] | None = None,
    outside: str = "none",
    person: str = "person_id",
    cost: str | None = None,
    weight: str | None = None,
    cluster: str | None = None,
    aware: str | None = None,
    basis: Basis | None = None,
) -> Offered:
    """Group offers into cells: persons who took each alternative, by attributes and prices paid.

    Parameters
    ----------
    frame : polars frame
        One row per person and alternative: ``alternative`` (text), ``price`` (currency a year, 0 or
        more), ``chosen`` (true or false, true once per person), ``subsidy`` where there is one (paid to
        the person, at most the price).
    by : sequence of str
        Attributes of persons: factors (text, Enum, yes or no) and covariates (numbers).
    alternatives : sequence of str, optional
        The tiers in order, with or without the outside option; else those that occur, by mean price.
    outside : str
        The alternative of taking none.
    person : str
        Column that names the person.
    cost : str, optional
        Column of the person's expected cost a year, 0 or more.
    weight : str, optional
        Column of how many persons a row stands for; above zero.
    cluster : str, optional
        Column of the group in which prices were set together, such as the community.
    aware : str, optional
        Column of whether the person knew of the plan; who did not must have taken none.
    basis : Basis, optional
        Source, period, currency.

    Returns
    -------
    Offered

    Raises
    ------
    InputError
        For no rows, columns that are missing or of another kind, values out of their domain, an
        alternative twice for a person or unknown, a person with other than one choice, without the
        outside option or without a tier, attributes that change within a person: all with counts.

    Examples
    --------
    >>> rows = pl.DataFrame({"person_id": [1, 1, 2, 2], "alternative": ["none", "基础"] * 2, "sex": ["f"] * 4,
    ...                      "price": [0.0, 500.0] * 2, "subsidy": [0.0, 200.0] * 2,
    ...                      "chosen": [True, False, False, True]})
    >>> seen = collect_offers(rows, ["sex"])
    >>> seen.alternatives, seen.paid.tolist(), seen.taken.tolist()
    (('none', '基础'), [[0.0, 300.0]], [[1.0, 1.0]])
    """
    attributes = list(dict.fromkeys(listed(list(by) if not isinstance(by, str) else by)))
    rows = _rows(frame, attributes, person, cost, weight, cluster, aware)
    order = _order(rows, alternatives, outside)
    persons = _persons(rows, attributes, order, weight is not None)
    known = None
    if aware is not None:
        known = (
            float(persons.filter(pl.col("aware"))["weight"].sum()),
            float(persons["weight"].sum()),
        )
        persons = persons.filter(pl.col("aware"))
        if persons.is_empty():
            raise InputError(
                "nobody knew of the plan: there are no choices", where=aware, do="check the column"
            )
    keys = [*attributes, MENU, *(f"paid: {a}" for a in order), *([CLUSTER] if cluster else [])]
    sums = [f"took: {a}" for a in order] + [f"cost: {a}" for a in order if cost]
    seen = Experience.collect(
        persons.rename({"weight": "exposure"}),
        keys,
        exposure="exposure",
        claims="insured",
        sums=sums,
        basis=basis or Basis(),
    )
    told = fingerprint(seen.basis.fingerprint, repr(order), repr(known))
    seen = replace(seen, basis=replace(seen.basis, fingerprint=told))
    return Offered(
        experience=seen,
        alternatives=order,
        by=tuple(attributes),
        clustered=cluster is not None,
        with_cost=cost is not None,
        aware=known,
    )


def _rows(
    frame: pl.DataFrame | pl.LazyFrame,
    attributes: Sequence[str],
    person: str,
    cost: str | None,
    weight: str | None,
    cluster: str | None,
    aware: str | None,
) -> pl.DataFrame:
    """Read the columns under names of our own, every value in its domain."""
    if not isinstance(frame, pl.DataFrame | pl.LazyFrame):
        raise InputError(f"offers are a polars frame, got {type(frame).__name__}")
    schema = frame.lazy().collect_schema()
    wanted = [person, "alternative", "price", "chosen", *attributes]
    wanted += [c for c in (cost, weight, cluster, aware) if c is not None]
    missing = [c for c in dict.fromkeys(wanted) if c not in schema]
    if missing:
        raise InputError(
            f"{len(missing)} column(s) are missing",
            where="offers",
            faults=[f"{c!r}{nearest(c, schema.names())}" for c in missing],
        )
    numbers = (
        {"price": "price", "subsidy": "subsidy"} if "subsidy" in schema else {"price": "price"}
    )
    numbers |= {n: c for n, c in (("cost", cost), ("weight", weight)) if c is not None}
    faults = [
        f"{c!r} is {schema[c]}, not a number"
        for c in numbers.values()
        if not schema[c].is_numeric()
    ]
    flags = {"chosen": "chosen"} | ({"aware": aware} if aware is not None else {})
    faults += [
        f"{c!r} is {schema[c]}, not true or false"
        for c in flags.values()
        if not (schema[c] == pl.Boolean or schema[c].is_integer())
    ]
    if not (schema["alternative"] == pl.String or isinstance(schema["alternative"], pl.Enum)):
        faults.append(f"'alternative' is {schema['alternative']}, not text")
    if schema[person].is_float():
        faults.append(
            f"{person!r} is {schema[person]}: a person is named by text or a whole number"
        )
    taken = {"person", "alternative", "price", "subsidy", "chosen", "weight", "insured", "exposure"}
    faults += [
        f"attribute {c!r} has the name of one of ours; rename it" for c in attributes if c in taken
    ]
    if faults:
        raise InputError("columns that cannot serve as asked", where="offers", faults=faults)
    rows = frame.lazy().select(
        pl.col(person).alias("person"),
        pl.col("alternative").cast(pl.String),
        *(pl.col(c).cast(pl.Float64).alias(n) for n, c in numbers.items()),
        *(pl.col(c).cast(pl.Int64).alias(n) for n, c in flags.items()),
        *([pl.col(cluster).cast(pl.String).alias(CLUSTER)] if cluster is not None else []),
        *(pl.col(c) for c in attributes),
    ).collect()  # fmt: skip
    if rows.is_empty():
        raise InputError(
            "there are no offers", where="offers", do="give one row per person and alternative"
        )
    rows = rows.with_columns(
        **{n: pl.lit(v) for n, v in (("subsidy", 0.0), ("weight", 1.0)) if n not in rows.columns}
    )
    _require_values(rows, attributes, cost is not None, cluster is not None, aware is not None)
    kept = {"alternative": schema["alternative"]}
    if isinstance(kept["alternative"], pl.Enum):
        rows = rows.with_columns(pl.col("alternative").cast(kept["alternative"]))
    return rows


def _require_values(
    rows: pl.DataFrame, attributes: Sequence[str], cost: bool, cluster: bool, aware: bool
) -> None:
    def amount(name: str) -> pl.Expr:
        return ~(pl.col(name).is_finite() & (pl.col(name) >= 0)).fill_null(False)

    broken = {
        "the person is not named": pl.col("person").is_null(),
        "the alternative is empty": pl.col("alternative").is_null()
        | (pl.col("alternative").str.strip_chars() == ""),
        "the price is null, not finite or below zero": amount("price"),
        "the subsidy is null, not finite or below zero": amount("subsidy"),
        "the subsidy is above the price": (pl.col("subsidy") > pl.col("price")).fill_null(False),
        "chosen is neither true nor false": ~pl.col("chosen").is_in([0, 1]).fill_null(False),
        "the weight is null, not finite or not above zero": amount("weight")
        | (pl.col("weight") == 0),
    }
    if cost:
        broken["the expected cost is null, not finite or below zero"] = amount("cost")
    if cluster:
        broken["the cluster is null"] = pl.col(CLUSTER).is_null()
    if aware:
        broken["aware is neither true nor false"] = ~pl.col("aware").is_in([0, 1]).fill_null(False)
    for name in attributes:
        none = pl.col(name).is_null()
        if rows.schema[name].is_float():
            none = none | ~pl.col(name).is_finite().fill_null(False)
        broken[f"{name!r} is null, NaN or infinite"] = none
    _refuse(rows, broken, "rows of offers that cannot be used", "of")


def _refuse(rows: pl.DataFrame, broken: dict[str, pl.Expr], problem: str, of: str) -> None:
    counts = rows.select(**{str(i): e.fill_null(True).sum() for i, e in enumerate(broken.values())})
    faults = []
    for (said, expr), count in zip(broken.items(), counts.row(0), strict=True):
        if count:
            few = rows.filter(expr.fill_null(True))["person"].head(3).to_list()
            faults.append(
                f"{said} in {count:,} {of} {rows.height:,}, person {', '.join(map(str, few))}"
            )
    if faults:
        raise InputError(
            problem,
            where="offers",
            faults=faults,
            do="hold the table against its contract (pricing check) and use the accepted rows",
        )


def _order(rows: pl.DataFrame, wanted: Sequence[str] | None, outside: str) -> tuple[str, ...]:
    means = rows.group_by("alternative").agg(pl.col("price").mean()).sort("price", "alternative")
    kind = rows.schema["alternative"]
    there = means["alternative"].cast(pl.String).to_list()
    if isinstance(kind, pl.Enum):
        there = [a for a in kind.categories.to_list() if a in there]
    if outside not in there:
        raise InputError(
            f"nobody was offered the outside option {outside!r}{nearest(outside, there)}",
            where="offers, alternative",
            do="give every person a row for taking none, or name it with outside=",
        )
    if wanted is None:
        tiers = [a for a in there if a != outside]
    else:
        tiers = [a for a in listed(list(wanted)) if a != outside]
        if len(set(tiers)) < len(tiers):
            raise InputError(f"an alternative is named twice: {tiers}", where="alternatives")
        unknown = [a for a in there if a not in (*tiers, outside)]
        absent = [a for a in tiers if a not in there]
        faults = [f"{a!r} is no alternative of the plan{nearest(a, tiers)}" for a in unknown]
        faults += [f"nobody was offered {a!r}" for a in absent]
        if faults:
            raise InputError("alternatives do not match", where="offers", faults=faults)
    if not tiers:
        raise InputError(
            f"{outside!r} is the only alternative: there is nothing to choose", where="offers"
        )
    return (outside, *tiers)


def _persons(
    rows: pl.DataFrame, attributes: Sequence[str], order: Sequence[str], weighted: bool
) -> pl.DataFrame:
    """One row per person: what was on offer, the price paid for each, which was taken."""
    at = {a: pl.col("alternative") == a for a in order}
    paid = pl.col("price") - pl.col("subsidy")
    fixed = [*attributes, *(c for c in ("weight", "cost", CLUSTER, "aware") if c in rows.columns)]
    if not weighted:
        fixed.remove("weight")
    persons = rows.group_by("person", maintain_order=True).agg(
        *(pl.col(c).first() for c in [*fixed, *([] if weighted else ["weight"])]),
        (pl.any_horizontal([pl.col(c) != pl.col(c).first() for c in fixed]).any() if fixed else pl.lit(False)).alias("_varies"),
        *(at[a].sum().alias(f"_has: {a}") for a in order),
        *(pl.when(at[a]).then(paid).otherwise(0.0).sum().alias(f"paid: {a}") for a in order),
        *((at[a] & (pl.col("chosen") == 1)).sum().alias(f"_took: {a}") for a in order),
    )  # fmt: skip
    has = {a: pl.col(f"_has: {a}") for a in order}
    took = [pl.col(f"_took: {a}") for a in order]
    outside = order[0]
    broken = {
        "an alternative stands twice": pl.any_horizontal([h > 1 for h in has.values()]),
        "other than one alternative is chosen": pl.sum_horizontal(took) != 1,
        f"the outside option {outside!r} is not on offer": has[outside] == 0,
        "no tier is on offer": pl.sum_horizontal([has[a] for a in order[1:]]) == 0,
        f"attributes ({', '.join(map(str, fixed))}) differ between rows of one person": pl.col(
            "_varies"
        ),
    }
    if "aware" in fixed:
        broken["who does not know of the plan has taken a tier"] = (pl.col("aware") == 0) & (
            pl.col(f"_took: {outside}") == 0
        )
    _refuse(persons, broken, "persons whose choice cannot be read", "persons of")
    weight, extra = pl.col("weight"), []
    if "cost" in fixed:
        extra = [
            (pl.col(f"_took: {a}") * pl.col("cost") * weight).alias(f"cost: {a}") for a in order
        ]
    return persons.with_columns(
        pl.concat_str([has[a].cast(pl.Int64).cast(pl.String) for a in order]).alias(MENU),
        *((pl.col(f"_took: {a}") * weight).alias(f"took: {a}") for a in order),
        *extra,
        insured=(1 - pl.col(f"_took: {outside}")) * weight,
        aware=pl.col("aware") == 1 if "aware" in fixed else pl.lit(True),
    )
