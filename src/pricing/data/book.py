"""A simulated long-term medical book whose truth is known, written part by part."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import disk_usage
from typing import Any

import polars as pl

from pricing.data.issue import FIRST_DAY, LAST_START, WINDOW_END
from pricing.data.lives import Lives, live
from pricing.data.truth import CHANNELS, GROUPS, REGIONS, SEXES, TIERS, BookParameters
from pricing.errors import InputError
from pricing.files import replacing, require_replaceable
from pricing.inputs import json_tree

__all__ = ["BookParameters", "simulate", "true_parameters"]

POLICIES_PER_PART = 50_000
BYTES_PER_POLICY = 200  # of the written book; measured on 8,000 to 100,000 policies, rounded down
_TRUTH = "truth.json"
_RENEWAL_COLUMNS = (
    *("policy_id", "policy_year", "start", "end", "in_programme", "valid_days"),
    *("activity_score", "habit_score", "prevention_score", "marker_score", "health_value"),
    *("health_group", "standard_premium", "premium"),
)
_OFFER_COLUMNS = (
    *("policy_id", "policy_year", "start", "in_programme", "health_value", "health_group"),
    *("standard_premium", "premium", "renewed"),
)
_TRUTH_COLUMNS = (
    *("policy_id", "policy_year", "latent_health", "expected_claims", "expected_amount"),
)


def simulate(
    folder: str | Path,
    *,
    policies: int,
    seed: int,
    parameters: BookParameters | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a simulated book of long-term medical policies with a health-group discount.

    What an actuary would receive from the insurer (policies, renewals, claims, activity) and
    beside it what no insurer knows: each life's latent health, the expected claims and amount
    of each policy year, and every parameter. An estimator that is right finds the programme's
    rate ratio of 0.97; comparing members with the rest finds far less, for the healthier join.

    Parameters
    ----------
    folder : path
        Where to write; a book that is there is replaced once the new one is whole. Another
        folder with files in it is refused.
    policies : int
        Policies issued, 1 or more.
    seed : int
        0 or more. The same seed and parameters give the same bytes from the same installation;
        a smaller book is the head of a larger one of the same seed.
    parameters : BookParameters, optional
        What is true; the defaults where not given.
    progress : callable, optional
        Called after each part with the policies done and the policies in all.

    Returns
    -------
    Path
        The folder. Tables are in ``<table>/part-0000.parquet`` and on, 50,000 policies a part:

        - ``policies``: policy_id, person_id, birth_date, sex, region, tier, channel, chronic,
          start, end, exit_cause (lapse, death, cancelled; null while in force);
        - ``renewals``, a row per policy year: policy_id, policy_year (0, 1, ...), start, end,
          in_programme, valid_days, activity_score, habit_score, prevention_score,
          marker_score (0 to 1), health_value (0 to 1,000), health_group (G0 standard to G4),
          standard_premium and premium (yuan per full policy year);
        - ``offers``, a row per renewal offered, taken up or not: policy_id, policy_year (1, 2,
          ...), start (the anniversary), in_programme, health_value, health_group,
          standard_premium, premium, renewed;
        - ``claims``: claim_id, policy_id, incurred, reported, paid, amount (yuan), benefit;
        - ``payments``, a row per movement of a claim (report, interim, last): payment_id,
          claim_id, paid (its day), amount and outstanding_change (yuan);
        - ``activity``, a row per policy month of members with a valid day: policy_id, month
          (its first day), valid_days, mean_daily_steps, active_minutes_per_week;
        - ``truth``, a row per policy year: policy_id, policy_year, latent_health,
          expected_claims, expected_amount (yuan).

    Raises
    ------
    InputError
        Where policies or seed are out of range, or the folder cannot or must not be written.

    Notes
    -----
    Dates are half-open: the start is covered, the end is not. Policies start evenly over the
    days 2018-01-01 to 2024-12-31; the window ends before 2026-01-01. A policy renews on its
    anniversary; one started on 29 February renews on 28 February in common years. Exposure is
    the covered days over the days of that policy year, so a full year is exactly 1.

    A renewal is measured on the twelve policy months that end two policy months (59 to 62
    days) before it, so that valid_days and activity_score follow from ``activity``. Nobody is
    a member in policy year 0; members join at a renewal, start in G0 and are measured at
    the next one. Who leaves the programme goes to G0 and does not come back; apart from that
    no renewal moves a policy by more than one group; the health value of the year before is
    kept all the same. Admissions are Poisson given latent
    health; a claim may be paid after the window's end, as it would be known later.

    Source: simulation design of the project's reference ``health_value.md``, F6 and F8 (2025).

    Examples
    --------
    >>> import tempfile
    >>> book = simulate(Path(tempfile.mkdtemp()) / "book", policies=300, seed=1)
    >>> sorted(path.name for path in book.iterdir())
    ['activity', 'claims', 'offers', 'payments', 'policies', 'renewals', 'truth', 'truth.json']
    >>> renewals = pl.read_parquet(book / "renewals")
    >>> renewals.filter(policy_year=0)["health_group"].unique().to_list()
    ['G0']
    >>> true_parameters(book)["parameters"]["programme_rate_ratio"]
    0.97
    """
    if isinstance(policies, bool) or not isinstance(policies, int) or policies < 1:
        raise InputError(
            f"{policies!r} policies cannot be simulated", where="policies", do="ask for 1 or more"
        )
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"{seed!r} is no seed", where="seed", do="give a whole number, 0 or more")
    truth = parameters if parameters is not None else BookParameters()
    folder = Path(folder).absolute()
    _require_room(folder, policies)
    with replacing(folder) as beside:
        require_replaceable(folder, mark=_TRUTH, what="a simulated book")
        for part, first in enumerate(range(0, policies, POLICIES_PER_PART)):
            count = min(POLICIES_PER_PART, policies - first)
            lives = live(truth, policies=count, seed=seed, part=part)
            for name, table in _tables(lives, first).items():
                (beside / name).mkdir(parents=True, exist_ok=True)
                table.write_parquet(beside / name / f"part-{part:04d}.parquet")
            if progress is not None:
                progress(first + count, policies)
        account = json.dumps(_account(truth, policies, seed), indent=2)
        (beside / _TRUTH).write_text(account + "\n", encoding="utf-8")
    return folder


def _require_room(folder: Path, policies: int) -> None:
    """Refuse a book that the disk has no room for, before a policy is drawn."""
    there = next((place for place in folder.parents if place.is_dir()), None)
    if there is None:
        return
    free, need = disk_usage(there).free, policies * BYTES_PER_POLICY
    if need > free:
        units = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")]
        large, unit = next((u for u in units if need >= u[0]), units[-1])
        raise InputError(
            f"{policies:,} policies take some {need / large:,.1f} {unit} of disk, and there are "
            f"{free / large:,.1f} {unit} left on the disk",
            where=str(folder),
            do="ask for fewer, or write to a larger disk; the last good output stands",
        )


def true_parameters(folder: str | Path) -> dict[str, Any]:
    """Read what is true of a simulated book.

    Parameters
    ----------
    folder : path
        A folder that ``simulate`` wrote.

    Returns
    -------
    dict
        ``policies``, ``seed``, ``version`` (of this package), ``policies_per_part``,
        ``window``, ``levels`` (the order of the tuples), ``parameters`` and ``definitions``
        (what each parameter is, with its unit), as kept in ``truth.json``. The expected effect
        of the programme is ``parameters["programme_rate_ratio"]``: a rate ratio.

    Raises
    ------
    InputError
        Where the folder holds no readable ``truth.json``.

    Examples
    --------
    >>> import tempfile
    >>> book = simulate(Path(tempfile.mkdtemp()) / "book", policies=5, seed=1)
    >>> true_parameters(book)["definitions"]["inflation"]
    'Growth per calendar year of claim amounts and of the filed standard premium.'
    """
    path = Path(folder) / _TRUTH
    try:
        account: dict[str, Any] = json_tree(path)
        if not isinstance(account, dict):
            raise InputError("is no table", where=str(path))
    except InputError as error:
        raise InputError(
            f"no readable account of what is true: {error.problem}",
            where=str(path),
            do="name a folder that `pricing simulate` wrote",
        ) from error
    return account


def _tables(lives: Lives, first: int) -> dict[str, pl.DataFrame]:
    number = (pl.col("policy") + first + 1).cast(pl.String).str.zfill(9)
    policy_id = ("P" + number).alias("policy_id")
    years = lives.years.with_columns(policy_id)
    claim_id = "C" + number + "-" + pl.col("number").cast(pl.String).str.zfill(2)
    return {
        "policies": lives.issued.select(
            policy_id, ("L" + number).alias("person_id"), pl.exclude("policy")
        ),
        "renewals": years.select(_RENEWAL_COLUMNS),
        "offers": lives.offers.with_columns(policy_id).select(_OFFER_COLUMNS),
        "claims": lives.claims.select(
            claim_id.alias("claim_id"),
            policy_id,
            pl.exclude("policy", "number"),
            benefit=pl.lit("inpatient"),
        ),
        "payments": lives.payments.select(
            (claim_id + "-" + pl.col("movement").cast(pl.String)).alias("payment_id"),
            claim_id.alias("claim_id"),
            pl.exclude("policy", "number", "movement"),
        ),
        "activity": lives.activity.select(policy_id, pl.exclude("policy")),
        "truth": years.select(_TRUTH_COLUMNS),
    }


def _account(parameters: BookParameters, policies: int, seed: int) -> dict[str, Any]:
    try:
        package = version("pricing")
    except PackageNotFoundError:
        package = "not installed"
    return {
        "policies": policies,
        "seed": seed,
        "version": package,
        "policies_per_part": POLICIES_PER_PART,
        "window": {
            "first_start": FIRST_DAY.isoformat(),
            "last_start": LAST_START.isoformat(),
            "end": WINDOW_END.isoformat(),
        },
        "levels": {
            "sex": SEXES,
            "region": REGIONS,
            "tier": TIERS,
            "channel": CHANNELS,
            "health_group": GROUPS,
            "score": ("habit", "prevention", "marker"),
            "value_weights": ("activity", "habit", "prevention", "marker"),
        },
        "parameters": asdict(parameters),
        "definitions": parameters.definitions(),
    }
