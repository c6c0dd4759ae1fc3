"""A simulated book of claimants whose truth is known: repeat claims with frailty, a service some join later."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from pricing.errors import InputError

__all__ = ["AFTERCARE_TRUTH", "simulate_aftercare"]

FIRST, LAST, WINDOW_END = date(2021, 1, 1), date(2024, 12, 31), date(2026, 1, 1)
AFTERCARE_TRUTH = {
    "service_rate_ratio": 0.80,  # of repeat claims, in the service against outside
    "repeat_claims_a_year": 0.50,  # of a claimant of 60 without chronic disease, of mean frailty
    "per_year_of_age": 0.02,  # of ln rate
    "chronic_rate_ratio": 1.60,
    "frailty_variance": 0.8,  # gamma with mean 1
    "join_share": 0.65,  # of claimants, where chronic 0.80
    "days_to_join": 75.0,  # mean of an exponential after the close
    "lapse_a_year": 0.10,
    "death_a_year": 0.03,  # of mean frailty, in proportion to it
    "mean_amount": 9_000.0,
}


def simulate_aftercare(folder: Path, *, members: int, seed: int) -> None:
    """Write policies, their claims, and the register of a service offered after each first claim.

    Each claimant's first claim closes on a day; repeat claims follow at a rate with gamma frailty, lower
    by the true ratio from the day of joining on. Who has a chronic disease joins more often; given that,
    joining is by lot.

    Parameters
    ----------
    folder : Path
        Receives ``policies/``, ``claims/``, ``aftercare/``, ``truth/`` and ``truth.json``.
    members : int
        Claimants, 1 or more.
    seed : int
        0 or more; the same seed gives the same rows.

    Raises
    ------
    InputError
        For members or a seed out of range.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> simulate_aftercare(folder, members=20, seed=1)
    >>> pl.read_parquet(folder / "aftercare/*.parquet").height
    20
    """
    for name, value, least in (("members", members, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{value!r} is out of range", where=name, do=f"give {least} or more")
    for name, table in _tables(np.random.default_rng([seed, 97]), members).items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        table.write_parquet(folder / name / "part-0000.parquet")
    account = {"members": members, "seed": seed, "parameters": AFTERCARE_TRUTH}
    (folder / "truth.json").write_text(json.dumps(account, indent=2) + "\n", encoding="utf-8")


def _tables(draw: np.random.Generator, members: int) -> dict[str, pl.DataFrame]:
    true = AFTERCARE_TRUTH
    span = (LAST - FIRST).days
    closed = np.datetime64(FIRST) + draw.integers(0, span, members)
    incurred = closed - draw.integers(10, 60, members)
    start = incurred - draw.integers(30, 700, members)
    age = draw.integers(40, 81, members)
    born = closed - (age * 365.25).astype(np.int64) - draw.integers(0, 300, members)
    chronic = draw.random(members) < 0.4
    shape = 1 / true["frailty_variance"]
    frailty = draw.gamma(shape, 1 / shape, members)
    lapse = draw.exponential(365 / true["lapse_a_year"], members)
    death = draw.exponential(365 / (true["death_a_year"] * np.maximum(frailty, 1e-9)))
    window = (np.datetime64(WINDOW_END) - closed).astype(np.int64).astype(np.float64)
    stay = np.maximum(np.ceil(np.minimum(np.minimum(lapse, death), window)), 2.0)
    cause = np.where(stay >= window, "", np.where(death < lapse, "death", "lapse"))
    joins = draw.random(members) < np.where(chronic, 0.80, true["join_share"])
    joined = np.where(joins, np.ceil(draw.exponential(true["days_to_join"], members)), np.inf)
    before = np.minimum(joined, stay)
    rate = (
        true["repeat_claims_a_year"] / 365 * frailty * np.exp(true["per_year_of_age"] * (age - 60))
        * np.where(chronic, true["chronic_rate_ratio"], 1.0)
    )  # fmt: skip
    outside = draw.poisson(rate * before)
    inside = draw.poisson(true["service_rate_ratio"] * rate * (stay - before))
    at_o, at_i = (np.repeat(np.arange(members), many) for many in (outside, inside))
    day = np.concatenate([
        draw.random(len(at_o)) * before[at_o],
        before[at_i] + draw.random(len(at_i)) * (stay - before)[at_i],
    ])  # fmt: skip
    who = np.concatenate([at_o, at_i])
    # a claim within the last day of cover is one of that day
    told = np.clip(np.ceil(day), 1, stay[who] - 1).astype(np.int64)
    number = np.arange(members)
    policy = "AC" + pl.Series(number + 1).cast(pl.String).str.zfill(8)
    end = closed + stay.astype(np.int64)
    policies = pl.DataFrame({
        "policy_id": policy, "birth_date": born, "sex": np.where(draw.random(members) < 0.5, "female", "male"),
        "start": start, "end": end, "exit_cause": cause,
    }).with_columns(pl.col("exit_cause").replace("", None))  # fmt: skip
    index = pl.DataFrame({
        "claim_id": policy + "-00", "policy_id": policy, "incurred": incurred, "paid": closed,
        "amount": draw.gamma(2, true["mean_amount"] / 2, members).round(2).clip(0.01),
    })  # fmt: skip
    again = pl.DataFrame({
        "policy_id": policy.gather(who), "incurred": closed[who] + told,
        "amount": draw.gamma(2, true["mean_amount"] / 2, len(who)).round(2).clip(0.01),
    }).sort("policy_id", "incurred").with_columns(
        claim_id=pl.col("policy_id") + "-"
        + (pl.int_range(1, pl.len() + 1).over("policy_id")).cast(pl.String).str.zfill(2),
        paid=pl.col("incurred").dt.offset_by("30d"),
    )  # fmt: skip
    claims = pl.concat([index, again.select(index.columns)]).with_columns(
        reported=pl.col("incurred"), benefit=pl.lit("inpatient")
    )
    took = joined < stay
    register = pl.DataFrame({
        "claim_id": policy + "-00", "policy_id": policy, "closed": closed,
        "joined": pl.Series(closed + np.where(took, joined, 0).astype(np.int64)),
        "chronic": chronic, "_took": took,
    }).with_columns(joined=pl.when("_took").then("joined")).drop("_took")  # fmt: skip
    truth = pl.DataFrame({"policy_id": policy, "frailty": frailty, "rate_a_year": rate * 365})
    return {"policies": policies, "claims": claims, "aftercare": register, "truth": truth}
