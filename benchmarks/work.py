"""What is timed: for each benchmark ours, the floor (the bare minimum of the same work) and a peer."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
from lab import lab_change, lab_start
from plans import care_projection, mutual_settlement, tier_grid

from pricing.claims.models import Frequency, fit_frequency
from pricing.experience.cells import Experience
from pricing.experience.lexis import Lexis
from pricing.experience.split import split_exposure

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
    peer: str | Callable[[int], str]
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
    sums = [pl.col("exposure", "claims").sum()]
    return {
        "ours": lambda: fit_frequency(Experience.collect(pl.scan_parquet(path), keys), FORMULA),
        "floor": lambda: pl.scan_parquet(path).group_by(keys).agg(sums).collect(engine="streaming"),
        "peer": lambda: (
            _statsmodels_on_rows(path) if size <= STATSMODELS_ROWS else _glum_on_rows(path, keys)
        ),
    }


STATSMODELS_ROWS = 1_000_000  # more take minutes and all of the memory


def _statsmodels_on_rows(path: Path) -> object:
    import statsmodels.api as sm
    import statsmodels.formula.api as smf

    rows = pl.read_parquet(path).to_pandas()
    model = smf.glm(
        f"claims ~ {FORMULA}", rows, family=sm.families.Poisson(), exposure=rows["exposure"]
    )
    return model.fit(cov_type="HC0")


def _fit_peer(size: int) -> str:
    return (
        "statsmodels on rows, robust errors"
        if size <= STATSMODELS_ROWS
        else "glum on rows, robust errors"
    )


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


def validate(size: int, folder: Path) -> dict[str, Callable[[], object]]:
    """Lift, double lift and Gini with its interval, in the worst case: every row a cell of its own."""
    from pricing.validation.lift import double_lift, lift
    from pricing.validation.lorenz import lorenz

    draw = np.random.default_rng(3)
    exposure, first = draw.uniform(0.05, 1.0, size), draw.gamma(4.0, 0.03, size)
    frame = pl.DataFrame(
        {"cell": np.arange(size), "exposure": exposure, "claims": draw.poisson(first * exposure)}
        | {"first": first, "second": first * draw.uniform(0.7, 1.4, size)}
    )
    seen = Experience.collect(frame, ["cell", "first", "second"])
    one, two = pl.col("first"), pl.col("second")
    rows = frame.to_pandas()
    order = np.argsort(first)

    def in_pandas() -> None:
        def banded(score: object) -> object:
            ranked = rows.assign(score=score).sort_values("score")
            share = ranked["exposure"].cumsum() / ranked["exposure"].sum()
            band = (share * 10).clip(upper=9.999).astype(int)
            return (
                ranked.assign(a=ranked["first"] * ranked["exposure"])
                .assign(b=ranked["second"] * ranked["exposure"])
                .groupby(band)[["exposure", "claims", "a", "b"]]
                .sum()
            )

        banded(rows["first"])
        banded(rows["first"] / rows["second"])
        ranked = rows.sort_values("first")
        x = ranked["exposure"].cumsum() / ranked["exposure"].sum()
        y = ranked["claims"].cumsum() / ranked["claims"].sum()
        np.trapezoid(y, x)

    return {
        "ours": lambda: (lift(seen, one), double_lift(seen, one, two), lorenz(seen, one)),
        "floor": lambda: (np.argsort(first), np.cumsum(exposure[order]), np.cumsum(exposure)),
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


def policies(size: int, folder: Path) -> Path:
    """Write a book of policies of three factors to Parquet: about 60 % in force in the window."""
    path = folder / f"policies-{size}.parquet"
    levels = {"sex": 2, "region": 12, "tier": 3}
    parts = []
    for chunk, first in enumerate(range(0, size, 1_000_000)):
        n = min(1_000_000, size - first)
        draw = np.random.default_rng([11, chunk])
        start = draw.integers(16_071, 19_875, n)  # 2014 to mid-2024
        end = np.minimum(start + 1 + draw.exponential(1_600, n).astype(int), 20_089)
        birth = start - draw.integers(18 * 365, 70 * 365, n)
        part = folder / f"policies-{size}-{chunk}.parquet"
        pl.DataFrame(
            {
                "policy_id": np.arange(first, first + n),
                "start": start,
                "end": end,
                "birth_date": birth,
            }
            | {
                name: pl.Series(draw.integers(0, k, n)).cast(pl.String)
                for name, k in levels.items()
            }
        ).with_columns(pl.col("start", "end", "birth_date").cast(pl.Int32).cast(pl.Date)).cast(
            {name: pl.Enum([str(i) for i in range(k)]) for name, k in levels.items()}
        ).write_parquet(part)
        parts.append(part)
    pl.scan_parquet(parts).sink_parquet(path)
    for part in parts:
        part.unlink()
    return path


def aggregate(size: int, folder: Path) -> dict[str, Callable[[], object]]:
    """Number and amounts of claims to the year's distribution with its risk measures."""
    from scipy import stats

    from pricing.losses.aggregate import aggregate_loss
    from pricing.losses.compound import panjer_recursion
    from pricing.losses.count_law import negative_binomial
    from pricing.losses.discretise import discretise
    from pricing.losses.severity_law import severity_law

    count, amount = negative_binomial(mean=40.0, dispersion=2.0), stats.lognorm(1.0, scale=1000.0)
    bucket = 3_200_000.0 / size
    lattice = discretise(severity_law(amount), span=bucket, size=size)

    def floor() -> object:
        return np.fft.irfft((2 - np.fft.rfft(lattice.probabilities)) ** -40.0, size)

    return {
        "ours": lambda: aggregate_loss(count, amount, bucket=bucket, buckets=size),
        "floor": floor,
        "peer": lambda: panjer_recursion(count, lattice, size),
    }


WINDOW = (date(2022, 1, 1), date(2025, 1, 1))


def split(size: int, folder: Path) -> dict[str, Callable[[], object]]:
    """Policies to exposure by calendar year, policy year, age and three factors."""
    path, factors = policies(size, folder), ["sex", "region", "tier"]
    lexis = Lexis(start=WINDOW[0], end=WINDOW[1], dims=["calendar_year", "policy_year", "age"])
    days = (pl.col("end") - pl.col("start")).dt.total_days()
    years = [pl.col(c).dt.year().alias(f"{c}_year") for c in ("start", "birth_date")]
    return {
        "ours": lambda: split_exposure(pl.scan_parquet(path), factors, lexis),
        "floor": lambda: (
            pl.scan_parquet(path)
            .group_by([*factors, *years])
            .agg(pl.len(), days.sum(), (days * days).sum().alias("square"))
            .collect(engine="streaming")
        ),
        "peer": lambda: _actxps(path) if _has_actxps(size) else _exploded(path, factors),
    }


ACTXPS = Path(__file__).with_name(".actxps") / "bin" / "python"


def _has_actxps(size: int) -> bool:
    """Whether actxps is in its environment (make bench sets it up) and ten minutes would do."""
    return ACTXPS.exists() and size <= 1_000_000


def _actxps(path: Path) -> float:
    """The seconds actxps takes, by its own clock, without the start of its interpreter."""
    script = Path(__file__).with_name("actxps_split.py")
    ran = subprocess.run([ACTXPS, script, path], capture_output=True, text=True, check=True)
    return float(ran.stdout)


def _split_peer(size: int) -> str:
    if _has_actxps(size):
        return "actxps: calendar year by policy year only, then group"
    return "polars: explode a row per policy and cut date, then group"


def _exploded(path: Path, factors: list[str]) -> pl.DataFrame:
    """The usual way, a million policies at a time: a row per policy and cut date, then group."""
    begin, until = (pl.lit(d) for d in WINDOW)
    frames = []
    scan = pl.scan_parquet(path)
    size = scan.select(pl.len()).collect().item()
    for at in range(0, size, 1_000_000):
        cuts = [pl.lit(date(y, 1, 1)) for y in range(2022, 2026)]
        for column in ("start", "birth_date"):
            for y in range(2022, 2025):
                shift = pl.format("{}y", y - pl.col(column).dt.year())
                cuts.append(pl.col(column).dt.offset_by(shift))
        rows = (
            scan.slice(at, 1_000_000)
            .with_columns(s=pl.max_horizontal("start", begin), e=pl.min_horizontal("end", until))
            .filter(pl.col("s") < pl.col("e"))
            .with_columns(cut=pl.concat_list("s", "e", *cuts).list.unique().list.sort())
            .explode("cut")
            .with_columns(to=pl.col("cut").shift(-1).over("policy_id"))
            .filter((pl.col("cut") >= pl.col("s")) & (pl.col("cut") < pl.col("e")))
        )
        month_day = pl.col("cut").dt.to_string("%m%d")
        turned = {
            name: pl.col("cut").dt.year()
            - pl.col(c).dt.year()
            - (month_day < pl.col(c).dt.to_string("%m%d")).cast(pl.Int32)
            for name, c in (("policy_year", "start"), ("age", "birth_date"))
        }
        keys = [*factors, "year", *turned]
        exposure = (pl.col("to") - pl.col("cut")).dt.total_days() / 365.25
        frames.append(
            rows.with_columns(year=pl.col("cut").dt.year(), exposure=exposure, **turned)
            .group_by(keys)
            .agg(
                pl.len(), pl.col("exposure").sum(), (pl.col("exposure") ** 2).sum().alias("square")
            )
            .collect()
        )
    return pl.concat(frames).group_by(keys).agg(pl.exclude(keys).sum())


def payments(size: int, folder: Path) -> Path:
    """Write claim payments of five years to Parquet: 60 months of incurral, paid within 60 months."""
    path = folder / f"payments-{size}.parquet"
    parts = []
    for chunk, first in enumerate(range(0, size, 1_000_000)):
        n = min(1_000_000, size - first)
        draw = np.random.default_rng([13, chunk])
        incurred = draw.integers(18_262, 20_089, n)  # 2020 to 2024
        paid = incurred + np.minimum(draw.exponential(90.0, n), 1_700).astype(int)
        part = folder / f"payments-{size}-{chunk}.parquet"
        pl.DataFrame(
            {
                "payment_id": np.arange(first, first + n),
                "claim_id": draw.integers(0, size // 2 + 1, n),
                "incurred": incurred,
                "paid": np.minimum(paid, 20_088),
                "amount": draw.lognormal(7.0, 1.2, n).round(2),
            }
        ).with_columns(pl.col("incurred", "paid").cast(pl.Int32).cast(pl.Date)).write_parquet(part)
        parts.append(part)
    pl.scan_parquet(parts).sink_parquet(path)
    for part in parts:
        part.unlink()
    return path


CHAINLADDER_ROWS = 1_000_000  # more take minutes and all of the memory


def triangle(size: int, folder: Path) -> dict[str, Callable[[], object]]:
    """Payments to a triangle of 60 by 60 months, with the squares that carry its error."""
    from pricing.reserving.triangle import claim_triangle

    path = payments(size, folder)
    months = [
        pl.col(c).dt.year() * 12 + pl.col(c).dt.month().cast(pl.Int32) for c in ("incurred", "paid")
    ]

    def peer() -> object:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import chainladder as cl

            frame = pl.read_parquet(
                path, columns=["incurred", "paid", "amount"], n_rows=CHAINLADDER_ROWS
            )
            return cl.Triangle(
                frame.to_pandas(), origin="incurred", development="paid", columns="amount",
                cumulative=False,
            )  # fmt: skip

    return {
        "ours": lambda: claim_triangle(pl.scan_parquet(path), valuation=date(2024, 12, 31)),
        "floor": lambda: (
            pl.scan_parquet(path)
            .group_by(o=months[0], d=months[1])
            .agg(pl.len(), pl.col("amount").sum())
            .collect(engine="streaming")
        ),
        "peer": peer,
    }


def _triangle_peer(size: int) -> str:
    return "chainladder.Triangle of the frame" + (
        "" if size <= CHAINLADDER_ROWS else f", of {CHAINLADDER_ROWS:,} payments only"
    )


def spells(size: int, folder: Path) -> Path:
    """Write lives of up to ten years by month to Parquet: 50 strata, three causes of leaving."""
    path = folder / f"lives-{size}.parquet"
    parts = []
    for chunk, first in enumerate(range(0, size, 1_000_000)):
        n = min(1_000_000, size - first)
        draw = np.random.default_rng([17, chunk])
        gone = draw.exponential(60.0, n).astype(int) + 1
        seen = draw.integers(1, 121, n)
        cause = np.where(gone <= seen, draw.choice(3, n, p=[0.7, 0.1, 0.2]), 3)
        part = folder / f"lives-{size}-{chunk}.parquet"
        pl.DataFrame(
            {
                "policy_id": np.arange(first, first + n),
                "region": draw.integers(0, 50, n),
                "exit": np.minimum(gone, seen),
                "event": pl.Series(cause).replace_strict(
                    {0: "lapse", 1: "death", 2: "claim"},
                    default=None,
                    return_dtype=pl.Enum(["lapse", "death", "claim"]),
                ),
            }
        ).write_parquet(part)
        parts.append(part)
    pl.scan_parquet(parts).sink_parquet(path)
    for part in parts:
        part.unlink()
    return path


LIFELINES_ROWS = 100_000  # it sorts rows in pandas, and draws ties apart


def survival(size: int, folder: Path) -> dict[str, Callable[[], object]]:
    """Lives to Kaplan–Meier and Aalen–Johansen with errors, 50 strata, 3 causes."""
    from pricing.survival.competing import cumulative_incidence
    from pricing.survival.curve import survival_curve
    from pricing.survival.lives import Lives

    path = spells(size, folder)

    def ours() -> object:
        lives = Lives.collect(pl.scan_parquet(path), ["region"], unit="month")
        return survival_curve(lives), cumulative_incidence(lives)

    def peer() -> object:
        import warnings

        from lifelines import AalenJohansenFitter, KaplanMeierFitter

        rows = pl.read_parquet(path, n_rows=LIFELINES_ROWS)
        found: list[object] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for part in rows.partition_by("region"):
                time = part["exit"].to_numpy()
                event = part["event"].to_physical().cast(pl.Int64).fill_null(-1).to_numpy() + 1
                found.append(KaplanMeierFitter().fit(time, event > 0))
                found += [
                    AalenJohansenFitter(calculate_variance=False, seed=1).fit(
                        time, event, event_of_interest=cause
                    )
                    for cause in (1, 2, 3)
                ]
        return found

    return {
        "ours": ours,
        "floor": lambda: (
            pl.scan_parquet(path)
            .group_by("region", "exit", "event")
            .agg(pl.len())
            .collect(engine="streaming")
        ),
        "peer": peer,
    }


COX = {"age": 10, "sex": 2, "region": 5, "tier": 3, "channel": 3, "group": 5}


def lapses(size: int, folder: Path) -> Path:
    """Write lives of up to ten years by month to Parquet: six factors that move the hazard."""
    path = folder / f"lapses-{size}.parquet"
    parts = []
    for chunk, first in enumerate(range(0, size, 1_000_000)):
        n = min(1_000_000, size - first)
        draw = np.random.default_rng([23, chunk])
        codes = {name: draw.integers(0, k, n) for name, k in COX.items()}
        slower = np.exp(0.05 * codes["age"] - 0.2 * codes["group"] + 0.3 * codes["sex"])
        gone = np.ceil(draw.exponential(60.0, n) / slower)
        seen = draw.integers(1, 121, n)
        part = folder / f"lapses-{size}-{chunk}.parquet"
        pl.DataFrame(
            {name: pl.Series(c).cast(pl.String) for name, c in codes.items()}
            | {"exit": np.minimum(gone, seen).astype(int), "event": gone <= seen}
        ).cast(
            {name: pl.Enum([str(i) for i in range(k)]) for name, k in COX.items()}
        ).write_parquet(part)
        parts.append(part)
    pl.scan_parquet(parts).sink_parquet(path)
    for part in parts:
        part.unlink()
    return path


def cox(size: int, folder: Path) -> dict[str, Callable[[], object]]:
    """Lives to hazard ratios with Efron ties by month, six factors."""
    from pricing.survival.cox import fit_cox

    path = lapses(size, folder)

    def peer() -> object:
        import warnings

        from lifelines import CoxPHFitter

        rows = pl.read_parquet(path)
        wide = rows.select(*COX).to_dummies(drop_first=True).cast(pl.Float64)
        frame = pl.concat([wide, rows.select("exit", "event")], how="horizontal").to_pandas()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return CoxPHFitter().fit(frame, "exit", "event")

    return {
        "ours": lambda: fit_cox(pl.scan_parquet(path), " + ".join(COX), unit="month"),
        "floor": lambda: (
            pl.scan_parquet(path)
            .group_by(*COX, "exit", "event")
            .agg(pl.len())
            .collect(engine="streaming")
        ),
        "peer": peer,
    }


def panel(size: int, folder: Path) -> dict[str, Callable[[], object]]:
    """A panel like that of the heart transplants: four states, yearly visits, a covariate."""
    from scipy.linalg import expm
    from scipy.optimize import minimize

    from pricing.multistate.effects import panel_effects
    from pricing.multistate.graph import state_graph
    from pricing.multistate.likelihood import PanelLikelihood
    from pricing.multistate.panel import fit_panel
    from pricing.multistate.visits import read_visits

    graph = state_graph({"1": ["2", "4"], "2": ["1", "3", "4"], "3": ["2", "4"]}, list("1234"))
    q = graph.matrix(np.array([0.128, 0.042, 0.225, 0.343, 0.04, 0.131, 0.306]))
    draw = np.random.default_rng(7)
    p, found = expm(1.3 * q), []
    for person in range(size):
        state, now = 0, 0.0
        found.append((person, now, "1", "f" if person % 7 == 0 else "m"))
        for _ in range(min(20, 1 + draw.poisson(4.2))):
            gap, state = draw.uniform(0.8, 1.8), int(draw.choice(4, p=p[state]))
            now += gap * (draw.uniform(0.05, 1.0) if state == 3 else 1.0)
            found.append((person, now, "1234"[state], found[-1][3]))
            if state == 3:
                break
    visits = pl.DataFrame(found, schema=["person", "time", "state", "sex"], orient="row")
    v = read_visits(visits, graph, covariates=["sex"], exact=["4"])
    e = panel_effects(v, "sex")
    likelihood = PanelLikelihood(
        graph, e.group, v.years, v.start, v.allowed, v.exact, v.first, v.length, e.design, e.free
    )
    rows = likelihood.pairs[0]
    times = v.years[rows]
    start = np.append(np.log([0.1] * 7), np.zeros(7))
    return {
        "ours": lambda: fit_panel(visits, graph, formula="sex", exact=["4"]),
        "floor": lambda: [expm(q * t) for t in times],
        "peer": lambda: minimize(
            lambda x: -likelihood.at(x, second=False).value, start, method="BFGS"
        ),
    }


def health_value(size: int, folder: Path) -> dict[str, Callable[[], object]]:
    """A year of days per member to health values: steps, exercise, regularity, sleep; a group each."""
    from datetime import timedelta

    from pricing.programme.programme_file import read_programme
    from pricing.programme.value import health_values

    members, first = max(size // 365, 1), date(2024, 1, 1)
    draw = np.random.default_rng(7)
    parts = []
    for begin in range(0, members, 20_000):  # so that making the file needs little memory
        here = min(20_000, members - begin)
        n, part = here * 365, folder / f"days-{begin}.parquet"
        pl.DataFrame(
            {
                "person": np.repeat(np.arange(begin, begin + here, dtype=np.uint64) * 7919, 365),
                "day": pl.Series(
                    np.tile(np.arange(365, dtype=np.int32) + (first - date(1970, 1, 1)).days, here)
                ).cast(pl.Date),
                "steps": draw.lognormal(8.6, 0.5, n).astype(np.int32),
                "active_minutes": draw.gamma(2, 12, n).astype(np.float32),
                "sleep_hours": draw.normal(7, 1, n).astype(np.float32),
                "valid": draw.random(n) < 0.9,
            }
        ).write_parquet(part)
        parts.append(part)
    path = folder / "days.parquet"
    pl.scan_parquet(parts).sink_parquet(path)
    for part in parts:
        part.unlink()
    programme = read_programme("huoli")
    people = pl.DataFrame(
        {
            "person": np.arange(members, dtype=np.uint64) * 7919,
            "age": draw.integers(20, 80, members),
            "group_held": draw.choice(["G0", "G1", "G2", "G3", "G4"], members),
        }
    ).with_columns(consent=pl.lit(True), renewal=pl.lit(first + timedelta(days=365 + 60)))
    return {
        "ours": lambda: health_values(programme, people, pl.scan_parquet(path)),
        "floor": lambda: (
            pl.scan_parquet(path)
            .group_by("person", "day")
            .agg(pl.col("steps").sum())
            .collect(engine="streaming")
        ),
    }


def renewals(size: int, folder: Path) -> dict[str, Callable[[], object]]:
    """Renewals due priced Parquet to Parquet, with the steps of each and the ledger of all."""
    from pricing.renewal.renew import renew
    from pricing.renewal.rules import RenewalRules

    draw = np.random.default_rng(11)
    groups, tiers = ["G0", "G1", "G2", "G3", "G4"], ["a", "b", "c"]
    due, out = folder / f"due-{size}.parquet", folder / f"renewed-{size}.parquet"
    pl.DataFrame(
        {
            "policy_id": pl.Series(np.arange(size)).cast(pl.String).str.zfill(9),
            "health_group": pl.Series(draw.integers(0, 5, size).astype(np.uint8)).cat.to(
                pl.Enum(groups)
            ),
            "tier": pl.Series(draw.integers(0, 3, size).astype(np.uint8)).cat.to(pl.Enum(tiers)),
            "standard_premium": np.round(draw.gamma(4, 500, size) + 100, 2),
            "premium_before": np.round(draw.gamma(4, 480, size) + 100, 2),
            "consent": draw.random(size) < 0.95,
        }
    ).write_parquet(due)
    rules = RenewalRules(
        discounts=dict(zip(groups, (0.0, 0.05, 0.10, 0.15, 0.20), strict=True)),
        adjustment={"a": 0.03, "b": 0.02, "c": 0.05}, adjusted_by="tier", most_rise=0.2, most_fall=0.3,
    )  # fmt: skip
    renew(pl.scan_parquet(due), rules, out)
    copy = folder / f"copy-{size}.parquet"
    return {
        "ours": lambda: renew(pl.scan_parquet(due), rules, out),
        "floor": lambda: pl.scan_parquet(out).sink_parquet(copy),
    }


def apple_export(size: int, folder: Path) -> dict[str, Callable[[], object]]:
    """An Apple Health export, as a stream, to canonical samples in Parquet."""
    from xml.etree import ElementTree
    from xml.parsers import expat

    from pricing.activity.apple import read_apple

    kinds = [
        ("StepCount", "count", 63),
        ("HeartRate", "count/min", 71),
        ("BasalEnergyBurned", "Cal", 3),
    ]
    path, at = folder / f"export-{size}.xml", np.datetime64("2018-01-01T00:00:00")
    with path.open("w", encoding="utf-8") as file:
        file.write("<HealthData>\n")
        for i in range(size):
            start, end = (str(at + 73 * i + s).replace("T", " ") for s in (0, 60))
            kind, unit, value = kinds[i % 3]
            file.write(
                f'<Record type="HKQuantityTypeIdentifier{kind}" sourceName="手表" unit="{unit}" '
                f'creationDate="{end} +0800" startDate="{start} +0800" endDate="{end} +0800" '
                f'value="{value}"/>\n'
            )
        file.write("</HealthData>\n")

    def parsed() -> None:
        parser = expat.ParserCreate()
        parser.StartElementHandler = lambda name, attributes: None
        with path.open("rb") as file:
            parser.ParseFile(file)

    def tree() -> object:
        records = []
        for _, element in ElementTree.iterparse(path):
            if element.tag == "Record":
                records.append(dict(element.attrib))
            element.clear()
        return pl.DataFrame(records)

    out = folder / "samples"
    return {
        "ours": lambda: read_apple(path, out, person="a", tz="Asia/Shanghai"),
        "floor": parsed,
        "peer": tree,
    }


BENCHMARKS = {
    "lab_change": Benchmark(1e7, "one polars group-by over the same saved cells", "", lab_change),
    "lab_start": Benchmark(1e7, "the cells read and grouped once", "", lab_start),
    "renew": Benchmark(1e7, "plain streamed copy of the same columns", "", renewals),
    "health_value": Benchmark(
        1e7, "polars group-by of member and day, steps summed, once", "", health_value
    ),
    "apple_export": Benchmark(
        2.7e6,
        "expat over the same file, nothing kept",
        "ElementTree.iterparse to one frame",
        apple_export,
    ),
    "panel": Benchmark(
        622,
        "one scipy matrix exponential for every distinct pair of visits",
        "scipy BFGS on the same likelihood without derivatives",
        panel,
    ),
    "cells": Benchmark(
        1e7, "polars group-by of the same sums", "DuckDB group-by of the same sums", cells
    ),
    "fit_frequency": Benchmark(1e7, "polars group-by of claims and exposure", _fit_peer, fit),
    "refit": Benchmark(
        1e5, "one weighted cross-product and solve", "statsmodels on the cells", refit
    ),
    "score": Benchmark(1e7, "plain copy Parquet to Parquet", "pandas map of relativities", score),
    "split_exposure": Benchmark(
        1e7,
        "polars group-by of the factors, start year and birth year, days and their squares",
        _split_peer,
        split,
    ),
    "validate": Benchmark(
        1e6,
        "one sort of the predictions and two running sums",
        "pandas and numpy on rows, without intervals",
        validate,
    ),
    "aggregate_loss": Benchmark(
        1 << 16, "two Fourier transforms and a power", "Panjer's recursion in numpy", aggregate
    ),
    "triangle": Benchmark(
        1e7,
        "polars group-by of month of incurral and of payment, number and sum",
        _triangle_peer,
        triangle,
    ),
    "survival": Benchmark(
        1e7,
        "polars group-by of stratum, month and cause, number",
        f"lifelines on the first {LIFELINES_ROWS:,} rows, ties drawn apart, without variances",
        survival,
    ),
    "cox": Benchmark(
        1e6, "polars group-by of six factors, month and event, number", "lifelines on rows", cox
    ),
    "tier_grid": Benchmark(
        1e3,
        "one Fourier transform there and back per design",
        "50 of the designs one by one on a lattice of their own",
        tier_grid,
    ),
    "care_projection": Benchmark(
        50,
        "the products and sums of the months, chances at hand",
        "scipy's matrix exponential of 27 phases per sex and age, no fund",
        care_projection,
    ),
    "mutual_settlement": Benchmark(
        1e7,
        "polars group-by of class, birth year, joined and left by the day, number, streamed",
        "DuckDB group-by of the same",
        mutual_settlement,
    ),
    "study_report": Benchmark(1e5, "reading the tables", "", study_report),
}
