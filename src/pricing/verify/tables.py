"""Figures of the reference tables: read back from the files as shipped, and computed from them."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pricing.data.mortality import life_expectancy
from pricing.data.rates import rate_table
from pricing.data.tables import source_of
from pricing.data.transitions import disability_matrices, disability_rates

__all__ = ["intensities", "lifetimes", "matrices", "sample_values"]

Found = tuple[str, Mapping[str, str], Mapping[str, float]]

RECOMPUTED = "recomputed independently from the same table when it was taken in, 2026"
_SEX = {"m": "male", "f": "female"}


def lifetimes() -> list[Found]:
    """Complete expectation of life at birth of both Chinese life tables.

    Examples
    --------
    >>> [round(value, 2) for value in lifetimes()[1][2].values()][:2]
    [76.42, 81.71]
    """
    latest = {
        "cl1 m": "85.22", "cl1 f": "89.19", "cl2 m": "79.05", "cl2 f": "83.96",
        "cl3 m": "82.01", "cl3 f": "86.22", "cl4 m": "81.18", "cl4 f": "85.47",
    }  # fmt: skip
    third = {
        "cl1 m": "76.42", "cl2 f": "81.71", "cl3 m": "80.35", "cl4 f": "85.44",
        "cl5 m": "83.13", "cl6 f": "88.13",
    }  # fmt: skip
    return [_lifetimes("cn_life_2025", latest), _lifetimes("cn_life_2010_2013", third)]


def sample_values() -> list[Found]:
    """Rates at single ages, as printed in the annexes, from the files as shipped.

    Examples
    --------
    >>> round(sample_values()[0][2]["cn_life_2025 cl2 m 60"], 3)
    7.952
    """
    return [
        _values("cn_life_2025", 1000, {
            "cl2 m 40": "1.202", "cl2 m 60": "7.952", "cl2 m 80": "66.396",
            "cl2 f 40": "0.440", "cl2 f 60": "3.317", "cl2 f 80": "45.027",
        }),
        _values("cn_ci_2020", 1000, {
            "ci4 m 30": "0.812", "ci4 m 40": "2.299", "ci4 m 50": "6.101", "ci4 m 60": "14.865",
            "ci4 m 70": "31.498", "ci4 f 30": "0.882", "ci4 f 40": "2.758", "ci4 f 50": "5.587",
            "ci4 f 60": "10.086", "ci4 f 70": "19.674", "ci10 m 80": "6.191", "ci10 f 80": "8.710",
        }),
        _values("cn_ci_2020_k", 100, {
            "k2 m 40": "47.59", "k2 m 60": "64.36", "k2 f 40": "56.77", "k2 f 60": "65.08",
        }),
        _values("cn_ci_2020_minor", 100, {
            "mi m 0": "2.23", "mi m 30": "59.63", "mi m 60": "5.48",
            "mi f 0": "2.42", "mi f 30": "142.76", "mi f 60": "14.00",
        }),
    ]  # fmt: skip


def matrices() -> Found:
    """One-year disability matrices of Cui et al. (2022), three blocks of them.

    Examples
    --------
    >>> matrices()[2]["65-70 male 1 to 1"]
    0.847
    """
    blocks = {
        "65-70 male": ".847 .133 .001 .019 .211 .677 .080 .033 .039 .311 .587 .063",
        "85-90 male": ".332 .572 .015 .080 .045 .610 .183 .163 .012 .137 .595 .256",
        "85-90 female": ".232 .683 .012 .073 .043 .599 .285 .073 .008 .086 .691 .215",
    }
    names = [f"{a} to {b}" for a in range(1, 4) for b in range(1, 5)]
    printed = {
        f"{block} {name}": f"0{text}"
        for block, row in blocks.items()
        for name, text in zip(names, row.split(), strict=True)
        if text not in (".001", ".008")  # one digit shows little
    }
    ours = {
        f"{row['age_band']} {row['sex']} {row['from_state']} to {row['to_state']}": row[
            "probability"
        ]
        for row in disability_matrices().iter_rows(named=True)
    }
    return source_of("clhls_disability"), printed, ours


def intensities() -> Found:
    """Yearly rates of the static model for China.

    Examples
    --------
    >>> round(intensities()[2]["male 65 healthy to disabled"], 5)
    0.00811
    """
    moves = ["healthy to disabled", "disabled to healthy", "healthy to dead", "disabled to dead"]
    rows = {
        "male 65": "0.00811 0.10875 0.02491 0.10808",
        "male 85": "0.02698 0.06601 0.11549 0.25510",
        "female 65": "0.00995 0.12237 0.01945 0.09172",
        "female 85": "0.03313 0.07428 0.09018 0.21649",
    }
    printed = {
        f"{life} {move}": text
        for life, row in rows.items()
        for move, text in zip(moves, row.split(), strict=True)
    }
    ours = {
        f"{row['sex']} {row['age']} {row['from_state']} to {row['to_state']}": row["rate"]
        for row in disability_rates("clhls", [65, 85]).iter_rows(named=True)
    }
    return f"{source_of('disability_3state')}; {RECOMPUTED}", printed, ours


def _lifetimes(name: str, printed: Mapping[str, str]) -> Found:
    ours = {}
    for label in printed:
        table, sex = label.split()
        years = life_expectancy(rate_table(name, table).only(_SEX[sex]))
        ours[f"{name} {label} e0"] = float(years["years"][0])
    source = f"{source_of(name)}; {RECOMPUTED}"
    return source, {f"{name} {label} e0": text for label, text in printed.items()}, ours


def _values(name: str, per: int, printed: Mapping[str, str]) -> Found:
    ours = {}
    for label in printed:
        table, sex, age = label.split()
        rates = rate_table(name, table).only(_SEX[sex]).rates
        ours[f"{name} {label}"] = float(rates.filter(pl.col("age") == int(age))["rate"][0]) * per
    return source_of(name), {f"{name} {label}": text for label, text in printed.items()}, ours
