"""From samples to days: midnight, zones, overlapping sources, what is set aside, what stays the same."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from pricing.activity.activity_check import ActivityCheck
from pricing.activity.days import DAYS, MARKERS, count_days
from pricing.activity.fitbit import fitbit_activity, fitbit_sleep
from pricing.activity.overlap import merged
from pricing.activity.plausible import Rules
from pricing.activity.pseudonym import Key, pseudonyms
from pricing.activity.reliability import reliability
from pricing.activity.samples import REASONS, sample_frame
from pricing.data.sources import Source
from pricing.errors import InputError
from pricing.result.shape import Result

KEY = Key(bytes(range(32)))
SHANGHAI = "Asia/Shanghai"


def rows(*made, **more):
    """Samples from (start, end, value) in local time; one automatic watch unless said otherwise."""
    base = {
        "person": "王小明",
        "metric": "steps",
        "source": "手表",
        "device": None,
        "unit": "",
        "method": "automatic",
        "verified": False,
    } | more
    return pl.DataFrame([base | {"start": s, "end": e, "value": v} for s, e, v in made])


def count(samples, *, tz=SHANGHAI, **options):
    return count_days(samples, key=KEY, tz=tz, **options)


def steps(found):
    return dict(found.days.select("day", "steps").iter_rows())


def outcomes(found):
    return dict(found.check.table.select("outcome", "samples").iter_rows())


def re_adds(found, samples):
    """Samples and steps of the ledger are those that came in."""
    table = found.check.table
    value = samples["value"].cast(pl.Float64, strict=False)
    of = value.filter((samples["metric"] == "steps") & value.is_finite().fill_null(False))
    assert table["samples"].sum() == samples.height
    assert table["steps"].sum() == pytest.approx(of.sum(), rel=1e-9, abs=1e-6)
    assert table["share_of_samples"].sum() == pytest.approx(1.0)


def many(n=400, persons=5, seed=1):
    """Overlapping samples of several persons and sources, some by hand, on three days."""
    draw = np.random.default_rng(seed)
    at = dt.datetime(2024, 3, 1)
    starts = [at + dt.timedelta(seconds=int(s)) for s in draw.integers(0, 3 * 86_400, n)]
    ends = [
        s + dt.timedelta(seconds=int(k))
        for s, k in zip(starts, draw.integers(60, 7_200, n), strict=True)
    ]
    return pl.DataFrame({
        "person": [f"p{i}" for i in draw.integers(0, persons, n)],
        "start": starts, "end": ends, "metric": "steps",
        "value": draw.integers(1, 150, n).astype(float),
        "source": [["watch", "phone", "手环"][i] for i in draw.integers(0, 3, n)],
        "method": [["automatic", "manual", "unknown"][i] for i in draw.choice(3, n, p=[0.8, 0.1, 0.1])],
    })  # fmt: skip


# -- the day ----------------------------------------------------------------------------------------


def test_a_sample_over_midnight_is_split_in_proportion():
    found = count(rows(("2024-03-01 23:40", "2024-03-02 00:20", 3000)))
    assert steps(found) == {dt.date(2024, 3, 1): 1500.0, dt.date(2024, 3, 2): 1500.0}
    assert outcomes(found) == {"counted": 1}


@pytest.mark.parametrize(("day", "zone", "hours"), [
    ("2024-03-10", "America/New_York", 23),
    ("2024-11-03", "America/New_York", 25),
    ("2024-02-29", SHANGHAI, 24),
    ("2024-09-08", "America/Santiago", 23),  # midnight itself is skipped
])  # fmt: skip
def test_a_day_has_the_hours_of_its_zone(day, zone, hours):
    """A sum over the whole local day stays in it, and half a day later there is none in the next."""
    start = dt.date.fromisoformat(day)
    end = start + dt.timedelta(1)
    found = count(rows((str(start), str(end), 9000)), tz=zone)
    assert steps(found) == {start: 9000.0}
    # samples by the hour in UTC: as many as the day has hours
    utc = found.days.height and sample_frame(rows((str(start), str(end), 1)), tz=zone).collect()
    assert (utc["end"][0] - utc["start"][0]) == dt.timedelta(hours=hours)


def test_the_persons_zone_decides_the_day():
    same = ("2024-03-01T16:30:00Z", "2024-03-01T16:40:00Z", 1200)
    samples = pl.concat([
        rows(same, person="a", tz="Asia/Shanghai"), rows(same, person="b", tz="Europe/London"),
        rows(same, person="c", tz="Mars/Olympus"),
    ])  # fmt: skip
    found = count_days(samples, key=KEY)
    assert steps(found.days.pipe(lambda d: type("F", (), {"days": d}))) == {
        dt.date(2024, 3, 1): 1200.0,
        dt.date(2024, 3, 2): 1200.0,
    }
    assert outcomes(found) == {"counted": 2, "unknown_zone": 1}
    re_adds(found, samples)


def test_offsets_and_local_time_and_slashes_are_one_moment():
    said = ["2024-03-01T08:00:00+08:00", "2024-03-01 08:00", "2024/03/01 08:00:00", "2024-03-01T00:00:00.000Z",
            "2024-02-29T19:00:00-0500"]  # fmt: skip
    read = sample_frame(rows(*[(one, one, 1) for one in said]), tz=SHANGHAI).collect()
    assert read["start"].n_unique() == 1
    naive = pl.DataFrame(
        {"person": ["a"], "start": [dt.datetime(2024, 3, 1, 8)], "metric": ["steps"], "value": [1]}
    )
    assert sample_frame(naive, tz=SHANGHAI).collect()["start"][0] == read["start"][0]


def test_sleep_is_whole_on_the_day_it_ends():
    samples = rows(("2024-03-01 23:00", "2024-03-02 06:30", 430), metric="sleep")
    found = count(samples).days
    assert found.select("day", "sleep_hours").rows() == [
        (dt.date(2024, 3, 2), pytest.approx(430 / 60))
    ]


def test_wear_heart_and_minutes():
    at = "2024-03-01 "
    samples = pl.concat([
        rows(*[(f"{at}{h:02}:0{m}", f"{at}{h:02}:0{m}", 60 + h) for h in range(8, 20) for m in (1, 2)], metric="heart_rate"),
        rows((f"{at}07:00", f"{at}07:00", 55), metric="resting_heart_rate"),
        rows((f"{at}09:00", f"{at}09:30", 20), metric="vigorous_minutes"),
        rows((f"{at}09:00", f"{at}09:30", 10), metric="moderate_minutes"),
    ])  # fmt: skip
    day = count(samples).days.row(0, named=True)
    assert (day["wear_hours"], day["resting_heart_rate"]) == (12 * 0.25, 55.0)
    assert (day["active_minutes"], day["vigorous_minutes"], day["steps"]) == (30.0, 20.0, None)
    assert (day["valid"], day["reason"]) == (False, "too_little_wear")
    worn = count(samples, rules=Rules(wear_hours=3)).days.row(0, named=True)
    assert (worn["valid"], worn["reason"]) == (True, None)


# -- overlapping sources ----------------------------------------------------------------------------


def test_the_better_source_counts_where_both_measure():
    at = "2024-03-01 "
    samples = pl.concat([
        rows((f"{at}08:00", f"{at}09:00", 6000), source="watch"),
        rows((f"{at}08:30", f"{at}09:30", 4000), source="phone"),
    ])  # fmt: skip
    assert list(steps(count(samples)).values()) == [8000.0]
    phone_first = count(samples, priority=["phone", "watch"])
    assert list(steps(phone_first).values()) == [7000.0]
    assert phone_first.check.facts["overlapped_steps"] == 3000.0
    re_adds(phone_first, samples)


def test_merging_equals_a_grid_of_seconds():
    """Oracle: each second belongs to the best source that measures it."""
    draw = np.random.default_rng(4)
    n, second = 60, 1_000_000
    start = draw.integers(0, 3_000, n)
    pieces = pl.DataFrame({
        "person": draw.integers(0, 2, n), "metric": "steps", "day": 0, "start": start * second,
        "end": (start + draw.integers(1, 400, n)) * second, "value": draw.uniform(1, 50, n),
        "level": draw.integers(0, 4, n),
    })  # fmt: skip
    ours = merged(pieces)
    expected = {}
    for person in (0, 1):
        taken = np.zeros(4_000, bool)
        mine = pieces.with_row_index("i").filter(person=person)
        for _, level in mine.sort("level").group_by("level", maintain_order=True):
            spans = {
                r["i"]: (r["value"], np.arange(r["start"] // second, r["end"] // second))
                for r in level.iter_rows(named=True)
            }
            together = np.zeros(4_000)
            for _, span in spans.values():
                together[span] += 1
            for i, (value, span) in spans.items():
                expected[i] = value * np.mean(np.where(taken[span], 0.0, 1 / together[span]))
            taken |= together > 0
    assert ours["kept"].to_numpy() == pytest.approx([expected[i] for i in range(n)], abs=1e-9)


def test_a_day_total_and_a_minute_series_do_not_add():
    samples = pl.concat([
        rows(("2024-03-01", "2024-03-02", 8000), source="phone"),
        rows(*[(f"2024-03-01 {h:02}:00", f"2024-03-01 {h:02}:01", 100) for h in range(8, 20)], source="watch"),
    ])  # fmt: skip
    found = count(samples)
    assert list(steps(found).values()) == [8000.0]
    re_adds(found, samples)
    more = count(
        samples.with_columns(pl.when(source="phone").then(900.0).otherwise("value").alias("value"))
    )
    assert list(steps(more).values()) == [1200.0]


# -- what is set aside ------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "end", "value", "more", "reason"), [
    ("2024-03-01 08:00", "2024-03-01 09:00", 100, {"method": "manual"}, "manual_entry"),
    ("2024-03-01 08:00", "2024-03-01 08:10", 2001, {}, "cadence_too_high"),
    ("2024-03-01 08:00", "2024-03-01 07:00", 10, {}, "ends_before_start"),
    ("2024-03-01 08:00", "2024-03-03 08:00", 10, {}, "too_long"),
    ("2024-03-01 08:00", "2024-03-01 09:00", -5, {}, "negative_value"),
    ("2024-03-01 08:00", "2024-03-01 09:00", float("nan"), {}, "unreadable_value"),
    ("2024-03-01 08:00", "2024-03-01 09:00", float("inf"), {}, "unreadable_value"),
    ("2024-03-01 08:00", "2024-03-01 09:00", None, {}, "unreadable_value"),
    ("2024-02-30 08:00", "2024-03-01 09:00", 10, {}, "unreadable_time"),
    ("2024-03-01 08:00", "yesterday", 10, {}, "unreadable_time"),
    ("2024-03-01 08:00", "2024-03-01 09:00", 10, {"person": ""}, "no_person"),
    ("2024-03-01 08:00", "2024-03-01 09:00", 10, {"unit": "furlong"}, "unknown_unit"),
    ("2024-03-01 08:00", "2024-03-01 09:00", 10, {"metric": "happiness"}, "unknown_metric"),
    ("2024-03-01 08:00", "2024-03-01 08:00", 900, {"metric": "weight", "unit": "kg"}, "out_of_range"),
    ("2024-03-01 08:00", "2024-03-01 09:00", 90, {"metric": "sleep"}, "out_of_range"),
    ("2024-03-01 00:00", "2024-03-02 00:00", 1500, {"metric": "sleep"}, "out_of_range"),
    ("2024-03-01 00:00", "2024-03-02 00:00", 150_000, {}, "too_many_steps"),
])  # fmt: skip
def test_each_fault_has_its_reason_and_is_counted(start, end, value, more, reason):
    samples = pl.concat(
        [rows(("2024-03-05 08:00", "2024-03-05 09:00", 1234)), rows((start, end, value), **more)],
        how="vertical_relaxed",
    )
    found = count(samples)
    assert outcomes(found) == {"counted": 1, reason: 1}
    re_adds(found, samples)
    assert found.days.filter("valid")["steps"].to_list() == [1234.0]


def test_a_local_hour_that_does_not_exist_is_told():
    found = count(rows(("2024-03-10 02:30", "2024-03-10 03:30", 10)), tz="America/New_York")
    assert outcomes(found) == {"unreadable_time": 1}
    assert found.days.is_empty()
    assert found.days.schema == DAYS


def test_exact_repeats_count_once():
    one = rows(("2024-03-01 08:00", "2024-03-01 09:00", 3000))
    found = count(pl.concat([one] * 3))
    assert outcomes(found) == {"counted": 1, "duplicate": 2}
    assert list(steps(found).values()) == [3000.0]


def minutes(person, n=40, value=lambda i: 100 + i % 7, **more):
    at = dt.datetime(2024, 3, 1, 8)
    return rows(
        *[(str(at + dt.timedelta(minutes=i)), str(at + dt.timedelta(minutes=i + 1)), value(i)) for i in range(n)],
        person=person, **more,
    )  # fmt: skip


def test_copied_series_shared_devices_and_machines_are_set_aside():
    copied = pl.concat([minutes("a"), minutes("b"), minutes("c", value=lambda i: 90 + i % 5)])
    assert outcomes(count(copied)) == {"counted": 40, "copied_series": 80}
    shared = pl.concat(
        [minutes("a", device="SN1"), minutes("b", value=lambda i: 90 + i % 5, device="SN1")]
    )
    assert outcomes(count(shared)) == {"shared_device": 80}
    assert outcomes(count(shared, rules=Rules(persons_per_device=2))) == {"counted": 80}
    machine = count(minutes("a", value=lambda i: 110))
    assert outcomes(machine) == {"constant_cadence": 40}
    assert machine.days.select("steps", "valid", "reason").rows() == [
        (None, False, "constant_cadence")
    ]
    for found, samples in ((count(copied), copied), (count(shared), shared)):
        re_adds(found, samples)


def test_no_rest_and_no_pulse():
    day = dt.datetime(2024, 3, 1)
    at = [day + dt.timedelta(hours=h) for h in range(24)]
    restless = rows(
        *[(str(a), str(a + dt.timedelta(minutes=9)), 300 + i) for i, a in enumerate(at)]
    )
    assert outcomes(count(restless)) == {"no_rest": 24}
    assert outcomes(count(restless.head(23))) == {"counted": 23}
    walk = rows((str(at[9]), str(at[10]), 5000))
    for busy, expected in ((64, {"no_heart_rate_rise": 1, "counted": 2}), (95, {"counted": 3})):
        beats = rows(
            (str(at[8]), str(at[8]), 62), (str(at[9]), str(at[9]), busy), metric="heart_rate"
        )
        assert outcomes(count(pl.concat([walk, beats], how="vertical_relaxed"))) == expected


def test_a_23_hour_day_without_rest_is_found():
    day = dt.datetime(2024, 3, 10, 5)  # midnight in New York, UTC
    at = [day + dt.timedelta(hours=h) for h in range(23)]
    samples = rows(
        *[(f"{a}Z", f"{a + dt.timedelta(minutes=9)}Z", 300 + i) for i, a in enumerate(at)]
    )
    assert outcomes(count(samples, tz="America/New_York")) == {"no_rest": 23}


def test_markers_come_in_our_units_with_their_evidence():
    at = "2024-03-01 09:00"
    samples = pl.concat([
        rows((at, at, 150), metric="weight", unit="[lb_av]"),
        rows((at, at, 42), metric="hba1c", unit="mmol/mol", method="unknown", verified=True),
        rows((at, at, 193.35), metric="cholesterol", unit="mg/dL", method="unknown"),
    ], how="vertical_relaxed")  # fmt: skip
    found = count(samples)
    assert found.markers.schema == MARKERS
    told = {
        r["metric"]: (r["value"], r["unit"], r["evidence"])
        for r in found.markers.iter_rows(named=True)
    }
    assert told["weight"] == (pytest.approx(68.0388555), "kg", 1.0)
    assert told["hba1c"] == (pytest.approx(0.09148 * 42 + 2.152), "%", 1.0)
    assert told["cholesterol"] == (pytest.approx(5.0), "mmol/L", 0.3)
    assert found.days.is_empty()


def test_an_unknown_method_is_weighed_and_makes_no_valid_day():
    found = count(rows(("2024-03-01 08:00", "2024-03-01 10:00", 5000), method="app"))
    assert found.days.select("steps", "evidence", "valid", "reason").rows() == [
        (5000.0, 0.3, False, "not_automatic")
    ]
    allowed = count(
        rows(("2024-03-01 08:00", "2024-03-01 10:00", 5000), method="app"),
        rules=Rules(automatic_only=False),
    )
    assert allowed.days["valid"].to_list() == [True]


# -- what changes nothing ---------------------------------------------------------------------------


def test_order_of_rows_and_shards_change_nothing():
    samples = many()
    found = count(samples)
    re_adds(found, samples)
    shuffled = count(samples.sample(fraction=1.0, shuffle=True, seed=3))
    parts = count(samples.lazy(), rows_at_once=90)
    for other in (shuffled, parts):
        assert other.days.select("person", "day", "valid", "reason").equals(
            found.days.select("person", "day", "valid", "reason")
        )
        for name in ("steps", "evidence"):
            assert other.days[name].to_list() == pytest.approx(found.days[name].to_list())
        assert outcomes(other) == outcomes(found)


def test_permuting_ids_changes_nothing_but_the_names():
    samples = many()
    renamed = samples.with_columns(
        pl.col("person").replace({f"p{i}": f"p{(i + 2) % 5}" for i in range(5)})
    )
    mine = {i: KEY.of(f"p{i}") for i in range(5)}
    one, other = count(samples).days, count(renamed).days
    for i in range(5):
        a = one.filter(person=mine[i]).drop("person")
        b = other.filter(person=mine[(i + 2) % 5]).drop("person")
        assert a.height > 0
        assert a.with_columns(pl.col("steps", "evidence").round(6)).equals(
            b.with_columns(pl.col("steps", "evidence").round(6))
        )


def test_splitting_a_sample_in_two_changes_nothing():
    samples = many(60).filter(pl.col("method") != "manual")
    half = samples["start"] + (samples["end"] - samples["start"]) / 2
    halved = samples.with_columns(value=pl.col("value") / 2)
    split = pl.concat([halved.with_columns(end=half), halved.with_columns(start=half)])
    one, two = count(samples).days, count(split).days
    assert two["steps"].to_list() == pytest.approx(one["steps"].to_list(), rel=1e-9)


# -- names ------------------------------------------------------------------------------------------


def test_no_id_no_source_and_no_moment_is_in_what_is_saved(tmp_path):
    samples = pl.concat([
        minutes("王小明-310101", source="小明的手表", device="SN-77"),
        rows(("2024-03-02 08:00", "2024-03-02 09:00", 70), person="李雷-44", metric="weight", unit="kg", source="小明的手表"),
    ], how="vertical_relaxed")  # fmt: skip
    found = count(samples)
    found.check.save(tmp_path / "check")
    found.days.write_parquet(tmp_path / "days.parquet", compression="uncompressed")
    found.markers.write_parquet(tmp_path / "markers.parquet", compression="uncompressed")
    for path in (p for p in tmp_path.rglob("*") if p.is_file()):
        if path.suffix == ".parquet":
            frame = pl.read_parquet(path)
            assert not [n for n in frame.columns if isinstance(frame.schema[n], pl.Datetime)]
            data = frame.write_csv().encode() + path.read_bytes()
        else:
            data = path.read_bytes()
        for secret in ("王小明", "310101", "李雷", "手表", "SN-77", KEY.secret.hex()):
            assert secret.encode() not in data, path
    back = Result.load(tmp_path / "check")
    assert isinstance(back, ActivityCheck)
    assert back.table.equals(found.check.table)


def test_a_wrong_missing_or_weak_key_is_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="32 to 64 bytes, this has 3"):
        Key(b"abc")
    with pytest.raises(InputError, match="no random bytes"):
        Key(b"\0" * 32)
    with pytest.raises(InputError, match="no readable key"):
        Key.read(file=tmp_path / "none")
    with pytest.raises(InputError, match="there is no key"):
        Key.read(variable="NO_SUCH_KEY_HERE")
    with pytest.raises(InputError, match="one of them"):
        Key.read()
    (tmp_path / "key").write_text(KEY.secret.hex() + "\n", encoding="ascii")
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(InputError, match="others may read"):
        Key.read(file=tmp_path / "key")
    (tmp_path / "key").chmod(0o600)
    assert Key.read(file=tmp_path / "key") == KEY
    with pytest.raises(InputError, match="inside the output"):
        Key.read(file=tmp_path / "key", output=tmp_path)
    monkeypatch.setenv("ACTIVITY_KEY", "zz")
    with pytest.raises(InputError, match="not in hexadecimal"):
        Key.read(variable="ACTIVITY_KEY")
    other = Key(bytes(range(1, 33)))
    with pytest.raises(InputError, match="made with key"):
        other.require(KEY.check)
    KEY.require(KEY.check)
    assert KEY.secret.hex() not in repr(KEY) + str(KEY)
    ids = pl.Series([f"p{i}" for i in range(1000)] * 2)
    assert pseudonyms(ids, KEY)["pseudonym"].n_unique() == 1000
    assert not set(pseudonyms(ids, KEY)["pseudonym"]) & set(pseudonyms(ids, other)["pseudonym"])


# -- bad input --------------------------------------------------------------------------------------


def test_bad_input_is_refused_in_words():
    good = rows(("2024-03-01 08:00", "2024-03-01 09:00", 1))
    with pytest.raises(InputError, match="1 columns are not there"):
        count(good.drop("value"))
    with pytest.raises(InputError, match="no samples"):
        count(good.clear())
    with pytest.raises(InputError, match="did you mean 'Asia/Shanghai'"):
        count(good, tz="Asia/Shangai")
    with pytest.raises(InputError, match="2 rules are wrong"):
        Rules(cadence="fast", wear_hours=-1)
    with pytest.raises(InputError, match="twice"):
        count(good, priority=["a", "a"])
    assert outcomes(count(good, tz=None)) == {"unknown_zone": 1}


def test_finding_and_figure_speak_both_languages():
    found = count(many()).check
    assert "entered by hand" in found.finding("en")
    assert "手工录入" in found.finding("zh")
    for lang in ("en", "zh"):
        assert len(found.figure(lang).data) == 2
    none = count(rows(("2024-03-01 08:00", "2024-03-01 09:00", 1))).check
    assert "0 were set aside;" in none.finding()


# -- real days --------------------------------------------------------------------------------------


def test_real_fitbit_days_become_daily_features(dataset):
    activity = dataset("fitbit_dailyActivity_merged.parquet").collect()
    sleep = dataset("fitbit_sleepDay_merged.parquet").collect()
    zone = "America/Chicago"
    samples = pl.concat([
        fitbit_activity(Source(frame=activity), tz=zone), fitbit_sleep(Source(frame=sleep), tz=zone),
    ])  # fmt: skip
    found = count_days(samples, key=KEY)
    re_adds(found, samples)
    assert outcomes(found) == {"counted": 3 * 940 + 410, "duplicate": 3}
    assert (found.days.height, found.days["person"].n_unique()) == (940, 33)
    assert found.days["steps"].sum() == activity["TotalSteps"].sum()
    assert found.days["sleep_hours"].count() == 410
    first = found.days.filter(person=KEY.of("1503960366")).sort("day").row(0, named=True)
    assert first["day"] == dt.date(2016, 4, 12)
    assert (first["steps"], first["active_minutes"], first["vigorous_minutes"]) == (
        13162.0,
        38.0,
        25.0,
    )
    assert first["sleep_hours"] == pytest.approx(327 / 60)
    assert found.days["valid"].sum() == (activity["TotalSteps"] >= 1000).sum()
    assert found.days.filter(~pl.col("valid"))["reason"].unique().to_list() == ["too_little_wear"]
    trust = reliability(found.days)
    assert trust.single == pytest.approx(0.41, abs=0.03)  # the published figure, on other people
    assert trust.facts["single_lower"] < 0.41 < trust.facts["single_upper"]
    assert trust.facts["needed"] == 6
    assert trust.facts["split"] > 0.85


def test_reasons_have_words_in_both_languages():
    from pricing.result.words import level_label

    for name in REASONS.categories:
        assert level_label(name, "zh") != name
        assert level_label(name, "en") != name
