"""What an insurer's tables must look like in one study: the schemas with its rating factors."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence

import dataframely as dy

from pricing.data.columns import about
from pricing.data.delivered import TABLES
from pricing.data.rules import RULES
from pricing.errors import InputError, nearest

__all__ = ["contract"]

_RULE_NAMES = {rule for _, rule in RULES}


def contract(
    table: str,
    *,
    factors: Mapping[str, Sequence[str] | None] | None = None,
    covariates: Sequence[str] = (),
) -> type[dy.Schema]:
    """Give the contract of a table, with the rating factors of one study added.

    The columns every insurer has are fixed; rating factors differ from study to study. A
    factor that names a column the table has already (``sex``, ``health_group``) narrows it.

    Parameters
    ----------
    table : str
        ``policies``, ``renewals``, ``claims`` or ``person_years``.
    factors : mapping of str to sequence of str or None, optional
        Rating factor to its levels in order, base level where the study puts it; None
        takes any text. Factors may not be empty in the data.
    covariates : sequence of str, optional
        Numeric columns, finite and never empty.

    Returns
    -------
    type of dataframely.Schema

    Raises
    ------
    InputError
        Where the table is not known, or a factor or covariate cannot be a column of it.

    Examples
    --------
    >>> schema = contract("person_years", factors={"tier": ["basic", "plus"]},
    ...                   covariates=["bmi"])
    >>> schema.column_names()[-2:]
    ['tier', 'bmi']
    >>> print(schema.columns()["tier"].dtype)
    Enum(categories=['basic', 'plus'])
    """
    if table not in TABLES:
        raise InputError(f"there is no table {table!r}{nearest(table, TABLES)}")
    base, factors = TABLES[table], dict(factors or {})
    core = base.columns()
    names = [*factors, *covariates]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{name!r} is named twice", where=f"{table}, factors and covariates")
        if (
            not name
            or not name.isprintable()
            or name.startswith("_")
            or name in _RULE_NAMES
            or name == "primary_key"
        ):
            raise InputError(
                f"{name!r} cannot be a column's name",
                where=f"{table}, factors and covariates",
                do="give the column another name; names that start with _ are kept for the rows' "
                "origin",
            )
    columns: dict[str, dy.Column] = {}
    for name, levels in factors.items():
        columns[name] = _factor(table, name, levels, core.get(name))
    for name in covariates:
        columns[name] = _covariate(table, name, core.get(name))
    # A study's column may carry any name, that of a schema's method too, so it goes in under
    # a neutral attribute; a core column is replaced where it stands.
    attributes = {name: columns.pop(name, column) for name, column in core.items()}
    attributes |= {
        f"study_column_{i}": column.with_alias(name)
        for i, (name, column) in enumerate(columns.items())
    }
    members = {"__doc__": base.__doc__, "__module__": base.__module__, **attributes}
    return types.new_class(base.__name__, (base,), {}, lambda body: body.update(members))


def _factor(
    table: str, name: str, levels: Sequence[str] | None, core: dy.Column | None
) -> dy.Column:
    where = f"{table}, factor {name!r}"
    texts = isinstance(core, dy.String | dy.Enum) and not core.primary_key
    flags = isinstance(core, dy.Bool | dy.Int64) and bool((core.metadata or {}).get("optional"))
    if core is not None and not (texts or flags):
        raise InputError(
            "this column of the contract cannot be a rating factor",
            where=where,
            do="band it in the study and name the band",
        )
    description = (core.description if core else None) or "Rating factor of the study"
    if levels is None:
        if isinstance(core, dy.Enum):
            return core.with_properties(nullable=False, **about(description))
        return dy.String(**about(description))
    if isinstance(levels, str) or not levels or not all(isinstance(v, str) and v for v in levels):
        raise InputError("levels must be a list of non-empty texts", where=where)
    if len(set(levels)) < len(levels):
        twice = sorted({level for level in levels if list(levels).count(level) > 1})
        raise InputError(f"levels are repeated: {', '.join(twice)}", where=where)
    if isinstance(core, dy.Enum) and (unknown := [v for v in levels if v not in core.categories]):
        raise InputError(
            f"{unknown[0]!r} is not a level of the contract{nearest(unknown[0], core.categories)}",
            where=where,
        )
    return dy.Enum(levels, **about(description))


def _covariate(table: str, name: str, core: dy.Column | None) -> dy.Column:
    if core is None:
        return dy.Float64(**about("Covariate of the study"))
    if not isinstance(core, dy.Float64):
        raise InputError(
            "this column of the contract is not a measured number",
            where=f"{table}, covariate {name!r}",
            do="name it as a factor, or leave it out",
        )
    metadata = {**(core.metadata or {}), "optional": False}
    return core.with_properties(nullable=False, metadata=metadata)
