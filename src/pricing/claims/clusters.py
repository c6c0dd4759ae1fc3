"""Errors clustered by person: one more pass over the rows, for people seen in several years."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import polars as pl
from scipy.special import ndtri

from pricing.claims.rating import RatingModel
from pricing.claims.score import column_value, require_known
from pricing.errors import InputError, nearest
from pricing.estimate.design import Floats
from pricing.estimate.inference import wald_tests
from pricing.files import fingerprint

__all__ = ["cluster_errors"]

Model = TypeVar("Model", bound=RatingModel)
Rows = pl.DataFrame | pl.LazyFrame | Sequence[pl.DataFrame | pl.LazyFrame]


def cluster_errors(
    model: Model,
    rows: Rows,
    *,
    by: str,
    exposure: str = "exposure",
    claims: str = "claims",
    amount: str = "amount",
    level: float | None = None,
) -> Model:
    """Rest a model's intervals and tests on errors clustered by person, policy or family.

    The years of one person are alike, so taking rows as independent makes intervals too narrow.
    The scores of a person's rows, x(y − wμ)·(dμ/dη)/V(μ), are added up first and squared then.
    Cells cannot carry that, so this takes one pass over the rows; coefficients stay as they are.

    Parameters
    ----------
    model : RatingModel
        Fitted on the cells of these rows.
    rows : polars DataFrame or LazyFrame, or a sequence of them
        The rows behind the cells, with the model's keys. Of a book in parts each part is read alone; all
        rows of a cluster must stand in one part.
    by : str
        Column that names the cluster; not null. A key of the experience serves as well.
    exposure, claims, amount : str
        Columns of policy-years, of claim counts and of amounts, as far as the model needs them.
    level : float, optional
        Confidence level; the model's own where left out.

    Returns
    -------
    RatingModel
        Of the same kind, with ``std_error_cluster`` in its table, and ``covariance("cluster")``.

    Raises
    ------
    InputError
        For a missing or empty ``by``, a cluster with rows in two parts, fewer clusters than coefficients, rows the model cannot
        score, rows whose sums are not those of the cells, and a model whose score does not
        factorise by row (a negative binomial on cells of unlike exposures) or that has no errors.

    Notes
    -----
    V = G/(G − 1) · A⁻¹ (Σ_g u_g u_g') A⁻¹, u_g = Σ_{i in g} x_i (y_i − w_i μ_i)(dμ/dη)/V(μ), A
    the observed information (Liang and Zeger 1986), which is the expected one for Poisson.

    Examples
    --------
    >>> from pricing.claims.models import fit_frequency
    >>> from pricing.experience.cells import Experience
    >>> rows = pl.DataFrame({"person": [1, 1, 2, 2, 3, 3, 4, 4], "sex": ["f"] * 4 + ["m"] * 4,
    ...                      "exposure": [1.0] * 8, "claims": [3, 3, 1, 1, 1, 1, 0, 0]})
    >>> model = fit_frequency(Experience.collect(rows, ["sex"]), "sex")
    >>> clustered = cluster_errors(model, rows, by="person")
    >>> bool(clustered.covariance("cluster")[1, 1] > model.covariance("robust")[1, 1])
    True
    """
    information = model.bread
    parts = [rows.lazy()] if isinstance(rows, pl.DataFrame | pl.LazyFrame) else [r.lazy() for r in rows]  # fmt: skip
    if not parts:
        raise InputError(
            "no rows to cluster", do="give the rows that the cells were collected from"
        )
    for present in (part.collect_schema().names() for part in parts):
        if by not in present:
            raise InputError(f"no column {by!r} to cluster by{nearest(by, present)}")
    _require_whole_clusters(parts, by)
    named = {"e": exposure, "n": claims, "a": amount}
    _require_same_rows(model, parts, named)
    kept = np.flatnonzero(np.isfinite(model.coefficients))
    groups, squared = 0, np.zeros((len(kept),) * 2)
    for part in parts:
        counted = _with_weight(model, part, named)
        require_known(counted, model.keys, model.details["levels"], exposure)
        u = _scores(model, counted, by, named)[:, kept]
        groups, squared = groups + len(u), squared + u.T @ u
    if groups <= len(kept):
        raise InputError(
            f"{groups:,} clusters of {by!r} cannot carry {len(kept)} coefficients",
            do="cluster by something finer, or leave factors out",
        )
    bread = information[np.ix_(kept, kept)]
    wide = np.full((len(model.columns),) * 2, np.nan)
    wide[np.ix_(kept, kept)] = bread @ squared @ bread * groups / (groups - 1)
    notes = tuple(n for n in model.basis.notes if not n.startswith("rows are taken"))
    basis = replace(
        model.basis, notes=(*notes, f"errors are clustered by {by}: {groups:,} clusters")
    )
    facts = {**model.facts, "errors": "cluster", "cluster": by, "clusters": groups}
    details = {
        **model.details,
        "covariance_cluster": [[x if x == x else None for x in row] for row in wide.tolist()],
    }
    bare = replace(model, basis=basis, facts=facts, details=details)
    return _with_intervals(bare, level or model.facts["level"])


def _with_intervals(model: Model, level: float) -> Model:
    """Rest the table's intervals and the tests on the clusters; never narrower than the model's."""
    z = float(ndtri(0.5 + level / 2))
    covariance = model.covariance("cluster")
    error = np.sqrt(np.diag(covariance))
    reach = z * np.fmax(error, np.sqrt(np.diag(model.covariance("model"))))
    found = pl.DataFrame(
        {
            "term": [c.term for c in model.columns],
            "level": [c.level for c in model.columns],
            "std_error_cluster": error,
            "_reach": reach,
        }
    ).with_columns(pl.selectors.float().fill_nan(None))
    estimated = pl.col("role") != "base"
    plain = model.table.drop("std_error_cluster", strict=False)
    table = plain.join(found, on=["term", "level"], how="left", maintain_order="left")
    table = table.with_columns(
        lower=pl.when(estimated)
        .then((pl.col("coefficient") - pl.col("_reach")).exp())
        .otherwise("lower"),
        upper=pl.when(estimated)
        .then((pl.col("coefficient") + pl.col("_reach")).exp())
        .otherwise("upper"),
        std_error_cluster=pl.when(estimated).then("std_error_cluster"),
    ).drop("_reach")
    tests = wald_tests(model.columns, model.coefficients, covariance)
    settings = fingerprint(model.basis.fingerprint, str(model.facts["cluster"]), str(level))
    return replace(
        model,
        table=table,
        frames={**model.frames, "tests": tests},
        facts={**model.facts, "level": level},
        basis=replace(model.basis, fingerprint=settings),
    )


def _with_weight(model: RatingModel, rows: pl.LazyFrame, named: Mapping[str, str]) -> pl.LazyFrame:
    """The rows that the model is of: those with an amount, for a severity."""
    kind = model.details.get("response", "frequency")
    if kind in ("severity", "row_amount", "log_amount"):
        return rows.filter(pl.col(named["a"]) > 0)
    return rows.filter(pl.col(named["n"]) > 0) if kind.startswith("severity") else rows


def _scores(model: RatingModel, rows: pl.LazyFrame, by: str, named: Mapping[str, str]) -> Floats:
    """Add up x(y − wμ)(dμ/dη)/V by cluster, one column per coefficient."""
    e, n, a = (pl.col(named[k]).cast(pl.Float64) for k in "ena")
    one = pl.lit(1.0)
    weight, total = {
        "frequency": (e, n),
        "severity": (n, a),
        "severity with nil claims": (n, a),
        "pure_premium": (e, a),
        "occurrence": (one, (a > 0).cast(pl.Float64)),
        "row_amount": (one, a),
        "log_amount": (one, a.log()),
    }[model.details.get("response", "frequency")]
    prior_key = model.details.get("weight")
    prior = pl.col(prior_key).cast(pl.Float64) if prior_key else one
    schema = rows.collect_schema()
    residual = prior * (total - weight * model.mean(schema)) * model.leverage(e, schema)
    factors = model.details["levels"]
    keys = {k: pl.col(k).cast(pl.String) if k in factors else pl.col(k) for k in model.keys}
    found = rows.select(_cluster=pl.col(by).rank("dense"), _left=residual, **keys).collect()
    if found["_cluster"].null_count():
        raise InputError(
            f"rows without {by!r} cannot be clustered", do="fill it, or drop the column"
        )
    number = found["_cluster"].to_numpy() - 1
    left = pl.col("_left")  # one column at a time, so that memory does not grow with them
    sums = [
        np.bincount(number, found.select(left * column_value(c)).to_series().to_numpy())
        for c in model.columns
    ]
    return np.column_stack(sums).astype(np.float64, copy=False)


def _require_whole_clusters(parts: Sequence[pl.LazyFrame], by: str) -> None:
    """Refuse a cluster that two parts hold: it would count as two, and its years as independent."""
    if len(parts) == 1:
        return
    who = pl.col(by).drop_nulls().cast(pl.String).unique().hash(1)
    seen = pl.concat([part.select(who).collect() for part in parts]).to_series()
    twice = len(seen) - seen.n_unique()
    if twice:
        raise InputError(
            f"{twice:,} of {seen.n_unique():,} clusters of {by!r} have rows in two parts of the book",
            do="let every file hold all policies of a person, or cluster by policy_id",
        )


def _require_same_rows(
    model: RatingModel, parts: Sequence[pl.LazyFrame], named: Mapping[str, str]
) -> None:
    sums = {
        k: pl.col(named[c]).cast(pl.Float64).sum() for k, c in (("exposure", "e"), ("claims", "n"))
    }
    seen = pl.concat([part.select(**sums).collect() for part in parts]).sum()
    for name, value in seen.row(0, named=True).items():
        known = float(getattr(model.basis, name))
        if abs(value - known) > 1e-6 * max(known, 1.0):
            raise InputError(
                f"the rows hold {value:,.1f} {name}, the model's cells {known:,.1f}",
                do="give the rows that the cells were collected from",
            )
