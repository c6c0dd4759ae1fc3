"""What is timed: for each benchmark ours, the floor (the bare minimum of the same work) and a peer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from pricing.claims.models import Frequency, fit_frequency
from pricing.experience.cells import Experience

# some 160,000 cells; with levels by the dozen in every factor the cells would be as many as the rows
LEVELS = {
    "age": 15,
    "sex": 2,
    "region": 5,
    "tier": 3,
    "channel": 3,
    "group": 5,
    "year": 6,
    "plan": 4,
}
FORMULA = " + ".join(LEVELS)


@dataclass(frozen=True)
class Benchmark:
    """One piece of work, three ways."""

    size: float
    floor: str
    peer: str
    prepare: Callable[[int, Path], dict[str, Callable[[], object]]]


def rows(size: int, folder: Path) -> Path:
    """Write person-years of 8 factors to Parquet in chunks; over-dispersed claims, uneven exposure."""
    path = folder / f"rows-{size}.parquet"
    parts = []
    for chunk, start in enumerate(range(0, size, 1_000_000)):
        n = min(1_000_000, size - start)
        draw = np.random.default_rng([7, chunk])
        codes = {name: draw.integers(0, k, n) for name, k in LEVELS.items()}
        exposure = draw.uniform(0.05, 1.0, n)
        rate = np.exp(-2.3 + 0.06 * codes["age"] - 0.05 * codes["group"]) * draw.gamma(2.0, 0.5, n)
        part = folder / f"part-{size}-{chunk}.parquet"
        pl.DataFrame(
            {name: pl.Series(c).cast(pl.String) for name, c in codes.items()}
            | {"exposure": exposure, "claims": draw.poisson(rate * exposure)}
        ).cast(
            {name: pl.Enum([str(i) for i in range(k)]) for name, k in LEVELS.items()}
        ).write_parquet(part)
        parts.append(part)
    pl.scan_parquet(parts).sink_parquet(path)
    for part in parts:
        part.unlink()
    return path


def cells(size: int, folder: Path) -> dict[str, Callable[[], object]]:
    """Rows to cells with second moments."""
    import duckdb

    path, keys = rows(size, folder), list(LEVELS)
    e, n = pl.col("exposure"), pl.col("claims")
    same = [
        pl.len(), e.sum(), n.sum(), (e * e).sum().alias("ee"), (n * e).sum().alias("ne"),
        (n * n).sum().alias("nn"), (n * n / e).sum().alias("nne"),
        pl.when(n > 0).then(n * (n / e).log()).otherwise(0.0).sum().alias("nlog"),
        pl.when(n > 0).then(n * n.log() - n).otherwise(0.0).sum().alias("sat"),
    ]  # fmt: skip
    sums = (
        "count(*), sum(exposure), sum(claims), sum(exposure*exposure), sum(claims*exposure), sum(claims*claims), "
        "sum(claims*claims/exposure), sum(case when claims > 0 then claims*ln(claims/exposure) else 0 end), "
        "sum(case when claims > 0 then claims*ln(claims) - claims else 0 end)"
    )
    quoted = ", ".join(f'"{key}"' for key in keys)
    query = f"select {quoted}, {sums} from '{path}' group by all"
    return {
        "ours": lambda: Experience.collect(pl.scan_parquet(path), keys),
        "floor": lambda: pl.scan_parquet(path).group_by(keys).agg(same).collect(engine="streaming"),
        "peer": lambda: duckdb.sql(query).to_arrow_table(),
    }


def fit(size: int, folder: Path) -> dict[str, Callable[[], object]]:
    """Parquet to a Poisson GLM with row-exact robust errors."""
    path, keys = rows(size, folder), list(LEVELS)
    narrow = {"age": 15, "group": 5, "sex": 2, "tier": 3, "channel": 4}  # 1,800 cells at most
    formula = " + ".join(narrow)
    sums = [pl.col("exposure", "claims").sum()]
    return {
        "ours": lambda: fit_frequency(
            Experience.collect(pl.scan_parquet(path), list(narrow)), formula
        ),
        "floor": lambda: (
            pl.scan_parquet(path).group_by(list(narrow)).agg(sums).collect(engine="streaming")
        ),
        "peer": lambda: _glum_on_rows(path, [k for k in keys if k in narrow]),
    }


def _glum_on_rows(path: Path, keys: list[str]) -> object:
    import tabmat
    from glum import GeneralizedLinearRegressor

    frame = pl.read_parquet(path)
    blocks = [
        tabmat.CategoricalMatrix(
            frame[k].to_physical().to_numpy().astype(np.int32),
            np.arange(LEVELS[k]),
            drop_first=True,
        )
        for k in keys
    ]
    model = GeneralizedLinearRegressor(family="poisson", alpha=0)
    e = frame["exposure"].to_numpy(writable=True)
    matrix = tabmat.SplitMatrix(blocks)
    model.fit(matrix, frame["claims"].to_numpy() / e, sample_weight=e)
    model.covariance_matrix(matrix, frame["claims"].to_numpy() / e, sample_weight=e, robust=True)
    return model


def refit(size: int, folder: Path) -> dict[str, Callable[[], object]]:
    """A what-if refit on cells."""
    import statsmodels.api as sm

    from pricing.estimate.design import design

    draw = np.random.default_rng(1)
    keys = list(LEVELS)
    frame = pl.DataFrame(
        {name: pl.Series(draw.integers(0, k, size)).cast(pl.String) for name, k in LEVELS.items()}
        | {"exposure": draw.uniform(5, 50, size)}
    ).unique(keys, keep="first", maintain_order=True)
    frame = frame.with_columns(claims=pl.Series(draw.poisson(0.1 * frame["exposure"].to_numpy())))
    seen = Experience.collect(frame, keys)
    x, e, n = design(FORMULA, seen), seen.values("exposure"), seen.values("claims")
    dense = x.matrix.toarray()
    return {
        "ours": lambda: fit_frequency(seen, FORMULA),
        "floor": lambda: np.linalg.solve(
            np.asarray(x.matrix.sandwich(e)), x.matrix.transpose_matvec(n)
        ),
        "peer": lambda: sm.GLM(n, dense, family=sm.families.Poisson(), exposure=e).fit(),
    }


def score(size: int, folder: Path) -> dict[str, Callable[[], object]]:
    """Rows Parquet to Parquet with a rate on every row."""
    path, out = rows(size, folder), folder / "scored.parquet"
    model: Frequency = fit_frequency(
        Experience.collect(pl.scan_parquet(path), list(LEVELS)), FORMULA
    )
    effects = {
        name: dict(model.relativities(name).select("level", "relativity").iter_rows())
        for name in LEVELS
    }
    base = float(np.exp(model.coefficients[0]))

    def in_pandas() -> None:
        frame = pl.read_parquet(path).to_pandas()
        frame["rate"] = base
        for name, table in effects.items():
            frame["rate"] *= frame[name].astype(str).map(table)
        frame.to_parquet(folder / "pandas.parquet")

    return {
        "ours": lambda: model.score(pl.scan_parquet(path), exposure="exposure").sink_parquet(out),
        "floor": lambda: pl.scan_parquet(path).sink_parquet(out),
        "peer": in_pandas,
    }


def study_report(size: int, folder: Path) -> dict[str, Callable[[], object]]:
    """The simulated study: files to report (the book is there already)."""
    from pricing.data.tables import bundled
    from pricing.report.page import write
    from pricing.study.chain import open_study

    path = bundled("studies/huoli.toml")
    book = open_study(path, work=folder).book

    def ours() -> object:
        study = open_study(path, work=folder)
        return write(study, study.run(), folder / "report")

    def floor() -> object:
        return [
            pl.read_parquet(book / name / "*.parquet")
            for name in ("policies", "renewals", "claims")
        ]

    return {"ours": ours, "floor": floor}


BENCHMARKS = {
    "cells": Benchmark(
        1e7, "polars group-by of the same sums", "DuckDB group-by of the same sums", cells
    ),
    "fit_frequency": Benchmark(
        1e7, "polars group-by of claims and exposure", "glum on rows, robust errors", fit
    ),
    "refit": Benchmark(
        1e5, "one weighted cross-product and solve", "statsmodels on the cells", refit
    ),
    "score": Benchmark(1e7, "plain copy Parquet to Parquet", "pandas map of relativities", score),
    "study_report": Benchmark(1e5, "reading the tables", "", study_report),
}
