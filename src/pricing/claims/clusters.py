"""Errors clustered by person: one more pass over the rows, for people seen in several years."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
from scipy.special import ndtri

from pricing.claims.models import Frequency
from pricing.claims.score import column_value, require_known
from pricing.errors import InputError, nearest
from pricing.estimate.design import Floats
from pricing.estimate.inference import wald_tests
from pricing.files import fingerprint

__all__ = ["cluster_errors"]


def cluster_errors(
    model: Frequency,
    rows: pl.DataFrame | pl.LazyFrame,
    *,
    by: str,
    exposure: str = "exposure",
    claims: str = "claims",
    level: float | None = None,
) -> Frequency:
    """Rest a model's intervals and tests on errors clustered by person, policy or family.

    The years of one person are alike, so taking rows as independent makes intervals too narrow.
    The scores of a person's rows, x(n − eλ), are added up first and squared then. Cells cannot
    carry that, so this takes one pass over the rows; coefficients stay as they are.

    Parameters
    ----------
    model : Frequency
        Fitted on the cells of these rows.
    rows : polars DataFrame or LazyFrame
        The rows behind the cells, with the model's keys.
    by : str
        Column that names the cluster; not null.
    exposure, claims : str
        Columns of policy-years and of claim counts.
    level : float, optional
        Confidence level; the model's own where left out.

    Returns
    -------
    Frequency
        With ``std_error_cluster`` in its table, and ``covariance("cluster")``.

    Raises
    ------
    InputError
        For a missing or empty ``by``, fewer clusters than coefficients, rows the model cannot
        score, or rows whose claims and exposure are not those of the cells.

    Notes
    -----
    V = G/(G − 1) · A⁻¹ (Σ_g u_g u_g') A⁻¹, u_g = Σ_{i in g} x_i (n_i − e_i λ_i), A the Fisher
    information (Liang and Zeger 1986).

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
    lazy = rows.lazy()
    present = lazy.collect_schema().names()
    if by not in present:
        raise InputError(f"no column {by!r} to cluster by{nearest(by, present)}")
    variables = list(dict.fromkeys(v for c in model.columns for v in c.variables))
    require_known(lazy, variables, model.details["levels"], exposure)
    scores, seen = _scores(model, lazy, by, exposure, claims)
    _require_same_rows(model, seen)
    kept = np.flatnonzero(np.isfinite(model.coefficients))
    groups = len(scores)
    if groups <= len(kept):
        raise InputError(
            f"{groups:,} clusters of {by!r} cannot carry {len(kept)} coefficients",
            do="cluster by something finer, or leave factors out",
        )
    bread = model.covariance("model")[np.ix_(kept, kept)]
    u = scores[:, kept]
    wide = np.full((len(model.columns),) * 2, np.nan)
    wide[np.ix_(kept, kept)] = bread @ (u.T @ u) @ bread * groups / (groups - 1)
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


def _with_intervals(model: Frequency, level: float) -> Frequency:
    """Rest the table's intervals and the tests on the clusters; never narrower than Poisson."""
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


def _scores(
    model: Frequency, rows: pl.LazyFrame, by: str, exposure: str, claims: str
) -> tuple[Floats, dict[str, float]]:
    """Add up x(n − eλ) by cluster, one column per coefficient."""
    e, n = pl.col(exposure).cast(pl.Float64), pl.col(claims).cast(pl.Float64)
    left = pl.col("_residual")
    sums = {f"_{j}": (left * column_value(c)).sum() for j, c in enumerate(model.columns)}
    found = (
        rows.with_columns(_residual=n - e * model.rate())
        .group_by(by, maintain_order=True)
        .agg(_exposure=e.sum(), _claims=n.sum(), **sums)
        .collect()
    )
    if found[by].null_count():
        raise InputError(
            f"rows without {by!r} cannot be clustered", do="fill it, or drop the column"
        )
    seen = {"exposure": float(found["_exposure"].sum()), "claims": float(found["_claims"].sum())}
    return found.select(sums.keys()).to_numpy().astype(np.float64), seen


def _require_same_rows(model: Frequency, seen: dict[str, float]) -> None:
    for name, value in seen.items():
        known = float(getattr(model.basis, name))
        if abs(value - known) > 1e-6 * max(known, 1.0):
            raise InputError(
                f"the rows hold {value:,.1f} {name}, the model's cells {known:,.1f}",
                do="give the rows that the cells were collected from",
            )
