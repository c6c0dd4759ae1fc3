"""A simulated elder plan with watches whose truth is known: alarms before a term tell of frailty, claims of both."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from pricing.errors import InputError

__all__ = ["simulate_alarms"]

FIRST, STARTS, TERMS = date(2021, 1, 1), 730, 3  # days over which policies start; policy years seen
KINDS = ("fall", "heart_rate", "oxygen", "blood_pressure", "inactivity", "sos")
TRUTH = {
    "claims_a_year": 0.45,  # of a man of 70 of mean frailty
    "per_year_of_age": 0.03,  # of ln frequency
    "female": 0.85,  # rate ratio
    "frailty_variance": 0.6,  # gamma with mean 1; claims are in proportion to it
    "alarms_a_year": 1.5,  # of a wearer of mean frailty
    "alarm_power": 1.0,  # alarms are in proportion to frailty to this power
    "worn": 0.6,  # share of policies with a watch; chosen at random
    "mean_amount": 2_400.0,
}
# lines of the interface that are no claim of the plan, by reason
WRONG = {
    "message_malformed": '{"claim": {"number": "X%d", "policy"',
    "message_policy_number": '{"claim": {"number": "X%d", "policy": "PA1", "incurred": "2022-05-01", "amount": 9, "benefit": "inpatient", "status": "paid"}}',
    "message_status": '{"claim": {"number": "X%d", "policy": "AJ00000001", "incurred": "2022-05-01", "amount": 9, "benefit": "inpatient", "status": "perhaps"}}',
    "message_day": '{"claim": {"number": "X%d", "policy": "AJ00000001", "incurred": "2022-13-01", "amount": 9, "benefit": "inpatient", "status": "paid"}}',
    "message_amount": '{"claim": {"number": "X%d", "policy": "AJ00000001", "incurred": "2022-05-01", "amount": -9, "benefit": "inpatient", "status": "paid"}}',
}  # fmt: skip
Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Days = npt.NDArray[np.datetime64]


def simulate_alarms(folder: Path, *, members: int, seed: int) -> None:
    """Write policies, renewals, watches, alarms, and claims both as a table and as messages.

    Frailty is one gamma draw per policy: it multiplies claims and alarms alike, so alarms of the year
    before say who will claim. Nothing else connects the two: an alarm changes no claim.

    Parameters
    ----------
    folder : Path
        Receives ``policies/``, ``renewals/``, ``watches/``, ``alarms/``, ``claims/``,
        ``claim_messages/`` (and ``claims.jsonl``, the same lines), ``truth/`` (expected claims of every
        term) and ``truth.json``.
    members : int
        Policies, 1 or more.
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
    >>> simulate_alarms(folder, members=20, seed=1)
    >>> pl.read_parquet(folder / "policies/*.parquet")["policy_id"][0]
    'AJ00000001'
    """
    for name, value, least in (("members", members, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{value!r} is out of range", where=name, do=f"give {least} or more")
    draw = np.random.default_rng([seed, 83])
    tables = _tables(draw, members)
    for name, table in tables.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        table.write_parquet(folder / name / "part-0000.parquet")
    lines = tables["claim_messages"]["body"].to_list()
    (folder / "claims.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    account = {"members": members, "seed": seed, "parameters": TRUTH, "wrong_lines": len(WRONG)}
    (folder / "truth.json").write_text(json.dumps(account, indent=2) + "\n", encoding="utf-8")


def _tables(draw: np.random.Generator, members: int) -> dict[str, pl.DataFrame]:
    number = np.arange(members)
    start = np.datetime64(FIRST) + draw.integers(0, STARTS, members)
    years = draw.integers(60, 86, members)
    born = start - (years * 365.25).astype(np.int64) - draw.integers(0, 365, members)
    female = draw.random(members) < 0.52
    shape = 1 / TRUTH["frailty_variance"]
    frailty = draw.gamma(shape, 1 / shape, members)
    policies = pl.DataFrame({
        "policy_id": _policy(number), "birth_date": born, "sex": np.where(female, "female", "male"),
        "start": start,
    }).with_columns(end=pl.col("start").dt.offset_by(f"{TERMS}y"), exit_cause=pl.lit("expired"))  # fmt: skip
    who, year = np.repeat(number, TERMS), np.tile(np.arange(TERMS), members)
    renewals = pl.DataFrame({"policy_id": _policy(who), "policy_year": year, "origin": start[who]})
    renewals = renewals.with_columns(
        start=_anniversary(0),
        end=_anniversary(1),
        health_group=pl.lit("G0"),
        standard_premium=2000.0,
    ).drop("origin")
    age = years[who] + year
    rate = (
        TRUTH["claims_a_year"] * np.exp(TRUTH["per_year_of_age"] * (age - 70)) * frailty[who]
        * np.where(female[who], TRUTH["female"], 1.0)
    )  # fmt: skip
    first, last = (renewals[n].to_numpy().astype("datetime64[D]") for n in ("start", "end"))
    claims = _claims(draw, who, first, last, rate)
    watches, alarms = _watches(draw, start, frailty)
    return {
        "policies": policies,
        "renewals": renewals,
        "claims": claims,
        "claim_messages": _messages(draw, claims),
        "watches": watches,
        "alarms": alarms,
        "truth": renewals.select("policy_id", "policy_year").with_columns(
            expected_claims=pl.Series(rate), frailty=pl.Series(frailty[who])
        ),
    }


def _policy(number: Whole) -> pl.Series:
    return "AJ" + pl.Series(number + 1).cast(pl.String).str.zfill(8)


def _anniversary(more: int) -> pl.Expr:
    year = pl.col("policy_year") + more
    return pl.col("origin").dt.offset_by(year.cast(pl.String) + "y")


def _claims(
    draw: np.random.Generator, who: Whole, first: Days, last: Days, rate: Floats
) -> pl.DataFrame:
    many = draw.poisson(rate)
    at = np.repeat(np.arange(len(who)), many)
    days = (last - first).astype(np.int64)
    incurred = first[at] + (draw.random(len(at)) * days[at]).astype(np.int64)
    amount = draw.gamma(1.5, TRUTH["mean_amount"] / 1.5, len(at)).round(2).clip(0.01)
    benefit = np.where(draw.random(len(at)) < 0.7, "inpatient", "outpatient")
    reported = incurred + draw.integers(0, 10, len(at))
    return pl.DataFrame({
        "claim_id": "C" + pl.Series(np.arange(len(at)) + 1).cast(pl.String).str.zfill(9),
        "policy_id": _policy(who[at]), "incurred": incurred, "reported": reported,
        "paid": reported + draw.integers(1, 30, len(at)), "amount": amount, "benefit": benefit,
    })  # fmt: skip


def _watches(
    draw: np.random.Generator, start: Days, frailty: Floats
) -> tuple[pl.DataFrame, pl.DataFrame]:
    worn = np.flatnonzero(draw.random(len(start)) < TRUTH["worn"])
    begin = start[worn] + draw.integers(0, 200, len(worn))
    stop = begin + draw.integers(200, 1100, len(worn))
    watches = pl.DataFrame({
        "watch_id": "W" + _policy(worn), "policy_id": _policy(worn), "worn_from": begin, "worn_until": stop,
    })  # fmt: skip
    days = (stop - begin).astype(np.int64)
    rate = TRUTH["alarms_a_year"] * frailty[worn] ** TRUTH["alarm_power"]
    many = draw.poisson(rate * days / 365)
    at = np.repeat(np.arange(len(worn)), many)
    alarms = pl.DataFrame({
        "alarm_id": "A" + pl.Series(np.arange(len(at)) + 1).cast(pl.String).str.zfill(9),
        "policy_id": _policy(worn[at]),
        "raised": begin[at] + (draw.random(len(at)) * days[at]).astype(np.int64),
        "kind": np.array(KINDS)[draw.integers(0, len(KINDS), len(at))],
        "confirmed": draw.random(len(at)) < 0.6,
    })  # fmt: skip
    return watches, alarms


def _messages(draw: np.random.Generator, claims: pl.DataFrame) -> pl.DataFrame:
    """Tell every claim once or twice, in the order they were sent, with lines that are none between."""
    first = claims.with_columns(
        version=1, status=pl.lit("已报案"), sent="reported", told=pl.col("amount") * 1.1,
        paid=pl.lit(None, pl.Date), again=pl.Series(draw.random(claims.height) < 0.8),
    )  # fmt: skip
    second = claims.with_columns(
        version=2, status=pl.lit("paid"), sent="paid", told="amount", again=pl.lit(True)
    )
    # who is not told twice is told at once what it came to
    once = first["again"]
    first = first.with_columns(told=pl.when("again").then("told").otherwise("amount"))
    both = pl.concat([first, second.filter(once)], how="vertical_relaxed").sort(
        "sent", "claim_id", "version"
    )
    body = pl.struct(
        version="version", sent=pl.col("sent").dt.strftime("%Y-%m-%d 09:00:00"),
        claim=pl.struct(
            number="claim_id", policy="policy_id", incurred=pl.col("incurred").dt.strftime("%Y-%m-%d"),
            reported=pl.col("reported").dt.strftime("%Y-%m-%d"), paid=pl.col("paid").dt.strftime("%Y-%m-%d"),
            amount=pl.col("told").round(2), benefit="benefit", status="status",
        ),
        hospital=pl.struct(name=pl.lit("社区医院")),
    ).struct.json_encode()  # fmt: skip
    lines = both.select(body=body)["body"].to_list()
    wrong = [text % i for i, text in enumerate(WRONG.values(), start=1)]
    lines = [*lines, *lines[:1], *wrong]
    return pl.DataFrame({"body": lines}).select(
        message_line=pl.int_range(1, pl.len() + 1).cast(pl.String), body="body"
    )
