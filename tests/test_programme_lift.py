"""What would lift the discount: the cheapest plan against brute force, and every way of no plan."""

from datetime import date, timedelta
from itertools import product

import numpy as np
import polars as pl
import pytest

from pricing.errors import InputError
from pricing.programme.lift import DiscountLift, lift, lifts
from pricing.programme.offers import outlook
from pricing.programme.programme import Programme
from pricing.programme.programme_file import read_programme
from pricing.programme.value import health_values
from pricing.verify.health import golden_member

HUOLI = read_programme("huoli")
RENEWAL = date(2025, 3, 1)
END = RENEWAL - timedelta(days=60)
DAYS, EVENTS = golden_member()


def changed(programme, **parts):
    raw = programme.model_dump(mode="json", exclude_none=True)
    for name, new in parts.items():
        raw[name] = {**raw[name], **new} if isinstance(new, dict) else new
    return Programme.model_validate(raw)


FREE = changed(HUOLI, window={"min_valid_days": 0}, value={"kappa": 0.0}, movement={"max_move": 4})


def member(**more):
    base = {"person": [1], "renewal": [RENEWAL], "age": [45], "consent": [True]}
    return pl.DataFrame(base | {name: [value] for name, value in more.items()})


def golden(on, programme=HUOLI, pace="as_before", **more):
    return lift(programme, member(**more), DAYS, EVENTS, person=1, on=on, pace=pace)


def test_the_plan_is_the_cheapest_of_all():
    """Every whole-number plan of a small programme, counted."""
    on = END - timedelta(days=5)
    raw = FREE.model_dump(mode="json", exclude_none=True)
    efforts = {"steps": 1.0, "check_up": 0.7, "screening": 1.3, "hba1c": 2.0}
    tasks = [t | {"effort": efforts[t["name"]]} for t in raw["task"] if t["name"] in efforts]
    tasks[0] |= {"cap_year": 40.0}
    held = {t["category"] for t in tasks}
    cats = [c | {"weight": 1 / 3} for c in raw["category"] if c["name"] in held]
    cats[-1] |= {"weight": 1 - 2 / 3}
    groups = [{"name": "a", "rate": 0.0}, {"name": "b", "rate": 0.1, "cutoff": 1.0}]
    rng = np.random.default_rng(4)
    for _ in range(25):
        cutoff = float(rng.uniform(40, 900))
        groups[1]["cutoff"] = cutoff
        movement = {"hysteresis": 0.0}
        programme = Programme.model_validate(
            raw
            | {
                "task": tasks,
                "category": cats,
                "group": groups,
                "movement": raw["movement"] | movement,
            }
        )
        plan = lift(programme, member(), None, None, person=1, on=on, pace="nothing")
        least = np.inf
        w = [1000 * c["weight"] for c in cats]
        for six, eight, check, screens, blood in product(
            range(6), range(6), range(2), range(4), (0, 60, 100)
        ):
            if six + eight > 5:
                continue
            value = (
                w[0] * min(6 * six + 8 * eight, 40) / 40 + w[1] * (150 * check + 50 * screens) / 300
            )
            if value + w[2] * blood / 100 >= cutoff:
                effort = 6 * six + 8 * eight + 0.7 * 150 * check + 1.3 * 50 * screens + 2.0 * blood
                least = min(least, effort)
        assert plan.reachable == np.isfinite(least)
        if plan.reachable:
            assert plan.facts["effort"] == pytest.approx(least)
            assert plan.facts["value_reached"] >= cutoff
        else:
            assert plan.facts["value_reached"] == pytest.approx(plan.facts["best_value"])


@pytest.mark.parametrize("age", [45, 70])
def test_who_does_the_plan_is_in_the_group(age):
    on = END - timedelta(days=150)
    before = DAYS.filter(pl.col("day") < on)
    past = EVENTS.filter(pl.col("day") < on)
    plan = lift(FREE, member(age=age), before, past, person=1, on=on, pace="nothing")
    assert plan.reachable
    done = [pl.DataFrame({"day": [on + timedelta(days=i) for i in range(150)]})]
    monday = on + timedelta(days=-on.weekday() % 7)
    future = done[0].with_columns(
        person=pl.lit(1, pl.Int64),
        steps=pl.lit(0.0),
        active_minutes=pl.lit(0.0),
        sleep_hours=pl.lit(0.0),
    )
    events = [past]
    for row in plan.table.iter_rows(named=True):
        n = round(row["times"])
        if row["task"] == "steps":
            future = future.with_columns(
                steps=pl.when(pl.int_range(pl.len()) < n).then(row["level"]).otherwise("steps")
            )
        elif row["task"] in ("exercise", "sleep"):
            week = (pl.col("day") - pl.lit(monday)).dt.total_days() // 7
            name, level = (
                ("active_minutes", row["level"] / 7)
                if row["task"] == "exercise"
                else ("sleep_hours", 7.0)
            )
            inside = week.is_between(0, n - 1)
            future = future.with_columns(
                pl.when(inside).then(level + 1e-9).otherwise(name).alias(name)
            )
        elif row["task"] in ("regular_days",):
            continue  # every day of the future is measured
        else:
            once = {"bmi": 22.0, "hba1c": 5.0, "lipids": 2.0}.get(row["task"])
            measures = {"lipids": ["ldl"], "blood_pressure": ["systolic", "diastolic"]}
            for i, name in product(range(n), measures.get(row["task"], [row["task"]])):
                events.append(
                    EVENTS.head(1).with_columns(
                        measure=pl.lit(name),
                        day=pl.lit(
                            END
                            - timedelta(days=1)
                            - timedelta(days=31 * i if row["cycle"] == "month" else i)
                        ),
                        value=pl.lit(once if row["task"] != "blood_pressure" else 80.0),
                    )
                )
    days = pl.concat([before.cast({"steps": pl.Float64}), future.select(before.columns)])
    values = health_values(FREE, member(age=age), days, pl.concat(events)).member(1)
    assert values["health_value"] >= plan.facts["needed"]
    assert FREE.groups.index(values["health_group"]) >= FREE.groups.index(plan.facts["goal"])


def test_the_finding_names_tasks_and_both_languages():
    plan = golden(date(2024, 10, 1), group_held="G2")
    assert plan.facts["goal"] == "G3"
    assert plan.finding() == (
        "From G2 (10%) to G3 (15%) by 2024-12-31, the cheapest way takes 100 units of effort: "
        "Screenings and vaccinations due, 2 × this year (+100 points)."
    )
    assert "从 G2（10%）升到 G3（15%）" in plan.finding("zh")
    assert plan.facts["needed"] == 725  # cut-off and hysteresis
    assert plan.facts["value_reached"] >= 725
    assert list(plan.figure("zh").data[0].y)[1] == pytest.approx(plan.table["contribution"].sum())
    assert plan.figure().layout.shapes[0].y0 == 725


def test_hysteresis_keeps_who_holds_the_group():
    on = date(2024, 12, 25)
    keep = golden(on, group_held="G3")
    assert (keep.facts["group"], keep.facts["goal"], keep.facts["needed"]) == ("G2", "G3", 675)
    rise = golden(on, group_held="G2")
    assert (rise.facts["group"], rise.facts["goal"], rise.facts["needed"]) == ("G2", "G3", 725)
    assert keep.facts["effort"] < rise.facts["effort"]


def test_every_way_of_no_plan_is_said():
    said = {
        "ratchet": golden(date(2024, 7, 1), group_held="G0"),
        "value": golden(date(2024, 12, 30), group_held="G3", prior=0.0),
        "top": golden(
            date(2024, 10, 1),
            changed(HUOLI, value={"kappa": 3000.0}),
            group_held="G4",
            prior=1000.0,
        ),
        "days": lift(HUOLI, member(), DAYS.head(20), EVENTS, person=1, on=date(2024, 9, 1)),
    }
    words = {
        "ratchet": ("movement rule permits no higher", "不能升到更高的组"),
        "value": ("cannot be reached by 2024-12-31", "不能达到"),
        "top": ("no group gives more", "没有更优的组"),
        "days": ("160 more valid days are needed and 121 days are left", "还需 160 个有效天数"),
    }
    for outcome, plan in said.items():
        assert plan.facts["outcome"] == outcome, plan.facts
        assert not plan.reachable
        for lang, text in zip(("en", "zh"), words[outcome], strict=True):
            assert text in plan.finding(lang)
            assert plan.figure(lang).data
    value = said["value"]
    assert value.facts["best_value"] < value.facts["needed"]
    assert value.facts["value_reached"] == pytest.approx(value.facts["best_value"])
    assert said["top"].table.height == said["days"].table.height == 0


def test_a_mean_of_days_is_lifted_by_days():
    programme = read_programme("manulife_move")
    end = date(2025, 1, 1)
    span = pl.date_range(date(2024, 1, 2), date(2024, 9, 30), eager=True)
    days = pl.DataFrame({"day": span}).with_columns(person=pl.lit("a"), steps=4500)
    m = pl.DataFrame({"person": ["a"], "renewal": [end]})
    plan = lift(programme, m, days, person="a", on=date(2024, 10, 1))
    steps = [
        int(row["level"])
        for row in plan.table.iter_rows(named=True)
        for _ in range(round(row["times"]))
    ]
    rest = pl.DataFrame({"day": pl.date_range(date(2024, 10, 1), date(2024, 12, 31), eager=True)})
    steps += [4500] * (rest.height - len(steps))
    rest = rest.with_columns(person=pl.lit("a"), steps=pl.Series(steps, dtype=pl.Int32))
    done = health_values(programme, m, pl.concat([days, rest]))
    assert done.member("a")["health_group"] == "5,000"
    assert done.member("a")["health_value"] == pytest.approx(plan.facts["value_reached"])
    assert plan.facts["expected_value"] == pytest.approx(4500)


def test_a_walk_is_lifted_to_the_next_status_that_moves_more():
    m = pl.DataFrame({"person": ["a"], "renewal": [date(2025, 1, 1)]})
    plan = lift(read_programme("aia_new_zealand"), m, person="a", on=date(2024, 10, 1))
    assert (plan.facts["group"], plan.facts["goal"]) == ("Bronze", "Silver")
    assert (plan.facts["rate"], plan.facts["goal_rate"]) == (-0.02, -0.01)
    assert plan.table["task_points"].sum() == pytest.approx(10_000, abs=151)


def test_many_members_ask_at_once():
    days = pl.concat(
        [DAYS, DAYS.with_columns(person=pl.lit(2, pl.Int64), steps=pl.col("steps") // 2)]
    )
    both = pl.concat(
        [member(group_held="G2"), member(group_held="G2").with_columns(person=pl.lit(2, pl.Int64))]
    )
    found = lifts(HUOLI, both, days, EVENTS, on=date(2024, 10, 1))
    alone = golden(date(2024, 10, 1), group_held="G2")
    assert found[0].facts == alone.facts
    assert found[0].table.equals(alone.table)
    assert found[1].facts["expected_value"] < found[0].facts["expected_value"]


def test_what_lies_after_today_is_not_looked_at():
    on = date(2024, 10, 1)
    before = lift(
        HUOLI, member(group_held="G2"), DAYS.filter(pl.col("day") < on), EVENTS.filter(pl.col("day") < on),
        person=1, on=on,
    )  # fmt: skip
    assert before.table.equals(golden(on, group_held="G2").table)


def test_weeks_and_months_are_those_that_are_whole():
    for on, end, weeks, months in (
        (date(2024, 1, 1), date(2024, 1, 8), 1, 0),  # a Monday
        (date(2024, 1, 2), date(2024, 1, 14), 0, 0),
        (date(2024, 1, 2), date(2024, 1, 15), 1, 0),
        (date(2024, 1, 1), date(2024, 3, 1), 8, 2),
        (date(2024, 1, 2), date(2024, 2, 29), 7, 0),
        (date(2024, 12, 2), date(2025, 2, 1), 8, 1),
    ):
        left = outlook(HUOLI, {}, start=date(2023, 12, 1), on=on, end=end, valid_days=0).left
        assert (left["week"], left["month"]) == (weeks, months), (on, end)


def test_a_saved_plan_is_the_same(tmp_path):
    plan = golden(date(2024, 10, 1), group_held="G2")
    plan.save(tmp_path / "plan")
    back = DiscountLift.load(tmp_path / "plan")
    assert back.finding("zh") == plan.finding("zh")
    assert back.table.equals(plan.table)


@pytest.mark.parametrize(("more", "on", "said"), [
    ({"consent": False}, date(2024, 7, 1), "1 members have not consented"),
    ({"frozen_days": 40}, date(2024, 7, 1), "are frozen"),
    ({}, date(2023, 12, 1), "a window that does not hold 2023-12-01"),
    ({}, END, "a window that does not hold 2024-12-31"),
    ({}, "2024-07-01", "on is no date"),
    ({"renewal": None}, date(2024, 7, 1), "lack person or renewal"),
])  # fmt: skip
def test_bad_questions_are_refused(more, on, said):
    with pytest.raises(InputError, match=said):
        lift(HUOLI, member().with_columns(*(pl.lit(v).alias(k) for k, v in more.items())).cast({"renewal": pl.Date}),
             DAYS, EVENTS, person=1, on=on)  # fmt: skip


def test_a_person_who_is_not_there_and_an_unknown_pace_are_refused():
    with pytest.raises(InputError, match="person 7 stands 0 times"):
        lift(HUOLI, member(), DAYS, person=7, on=date(2024, 7, 1))
    with pytest.raises(InputError, match="pace 'slow' is unknown"):
        golden(date(2024, 7, 1), pace="slow")
