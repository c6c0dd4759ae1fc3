"""Rates of repeat events: against statsmodels and the residuals written out, by weight, on known truth."""

import numpy as np
import polars as pl
import pytest
from statsmodels.duration.hazard_regression import PHReg

from pricing.errors import InputError
from pricing.result.shape import Result
from pricing.survival.cox import fit_cox
from pricing.survival.immortal import immortal_time
from pricing.survival.recurrent import RecurrentEvents
from pricing.survival.repeat_model import event_intervals, fit_repeat
from pricing.survival.repeat_value import repeat_value


def claims(n=300, seed=1, *, theta=0.7, shape=2.0, rate=0.08, deaths=True):
    """Claimants followed for up to 24 months; some join a service; frailty ties their claims."""
    rng = np.random.default_rng(seed)
    frailty = rng.gamma(shape, 1 / shape, n)
    chronic = rng.random(n) < 0.4
    base = rate * frailty * np.where(chronic, 1.6, 1.0)
    left = rng.uniform(6, 30, n)
    died = rng.exponential(1 / 0.02, n) if deaths else np.full(n, np.inf)
    exit = np.minimum(np.minimum(left, died), 24.0)
    joined = np.where(rng.random(n) < 0.7, rng.exponential(4, n), np.inf)
    before = np.minimum(joined, exit)
    outside, inside = rng.poisson(base * before), rng.poisson(theta * base * (exit - before))
    who = np.repeat(np.arange(n), outside + inside)
    u = rng.random(len(who))
    first = (
        np.concatenate([np.arange(k) for k in outside + inside]) < outside[who]
        if len(who)
        else u > 2
    )
    time = np.where(first, u * before[who], before[who] + u * (exit - before)[who])
    persons = pl.DataFrame({
        "person": np.arange(n), "exit": exit, "died": died <= np.minimum(left, 24.0),
        "joined": pl.Series(joined).replace(np.inf, None), "chronic": chronic,
        "age": rng.integers(50, 80, n),
    })  # fmt: skip
    persons = persons.with_columns(pl.when(pl.col("joined") < pl.col("exit")).then("joined"))
    events = pl.DataFrame({"person": who, "time": time, "amount": rng.gamma(2, 1500, len(who))})
    return persons, events.filter(pl.col("time") > 0)


# -- rows ---------------------------------------------------------------------------------------------


def test_rows_are_cut_at_events_and_where_the_service_begins():
    persons = pl.DataFrame(
        {"person": ["a", "b"], "exit": [10.0, 4.0], "joined": [3.0, None], "sex": ["f", "m"]}
    )
    events = pl.DataFrame({"person": ["a", "a", "b"], "time": [2.0, 10.0, 3.0]})
    rows = event_intervals(persons, events, switches={"in_service": "joined"})
    assert rows.select("person", "entry", "exit", "event", "event_number", "in_service", "since_entry", "since_exit").rows() == [
        ("a", 0.0, 2.0, True, 1, "no", 0.0, 2.0),
        ("a", 2.0, 3.0, False, 2, "no", 0.0, 1.0),
        ("a", 3.0, 10.0, True, 2, "yes", 1.0, 8.0),
        ("b", 0.0, 3.0, True, 1, "no", 0.0, 3.0),
        ("b", 3.0, 4.0, False, 2, "no", 0.0, 1.0),
    ]  # fmt: skip
    assert rows["sex"].to_list() == ["f", "f", "f", "m", "m"]


def test_rows_hold_all_time_and_all_events():
    persons, events = claims()
    rows = event_intervals(persons, events, switches={"in_service": "joined"})
    assert rows["event"].sum() == events.height
    assert rows.select((pl.col("exit") - pl.col("entry")).sum()).item() == pytest.approx(
        persons["exit"].sum()
    )
    assert (rows["exit"] > rows["entry"]).all()
    assert (rows["since_exit"] > rows["since_entry"]).all()
    inside = (
        rows.filter(pl.col("in_service") == "yes")
        .select((pl.col("exit") - pl.col("entry")).sum())
        .item()
    )
    expected = persons.select((pl.col("exit") - pl.col("joined")).sum()).item()
    assert inside == pytest.approx(expected)


# -- oracles ------------------------------------------------------------------------------------------


def after(entry):
    """statsmodels has a row at risk at its entry too; ours is from just after."""
    return np.where(entry.to_numpy() > 0, entry.to_numpy() + 1e-9, 0.0)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("tied", [True, False])
def test_andersen_gill_is_statsmodels(ties, tied):
    persons, events = claims(150)
    if tied:
        events = events.with_columns(time=pl.col("time").ceil()).unique(["person", "time"]).join(
            persons.select("person", "exit"), on="person").filter(pl.col("time") <= pl.col("exit"))  # fmt: skip
    rows = event_intervals(persons, events, switches={"in_service": "joined"})
    found = fit_repeat(rows, "in_service + age", ties=ties, base={"in_service": "no"})
    x = np.column_stack([(rows["in_service"] == "yes").to_numpy(), rows["age"].to_numpy()]).astype(
        float
    )
    peer = PHReg(
        rows["exit"].to_numpy(), x, status=rows["event"].to_numpy().astype(int),
        entry=after(rows["entry"]), ties=ties,
    ).fit(disp=0)  # fmt: skip
    np.testing.assert_allclose(found.coefficients, peer.params, rtol=1e-6)
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance("model"))), peer.bse, rtol=1e-5)


def test_robust_errors_are_the_residuals_written_out():
    persons, events = claims(120)
    rows = event_intervals(persons, events, switches={"in_service": "joined"})
    found = fit_repeat(rows, "in_service + age", ties="breslow", base={"in_service": "no"})
    x = np.column_stack([(rows["in_service"] == "yes").to_numpy(), rows["age"].to_numpy()]).astype(
        float
    )
    a, b, e = rows["entry"].to_numpy(), rows["exit"].to_numpy(), rows["event"].to_numpy()
    relative = np.exp(x @ found.coefficients)
    score = np.zeros((persons.height, 2))
    who = rows["person"].to_numpy()
    for t in np.unique(b[e]):
        risk = (a < t) & (t <= b)
        s0 = relative[risk].sum()
        mean = (relative[risk, None] * x[risk]).sum(0) / s0
        here = e & (b == t)
        np.add.at(score, who[here], x[here] - mean)
        np.add.at(score, who[risk], -relative[risk, None] * (x[risk] - mean) * here.sum() / s0)
    v = found.covariance("model")
    np.testing.assert_allclose(found.covariance("robust"), v @ score.T @ score @ v, rtol=1e-6)


def test_prentice_is_the_cox_model_of_its_clock_and_strata():
    persons, events = claims(200)
    rows = event_intervals(persons, events, switches={"in_service": "joined"})
    for model, entry, exit in (
        ("prentice_total", "entry", "exit"),
        ("prentice_gap", "since_entry", "since_exit"),
    ):
        found = fit_repeat(rows, "in_service", model=model, most=2)
        two = rows.with_columns(stratum=pl.col("event_number").clip(1, 2))
        peer = PHReg(
            two[exit].to_numpy(), (two["in_service"] == "yes").to_numpy().astype(float)[:, None],
            status=two["event"].to_numpy().astype(int), entry=after(two[entry]),
            strata=two["stratum"].to_numpy(), ties="efron",
        ).fit(disp=0)  # fmt: skip
        sign = 1 if found.columns[0].level == "yes" else -1
        assert sign * found.coefficients[0] == pytest.approx(peer.params[0], rel=1e-6)


def test_a_row_split_in_two_and_another_order_change_nothing():
    persons, events = claims(150)
    rows = event_intervals(persons, events, switches={"in_service": "joined"})
    cut = pl.col("entry") + 0.3 * (pl.col("exit") - pl.col("entry"))
    split = pl.concat(
        [rows.with_columns(exit=cut, event=pl.lit(False)), rows.with_columns(entry=cut)]
    )
    whole = fit_repeat(rows, "in_service + chronic")
    parts = fit_repeat(split.sample(fraction=1.0, shuffle=True, seed=2), "in_service + chronic")
    np.testing.assert_allclose(parts.coefficients, whole.coefficients, rtol=1e-8)
    np.testing.assert_allclose(parts.covariance("robust"), whole.covariance("robust"), rtol=1e-7)


def test_one_baseline_of_first_events_is_cox():
    persons, events = claims(200)
    first = events.group_by("person").agg(pl.col("time").min())
    whole = persons.join(first, on="person", how="left").with_columns(
        exit=pl.min_horizontal("exit", pl.col("time").fill_null(np.inf)), event=pl.col("time").is_not_null())  # fmt: skip
    rows = event_intervals(persons, events).filter(event_number=1)
    a, b = fit_repeat(rows, "age"), fit_cox(whole, "age", errors="robust")
    np.testing.assert_allclose(a.coefficients, b.coefficients, rtol=1e-8)
    np.testing.assert_allclose(a.covariance("robust"), b.covariance("robust"), rtol=1e-6)


# -- the value ----------------------------------------------------------------------------------------


def test_the_value_adds_up_and_its_parts_are_the_models():
    persons, events = claims(400)
    found = repeat_value(persons, events, "chronic", died="died", service_cost=100, cost_rate=10)
    row = found.table.row(-1, named=True)
    ratio = found.facts["ratio"]
    assert row["avoided"] == pytest.approx((1 - ratio) * row["repeat_claims"])
    assert row["saving"] == pytest.approx(row["avoided"] * row["mean_cost"])
    assert row["net_value"] == pytest.approx(row["saving"] - row["service_cost"])
    assert row["service_cost"] == pytest.approx(100 + 10 * row["time_in_service"])
    assert row["mean_cost"] == pytest.approx(events["amount"].mean())
    cheaper = repeat_value(persons, events, "chronic", died="died", service_cost=row["break_even"])
    assert cheaper.table["net_value"][-1] == pytest.approx(0, abs=1e-9)
    rate = repeat_value(persons, events, "chronic", died="died", cost_rate=row["break_even_rate"])
    assert rate.table["net_value"][-1] == pytest.approx(0, abs=1e-9)


def test_without_an_effect_modifier_and_with_nobody_joining_late_it_is_the_mean_cumulative_function():
    """Half join at once by lot: outside, the mean is that of those who do not, up to the model's pooling."""
    persons, events = claims(4000, seed=3, theta=1.0)
    found = repeat_value(persons, events, died="died", horizons=[12.0, 24.0])
    from pricing.survival.mean_cumulative import mean_cumulative

    curve = mean_cumulative(RecurrentEvents.collect(persons, events, died="died"))
    np.testing.assert_allclose(
        found.table["repeat_claims"], curve.at(12.0, 24.0)["mean_events"], rtol=0.12
    )


@pytest.mark.parametrize("joins_at", [0.0, 2.0])
def test_the_errors_are_the_derivatives_by_each_persons_weight(joins_at):
    persons, events = claims(25, seed=11)
    many = 40

    def copies(extra):
        frames = []
        for frame in (persons, events):
            parts = [frame.with_columns(person=pl.col("person") + 1000 * k) for k in range(many)]
            if extra is not None:
                parts.append(
                    frame.filter(person=extra).with_columns(person=pl.lit(999_999, pl.Int64))
                )
            frames.append(pl.concat(parts))
        found = repeat_value(
            *frames, "chronic", died="died", horizons=[12.0], cost_rate=20, joins_at=joins_at
        )
        return found.table.row(0, named=True)

    start = copies(None)
    moved = [copies(p) for p in persons["person"]]
    found = repeat_value(
        persons, events, "chronic", died="died", horizons=[12.0], cost_rate=20, joins_at=joins_at
    )
    row = found.table.row(0, named=True)
    for name in ("avoided", "saving", "net_value"):
        assert row[name] == pytest.approx(start[name], rel=1e-8)
        part = np.array([many * (m[name] - start[name]) for m in moved])
        reach = 1.959964 * np.sqrt((part**2).sum())
        assert row[f"{name}_upper"] - row[name] == pytest.approx(reach, rel=0.05), name


def test_known_truth_is_found_and_immortal_time_is_not():
    persons, events = claims(4000, seed=7, theta=0.75, rate=0.1)
    found = immortal_time(persons, events, "chronic", truth=0.75)
    told = {row["method"]: row for row in found.table.to_dicts()}
    right = told["time_varying"]
    assert right["lower"] < 0.75 < right["upper"]
    assert right["misplaced_time"] == 0
    assert told["joined_before_next"]["upper"] < 0.75  # far too good
    assert told["joined_before_next"]["misplaced_share"] > 0.1
    assert found.facts["error"] < -0.1
    assert persons["joined"].is_not_null().sum() == right["members"]


@pytest.mark.slow
def test_robust_intervals_cover_with_frailty_and_the_models_do_not():
    inside = model = value = 0
    true_value = None
    rows = []
    for seed in range(200):
        persons, events = claims(500, seed=seed, theta=0.7, shape=0.5, rate=0.12)
        fit = fit_repeat(event_intervals(persons, events, switches={"in_service": "joined"}),
                         "chronic", base={"chronic": "no"}, ties="breslow")  # fmt: skip
        ratio = fit.hazard_ratios("chronic").filter(level="yes").row(0, named=True)
        inside += ratio["lower"] < 1.6 < ratio["upper"]
        reach = 1.96 * ratio["std_error_model"]
        model += abs(ratio["coefficient"] - np.log(1.6)) < reach
        rows.append(repeat_value(persons, events, "chronic", died="died", horizons=[12.0]).table)
    months = (1 - np.exp(-0.02 * 12)) / 0.02
    true_value = 0.3 * 0.12 * (0.6 + 0.4 * 1.6) * months * 3000
    for table in rows:
        value += table["saving_lower"][0] < true_value < table["saving_upper"][0]
    assert 0.90 < inside / 200 < 0.985
    assert model / 200 < 0.85
    assert 0.89 < value / 200 < 0.99


# -- bad input ----------------------------------------------------------------------------------------


def test_what_cannot_be_modelled_is_said():
    persons, events = claims(40)
    with pytest.raises(InputError, match="1 times have more than one event"):
        event_intervals(persons, pl.concat([events, events.head(1)]))
    one = event_intervals(persons, pl.concat([events, events.head(1)]), tied="one")
    assert one["event"].sum() == events.height
    with pytest.raises(InputError, match="persons appear twice"):
        event_intervals(pl.concat([persons, persons.head(1)]), events)
    with pytest.raises(InputError, match="names of ours: event"):
        event_intervals(persons.with_columns(event=1), events)
    with pytest.raises(InputError, match="'jonied'; did you mean 'joined'"):
        event_intervals(persons, events, switches={"in_service": "jonied"})
    with pytest.raises(InputError, match="not a number: chronic"):
        event_intervals(persons, events, switches={"in_service": "chronic"})
    for wrong in (float("nan"), -1.0, float("inf")):
        with pytest.raises(InputError, match="in_service: 40 persons"):
            event_intervals(
                persons.with_columns(joined=pl.lit(wrong)),
                events,
                switches={"in_service": "joined"},
            )
    rows = event_intervals(persons, events, switches={"in_service": "joined"})
    with pytest.raises(InputError, match="did you mean 'prentice_gap'"):
        fit_repeat(rows, "age", model="prentice_gpa")
    for wrong in (0, 1.5, True):
        with pytest.raises(InputError, match="1 or more"):
            fit_repeat(rows, "age", most=wrong)
    with pytest.raises(InputError, match="no survival"):
        fit_repeat(rows, "age").predict(rows, [1.0])
    with pytest.raises(InputError, match="are missing"):
        fit_repeat(rows.drop("since_exit"), "age")


def test_what_has_no_value_is_said():
    persons, events = claims(60)
    for given, said in (
        ({"horizons": []}, "horizons lie above 0"),
        ({"horizons": [0.0]}, "horizons lie above 0"),
        ({"horizons": [float("nan")]}, "horizons lie above 0"),
        ({"horizons": [12.0], "joins_at": 12.0}, "horizons lie above 12"),
        ({"horizons": [99.0]}, "nobody is followed to 99"),
        ({"service_cost": -1.0}, "service_cost is 0 or more"),
        ({"cost_rate": float("nan")}, "cost_rate is 0 or more"),
        ({"joined": "nothing"}, "are missing"),
        ({"amount": "nothing"}, "are missing"),
    ):
        with pytest.raises(InputError, match=said):
            repeat_value(persons, events, **given)
    with pytest.raises(InputError, match="amounts are null, not finite or negative"):
        repeat_value(persons, events.with_columns(amount=pl.lit(float("nan"))))
    nobody = persons.with_columns(joined=pl.lit(None, pl.Float64))
    for verb in (repeat_value, immortal_time):
        with pytest.raises(InputError, match="no time in the service"):
            verb(nobody, events)
        with pytest.raises(InputError, match="or none outside"):
            verb(persons.with_columns(joined=pl.lit(0.0)), events)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_figures_and_findings_speak_and_results_keep(lang, tmp_path):
    persons, events = claims(300)
    rows = event_intervals(persons, events, switches={"in_service": "joined"})
    found = [
        fit_repeat(rows, "in_service + age", unit="month"),
        fit_repeat(rows, "in_service", model="prentice_gap"),
        immortal_time(persons, events, truth=0.7),
        repeat_value(persons, events, died="died", service_cost=300),
    ]
    for one in found:
        assert one.finding(lang)
        assert one.figure(lang).data
        one.save(tmp_path / one.kind)
        back = Result.load(tmp_path / one.kind)
        assert back.finding(lang) == one.finding(lang)
        assert one.basis.fingerprint


# -- the study ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    from pricing.data.tables import bundled
    from pricing.plans.plan_study import PlanStudy

    folder = tmp_path_factory.mktemp("taiankang")
    text = bundled("studies/taiankang.toml").read_text(encoding="utf-8")
    path = folder / "study.toml"
    path.write_text(text.replace("members = 6_000", "members = 2_500"), encoding="utf-8")
    return PlanStudy(path, work=folder / "work")


def test_the_study_finds_the_truth_and_shows_what_immortal_time_would_say(study):
    assert all(checked.rejected.is_empty() for checked in study.checked.values())
    found = study.run()
    value, immortal = found["repeat_value"], found["immortal_time"]
    assert value.facts["ratio_lower"] < 0.80 < value.facts["ratio_upper"]
    told = dict(immortal.table.select("method", "rate_ratio").rows())
    assert told["joined_before_next"] < 0.7 < told["time_varying"]
    assert {"repeat_model", "repeat_model:prentice_total", "repeat_model:prentice_gap"} <= set(
        found
    )
    for one in found.values():
        assert one.finding("en")
        assert one.finding("zh")
        assert one.kind == "data_check" or one.figure("zh").data


def test_scenarios_change_the_value_as_they_must(study):
    from pricing.plans.plan_file import changed

    plain = study.headline()
    late = study.headline({"after_claim.joins_at": 3.0})
    assert late["avoided"] < plain["avoided"]
    assert late["rate_ratio"] == pytest.approx(plain["rate_ratio"])
    free = study.headline({"after_claim.service_cost": 0.0, "after_claim.cost_per_month": 0.0})
    assert free["net_value"] == pytest.approx(free["saving"])
    with pytest.raises(InputError, match="horizons must lie after joins_at"):
        changed(study.settings, {"after_claim.joins_at": 12.0})
    with pytest.raises(InputError, match="no claim has the benefit 'inpatien'"):
        study.headline({"after_claim.benefits": ["inpatien"]})
    import datetime as dt

    with pytest.raises(InputError, match="no claimant is followed"):
        study.headline({"after_claim.until": dt.date(2020, 1, 1)})


@pytest.mark.parametrize("joins_at", [3.0, 8.0])
def test_who_joins_late_is_still_covered_then(joins_at):
    """Cover lost before joining is none of a joiner's: share covered and rates counted from joining on."""
    persons, events = claims(400, 21)
    found = repeat_value(
        persons, events, died="died", horizons=[20.0], joins_at=joins_at, service_cost=50.0
    )
    fit = fit_repeat(
        event_intervals(persons, events, switches={"in_service": "joined"}, tied="one"),
        "in_service", base={"in_service": "no"}, ties="breslow", unit="month",
    )  # fmt: skip
    theta = fit.hazard_ratios("in_service").filter(level="yes")["hazard_ratio"].item()
    rows = event_intervals(persons, events, switches={"in_service": "joined"}, tied="one")
    start, stop = rows["entry"].to_numpy(), rows["exit"].to_numpy()
    weight = np.where((rows["in_service"] == "yes").to_numpy(), theta, 1.0)
    last, died = persons["exit"].to_numpy(), persons["died"].to_numpy()
    covered, at, claimed, inside = 1.0, joins_at, 0.0, 0.0
    marks = [(t, 0) for t in events["time"].to_list()] + [(t, 1) for t in last[died].tolist()]
    for t, leaves in sorted(m for m in marks if joins_at < m[0] <= 20.0):
        inside, at = inside + covered * (t - at), t
        if leaves:
            covered *= 1 - 1 / (last >= t).sum()
        else:
            claimed += covered / weight[(start < t) & (t <= stop)].sum()
    inside += covered * (20.0 - at)
    row = found.table.row(0, named=True)
    assert row["repeat_claims"] == pytest.approx(claimed, rel=1e-9)
    assert row["time_in_service"] == pytest.approx(inside, rel=1e-9)
    assert row["net_value"] == pytest.approx(
        (1 - theta) * claimed * events["amount"].mean() - 50.0, rel=1e-9
    )


def test_claims_of_one_day_that_the_models_count_once_are_told():
    from datetime import date

    from pricing.plans.after_claim import AfterClaimSection, Prepared, claimants

    policies = pl.DataFrame({
        "policy_id": ["A"], "birth_date": [date(1960, 1, 1)], "start": [date(2022, 1, 1)],
        "end": [date(2025, 1, 1)], "exit_cause": ["lapse"],
    })  # fmt: skip
    told = pl.DataFrame({
        "claim_id": ["2", "3", "4"], "policy_id": ["A"] * 3, "amount": [9.0] * 3,
        "benefit": ["inpatient"] * 3, "incurred": [date(2024, 1, 1)] * 2 + [date(2024, 2, 1)],
    })  # fmt: skip
    register = pl.DataFrame({"claim_id": ["1"], "policy_id": ["A"], "closed": [date(2023, 1, 1)],
                             "joined": [date(2023, 3, 1)], "chronic": [True]})  # fmt: skip
    section = AfterClaimSection(until=date(2026, 1, 1))
    _, events, notes = claimants(section, Prepared(policies, told, register))
    assert events.height == 3
    assert any(note.startswith("1 repeat claims on the day of another") for note in notes)
    assert not any("day of another" in n for n in claimants(section, Prepared(policies, told.tail(2), register))[2])  # fmt: skip
