"""Published figures on freMTPL2, French motor liability: 678,013 policies the user has at hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from pricing.claims.models import fit_frequency
from pricing.errors import InputError
from pricing.experience.bands import band
from pricing.experience.cells import Experience

__all__ = ["sample_of_r", "schelldorfer_wuthrich", "scikit_learn_poisson"]

FILE = "freMTPL2freq.parquet"
FACTORS = ["power", "vehicle_age", "driver_age", "brand", "gas", "region"]
COVARIATES = ["area", "bonus_malus", "log_density"]


def schelldorfer_wuthrich(folder: Path) -> tuple[str, Mapping[str, str], Mapping[str, float]]:
    """Fit the tutorial's constant and its first GLM (49 parameters), on its own split.

    Mean Poisson deviance, in units of 1/100, of the 90 % the model learns from and of the rest.
    The levels are the tutorial's: claims cut at 4 and exposure at 1 year, vehicle power from 9 on
    together, vehicle age 0, 1 to 10, 11 and over, seven classes of driver age, bonus-malus cut at
    150, area as a number from 1 to 6, the logarithm of density.

    Examples
    --------
    >>> schelldorfer_wuthrich(Path("nowhere"))
    Traceback (most recent call last):
    pricing.errors.InputError: nowhere: freMTPL2freq.parquet is not there
      do: give the folder that has it (CASdatasets, Dutang and Charpentier)
    """
    rows = (
        _policies(folder)
        .select(
            claims=pl.col("ClaimNb").clip(0, 4),
            exposure=pl.col("Exposure").clip(0, 1),
            area=pl.col("Area").cast(pl.Enum(list("ABCDEF"))).to_physical().cast(pl.Int64) + 1,
            power=pl.col("VehPower").clip(4, 9).cast(pl.String),
            vehicle_age=band("VehAge", [0, 1, 11]),
            driver_age=band("DrivAge", [18, 21, 26, 31, 41, 51, 71]),
            bonus_malus=pl.col("BonusMalus").clip(0, 150),
            brand=pl.col("VehBrand"),
            gas=pl.col("VehGas"),
            log_density=pl.col("Density").log(),
            region=pl.col("Region"),
        )
        .with_row_index("row")
    )
    size = round(0.9 * rows.height)
    learn = pl.Series(sample_of_r(rows.height, size, seed=100))
    rows = rows.with_columns(learn=pl.col("row").is_in(learn.implode()))
    seen = Experience.collect(rows.filter("learn"), [*FACTORS, *COVARIATES])
    model = fit_frequency(seen, " + ".join([*FACTORS, *COVARIATES]))
    constant = seen.basis.claims / seen.basis.exposure
    scored = model.score(rows, exposure="exposure")
    scored = scored.with_columns(constant=constant * pl.col("exposure"))
    deviance = scored.group_by("learn").agg(
        _deviance(pl.col(name)).alias(name) for name in ("constant", "expected")
    )
    ours = {
        f"{said}, {part}": float(deviance.filter(pl.col("learn") == learns)[name].item())
        for name, said in (("constant", "constant"), ("expected", "GLM1"))
        for part, learns in (("learning", True), ("test", False))
    }
    ours |= {
        "policies to learn from": float(size),
        "policies to test on": float(rows.height - size),
        "parameters": float(len(model.coefficients)),
    }
    printed = {
        "policies to learn from": "610212",
        "policies to test on": "67801",
        "parameters": "49",
        "constant, learning": "32.93518",
        "constant, test": "33.86149",
        "GLM1, learning": "31.26738",
        "GLM1, test": "32.17123",
    }
    source = (
        "Schelldorfer and Wüthrich (2019), Nesting Classical Actuarial Models into Neural "
        "Networks, SSRN 3320525: deviances of freMTPL2"
    )
    return source, printed, ours


def scikit_learn_poisson(folder: Path) -> tuple[str, Mapping[str, str], Mapping[str, float]]:
    """Fit the Poisson model of scikit-learn's example on its own third held out.

    Mean Poisson deviance of the test policies, weighted by exposure, of a constant and of the
    model. Its total of expected claims, 11,934.3, is not among the figures: the maximum of the
    likelihood on these columns gives 11,932.0.

    Examples
    --------
    >>> scikit_learn_poisson(Path("nowhere"))
    Traceback (most recent call last):
    pricing.errors.InputError: nowhere: freMTPL2freq.parquet is not there
      do: give the folder that has it (CASdatasets, Dutang and Charpentier)
    """
    rows = _policies(folder).sort("IDpol")
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import KBinsDiscretizer

    train, test = (
        rows[p] for p in train_test_split(np.arange(rows.height), test_size=0.33, random_state=0)
    )
    ages = ["VehAge", "DrivAge"]
    bins = KBinsDiscretizer(
        n_bins=10, quantile_method="averaged_inverted_cdf", random_state=0, encode="ordinal"
    ).fit(train.select(ages).to_numpy())

    def prepared(part: pl.DataFrame) -> pl.DataFrame:
        codes = bins.transform(part.select(ages).to_numpy()).astype(int)
        return part.select(
            claims="ClaimNb",
            exposure="Exposure",
            vehicle_age=pl.Series(codes[:, 0]).cast(pl.String),
            driver_age=pl.Series(codes[:, 1]).cast(pl.String),
            brand=pl.col("VehBrand").cast(pl.String),
            power=pl.col("VehPower").cast(pl.Int64).cast(pl.String),
            gas=pl.col("VehGas").cast(pl.String),
            region=pl.col("Region").cast(pl.String),
            area=pl.col("Area").cast(pl.String),
            bonus_malus=pl.col("BonusMalus").cast(pl.Float64),
            log_density=pl.col("Density").cast(pl.Float64).log(),
        )

    learned = prepared(train)
    keys = [c for c in learned.columns if c not in ("claims", "exposure")]
    seen = Experience.collect(learned, keys)
    model = fit_frequency(seen, " + ".join(keys))
    constant = seen.basis.claims / seen.basis.exposure
    scored = model.score(prepared(test), exposure="exposure")
    scored = scored.with_columns(constant=constant * pl.col("exposure"))
    total = float(scored["exposure"].sum())
    ours = {
        "claims of the test policies": float(scored["claims"].sum()),
        **{
            said: scored.select(_deviance(pl.col(name))).item() / 100.0 * scored.height / total
            for name, said in (("constant", "constant, test"), ("expected", "Poisson GLM, test"))
        },
    }
    printed = {
        "claims of the test policies": "11935",
        "constant, test": "0.625",
        "Poisson GLM, test": "0.594",
    }
    return "scikit-learn 1.0, Poisson regression and non-normal loss: freMTPL2", printed, ours


def _policies(folder: Path) -> pl.DataFrame:
    if not (folder / FILE).is_file():
        raise InputError(
            f"{FILE} is not there",
            where=str(folder),
            do="give the folder that has it (CASdatasets, Dutang and Charpentier)",
        )
    return pl.read_parquet(folder / FILE)


def sample_of_r(size: int, draws: int, *, seed: int) -> npt.NDArray[np.int64]:
    """Draw rows as R before 3.6 did after ``set.seed``: which rows a published split took.

    Mersenne Twister seeded by R's congruential scrambling, and ``sample`` without replacement
    by truncation ("Rounding"); R Core Team, R 3.5, ``?Random``. Rows count from 0.

    Examples
    --------
    >>> (sample_of_r(10, 5, seed=42) + 1).tolist()  # set.seed(42); sample(10, 5)
    [10, 9, 3, 6, 4]
    """
    state = [seed]
    for _ in range(675):
        state.append((69069 * state[-1] + 1) % 2**32)
    twister = np.random.MT19937()
    twister.state = {
        "bit_generator": "MT19937",
        "state": {"key": np.array(state[52:], dtype=np.uint32), "pos": 624},
    }
    left = list(range(size))
    taken = np.empty(draws, dtype=np.int64)
    uniform = twister.random_raw(draws) * 2.3283064365386963e-10
    for i, at in enumerate((uniform * np.arange(size, size - draws, -1)).astype(np.int64).tolist()):
        taken[i] = left[at]
        left[at] = left[size - i - 1]
    return taken


def _deviance(expected: pl.Expr) -> pl.Expr:
    """Mean Poisson deviance of a row, in hundredths."""
    n = pl.col("claims")
    logs = pl.when(n > 0).then(n * (n / expected).log()).otherwise(0.0)
    return 200.0 * (logs - n + expected).mean()
