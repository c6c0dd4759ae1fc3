"""Health values under attack: members who cannot be, days of no weight, files full of faults, plans kept."""

import copy
import random
import tomllib
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pricing.programme.programme_file as programme_file
from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.programme.explain import explain
from pricing.programme.lift import lift
from pricing.programme.movement import stationary_shares
from pricing.programme.programme import Programme
from pricing.programme.programme_file import read_programme, read_versions
from pricing.programme.value import health_values

BUNDLED = ("huoli", "aia_hong_kong", "aia_new_zealand", "aia_thailand", "manulife_move")
HUOLI, MOVE = read_programme("huoli"), read_programme("manulife_move")
RENEWAL = date(2025, 7, 1)


def changed(programme, **parts):
    raw = programme.model_dump(mode="json", exclude_none=True)
    for name, new in parts.items():
        raw[name] = {**raw[name], **new} if isinstance(new, dict) else new
    return Programme.model_validate(raw)


def member(**more):
    base = {"person": ["a"], "renewal": [RENEWAL], "age": [45], "consent": [True]}
    return pl.DataFrame(base | {name: [value] for name, value in more.items()})


def days(first=date(2024, 5, 2), last=date(2025, 5, 1), every=1, **more):
    span = pl.date_range(first, last, f"{every}d", eager=True)
    constants = {"steps": 7000} | more
    return pl.DataFrame({"day": span}).with_columns(person=pl.lit("a"), **{
        name: pl.lit(value) for name, value in constants.items()
    })  # fmt: skip


def events(*rows):
    held = {"person": "a", "evidence": "lab"}
    return pl.DataFrame(
        [held | dict(zip(("day", "measure", "value"), r, strict=False)) for r in rows]
    )


# -- members ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("column", "value", "said"), [
    ("prior", float("nan"), "health value of 0 to 1000"),  # NaN is above every cut-off
    ("prior", 5000.0, "health value of 0 to 1000"),
    ("prior", -1.0, "health value of 0 to 1000"),
    ("standard_premium", -5.0, "an amount of 0 or more"),
    ("standard_premium", float("nan"), "an amount of 0 or more"),
    ("age", -3, "an age of 0 to 130"),
    ("birth_date", date(2030, 1, 1), "a day before the renewal"),
    ("frozen_days", -1, "number of days from 0"),
])  # fmt: skip
def test_members_who_cannot_be_are_refused(column, value, said):
    with pytest.raises(InputError, match=said):
        health_values(HUOLI, member(**{column: value}), days())


def test_every_fault_of_the_members_is_said_at_once():
    with pytest.raises(InputError) as refused:
        health_values(HUOLI, member(age=-1, prior=9999.0, standard_premium=-1.0), days())
    assert all(f"{n}:" in str(refused.value) for n in ("age", "prior", "standard_premium"))


def test_a_person_of_another_kind_is_refused_not_compared():
    values = health_values(HUOLI, member(), days())
    for ask in (
        lambda: values.member(1),
        lambda: explain(values, 1),
        lambda: explain(values, None),
        lambda: lift(HUOLI, member(), days(), person=1, on=date(2025, 1, 1)),
    ):
        with pytest.raises(InputError, match="is not of the kind of the ids"):
            ask()
    with pytest.raises(InputError, match="renewal is no date"):
        values.member("a", "2025-07-01")


# -- days -------------------------------------------------------------------------------------------


def test_a_manual_day_is_no_valid_day_and_no_part_of_a_mean():
    manual = days().with_columns(evidence=pl.lit("manual"))
    row = health_values(HUOLI, member(), manual).table.row(0, named=True)
    assert (row["valid_days"], row["standing"]) == (0, "few_days")
    kind = (
        pl.when(pl.col("day").dt.day() % 2 == 0).then(pl.lit("manual")).otherwise(pl.lit("device"))
    )
    mixed = health_values(MOVE, member(), days().with_columns(evidence=kind))
    assert mixed.table["health_value"][0] == 7000.0  # the manual half halved it


def test_days_that_nobody_could_weigh_are_refused():
    for evidence in ("Device", None):
        odd = days().with_columns(evidence=pl.lit(evidence, pl.String))
        with pytest.raises(InputError, match="365 days have evidence that has no weight"):
            health_values(HUOLI, member(), odd)
    with pytest.raises(InputError, match="neither text nor a share"):
        health_values(HUOLI, member(), days(evidence=True))


@pytest.mark.parametrize("column", ["person", "day", "valid"])
def test_rows_are_not_lost_unsaid(column):
    whole = days(valid=True)
    holed = pl.concat(
        [whole, whole.head(3).with_columns(pl.lit(None, whole.schema[column]).alias(column))]
    )
    with pytest.raises(InputError, match=r"3 (rows )?lack"):
        health_values(HUOLI, member(), holed)


def test_a_month_of_two_years_is_two_months():
    raw = MOVE.model_dump(mode="json", exclude_none=True)
    raw["window"]["days"] = 731
    raw["task"][0] |= {
        "cycle": "month",
        "ways": [{"measure": "steps", "steps": [[1, 1]]}],
    }
    two_years = days(date(2023, 7, 1), date(2025, 6, 30), every=1)
    found = health_values(Programme.model_validate(raw), member(), two_years)
    assert found.table["health_value"][0] == 24


# -- events -----------------------------------------------------------------------------------------


def test_telling_of_oneself_takes_nothing_from_a_laboratory():
    lab = events((date(2025, 1, 1), "hba1c", 5.0))
    own = pl.concat([lab, lab.with_columns(day=date(2025, 2, 1), evidence=pl.lit("self_report"))])
    values = [
        health_values(HUOLI, member(), days(), e).table["health_value"][0] for e in (lab, own)
    ]
    assert values[0] == values[1]


@pytest.mark.parametrize("measure", ["hba1c", "ldl", "cholesterol"])
def test_a_code_for_missing_is_no_good_marker(measure):
    none, coded = (
        health_values(HUOLI, member(), days(), e).table["health_value"][0]
        for e in (
            events((date(2025, 1, 1), measure, None)),
            events((date(2025, 1, 1), measure, -9.0)),
        )
    )
    assert none == coded


@pytest.mark.parametrize("name", BUNDLED)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_more_of_a_measure_never_lowers_a_value_and_rates_keep_their_bounds(name, seed):
    programme = read_programme(name)
    rng = np.random.default_rng(seed)
    base = days()
    n = base.height
    measures = {
        w.measure
        for t in programme.task
        if t.source == "activity"
        for w in t.ways
        if w.of != "days" or w.up_to is None
    }
    less = base.with_columns(
        pl.Series(m, rng.gamma(2, {"steps": 4000.0, "activity_points": 60}.get(m, 25.0), n))
        for m in measures
    )
    more = less.with_columns(pl.col(m) * pl.Series(1 + rng.random(n)) for m in measures)
    good = [
        (date(2025, 3, 1), w.measure, 1.0)
        for t in programme.task
        if t.source == "events"
        for w in t.ways
        if w.of in ("count", "sum")
    ]
    low = health_values(programme, member(), less).table.row(0, named=True)
    done = events(*good).with_columns(evidence=pl.lit("provider")) if good else None
    high = health_values(programme, member(), more, done)
    high = high.table.row(0, named=True)
    assert high["health_value"] >= low["health_value"] - 1e-9
    rate = programme.rate_column
    assert high[rate] >= low[rate]
    for row in (low, high):
        assert 0 <= row["health_value"] <= programme.value.scale + 1e-9
        assert programme.movement.floor <= row[rate] <= programme.movement.cap


# -- versions ---------------------------------------------------------------------------------------


def test_versions_with_other_groups_and_measures_are_one_table():
    raw = HUOLI.model_dump(mode="json", exclude_none=True)
    raw["effective"] = "2025-01-01"
    raw["group"].append({"name": "G5", "cutoff": 900.0, "rate": 0.2})
    task = copy.deepcopy(next(t for t in raw["task"] if t["name"] == "learning"))
    task["name"], task["ways"][0]["measure"] = "cooking", "cooking"
    later = Programme.model_validate(raw | {"task": [*raw["task"], task]})
    two = pl.concat([member(), member().with_columns(renewal=date(2024, 7, 1))])
    two = two.with_columns(standard_premium=pl.Series([100.0, None]))
    values = health_values([HUOLI, later], two, days(), events((date(2025, 2, 1), "cooking", None)))
    assert values.table.height == 2
    assert values.table["health_group"].dtype.categories.to_list()[-1] == "G5"
    assert values.member("a")["points"]["cooking"] == 10.0
    with pytest.raises(InputError, match="no task takes, the first 'coking'"):
        health_values([HUOLI, later], two, days(), events((date(2025, 2, 1), "coking", None)))
    with pytest.raises(InputError, match="two versions begin on one day"):
        health_values([HUOLI, HUOLI], member(), days())


def test_what_was_priced_can_be_explained():
    early = member().with_columns(renewal=date(2024, 12, 1))  # the file was read in 2025
    seen = explain(health_values(MOVE, early, days()), "a")
    assert seen.table["contribution"].sum() == pytest.approx(seen.facts["value"])


@pytest.mark.parametrize(
    "matrix", [np.ones((2, 3)), np.full((2, 2), np.nan), np.eye(2) * 2, np.ones(3)]
)
def test_what_is_no_transition_matrix_is_refused(matrix):
    with pytest.raises(InputError, match="whose rows sum to 1"):
        stationary_shares(matrix)


# -- plans are kept ---------------------------------------------------------------------------------


def test_a_plan_of_a_mean_holds_for_who_measures_every_second_day():
    """The plan's days come on top of those measured, so the mean has more days under it."""
    m, on = member(), date(2025, 1, 1)
    so_far = days(date(2024, 7, 1), date(2024, 12, 31), every=2, steps=4000)
    plan = lift(MOVE, m, so_far, person="a", on=on, pace="nothing")
    assert plan.reachable
    done = [
        {"day": on + timedelta(days=i), "person": "a", "steps": int(np.ceil(level))}
        for i, level in enumerate(
            level
            for level, times in plan.table.select("level", "times").iter_rows()
            for _ in range(round(times))
        )
    ]
    after = pl.concat([so_far, pl.DataFrame(done, schema=so_far.schema, orient="row")])
    kept = health_values(MOVE, m, after).table.row(0, named=True)
    assert kept["health_value"] >= plan.facts["needed"] - 1e-6
    assert kept["health_group"] == plan.facts["goal"]


def test_a_marker_too_old_at_the_windows_end_is_not_counted_on():
    programme = read_programme("aia_hong_kong")
    old = events(
        (date(2024, 12, 1), "hba1c", 6.5)
    )  # 180 days before 1 July 2025 begin on 2 January
    plan = lift(programme, member(), None, old, person="a", on=date(2025, 2, 1))
    assert plan.facts["expected_value"] == 0.0
    whole = health_values(programme, member(), None, old).table["health_value"][0]
    assert whole == 0.0


def test_a_plan_keeps_within_the_cap_of_a_week():
    raw = MOVE.model_dump(mode="json", exclude_none=True)
    raw["task"][0] |= {
        "cycle": "day", "cap_week": 15.0, "cap_year": 780.0,
        "ways": [{"measure": "steps", "steps": [[5000, 5], [8000, 10]]}],
    }  # fmt: skip
    for group, cutoff in zip(raw["group"][1:], (50.0, 700.0, 770.0), strict=True):
        group["cutoff"] = cutoff
    programme = Programme.model_validate(raw)
    on = RENEWAL - timedelta(days=28)
    plan = lift(programme, member(), None, None, person="a", on=on, pace="nothing")
    assert plan.reachable
    assert plan.facts["best_value"] <= 4 * 15
    raw["group"][1]["cutoff"] = 80.0  # 28 days of 10 would be 280, four weeks of 15 are 60
    plan = lift(
        Programme.model_validate(raw), member(), None, None, person="a", on=on, pace="nothing"
    )
    assert plan.facts["outcome"] == "value"


# -- files ------------------------------------------------------------------------------------------


def raw_huoli():
    return tomllib.loads(bundled("programmes/huoli.toml").read_text(encoding="utf-8"))


def faults_of(raw, monkeypatch):
    monkeypatch.setattr(programme_file, "_raw", lambda file: [("", raw)])
    with pytest.raises(InputError) as refused:
        read_versions("huoli")
    return str(refused.value)


@pytest.mark.parametrize(("path", "value", "said"), [
    (("value", "prior"), 1200, "value.prior: 1200 is above the scale"),
    (("window", "min_valid_days"), 400, "400 of 365 days can never be valid"),
    (("group", 4, "cutoff"), 990, "above the scale 1000; nobody reaches it"),
    (("group", 1, "cutoff"), -10, "nobody is below it"),
    (("movement", "floor"), 0.05, "movement.floor: is of a walk"),
    (("task", 0, "ways", 0, "at_least"), 3000, "only a number of days has them"),
    (("task", 4, "ways", 0, "at_least"), 9.0, "at_least is above up_to"),
    (("task", 4, "combine"), "all", "there is one way only"),
    (("task", 10, "ways", 0, "bands", 0, "below"), 18.5, "nothing lies in it"),
    (("task", 10, "ways", 0, "bands", 0, "above"), 18.5, "one bound a side is enough"),
    (("movement", "cap"), -0.2, "movement.cap"),
    (("task", 0, "targets"), [{"from_age": 60, "factor": 0.8}, {"from_age": 60, "factor": 0.7}], "the ages do not rise"),
    (("task", 0, "caps_year"), 5, "caps_year: extra"),
])  # fmt: skip
def test_a_fault_of_a_file_is_said(path, value, said, monkeypatch):
    raw = raw_huoli()
    at = raw
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    assert said in faults_of(raw, monkeypatch)


def test_all_faults_are_said_at_once(monkeypatch):
    raw = raw_huoli()
    raw["value"]["prior"] = -1
    raw["group"][2]["cutoff"] = 300
    raw["task"][0]["cap_year"] = -5
    raw["task"][1]["colour"] = "blue"
    raw["category"][0]["weight"] = 0.5
    raw["evidence"]["manual"] = 7
    said = faults_of(raw, monkeypatch)
    for word in (
        "value.prior",
        "do not rise",
        "cap_year",
        "colour",
        "sum to 1.1",
        "evidence.manual",
    ):
        assert word in said


@pytest.mark.parametrize("seed", range(6))
def test_a_broken_file_is_an_input_error_whatever_stands_in_it(seed, monkeypatch):
    rng = random.Random(seed)
    odd = [
        None,
        -1,
        0,
        1e308,
        float("nan"),
        "x",
        "",
        [],
        {},
        [1],
        [[1]],
        [None],
        {"a": 1},
        True,
        date(2020, 1, 1),
    ]
    for _ in range(40):
        raw = raw_huoli()
        for _ in range(rng.randint(1, 3)):
            at = raw
            while True:
                keys = list(at) if isinstance(at, dict) else list(range(len(at)))
                if not keys:
                    break
                key = rng.choice(keys)
                if isinstance(at[key], dict | list) and rng.random() < 0.75:
                    at = at[key]
                    continue
                at[key] = copy.deepcopy(rng.choice(odd))
                break
        monkeypatch.setattr(programme_file, "_raw", lambda file, raw=raw: [("", raw)])
        try:
            read_versions("huoli")
        except InputError as error:
            assert error.faults  # noqa: PT017


def test_what_is_no_source_is_refused():
    with pytest.raises(InputError, match="is no programme: None"):
        read_programme(None)
