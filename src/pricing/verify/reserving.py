"""Published reserves: chain ladder with Mack's errors on two triangles everybody knows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import polars as pl

from pricing.data.tables import reference_table, source_of
from pricing.reserving.bootstrap import odp_bootstrap
from pricing.reserving.development import development_pattern
from pricing.reserving.mack import mack
from pricing.reserving.triangle import Triangle, claim_triangle

__all__ = ["genins_figures", "published_triangle", "raa_figures"]

Found = tuple[str, Mapping[str, str], Mapping[str, float]]


def published_triangle(name: str) -> Triangle:
    """Make a triangle of a reference table of cumulative claims.

    Examples
    --------
    >>> published_triangle("raa").latest().tolist()[:2]
    [18834.0, 16704.0]
    """
    rows = (
        reference_table(name)
        .sort("origin", "lag")
        .select(
            incurred=pl.date(pl.col("origin"), 1, 1),
            paid=pl.date(pl.col("origin") + pl.col("lag"), 1, 1),
            amount=pl.col("cumulative").diff().over("origin").fill_null(pl.col("cumulative")),
        )
    )
    last = rows["paid"].max()
    assert isinstance(last, date)
    return claim_triangle(rows, valuation=date(last.year, 12, 31), grain="year")


def raa_figures() -> Found:
    """Reserves, errors by origin and in total, σ² and factors of the RAA triangle.

    Examples
    --------
    >>> round(raa_figures()[2]["RAA total error, Mack's rule"], 2)
    26909.01
    """
    seen = published_triangle("raa")
    printed = {
        "RAA IBNR": "52135.23", "RAA total error, Mack's rule": "26909.01",
        "RAA total error, log-linear rule": "26880.74",
        "RAA total error, tail 1.05": "28669.91",
    }  # fmt: skip
    printed |= _numbered("RAA error of origin", 1982, (
        "206", "623", "747", "1469", "2002", "2209", "5358", "6333", "24566"))  # fmt: skip
    printed |= _numbered("RAA sigma² at lag", 0, (
        "27883", "1109", "691", "61.2", "119", "40.8", "1.34", "7.88"))  # fmt: skip
    printed |= _numbered("RAA factor from lag", 0, (
        "2.99936", "1.62352", "1.27089", "1.17167", "1.11338", "1.04193", "1.03326", "1.01694",
        "1.00922"))  # fmt: skip
    ours = _ours("RAA", seen) | {
        "RAA total error, tail 1.05": mack(seen, tail=1.05).facts["std_error"]
    }
    source = f"{source_of('raa')}; ChainLadder (R), unit test of MackChainLadder"
    return source, printed, ours


def genins_figures() -> Found:
    """Reserves, errors by origin and in total, and factors of the Taylor–Ashe triangle.

    Examples
    --------
    >>> round(genins_figures()[2]["GenIns total error, Mack's rule"], 2)
    2447094.86
    """
    seen = published_triangle("genins")
    printed = {
        "GenIns IBNR": "18680855.61", "GenIns total error, Mack's rule": "2447094.86",
        "GenIns total error, log-linear rule": "2441364.13", "GenIns φ of the ODP model": "52601",
    }  # fmt: skip
    printed |= _numbered("GenIns error of origin", 2002, (
        "75535.04", "121698.56", "133548.85", "261406.45", "411009.70", "558316.86", "875327.51",
        "971257.81", "1363154.91"))  # fmt: skip
    printed |= _numbered("GenIns factor from lag", 0, (
        "3.49061", "1.74733", "1.45741", "1.17385", "1.10382", "1.08627", "1.05387", "1.07656",
        "1.01772"))  # fmt: skip
    ours = _ours("GenIns", seen) | {
        "GenIns φ of the ODP model": odp_bootstrap(seen, samples=100).facts["scale"]
    }
    source = f"{source_of('genins')}, tables 2 and 3; England and Verrall (2002), table 3 (φ)"
    return source, printed, ours


def _ours(name: str, seen: Triangle) -> dict[str, float]:
    by_mack, pattern = mack(seen), development_pattern(seen)
    ours = {
        f"{name} IBNR": by_mack.ibnr,
        f"{name} total error, Mack's rule": by_mack.facts["std_error"],
        f"{name} total error, log-linear rule": mack(seen, sigma="log-linear").facts["std_error"],
    }
    for origin, error in by_mack.table.select("origin", "std_error").iter_rows():
        ours[f"{name} error of origin {origin.year}"] = error
    for lag, factor, sigma in pattern.table.select("lag", "link_factor", "sigma").iter_rows():
        ours[f"{name} factor from lag {lag}"] = factor
        ours[f"{name} sigma² at lag {lag}"] = 0.0 if sigma is None else sigma**2
    return ours


def _numbered(name: str, first: int, texts: tuple[str, ...]) -> dict[str, str]:
    return {f"{name} {first + i}": text for i, text in enumerate(texts)}
