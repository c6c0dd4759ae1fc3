"""Health values: the worked example, a slow oracle, invariants, the movement rule, bad input."""

import inspect
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.data.book import simulate
from pricing.data.truth import BookParameters
from pricing.errors import InputError
from pricing.programme.explain import contributions, explain, threshold
from pricing.programme.movement import (
    levels,
    next_place,
    stationary_shares,
    target_place,
    transition_matrix,
)
from pricing.programme.points import _ONCE, _SCALE
from pricing.programme.programme import Programme
from pricing.programme.programme_file import read_programme
from pricing.programme.value import HealthValues, health_values
from pricing.verify.figures import figures
from pricing.verify.health import golden_member

HUOLI = read_programme("huoli")
RENEWAL = date(2025, 3, 1)
DAYS, EVENTS = golden_member()


def changed(programme, **parts):
    raw = programme.model_dump(mode="json", exclude_none=True)
    for name, new in parts.items():
        raw[name] = {**raw[name], **new} if isinstance(new, dict) else new
    return Programme.model_validate(raw)


def member(**more):
    return pl.DataFrame(
        {"person": [1], "renewal": [RENEWAL], "age": [45], "consent": [True]}
        | {name: [value] for name, value in more.items()}
    )


def golden(**more):
    return health_values(HUOLI, member(**more), DAYS, EVENTS)


def some_days(seed=1, persons=4, first=date(2023, 12, 1), number=420):
    """Random days of several people, some not valid, some measures not there."""
    rng = np.random.default_rng(seed)
    n = persons * number
    return pl.DataFrame(
        {
            "person": np.repeat(np.arange(persons), number),
            "day": [first + timedelta(days=i) for i in range(number)] * persons,
            "steps": rng.integers(0, 14_000, n),
            "active_minutes": np.where(rng.random(n) < 0.1, np.nan, rng.gamma(2, 12, n)),
            "pai": rng.gamma(1, 12, n),
            "sleep_hours": pl.Series(rng.normal(7, 1.2, n)).round(1),
            "valid": rng.random(n) < 0.85,
            "evidence": rng.choice(["device", "self_report", "manual"], n, p=[0.8, 0.1, 0.1]),
        }
    )


# -- published --------------------------------------------------------------------------------------


@pytest.mark.parametrize("figure", figures("health"), ids=lambda f: f.name)
def test_published(figure):
    assert figure.ok, (figure.name, figure.printed, figure.ours)


def test_the_worked_example_to_five_decimals():
    row = golden().member(1)
    assert row["observed_value"] == pytest.approx(649.70960, abs=5e-6)
    assert row["health_value"] == pytest.approx(613.09133, abs=5e-6)
    assert row["credibility"] == pytest.approx(300 / 360)
    parts = explain(golden(), 1).table.group_by("category", maintain_order=True).agg(
        pl.col("task_points").sum()
    )  # fmt: skip
    assert dict(parts.drop_nulls("category").iter_rows()) == pytest.approx(
        {"activity": 2516, "habit": 550, "prevention": 200, "markers": 370}
    )


# -- oracle -----------------------------------------------------------------------------------------


def slow_activity(days, person, start, end, age):
    """Points of the four measured tasks by loops and numpy.interp."""
    factor = 0.8 if age >= 60 else 1.0
    weight = HUOLI.evidence
    weeks = {}
    steps, valid = 0.0, 0
    for row in days.filter(pl.col("person") == person).iter_rows(named=True):
        if not row["valid"] or not start <= row["day"] < end:
            continue
        e = weight[row["evidence"]]
        if not e:  # of no weight is as no day
            continue
        valid += 1
        steps += e * np.interp(row["steps"] / factor, [0, 3000, 6000, 8000], [0, 0, 6, 8])
        week = weeks.setdefault(row["day"].isocalendar()[:2], np.zeros(4))
        minutes = 0.0 if np.isnan(row["active_minutes"]) else row["active_minutes"]
        good = 6.5 <= row["sleep_hours"] <= 8.5
        week += e * np.array([minutes, row["pai"], 1.0, good])
    exercise = sum(
        max(10 * (m >= 75) + 10 * (m >= 150), 10 * (p >= 50) + 10 * (p >= 100))
        for m, p, _, _ in weeks.values()
    )
    regular = sum(5 * (n >= 5) for _, _, n, _ in weeks.values())
    sleep = sum(5 * (n >= 5) for *_, n in weeks.values())
    return valid, min(steps, 2920), min(exercise, 1040), min(regular, 260), min(sleep, 260)


def test_the_engine_is_the_slow_count_of_every_day():
    days = some_days()
    members = pl.DataFrame(
        {
            "person": [0, 1, 2, 2],
            "renewal": [date(2025, 3, 1), date(2025, 1, 17), date(2025, 3, 1), date(2024, 12, 24)],
            "age": [45, 60, 72, 59],
            "consent": [True] * 4,
        }
    )
    for batch in (1, 2, 100):
        values = health_values(HUOLI, members, days, batch=batch)
        for row in values.table.iter_rows(named=True):
            own = members.filter(person=row["person"], renewal=row["renewal"]).row(0, named=True)
            end = row["renewal"] - timedelta(days=60)
            valid, *points = slow_activity(
                days, row["person"], end - timedelta(days=365), end, own["age"]
            )
            seen = values.member(row["person"], row["renewal"])
            assert row["valid_days"] == valid
            names = ("steps", "exercise", "regular_days", "sleep")
            assert [seen["points"][n] for n in names] == pytest.approx(points, abs=1e-8)
            share = (points[0] + points[1]) / 3960 * 0.4 + (points[2] + points[3]) / 880 * 0.15
            z = valid / (valid + 60)
            assert row["health_value"] == pytest.approx(1000 * z * share + (1 - z) * 430)


def test_a_monthly_task_of_the_activity_and_a_weekly_cap():
    raw = HUOLI.model_dump(mode="json", exclude_none=True)
    raw["task"][0] |= {"cap_week": 20.0, "targets": []}
    raw["task"].append(
        {
            **raw["task"][0],
            "name": "active_month",
            "cycle": "month",
            "cap_year": 60.0,
            "ways": [{"measure": "steps", "of": "days", "at_least": 8000, "steps": [[8, 5]]}],
        }
    )
    del raw["task"][-1]["cap_week"]
    programme = Programme.model_validate(raw)
    days = some_days(3, persons=1).with_columns(evidence=pl.lit("device"))
    m = member().with_columns(person=pl.lit(0, pl.Int64))
    points = health_values(programme, m, days).member(0)["points"]
    end = RENEWAL - timedelta(days=60)
    inside = days.filter(
        pl.col("valid"), pl.col("day") < end, pl.col("day") >= end - timedelta(days=365)
    )
    each = np.interp(inside["steps"], [3000, 6000, 8000], [0, 6, 8])
    weekly = (
        inside.select(week=pl.col("day").dt.truncate("1w"), points=pl.Series(each))
        .group_by("week")
        .agg(pl.col("points").sum().clip(upper_bound=20))
    )
    assert points["steps"] == pytest.approx(weekly["points"].sum())
    monthly = inside.group_by(pl.col("day").dt.truncate("1mo")).agg((pl.col("steps") >= 8000).sum())
    assert points["active_month"] == 5 * (monthly["steps"] >= 8).sum()


def test_events_count_once_by_their_best_evidence_and_the_latest_marker_counts():
    def points(*rows):
        events = pl.DataFrame(
            rows, schema=["day", "measure", "value", "evidence", "item"], orient="row",
            schema_overrides={"value": pl.Float64, "item": pl.String},
        ).with_columns(person=pl.lit(1, pl.Int64))  # fmt: skip
        return health_values(HUOLI, member(), DAYS, events).member(1)["points"]

    may, june = date(2024, 5, 2), date(2024, 6, 2)
    once = (may, "screening", None, "provider", "eyes")
    assert points(once, once)["screening"] == 50
    assert points(once, (june, "screening", None, "self_report", "eyes"))["screening"] == 50
    assert points(once, (may, "screening", None, "self_report", "flu"))["screening"] == 65
    assert (
        points(once, *[(may, "screening", None, "lab", str(i)) for i in range(9)])["screening"]
        == 150
    )
    assert points((may, "screening", None, "manual", "eyes"))["screening"] == 0
    assert points((may, "bmi", 23.0, "lab", None), (june, "bmi", 27.0, "lab", None))["bmi"] == 60
    assert (
        points((may, "bmi", 23.0, "lab", None), (june, "bmi", 27.0, "manual", None))["bmi"] == 100
    )
    assert (
        points((may, "bmi", 33.0, "lab", None), (june, "weight_change", -0.06, "lab", None))["bmi"]
        == 60
    )
    assert points((may, "systolic", 120.0, "lab", None))["blood_pressure"] == 0  # no diastolic
    assert (
        points((may, "learning", None, "provider", "a"), (may, "learning", None, "provider", "b"))[
            "learning"
        ]
        == 10
    )
    assert (
        points((date(2024, 12, 31), "check_up", None, "lab", None))["check_up"] == 0
    )  # the window ended
    assert points((date(2023, 12, 31), "check_up", None, "lab", None))["check_up"] == 0
    assert points((date(2024, 12, 30), "check_up", None, "lab", None))["check_up"] == 150


def test_a_certified_alternative_fills_the_same_account():
    weeks = [date(2024, 1, 1) + timedelta(days=7 * w + d) for w in range(52) for d in (1, 3)]
    events = pl.DataFrame({"day": weeks}).with_columns(
        person=pl.lit(1, pl.Int64), measure=pl.lit("gentle_exercise"), evidence=pl.lit("provider")
    )
    assert health_values(HUOLI, member(), None, events).member(1)["points"]["exercise"] == 1040
    both = health_values(HUOLI, member(), DAYS, events).member(1)["points"]
    assert both["exercise"] == 1040
    own = events.with_columns(evidence=pl.lit("self_report"))
    assert health_values(HUOLI, member(), None, own).member(1)["points"]["exercise"] == 0


# -- invariants -------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 20_000), min_size=5, max_size=40),
    st.integers(0, 39),
    st.integers(1, 9_000),
    st.sampled_from(["G0", "G1", "G2", "G3", "G4"]),
)
def test_more_never_lowers_the_value_and_the_discount_is_within_the_cap(steps, at, more, held):
    start = date(2024, 2, 1)
    raw = {"min_valid_days": 0}
    programme = changed(HUOLI, window=raw)

    def value(numbers, sleep):
        days = pl.DataFrame(
            {
                "person": [1] * len(numbers),
                "day": [start + timedelta(days=i) for i in range(len(numbers))],
                "steps": numbers,
                "active_minutes": [s / 200 for s in numbers],
                "sleep_hours": [sleep] * len(numbers),
            }
        )
        found = health_values(programme, member(group_held=held), days).member(1)
        assert 0 <= found["group_discount"] <= 0.20
        assert 0 <= found["observed_value"] <= 1000
        return found["observed_value"]

    better = list(steps)
    better[at % len(steps)] += more
    assert value(better, 5.0) >= value(steps, 5.0) - 1e-9
    assert value(steps, 7.0) >= value(steps, 5.0) - 1e-9


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(set(EVENTS["measure"]) - {"bmi", "systolic", "diastolic", "hba1c"})),
       st.integers(0, 364), st.sampled_from(["provider", "lab", "self_report", "manual"]))  # fmt: skip
def test_another_good_event_never_lowers_the_value(measure, at, evidence):
    extra = EVENTS.head(1).with_columns(
        measure=pl.lit(measure),
        evidence=pl.lit(evidence),
        day=pl.lit(date(2024, 1, 1) + timedelta(days=at)),
        value=pl.lit(None, pl.Float64),
    )
    more = health_values(HUOLI, member(), DAYS, pl.concat([EVENTS, extra]))
    assert more.member(1)["health_value"] >= golden().member(1)["health_value"] - 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_other_ids_and_another_order_change_nothing(seed):
    days = some_days(seed)
    members = pl.DataFrame(
        {"person": range(4), "renewal": [RENEWAL] * 4, "age": [30, 62, 45, 75]}
    ).with_columns(consent=pl.lit(True))
    plain = health_values(HUOLI, members, days)
    ids = pl.Series([90, 7, 55, 12])
    other = health_values(
        HUOLI,
        members.with_columns(person=ids.gather(members["person"])).sample(
            fraction=1, shuffle=True, seed=seed
        ),
        days.with_columns(person=ids.gather(days["person"]))
        .sample(fraction=1, shuffle=True, seed=seed)
        .lazy(),
        batch=2,
    )
    back = {new: old for old, new in enumerate(ids)}
    found = other.table.with_columns(pl.col("person").replace_strict(back)).sort("person")
    assert found.drop("person").equals(plain.table.drop("person"))
    text = health_values(
        HUOLI, members.cast({"person": pl.String}), days.cast({"person": pl.String})
    )
    assert text.table.drop("person").equals(plain.table.drop("person"))


def test_without_consent_nothing_is_measured_and_the_premium_is_standard():
    for consent in (False, None):
        for held in ("G0", "G4"):
            values = golden(consent=consent, group_held=held, standard_premium=1800.0)
            row = values.member(1)
            assert (row["premium"], row["group_discount"], row["health_group"]) == (
                1800.0,
                0.0,
                "G0",
            )
            assert row["standing"] == "no_consent"
            assert row["health_value"] is None
            assert row["valid_days"] == 0
            assert not any(row["points"].values())
            with pytest.raises(InputError, match="has not consented"):
                explain(values, 1)
    with pytest.raises(InputError, match="lacks consent, which huoli requires"):
        health_values(HUOLI, member().drop("consent"), DAYS)


def test_claims_are_no_input():
    assert not any("claim" in name for name in inspect.signature(health_values).parameters)
    rows = member().with_columns(claims=pl.lit(9), amount=pl.lit(1e6))
    with_claims = health_values(HUOLI, rows, DAYS.with_columns(claims=pl.lit(3)), EVENTS)
    assert with_claims.table.equals(golden().table)


# -- windows, movement ------------------------------------------------------------------------------


def test_a_joiner_has_caps_by_days_of_membership():
    joined = date(2024, 5, 20)
    row = golden(joined=joined).member(1)
    days = (date(2024, 12, 31) - joined).days
    assert row["member_days"] == days
    assert row["points"]["check_up"] == 0  # before the day joined
    late = pl.concat(
        [EVENTS, EVENTS.filter(measure="check_up").with_columns(day=pl.lit(date(2024, 6, 1)))]
    )
    again = health_values(HUOLI, member(joined=joined), DAYS, late).member(1)
    assert again["points"]["check_up"] == pytest.approx(150 * days / 365)
    parts = contributions(health_values(HUOLI, member(joined=joined), DAYS, late))
    assert parts["contribution"].sum() == pytest.approx(again["observed_value"])
    assert golden(joined=date(2024, 10, 1), group_held="G4").member(1)["standing"] == "few_days"
    assert golden(joined=date(2026, 1, 1)).member(1)["member_days"] == 0


def test_few_days_or_a_frozen_year_hold_the_group():
    few = health_values(HUOLI, member(group_held="G4"), DAYS.head(179), EVENTS).member(1)
    assert (few["standing"], few["health_group"]) == ("few_days", "G4")
    assert (
        health_values(HUOLI, member(group_held="G4"), DAYS.head(180), EVENTS).member(1)[
            "health_group"
        ]
        == "G3"
    )
    assert golden(group_held="G4", frozen_days=30).member(1)["health_group"] == "G4"
    assert golden(group_held="G4", frozen_days=29).member(1)["health_group"] == "G3"


@pytest.mark.parametrize("held", range(5))
@pytest.mark.parametrize(
    "value", [0.0, 374.9, 375.0, 425.0, 424.9, 560.0, 575.0, 700.0, 875.0, 1000.0]
)
def test_target_and_move_are_the_books_rule(value, held):
    truth = BookParameters()
    frame = pl.DataFrame({"value": [value], "held": [held]})
    target = frame.select(target_place(HUOLI, pl.col("value"), pl.col("held"))).item()
    risen = np.searchsorted(truth.cutoffs, value - truth.hysteresis, side="right")
    kept = np.searchsorted(truth.cutoffs, value + truth.hysteresis, side="right")
    # the book keeps a group down to cut-off − h inclusive, as here
    assert target == np.clip(held, risen, kept)
    frame = pl.DataFrame({"target": [target], "held": [held]})
    moved = frame.select(next_place(HUOLI, pl.col("target"), pl.col("held")).alias("n")).item()
    assert moved == held + np.clip(target - held, -1, 1)
    goal = threshold(HUOLI, target, held) or 0.0
    assert value >= goal


def test_a_walk_moves_the_rate_within_its_bounds():
    programme = read_programme("aia_new_zealand")
    end = date(2025, 1, 1)
    days = pl.DataFrame({"day": pl.date_range(date(2024, 1, 2), date(2024, 12, 31), eager=True)})
    for a_day, held, rate in (
        (0, 0.10, 0.08),
        (27, 0.10, 0.08),
        (28, 0.10, 0.09),
        (500, 0.1, 0.09),  # 150 a day and 15,000 a year at most
        (0, 0.01, 0.0),
    ):
        m = pl.DataFrame({"person": ["a"], "renewal": [end], "rate_held": [held]})
        seen = health_values(
            programme, m, days.with_columns(person=pl.lit("a"), activity_points=a_day)
        )
        assert seen.member("a")["group_discount"] == pytest.approx(rate)
    extra = pl.DataFrame({"person": ["a"], "day": [date(2024, 3, 1)], "measure": ["other_points"],
                          "value": [20_000.0], "evidence": ["provider"]})  # fmt: skip
    top = health_values(
        programme,
        m.with_columns(rate_held=pl.lit(0.19)),
        None,
        pl.concat([extra, extra.with_columns(day=pl.lit(date(2024, 4, 1)))]),
    )
    assert top.member("a")["target_group"] == "Platinum"
    assert top.member("a")["group_discount"] == 0.20
    with pytest.raises(InputError, match=r"lie outside 0 to 0.2, the first 0.3"):
        health_values(programme, m.with_columns(rate_held=pl.lit(0.3)))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0.05, 1), min_size=4, max_size=4), st.sampled_from(["aia_hong_kong", "aia_new_zealand", "aia_thailand", "manulife_move"]))  # fmt: skip
def test_transitions_are_shares_and_the_long_run_stays(weights, name):
    programme = read_programme(name)
    p = (np.array(weights) / sum(weights)).tolist()
    matrix = transition_matrix(programme, dict(zip(programme.groups, p, strict=True)))
    assert matrix.sum(axis=1) == pytest.approx(1)
    pi = stationary_shares(matrix)
    assert pi @ matrix == pytest.approx(pi, abs=1e-9)
    assert np.linalg.matrix_power(matrix, 4000)[0] == pytest.approx(pi, abs=1e-6)
    assert levels(programme)["rate"].is_between(0, programme.movement.cap).all()


def test_bad_probabilities_are_refused():
    for given_, said in (
        ([0.5, 0.5], "are not 4 probabilities"),
        ([0.5, 0.5, 0.5, -0.5], "are not 4 probabilities"),
        ([0.25, 0.25, 0.25, 0.2], "sum to 0.95"),
        ({"star 1": 1.0}, "stand in only one"),
        (["a", 0, 0, 1], "are not 4 probabilities"),
    ):
        with pytest.raises(InputError, match=said):
            transition_matrix(read_programme("aia_hong_kong"), given_)
    with pytest.raises(InputError, match="depends on where one starts"):
        stationary_shares(np.eye(2))


def test_each_renewal_is_priced_by_the_version_of_its_day():
    later = changed(HUOLI, effective="2025-03-01", movement={"max_move": 4})
    two = pl.concat([member(), member().with_columns(renewal=pl.lit(date(2025, 2, 28)))])
    values = health_values([later, HUOLI], two, DAYS, EVENTS)
    assert values.table.sort("renewal")["health_group"].to_list() == ["G1", "G2"]
    assert [v.effective for v in values.programmes] == [HUOLI.effective, date(2025, 3, 1)]
    assert explain(values, 1, date(2025, 2, 28)).programme == HUOLI
    assert contributions(values).height == 2 * len(HUOLI.accounts)
    with pytest.raises(InputError, match="no version is in force on 2020"):
        health_values([later, HUOLI], member().with_columns(renewal=pl.lit(date(2020, 1, 1))), DAYS)


# -- result -----------------------------------------------------------------------------------------


def test_a_value_explains_itself_and_the_parts_sum():
    values = golden(group_held="G1")
    seen = explain(values, 1)
    assert seen.table["contribution"].sum() == pytest.approx(613.09133, abs=1e-5)
    assert seen.facts["gap"] == pytest.approx(725 - 613.09133, abs=1e-5)
    open_ = seen.table.drop_nulls("still_open")
    assert (open_["contribution"] + open_["still_open"]).sum() == pytest.approx(1000)
    for lang, word in (("en", "Steps brings most"), ("zh", "步数贡献最多")):
        assert word in seen.finding(lang)
        drawn = seen.figure(lang).data[0]
        assert sum(drawn.x[:-1]) == pytest.approx(seen.facts["value"])
        assert values.finding(lang)
        assert sum(values.figure(lang).data[0].y) == 1
    slow = changed(HUOLI, value={"kappa": 3000})
    top = health_values(slow, member(group_held="G4", prior=1000.0), DAYS, EVENTS)
    assert "highest group, G4" in explain(top, 1).finding()


def test_saved_and_loaded(tmp_path):
    values = golden(group_held="G1", standard_premium=1800.0)
    for result in (values, explain(values, 1)):
        result.save(tmp_path / result.kind)
        back = type(result).load(tmp_path / result.kind)
        assert back.table.equals(result.table)
        assert back.finding() == result.finding()
    assert HealthValues.load(tmp_path / "health_values").programmes == (HUOLI,)
    assert golden().basis.fingerprint == golden().basis.fingerprint != values.basis.fingerprint
    assert any(note.startswith("pai: in no source") for note in values.basis.notes)


# -- refusals ---------------------------------------------------------------------------------------


def test_a_day_that_stands_twice_is_seen_exactly():
    from itertools import combinations_with_replacement as multisets

    for n in range(1, 8):
        for days in multisets(range(7), n):
            mark = n * _SCALE + sum(day**5 for day in days)
            assert (mark in _ONCE) == (len(set(days)) == n), days
    with pytest.raises(InputError, match="days of a person stand twice"):
        health_values(HUOLI, member(), pl.concat([DAYS, DAYS.head(1)]))


@pytest.mark.parametrize(("where", "change", "said"), [
    ("members", lambda m: m.drop("renewal"), "lacks renewal"),
    ("members", lambda m: m.head(0), "holds no rows"),
    ("members", lambda m: m.with_columns(renewal=pl.lit("2025-01-01")), "renewal: is String, not a date"),
    ("members", lambda m: m.with_columns(age=pl.lit("45")), "age: is String, not whole years"),
    ("members", lambda m: m.drop("age"), "1 of 1 members have no age"),
    ("members", lambda m: pl.concat([m, m]), "2 rows repeat a person and renewal"),
    ("members", lambda m: m.with_columns(group_held=pl.lit("G7")), "1 unknown groups, the first 'G7'"),
    ("members", lambda m: m.with_columns(renewal=pl.lit(None, pl.Date)), "lack person or renewal"),
    ("members", lambda m: m.to_dicts(), "is a list"),
    ("activity", lambda d: d.drop("day"), "activity: lacks day"),
    ("activity", lambda d: d.with_columns(pl.col("person").cast(pl.String)), "person: is String, in members Int64"),
    ("activity", lambda d: d.with_columns(pl.col("steps").cast(pl.String)), "steps: is String, not a number"),
    ("activity", lambda d: d.with_columns(valid=pl.lit(1)), "valid: is Int32, not true or false"),
    ("activity", lambda d: d.select("person", "day", walked="steps"), "none of the programme's measures"),
    ("events", lambda e: e.drop("evidence"), "events: lacks evidence"),
    ("events", lambda e: e.with_columns(evidence=pl.lit("labb")), "'labb' has no weight.*'lab'"),
    ("events", lambda e: e.with_columns(measure=pl.lit("bmj")), "measures no task takes, the first 'bmj'"),
    ("events", lambda e: e.with_columns(value=pl.lit("high")), "value: is String, not a number"),
    ("events", lambda e: e.with_columns(day=pl.lit(None, pl.Date)), "27 events lack person, day"),
])  # fmt: skip
def test_bad_input_is_refused(where, change, said):
    given_ = {"members": member(), "activity": DAYS, "events": EVENTS}
    given_[where] = change(given_[where])
    with pytest.raises(InputError, match=said) as refused:
        health_values(HUOLI, **given_)
    assert "do:" in str(refused.value)


def test_what_is_no_programme_is_refused():
    for wrong in ([], ["huoli"], "huoli", None):
        with pytest.raises(InputError, match="is no programme"):
            health_values(wrong, member(), DAYS)
    with pytest.raises(InputError, match="several programmes"):
        health_values([HUOLI, read_programme("manulife_move")], member(), DAYS)
    with pytest.raises(InputError, match="batch = 0 is no number"):
        health_values(HUOLI, member(), DAYS, batch=0)
    with pytest.raises(InputError, match="no value of person 5"):
        golden().member(5)


# -- the simulated book -----------------------------------------------------------------------------


def test_the_books_activity_score_and_groups_are_this_engines(tmp_path):
    """Months of the book laid out as days; its score is the mean of its days' points."""
    book = simulate(tmp_path / "book", policies=300, seed=5)
    truth = BookParameters()
    names = ["policy_id", "policy_year", "start", "valid_days", "activity_score", "habit_score",
             "prevention_score", "marker_score", "health_value", "health_group", "in_programme"]  # fmt: skip
    years = pl.read_parquet(book / "renewals").join(
        pl.read_parquet(book / "truth"), on=["policy_id", "policy_year"], how="left", suffix="_true"
    )
    years = years.select(n for n in names if n in years.columns).sort("policy_id", "policy_year")
    months = pl.read_parquet(book / "activity").join(
        years.select("policy_id", "policy_year", "start"), on="policy_id"
    )
    ahead = (pl.col("start").dt.year() - pl.col("month").dt.year()) * 12 + (
        pl.col("start").dt.month().cast(pl.Int32) - pl.col("month").dt.month()
    )
    months = months.with_columns(ahead=ahead).filter(pl.col("ahead").is_between(3, 14))
    laid = months.select(
        "policy_id", "start", "mean_daily_steps", "active_minutes_per_week",
        first=pl.col("start") - pl.duration(days=60) - pl.duration(days=31 * (pl.col("ahead") - 2)),
        each=pl.int_ranges(0, pl.col("valid_days")),
    ).explode("each")  # fmt: skip
    laid = laid.select(
        person=pl.col("policy_id") + pl.lit("@") + pl.col("start").cast(pl.String),
        day=pl.col("first") + pl.duration(days=pl.col("each")),
        steps="mean_daily_steps",
        minutes="active_minutes_per_week",
    )
    raw = HUOLI.model_dump(mode="json", exclude_none=True) | {"consent": "assumed"}
    steps = raw["task"][0] | {"targets": []}
    minutes = steps | {
        "name": "minutes",
        "ways": [{"measure": "minutes", "line": [[0, 0], [75, 0.5], [150, 1]]}],
    }
    only = {"category": [raw["category"][0] | {"weight": 1.0}], "task": [steps, minutes]}
    programme = Programme.model_validate(raw | only | {"window": {"days": 372, "lag_days": 60}})
    people = years.select(
        person=pl.col("policy_id") + pl.lit("@") + pl.col("start").cast(pl.String), renewal="start"
    )
    points = health_values(programme, people, laid)
    found = people.join(points.frames["points"], on="person").join(
        points.table.select("person", days="valid_days"), on="person"
    )
    joined = pl.concat([years, found.select("steps", "minutes", "days")], how="horizontal")
    seen = joined.filter(pl.col("health_value").is_not_null())
    assert seen.height > 100
    assert seen["days"].equals(seen["valid_days"].cast(pl.Int32), check_names=False)
    w = truth.steps_weight
    score = (w * seen["steps"] / 8 + (1 - w) * seen["minutes"]) / seen["days"]
    assert score.to_numpy() == pytest.approx(seen["activity_score"].to_numpy(), abs=2e-6)
    moved = joined.with_columns(
        held=pl.col("health_group").shift(1).over("policy_id").str.slice(1).cast(pl.Int32)
    ).filter(pl.col("in_programme"), pl.col("held").is_not_null(), pl.col("valid_days") >= 180)
    moved = moved.with_columns(
        target=target_place(HUOLI, pl.col("health_value").fill_null(0.0), pl.col("held"))
    )
    now = moved.select(next_place(HUOLI, pl.col("target"), pl.col("held")).alias("n"))["n"]
    assert now.to_list() == moved["health_group"].str.slice(1).cast(pl.Int32).to_list()
