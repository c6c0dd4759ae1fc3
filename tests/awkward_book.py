"""A book of five policies that meet every edge of a policy year."""

from __future__ import annotations

from datetime import date as D

import polars as pl


def awkward_book() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Leap-day births and starts, terms cut at exit and window, a gap of a year, odd claims."""
    policies = pl.DataFrame(
        {
            "policy_id": ["leap", "gone", "gap", "open", "never"],
            "birth_date": [D(1960, 2, 29), D(1980, 3, 1), D(1999, 12, 31), D(1950, 1, 1), D(1970, 6, 1)],
            "start": [D(2020, 2, 29), D(2021, 7, 1), D(2019, 1, 1), D(2022, 3, 31), D(2030, 1, 1)],
            "end": [D(2024, 2, 29), D(2022, 9, 15), D(9999, 12, 31), D(9999, 12, 31), D(2031, 1, 1)],
            "sex": ["f", "m", "f", "m", "f"],
        }
    )  # fmt: skip
    years = [
        ("leap", n, D(2020 + n, 2, 29 if n == 0 else 28), D(2021 + n, 2, 28)) for n in range(4)
    ]
    years += [("gone", n, D(2021 + n, 7, 1), D(2022 + n, 7, 1)) for n in range(2)]
    years += [("gap", n, D(2019 + n, 1, 1), D(2020 + n, 1, 1)) for n in (0, 2, 3)]
    years += [("open", n, D(2022 + n, 3, 31), D(2023 + n, 3, 31)) for n in range(2)]
    years += [("never", 0, D(2030, 1, 1), D(2031, 1, 1))]
    renewals = pl.DataFrame(
        years, schema=["policy_id", "policy_year", "start", "end"], orient="row"
    ).with_columns(
        in_programme=pl.Series([False, None, True, False, False, False] + [True] * 6),
        standard_premium=pl.Series([1000.1 + n / 7 for n in range(12)]),
        premium=pl.Series([900.3 + n / 3 for n in range(12)]),
    )
    claims = pl.DataFrame(
        [
            ("leap", D(2020, 2, 29), 10.1),
            ("leap", D(2021, 2, 27), 0.1),
            ("leap", D(2021, 2, 28), 0.2),
            ("gone", D(2022, 9, 14), 5.5),
            ("gone", D(2022, 9, 15), 7.7),  # the day after the last
            ("gap", D(2020, 5, 5), 3.3),  # in no policy year
            ("gap", D(2021, 5, 5), 4.4),
            ("open", D(2023, 6, 30), 6.6),  # the window's end
            ("open", D(2023, 6, 29), 0.0),
            ("nobody", D(2022, 1, 1), 1.0),
        ],
        schema=["policy_id", "incurred", "amount"],
        orient="row",
    )
    return policies, renewals, claims
