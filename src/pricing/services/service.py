"""A service and a plan of services: how often each is used, what a use costs, who pays what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from pricing.data.rates import RateTable
from pricing.errors import InputError, nearest
from pricing.files import fingerprint
from pricing.regulation.check import is_number

__all__ = ["Service", "ServicePlan", "require_population"]


@dataclass(frozen=True, kw_only=True)
class Service:
    """One service: uses per insured-year × cost per use, and what it costs to be there at all.

    Attributes
    ----------
    name : str
        What it is called, in any language; each once in a plan.
    use : float or RateTable
        Uses per insured-year at full uptake: one number, or a table by age and sex (estimated, or an
        incidence that activates the service, :func:`pricing.services.activation.activation_rates`).
    unit_cost : float
        Currency per use, zero or more.
    uptake : float
        Share of those entitled or struck who use it, 0 to 1.
    scope : float
        Factor on the use for a scope wider or narrower than the table's; 1 where they are the same.
    user_share : float
        Share of the unit cost the user pays, 0 to 1.
    fixed_cost : float
        Currency a year for the whole plan, whoever comes: staff on duty, platform.

    Raises
    ------
    InputError
        For names that are empty and numbers out of their domain, all said at once.

    Examples
    --------
    >>> Service(name="视频问诊", use=1.2, unit_cost=30.0, user_share=0.1).net_cost
    27.0
    >>> Service(name="check-up", use=0.4, unit_cost=-1.0, uptake=1.2)
    Traceback (most recent call last):
    pricing.errors.InputError: service 'check-up': terms that contradict themselves
      - unit_cost must be zero or more, got -1.0
      - uptake must lie in 0 to 1, got 1.2
    """

    name: str
    use: float | RateTable
    unit_cost: float
    uptake: float = 1.0
    scope: float = 1.0
    user_share: float = 0.0
    fixed_cost: float = 0.0

    def __post_init__(self) -> None:
        faults = []
        if not isinstance(self.name, str) or not self.name.strip():
            faults.append(f"a service needs a name, got {self.name!r}")
        amounts = ["unit_cost", "scope", "fixed_cost"]
        if not isinstance(self.use, RateTable):
            amounts.insert(0, "use")
        given = vars(self)
        faults += [
            f"{key} must be zero or more, got {given[key]!r}"
            for key in amounts
            if not (is_number(given[key]) and given[key] >= 0)
        ]
        faults += [
            f"{key} must lie in 0 to 1, got {given[key]!r}"
            for key in ("uptake", "user_share")
            if not (is_number(given[key]) and 0 <= given[key] <= 1)
        ]
        if isinstance(self.use, RateTable) and "duration" in self.use.keys:
            faults.append(f"use may go by sex and age, but {self.use.name!r} goes by duration")
        if faults:
            raise InputError(
                "terms that contradict themselves", where=f"service {self.name!r}", faults=faults
            )

    @property
    def net_cost(self) -> float:
        """Cost per use that the plan bears, in currency.

        Examples
        --------
        >>> Service(name="escort", use=0.01, unit_cost=500.0).net_cost
        500.0
        """
        return self.unit_cost * (1 - self.user_share)

    def rate(self) -> pl.Expr:
        """Give uses per insured-year, as an expression over ``sex`` and ``age``.

        Examples
        --------
        >>> service = Service(name="check-up", use=0.5, unit_cost=200.0, uptake=0.4)
        >>> pl.DataFrame({"age": [40]}).select(service.rate()).item()
        0.2
        """
        factor = self.uptake * self.scope
        if isinstance(self.use, RateTable):
            return (self.use.rate() * factor).alias("use_rate")
        return pl.lit(float(self.use) * factor).alias("use_rate")


@dataclass(frozen=True, kw_only=True)
class ServicePlan:
    """The services of a plan, each once.

    Attributes
    ----------
    name : str
        Of the plan.
    services : sequence of Service
        At least one.

    Raises
    ------
    InputError
        For no services, or a service named twice.

    Examples
    --------
    >>> plan = ServicePlan(name="泰家医", services=[Service(name="购药", use=0.5, unit_cost=10.0)])
    >>> plan.names
    ('购药',)
    """

    name: str
    services: Sequence[Service]

    def __post_init__(self) -> None:
        services = tuple(self.services)
        if not services or not all(isinstance(one, Service) for one in services):
            raise InputError("a plan takes one or more services", where=f"plan {self.name!r}")
        names = [one.name for one in services]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(
                f"{len(twice)} service(s) named twice: {', '.join(twice)}",
                where=f"plan {self.name!r}",
                do="give each service a name of its own",
            )
        object.__setattr__(self, "services", services)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the services, in order.

        Examples
        --------
        >>> ServicePlan(name="p", services=[Service(name="a", use=1, unit_cost=1)]).names
        ('a',)
        """
        return tuple(one.name for one in self.services)

    def with_use(self, name: str, use: float | RateTable) -> ServicePlan:
        """Give one service another use, such as one estimated from rows.

        Examples
        --------
        >>> plan = ServicePlan(name="p", services=[Service(name="a", use=1.0, unit_cost=1.0)])
        >>> plan.with_use("a", 2.0).services[0].use
        2.0
        """
        if name not in self.names:
            raise InputError(f"the plan has no service {name!r}{nearest(name, self.names)}")
        changed = [replace(one, use=use) if one.name == name else one for one in self.services]
        return ServicePlan(name=self.name, services=changed)

    def scaled(self, content: float) -> ServicePlan:
        """Give every service the same multiple of its use; fixed costs stay.

        Examples
        --------
        >>> plan = ServicePlan(name="p", services=[Service(name="a", use=1.0, unit_cost=8.0)])
        >>> plan.scaled(0.5).services[0].scope
        0.5
        """
        if not is_number(content) or content < 0:
            raise InputError(f"the content must be zero or more, got {content!r}")
        return ServicePlan(
            name=self.name,
            services=[replace(one, scope=one.scope * content) for one in self.services],
        )

    def only(self, names: Sequence[str]) -> ServicePlan:
        """Keep some services, in the plan's order.

        Examples
        --------
        >>> services = [Service(name=n, use=1.0, unit_cost=8.0) for n in ("a", "b")]
        >>> ServicePlan(name="p", services=services).only(["b"]).names
        ('b',)
        """
        if wrong := [name for name in names if name not in self.names]:
            raise InputError(
                f"the plan has no service {wrong[0]!r}{nearest(wrong[0], self.names)}",
                where=f"plan {self.name!r}",
            )
        return ServicePlan(
            name=self.name, services=[one for one in self.services if one.name in names]
        )

    def fingerprint(self) -> str:
        """Hash the terms and the rates behind them.

        Examples
        --------
        >>> plan = ServicePlan(name="p", services=[Service(name="a", use=1.0, unit_cost=8.0)])
        >>> plan.fingerprint() == plan.scaled(1.0).fingerprint()
        True
        """
        parts = [self.name]
        for one in self.services:
            use = one.use.rates.write_json() if isinstance(one.use, RateTable) else repr(one.use)
            terms = (one.unit_cost, one.uptake, one.scope, one.user_share, one.fixed_cost)
            parts += [one.name, use, repr(tuple(map(float, terms)))]
        return fingerprint(*parts)


def require_population(population: pl.DataFrame) -> pl.DataFrame:
    """Hold a population against what pricing needs: ``sex``, ``age`` and ``insured``, one row a cell.

    Parameters
    ----------
    population : polars.DataFrame
        ``sex`` ("female", "male"), ``age`` (whole years), ``insured`` (insured-years, above zero).
        Further columns stay.

    Raises
    ------
    InputError
        For a frame without rows, missing columns, and rows that cannot be priced, with counts.

    Examples
    --------
    >>> require_population(pl.DataFrame({"sex": ["male"], "age": [40], "insured": [10]})).row(0)
    ('male', 40, 10.0)
    """
    if not isinstance(population, pl.DataFrame):
        raise InputError("a population is a polars DataFrame of sex, age and insured")
    faults = [
        f"column {name!r} is missing{nearest(name, population.columns)}"
        for name in ("sex", "age", "insured")
        if name not in population.columns
    ]
    if not population.height:
        faults.append("there are no rows")
    if not faults:
        faults = [
            f"{name!r} is {population.schema[name]}, not a number"
            for name in ("age", "insured")
            if not population.schema[name].is_numeric()
        ]
    if not faults:
        age, insured = (pl.col(name).cast(pl.Float64) for name in ("age", "insured"))
        tests = {
            "'sex' is neither female nor male": pl.col("sex")
            .cast(pl.String)
            .is_in(["female", "male"]),
            "'age' is not a whole number from 0 to 120": age.is_between(0, 120)
            & (age == age.floor()),
            "'insured' is not finite or not above zero": insured.is_finite() & (insured > 0),
        }
        for what, good in tests.items():
            if wrong := population.filter(~good.fill_null(False)).height:
                faults.append(f"{what} in {wrong:,} of {population.height:,} rows")
    if faults:
        raise InputError("a population that cannot be priced", faults=faults)
    return population.with_columns(
        pl.col("sex").cast(pl.String),
        pl.col("age").cast(pl.Int64),
        pl.col("insured").cast(pl.Float64),
    )
