"""Published exposures of small censuses, split again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import polars as pl

from pricing.experience.lexis import Lexis
from pricing.experience.split import split_exposure

__all__ = ["actxps_toy_census", "experience_analysis"]

Found = tuple[str, Mapping[str, str], Mapping[str, float]]
OPEN = date(9999, 12, 31)


def actxps_toy_census() -> Found:
    """Split the toy census of actxps by policy year, by calendar year and by both.

    Examples
    --------
    >>> round(actxps_toy_census()[2]["policy 2 last policy year"], 6)
    0.30411
    """
    census = _census(
        [
            (1, date(2010, 1, 1), None, None),
            (2, date(2011, 5, 27), date(2020, 9, 14), "Death"),
            (3, date(2009, 11, 10), date(2022, 2, 25), "Surrender"),
        ]
    )
    yearly = _split(census, _to_2022(["policy_year"]))
    target = _split(census, _to_2022(["policy_year"], target="Surrender"))
    calendar = _split(census, _to_2022(["calendar_year"]))
    both = _split(census, _to_2022(["calendar_year", "policy_year"]))
    ours = {f"policy {p} policy years": float(_of(yearly, p).height) for p in (1, 2, 3)}
    ours |= {f"policy {p} last policy year": float(_of(yearly, p)["exposure"][-1]) for p in (2, 3)}
    ours |= {
        "policy 3 last policy year, Surrender as target": float(_of(target, 3)["exposure"][-1]),
        "policy 2 last policy year, Surrender as target": float(_of(target, 2)["exposure"][-1]),
        "policy 2 calendar years": float(_of(calendar, 2).height),
        "policy 2 calendar years split at anniversaries": float(_of(both, 2).height),
    }
    printed = {
        "policy 1 policy years": "13", "policy 2 policy years": "10", "policy 3 policy years": "13",
        "policy 2 last policy year": "0.304110", "policy 3 last policy year": "0.295890",
        "policy 3 last policy year, Surrender as target": "1.0",
        "policy 2 last policy year, Surrender as target": "0.304110",
        "policy 2 calendar years": "10",
        "policy 2 calendar years split at anniversaries": "19",
    }  # fmt: skip
    source = (
        "actxps (R), toy_census to 2022-12-31, vignette and R/expose.R; its dates are inclusive: "
        "the day of termination is the last day of exposure (111/365 and 108/365)"
    )
    return source, printed, ours


def experience_analysis() -> Found:
    """Split the three policies of ExperienceAnalysis.jl by anniversary, on 30/360.

    Examples
    --------
    >>> round(experience_analysis()[2]["policy 3, year 1"], 6)
    0.191667
    """
    census = _census(
        [
            (1, date(2020, 5, 10), date(2022, 6, 10), "claim"),
            (2, date(2020, 4, 5), date(2022, 8, 10), "lapse"),
            (3, date(2019, 3, 10), date(2022, 12, 31), None),
        ]
    )
    lexis = Lexis(
        start=date(2020, 1, 1),
        end=date(2023, 1, 1),
        dims=["policy_year"],
        year="30/360",
        target="claim",
    )
    cells = _split(census, lexis)
    ours = {
        f"policy {p}, year {k + 1}": float(e)
        for p, k, e in cells.select("policy", "policy_year", "exposure").iter_rows()
    }
    ours["rows"] = float(cells["rows"].sum())
    names = [
        f"policy {p}, year {k}"
        for p, years in ((1, 3), (2, 3), (3, 4))
        for k in range(1, years + 1)
    ]
    texts = ["1.0", "1.0", "1.0", "1.0", "1.0", "0.35", "0.191667", "1.0", "1.0", "0.808333"]
    source = (
        "ExperienceAnalysis.jl, README, Quickstart: Anniversary(Year(1)), claims continued, "
        "study 2020-01-01 to 2022-12-31, dates inclusive, DayCounts.Thirty360 from the first day "
        "to the day after the last"
    )
    return source, {**dict(zip(names, texts, strict=True)), "rows": "10"}, ours


def _census(rows: list[tuple[int, date, date | None, str | None]]) -> pl.DataFrame:
    """Policies whose last day is given: cover ends on the day after it."""
    columns = ["policy", "start", "last", "exit_cause"]
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(
        end=pl.col("last").dt.offset_by("1d").fill_null(OPEN)
    )


def _to_2022(dims: Sequence[str], target: str | None = None) -> Lexis:
    return Lexis(start=date(1900, 1, 1), end=date(2023, 1, 1), dims=dims, target=target)


def _split(census: pl.DataFrame, lexis: Lexis) -> pl.DataFrame:
    return split_exposure(census, ["policy"], lexis).cells


def _of(cells: pl.DataFrame, policy: int) -> pl.DataFrame:
    return cells.filter(pl.col("policy") == policy)
