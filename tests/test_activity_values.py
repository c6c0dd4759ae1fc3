"""From what devices measured to health values: activity and programme meet."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from pricing.activity.days import count_days
from pricing.activity.fitbit import fitbit_activity, fitbit_sleep
from pricing.activity.pseudonym import Key
from pricing.activity.samples import sample_frame
from pricing.data.sources import Source
from pricing.errors import InputError
from pricing.programme.explain import explain
from pricing.programme.programme_file import read_programme
from pricing.programme.value import health_values

ZONE, RENEWAL = "Asia/Shanghai", dt.date(2016, 8, 1)


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "key.txt"
    path.write_text(bytes(range(32)).hex(), encoding="utf-8")
    path.chmod(0o600)
    return Key.read(file=path)


def members(days, **more):
    persons = days["person"].unique().sort()
    frame = {
        "person": persons,
        "renewal": RENEWAL,
        "age": 40,
        "consent": True,
        "group_held": "G0",
        "standard_premium": 1_800.0,
    }
    return pl.DataFrame({**frame, **more})


def samples(rows):
    frame = pl.DataFrame(
        rows, orient="row",
        schema=["person", "start", "end", "metric", "value", "unit", "source", "method", "verified"],
    )  # fmt: skip
    return sample_frame(frame, tz=ZONE)


def test_days_and_markers_of_one_person_become_a_value(key):
    start = dt.datetime(2016, 4, 1)
    rows = [
        (
            "Li",
            start + dt.timedelta(days=d),
            start + dt.timedelta(days=d, hours=23),
            "steps",
            7_200.0,
            "{steps}",
            "手表",
            "automatic",
            False,
        )
        for d in range(28)
    ]
    rows.append(("Li", start, start, "hba1c", 5.6, "%", "lab", "unknown", True))
    rows.append(("Li", start, start, "bmi", 25.1, "kg/m2", "Li", "manual", False))
    found = count_days(samples(rows), key=key)
    events = found.events()
    assert dict(events.select("measure", "evidence").iter_rows())["hba1c"] == "provider"
    programme = read_programme("huoli")
    values = health_values(programme, members(found.days), activity=found.days, events=events)
    row = values.table.row(0, named=True)
    points = values.frames["points"]
    assert points["steps"].item() == pytest.approx(28 * 7.2)
    assert points["hba1c"].item() == 100
    assert row["valid_days"] == 28
    assert 0 < row["health_value"] < 1_000
    assert row["group_discount"] == 0  # too few days: the group is held
    assert "{" not in explain(values, row["person"]).finding("zh")


def test_evidence_as_a_share_is_weighed_and_held_between_nought_and_one(key):
    programme = read_programme("huoli")
    days = pl.DataFrame({
        "person": ["a"] * 20 + ["b"] * 20, "day": [dt.date(2016, 3, 1) + dt.timedelta(days=i) for i in range(20)] * 2,
        "steps": 8_000.0, "evidence": [1.0] * 20 + [0.5] * 20,
    })  # fmt: skip
    points = health_values(programme, members(days), activity=days).frames["points"].sort("person")
    assert points["steps"].to_list() == pytest.approx([160.0, 80.0])
    with pytest.raises(InputError, match="evidence"):
        health_values(programme, members(days), activity=days.with_columns(evidence=pl.lit(1.5)))


def test_real_fitbit_files_become_health_values(dataset, key):
    activity = dataset("fitbit_dailyActivity_merged.parquet").collect()
    sleep = dataset("fitbit_sleepDay_merged.parquet").collect()
    found = count_days(
        pl.concat([fitbit_activity(Source(frame=activity), tz=ZONE), fitbit_sleep(Source(frame=sleep), tz=ZONE)]), key=key
    )  # fmt: skip
    programme = read_programme("huoli")
    people = members(found.days)
    values = health_values(programme, people, activity=found.days, events=found.events())
    t = values.table
    assert t.height == 33
    assert t["valid_days"].sum() == found.days["valid"].sum() == 831
    assert t["health_value"].is_between(0, 1_000).all()
    assert t["health_value"].n_unique() > 25
    # people who walk more have more points
    walked = found.days.filter("valid").group_by("person").agg(steps=pl.col("steps").sum())
    both = values.frames["points"].join(walked, on="person", suffix="_walked")
    both = both.select(pl.corr("steps", "steps_walked", method="spearman"))
    assert both.item() > 0.8
    again = health_values(
        programme,
        people.reverse(),
        activity=found.days.sample(fraction=1.0, shuffle=True, seed=1),
        events=found.events(),
    )
    assert again.table.sort("person").equals(t.sort("person"))
    withdrawn = health_values(programme, people.with_columns(consent=False), activity=found.days)
    assert (withdrawn.table["group_discount"] == 0).all()
    raw = {*activity[activity.columns[0]].cast(pl.String).to_list()}
    assert not raw & {*t["person"].cast(pl.String).to_list()}
