"""Months under watch: bands that cover, alarms that stay rare however often one looks."""

from __future__ import annotations

import math
from datetime import date, datetime

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from scipy import stats

from pricing.errors import InputError
from pricing.loss_ratio.control_limits import EFFECTS, EarlyWarning, evidence, watch
from pricing.loss_ratio.monitor import LossRatioMonitor, monitor_loss_ratio
from pricing.result.shape import Result
from pricing.result.words import LANGUAGES, catalogue

NAN, INF = float("nan"), float("inf")
PATTERN = np.array([0.35, 0.30, 0.15, 0.10, 0.06, 0.04])
LINE = math.log(2 / 0.05)


def calendar(n, start=date(2021, 1, 1)):
    place = [start.month - 1 + i for i in range(n)]
    return pl.Series("month", [date(start.year + p // 12, p % 12 + 1, 1) for p in place])


def book(n=24, seed=1, expected=True):
    """Months of mean 500 and dispersion 2, the last five open."""
    random = np.random.default_rng(seed)
    c = np.ones(n)
    c[-5:] = PATTERN.cumsum()[:5][::-1]
    frame = pl.DataFrame(
        {
            "month": calendar(n),
            "exposure": np.full(n, 1000.0),
            "earned_premium": np.linspace(700.0, 800.0, n),
            "paid": random.gamma(500.0 * c / 2, 2.0),
            "completion": c,
            "completion_error": 0.05 * (1 - c),
            "expected": np.full(n, 500.0),
        }
    )
    return frame if expected else frame.drop("expected")


# -- the monitor ------------------------------------------------------------------------------------


def test_ultimates_are_benktanders_and_chain_ladders():
    frame = book()
    found = monitor_loss_ratio(frame).table
    p, c, e = (frame[n].to_numpy() for n in ("paid", "completion", "expected"))
    ferguson = p + (1 - c) * e
    assert found["ultimate"].to_numpy() == pytest.approx(
        c * (p / c) + (1 - c) * ferguson, rel=1e-14
    )
    plain = monitor_loss_ratio(book(expected=False)).table
    assert plain["ultimate"].to_numpy() == pytest.approx(p / c, rel=1e-14)
    assert "expected" not in plain.columns
    assert found["loss_ratio"].to_numpy() == pytest.approx(
        found["ultimate"].to_numpy() / frame["earned_premium"].to_numpy(), rel=1e-14
    )
    total = found["ultimate"].cum_sum() / found["expected"].cum_sum()
    assert found["cumulative_actual_to_expected"].to_list() == pytest.approx(total.to_list())


def test_a_month_that_is_complete_is_known_and_none_falls_below_what_is_paid():
    found = monitor_loss_ratio(book()).table
    done = found.filter(pl.col("completion") == 1)
    for name in ("lower_80", "upper_80", "lower_95", "upper_95"):
        assert done[name].to_list() == pytest.approx(done["loss_ratio"].to_list(), rel=1e-14)
    open_months = found.filter(pl.col("completion") < 1)
    bounds = ["lower_95", "lower_80", "loss_ratio", "upper_80", "upper_95"]
    for row in open_months.select("paid", "earned_premium", *bounds).iter_rows():
        assert row[0] / row[1] < row[2] < row[3] < row[4] < row[5] < row[6]
    assert open_months["mature"].sum() + done.height == found["mature"].sum()


def test_the_estimated_dispersion_is_pearsons_of_a_poisson_fit():
    frame = book().head(19)
    fit = sm.GLM(
        frame["paid"].to_numpy(),
        np.ones(19),
        family=sm.families.Poisson(),
        offset=np.log(frame["expected"].to_numpy()),
    ).fit()
    ours = monitor_loss_ratio(frame).facts["dispersion"]
    assert ours == pytest.approx(fit.pearson_chi2 / fit.df_resid, rel=1e-9)


def test_order_units_and_extra_columns_change_nothing():
    frame = book()
    found = monitor_loss_ratio(frame)
    ratios = [n for n in found.table.columns if "lower" in n or "upper" in n or "ratio" in n]
    shuffled = monitor_loss_ratio(frame.sample(fraction=1.0, shuffle=True, seed=3))
    assert shuffled.table.equals(found.table)
    assert shuffled.facts == found.facts
    cents = monitor_loss_ratio(
        frame.with_columns(
            [pl.col(n) * 100 for n in ("paid", "earned_premium", "expected")], note=pl.lit("x")
        )
    )
    for name in ratios:
        assert cents.table[name].to_list() == pytest.approx(found.table[name].to_list(), rel=1e-9)
    assert cents.facts["dispersion"] == pytest.approx(100 * found.facts["dispersion"], rel=1e-9)


@pytest.mark.parametrize("expected", [True, False])
def test_bands_cover_the_ultimates_as_often_as_they_say(expected):
    """Compound Poisson months run off; the completion in hand is off by its own error."""
    random = np.random.default_rng(20250101)
    months, hits, total_hits, histories = 6, {80: 0, 95: 0}, {80: 0, 95: 0}, 300
    c = PATTERN.cumsum()
    c = np.append(c[:5], 1.0)[::-1]
    mean, phi = 2000.0, 20.0
    errors = 0.03 * (1 - c)
    for _ in range(histories):
        paid = random.gamma(mean * c / phi, phi)
        rest = np.where(c < 1, random.gamma(np.maximum(mean * (1 - c), 1e-9) / phi, phi), 0.0)
        shift = random.normal()  # one pattern, so one error for all months
        frame = pl.DataFrame(
            {
                "month": calendar(months),
                "earned_premium": np.full(months, 2500.0),
                "paid": paid,
                "completion": np.clip(c + shift * errors, 0.05, 1.0),
                "completion_error": errors,
                "expected": np.full(months, mean),
            }
        )
        frame = frame if expected else frame.drop("expected")
        found = monitor_loss_ratio(frame, dispersion=phi)
        truth = (paid + rest) / 2500.0
        whole = truth.mean()
        for level in (80, 95):
            lower, upper = (found.table[f"{e}_{level}"].to_numpy() for e in ("lower", "upper"))
            hits[level] += int(((lower <= truth) & (truth <= upper))[1:].sum())
            row = found.frames["total"].row(0, named=True)
            total_hits[level] += row[f"lower_{level}"] <= whole <= row[f"upper_{level}"]
    shares = {level: hits[level] / (5 * histories) for level in hits}
    assert 0.76 < shares[80] < 0.85, shares
    assert 0.92 < shares[95] < 0.98, shares
    assert 0.75 < total_hits[80] / histories < 0.86, total_hits
    assert 0.92 < total_hits[95] / histories < 0.985, total_hits


def test_without_completion_every_month_is_taken_as_complete():
    frame = book().select("month", "earned_premium", "paid")
    found = monitor_loss_ratio(frame)
    assert found.table["mature"].all()
    assert found.facts["open"] == 0
    assert found.facts["lower"] == found.facts["upper"] == pytest.approx(found.facts["loss_ratio"])
    one = monitor_loss_ratio(frame.head(1))
    assert one.facts["months"] == 1
    nothing = monitor_loss_ratio(frame.head(2).with_columns(paid=0.0))
    assert nothing.facts["loss_ratio"] == 0.0


def test_a_month_with_nothing_paid_rests_on_what_was_expected():
    frame = book().with_columns(
        paid=pl.when(pl.col("completion") < 0.4).then(0.0).otherwise(pl.col("paid"))
    )
    last = monitor_loss_ratio(frame).table.row(-1, named=True)
    assert last["ultimate"] == pytest.approx((1 - 0.35) ** 2 * 500)
    assert last["upper_95"] > last["loss_ratio"] > last["lower_95"] > 0
    with pytest.raises(InputError, match="1 open months have nothing paid and no expected claims"):
        monitor_loss_ratio(frame.drop("expected"))


def broken(**given):
    return book(6).with_columns(**{n: pl.Series(v) for n, v in given.items()})


@pytest.mark.parametrize(
    ("frame", "given", "said"),
    [
        (book().drop("paid"), {}, "missing"),
        (book().clear(), {}, "there are none"),
        (broken(earned_premium=[0.0, NAN, INF, None, 1.0, 1.0]), {}, "4 of 6 months have 'earned_premium' not above zero, the first 2021-01-01"),
        (broken(paid=[-1.0, 1.0, 1.0, 1.0, 1.0, 1.0]), {}, "'paid' not zero or more"),
        (broken(completion=[0.0, 1.1, NAN, 0.5, 0.5, 0.5]), {}, "3 of 6 months have 'completion'"),
        (broken(completion_error=[-0.1] * 6), {}, "6 of 6 months have 'completion_error'"),
        (broken(expected=[0.0] * 6), {}, "'expected' not above zero"),
        (broken(paid=["a"] * 6), {}, "not a number: paid"),
        (book(6).with_columns(pl.col("month").cast(pl.String)), {}, "not a date"),
        (book(6).with_columns(pl.col("month").cast(pl.Datetime)), {}, "not a date"),
        (book(6).with_columns(pl.col("month") + pl.duration(days=1)), {}, "first day"),
        (book(6).filter(pl.col("month") != date(2021, 3, 1)), {}, "leave a gap"),
        (pl.concat([book(6), book(6)]), {}, "6 months stand twice"),
        (book(6).with_columns(month=pl.lit(None, pl.Date)), {}, "6 months are empty"),
        (book(6), {"dispersion": -1.0}, "dispersion is an amount"),
        (book(6), {"dispersion": NAN}, "dispersion is an amount"),
        (book(6).tail(3), {}, "dispersion cannot be estimated|there"),
    ],
)  # fmt: skip
def test_months_that_cannot_be_followed_are_refused(frame, given, said):
    if said.startswith("dispersion cannot"):
        frame = frame.with_columns(completion=0.3)
    with pytest.raises(InputError, match=said):
        monitor_loss_ratio(frame, **given)


# -- e-values ---------------------------------------------------------------------------------------


def by_hand(s, m, side, phi, top, horizon):
    """The mixture as its formula reads, one term after another."""
    weight = [0.5] + [0.5 / (horizon - 1)] * (horizon - 1)
    found = []
    for t in range(len(s)):
        value = sum(weight[t + 1 :])
        for begin in range(t + 1):
            for d in EFFECTS[side]:
                if side == "up" or phi == top:
                    rate = math.log(1 + (d if side == "up" else -d) * top / phi) / top
                    cost = phi * (math.exp(rate * top) - 1 - rate * top) / top**2
                else:
                    rate, cost = -d / phi, d**2 / phi / 2
                step = sum(rate * (s[i] - m[i]) - cost * m[i] for i in range(begin, t + 1))
                value += weight[begin] * math.exp(step) / len(EFFECTS[side])
        found.append(math.log(value))
    return found


@pytest.mark.parametrize("side", ["up", "down"])
@pytest.mark.parametrize(("phi", "top"), [(1.0, 1.0), (2.0, 5.0), (3.0, 3.0)])
def test_the_evidence_is_its_formula(side, phi, top):
    random = np.random.default_rng(4)
    m = random.uniform(20, 60, 9)
    s = random.gamma(m / phi, phi) * 1.1
    ours = evidence(s, m, side=side, dispersion=phi, largest=top, horizon=12)
    assert ours == pytest.approx(by_hand(s, m, side, phi, top, 12), rel=1e-9, abs=1e-9)
    many = evidence(np.stack([s, m]), m, side=side, dispersion=phi, largest=top, horizon=12)
    assert many[0] == pytest.approx(ours)


@pytest.mark.parametrize("side", ["up", "down"])
def test_the_evidence_of_counts_has_expectation_one_exactly(side):
    """Sum over every pair of counts of two months: a martingale, not only a bound."""
    n = np.arange(0, 80, dtype=float)
    first, second = np.meshgrid(n, n, indexing="ij")
    s = np.stack([first.ravel(), second.ravel()], axis=1)
    m = np.array([6.0, 9.0])
    p = np.outer(stats.poisson.pmf(n, m[0]), stats.poisson.pmf(n, m[1])).ravel()
    e = np.exp(evidence(s, m, side=side, horizon=5))
    assert p @ e[:, 1] == pytest.approx(1.0, abs=1e-10)
    assert p @ e[:, 0] == pytest.approx(1.0, abs=1e-10)


@pytest.mark.parametrize("side", ["up", "down"])
@pytest.mark.parametrize("level", [0.8, 1.0, 1.25])
def test_the_evidence_of_amounts_never_expects_more_than_one_under_the_null(side, level):
    """Compound Poisson on the lattice 1..6, its law by Panjer's recursion."""
    severity = np.array([0, 0.5, 0.2, 0.1, 0.1, 0.05, 0.05])
    x = np.arange(7)
    ex = float(x @ severity)
    phi = float(x**2 @ severity) / ex
    claims, size = 8.0 * level, 400
    law = np.zeros(size)
    law[0] = math.exp(-claims)
    for k in range(1, size):
        j = np.arange(1, min(k, 6) + 1)
        law[k] = claims / k * np.sum(j * severity[j] * law[k - j])
    assert law.sum() == pytest.approx(1.0, abs=1e-12)
    s = np.arange(size, dtype=float)[:, None]
    e = np.exp(evidence(s, np.array([8.0 * ex]), side=side, dispersion=phi, largest=6.0, horizon=1))
    mean = float(law @ e[:, 0])
    within = level <= 1 if side == "up" else level >= 1
    assert (mean <= 1 + 1e-12) is within
    if not within:
        assert mean > 1.1  # it can tell


def ever(s, m, **given):
    up, down = (evidence(s, m, side=side, **given) for side in ("up", "down"))
    return (np.maximum(up, down) >= LINE).any(axis=-1)


@pytest.mark.parametrize("mean", [3.0, 60.0, 1500.0])
def test_false_alarms_over_sixty_looks_hold_their_rate(mean):
    random = np.random.default_rng(7)
    m = mean * random.uniform(0.5, 1.5, 60)
    s = random.poisson(m, (1500, 60)).astype(float)
    assert ever(s, m).mean() <= 0.05
    naive = (np.abs(s - m) > 1.96 * np.sqrt(m)).any(axis=1).mean()
    cumulative = np.abs(np.cumsum(s - m, axis=1)) > 1.96 * np.sqrt(np.cumsum(m))
    assert naive > 0.85  # the 95 % band, looked at monthly
    assert cumulative.any(axis=1).mean() > 0.25


def test_false_alarms_of_capped_amounts_hold_their_rate():
    random = np.random.default_rng(8)
    top = 40.0
    amounts = np.minimum(random.lognormal(1.0, 1.4, 400_000), top)
    ex, phi = amounts.mean(), (amounts**2).mean() / amounts.mean()
    histories, claims = 800, 40.0

    def drawn(level):
        counts = random.poisson(claims * level, (histories, 60))
        x = np.append(random.choice(amounts, counts.sum()), 0.0)
        ends = counts.ravel().cumsum()
        sums = np.concatenate([[0.0], x.cumsum()])[np.concatenate([[0], ends])]
        return np.diff(sums).reshape(histories, 60)

    m = np.full(60, claims * ex)
    given = {"dispersion": phi, "largest": top}
    assert ever(drawn(1.0), m, **given).mean() <= 0.05
    assert ever(drawn(1.2), m, **given).mean() > 0.9
    assert ever(drawn(0.8), m, **given).mean() > 0.9


def test_false_alarms_hold_when_open_months_are_refilled_at_every_look():
    """Sixty monthly snapshots of a running-off book; the newest row of each, and every row of all."""
    random = np.random.default_rng(9)
    histories, horizon, mean = 300, 60, 80.0
    share = PATTERN.cumsum()
    payments = random.poisson(mean * PATTERN, (histories, horizon, 6)).cumsum(axis=2)
    newest, any_row = np.zeros(histories, bool), np.zeros(histories, bool)
    for look in range(1, horizon + 1):
        lag = np.minimum(look - 1 - np.arange(look), 5)
        s = payments[:, np.arange(look), lag].astype(float)
        for side in ("up", "down"):
            found = evidence(s, mean * share[lag], side=side) >= LINE
            newest |= found[:, -1]
            any_row |= found.any(axis=1)
    assert newest.mean() <= 0.05
    assert any_row.mean() <= 0.05


def test_a_level_within_the_tolerance_is_no_alarm():
    months = pl.DataFrame({"month": calendar(60), "expected": [4000.0] * 60})
    drawn = np.random.default_rng(10).poisson(4000 * 1.04, 60).astype(float)
    book_ = months.with_columns(actual=drawn)
    assert watch(book_, simulations=200).facts["alarm"] == "up"
    assert watch(book_, simulations=200, tolerance=0.05).facts["alarm"] == "none"
    random = np.random.default_rng(11)
    s = random.poisson(400 * 1.05, (2000, 60)).astype(float)
    assert ever(s, np.full(60, 400 * 1.05)).mean() <= 0.05


# -- the watch --------------------------------------------------------------------------------------


def watched(level=1.0, since=0, n=36, mean=400.0, seed=12):
    m = np.full(n, mean)
    m[since:] *= level
    drawn = np.random.default_rng(seed).poisson(m).astype(float)
    return pl.DataFrame({"month": calendar(n), "actual": drawn, "expected": [mean] * n})


@pytest.mark.parametrize(("level", "said"), [(1.0, "none"), (1.2, "up"), (0.8, "down")])
def test_a_change_is_found_after_it_happened_and_named(level, said):
    found = watch(watched(level, since=18), simulations=400)
    assert found.facts["alarm"] == said
    if said != "none":
        month = date.fromisoformat(found.facts["alarm_month"] + "-01")
        assert date(2022, 7, 1) <= month <= date(2023, 3, 1)
        assert found.table.filter(alarm=said)["month"][0] == month


def test_limits_and_power_are_what_they_say():
    found = watch(watched(mean=60.0), simulations=2000)
    power = found.frames["power"]
    rows = {(r["method"], r["deterioration"]): r for r in power.iter_rows(named=True)}
    assert rows["evidence", 0.0]["alarmed"] <= 0.05
    for chart in ("cusum", "ewma"):  # calibrated on other histories than they are judged on
        assert 0.03 < rows[chart, 0.0]["alarmed"] < 0.075, rows[chart, 0.0]
    assert rows["naive_month", 0.0]["alarmed"] > 0.9
    assert 0.25 < rows["naive_cumulative", 0.0]["alarmed"] < 0.45
    for method in ("evidence", "cusum", "ewma"):
        ten, twenty = rows[method, 0.1], rows[method, 0.2]
        assert ten["alarmed"] > 0.9
        assert twenty["median_months"] < ten["median_months"]
    assert rows["evidence", 0.2]["median_months"] <= 8
    assert found.facts["median_months"] == rows["evidence", 0.1]["median_months"]
    # the median delay, drawn anew
    s = np.random.default_rng(99).poisson(66.0, (2000, 60)).astype(float)
    alarm = evidence(s, np.full(60, 60.0)) >= LINE
    delay = np.median(np.where(alarm.any(axis=1), alarm.argmax(axis=1) + 1.0, np.inf))
    assert delay == pytest.approx(rows["evidence", 0.1]["median_months"], abs=2)


def test_charts_are_their_recursions():
    found = watch(watched(1.05), simulations=400)
    s, m = found.table["actual"].to_numpy(), found.table["expected"].to_numpy()
    z = (s - m) / np.sqrt(m)
    k = 0.1 * math.sqrt(400.0) / 2
    up = down = average = 0.0
    for i, one in enumerate(z):
        up, down = max(0.0, up + one - k), max(0.0, down - one - k)
        average = 0.2 * one + 0.8 * average
        row = found.table.row(i, named=True)
        assert (row["cusum_up"], row["cusum_down"], row["ewma"]) == pytest.approx(
            (up, down, average), abs=1e-9
        )
        assert row["naive"] is bool(abs(one) > 1.959963984540054)


def test_an_open_month_enters_with_what_should_be_known_of_it():
    frame = watched().with_columns(completion=pl.lit(1.0))
    c = np.ones(36)
    c[-3:] = (0.9, 0.6, 0.3)
    open_book = frame.with_columns(
        actual=pl.col("actual") * pl.Series("c", c), completion=pl.Series("c", c)
    )
    found = watch(open_book, simulations=200)
    assert found.table["expected"].to_list() == pytest.approx((400 * c).tolist())
    assert found.facts["alarm"] == "none"
    assert watch(open_book.drop("completion"), simulations=200).facts["alarm"] == "down"


def test_order_units_and_the_seed():
    frame = watched(1.05)
    found = watch(frame, simulations=300)
    again = watch(frame.reverse(), simulations=300)
    assert again.table.equals(found.table)
    assert again.frames["power"].equals(found.frames["power"])
    money = frame.with_columns(pl.col("actual", "expected") * 7.0)
    scaled = watch(money, dispersion=7.0, largest=7.0, simulations=300)
    for name in ("evidence_up", "evidence_down", "cusum_up", "ewma", "cusum_limit"):
        assert scaled.table[name].to_list() == pytest.approx(found.table[name].to_list(), rel=1e-9)
    assert not watch(frame, simulations=300, seed=2).frames["power"].equals(found.frames["power"])


def test_the_wildest_months_stay_finite(tmp_path):
    wild = pl.DataFrame(
        {"month": calendar(24), "actual": [0.0] * 12 + [1e6] * 12, "expected": [400.0] * 24}
    )
    found = watch(wild, simulations=200)
    numbers = found.table.select(pl.selectors.float())
    assert numbers.select(pl.all().is_finite().all()).row(0) == (True,) * numbers.width
    assert found.facts["alarm"] == "down"
    found.save(tmp_path / "wild")
    one = watch(wild.head(1), simulations=200, horizon=2)
    assert one.facts["looks"] == 1


@pytest.mark.parametrize(
    ("frame", "given", "said"),
    [
        (watched().drop("expected"), {}, "missing"),
        (watched().clear(), {}, "there are none"),
        (
            watched().with_columns(expected=0.0),
            {},
            "36 of 36 months have 'expected' not above zero",
        ),
        (watched().with_columns(actual=NAN), {}, "'actual' not zero or more"),
        (watched().with_columns(actual=-1.0), {}, "'actual' not zero or more"),
        (watched().with_columns(completion=0.0), {}, "'completion' not above 0"),
        (watched().with_columns(completion=1.01), {}, "'completion' not above 0"),
        (watched().with_columns(actual=pl.lit("1")), {}, "not a number: actual"),
        (watched().with_columns(month=pl.lit(datetime(2021, 1, 1))), {}, "not a date"),
        (watched().filter(pl.col("month") != date(2021, 5, 1)), {}, "leave a gap"),
        (watched(), {"horizon": 35}, "36 months are more than the horizon of 35"),
        (watched(), {"horizon": 1}, "horizon is from 2"),
        (watched(), {"alpha": 0.0}, "alpha is above 0"),
        (watched(), {"alpha": NAN}, "alpha is above 0"),
        (watched(), {"dispersion": 2.0}, "amounts need `largest`"),
        (watched(), {"dispersion": 5.0, "largest": 4.0}, "more than claims of at most 4"),
        (watched(), {"dispersion": 0.0}, "dispersion is above zero"),
        (watched(), {"largest": NAN}, "largest is above zero"),
        (watched(), {"tolerance": 1.0}, "tolerance is zero or more"),
        (watched(), {"deteriorations": ()}, "deteriorations are fractions"),
        (watched(), {"deteriorations": (0.0,)}, "deteriorations are fractions"),
        (watched(), {"deteriorations": (-1.0,)}, "deteriorations are fractions"),
        (watched(), {"simulations": 10}, "simulations are 200 or more"),
    ],
)
def test_a_watch_that_cannot_be_kept_is_refused(frame, given, said):
    with pytest.raises(InputError, match=said):
        watch(frame, **given)


# -- the results ------------------------------------------------------------------------------------


def results():
    return [
        monitor_loss_ratio(book()),
        monitor_loss_ratio(book(expected=False)),
        watch(watched(1.2), simulations=200),
        watch(watched(), simulations=200),
    ]


def test_results_are_saved_loaded_drawn_and_said(tmp_path):
    for i, found in enumerate(results()):
        found.save(tmp_path / str(i))
        back = Result.load(tmp_path / str(i))
        assert isinstance(back, LossRatioMonitor | EarlyWarning)
        assert back.table.equals(found.table)
        for lang in LANGUAGES:
            said = found.finding(lang)
            assert said == back.finding(lang)
            assert not any(c in said for c in "{}_")
            assert back.figure(lang).to_json() == found.figure(lang).to_json()
    assert "against expected" not in results()[1].finding().lower()


def test_figures_draw_the_table():
    found = results()[0]
    figure = found.figure("en")
    named = {trace.name: trace for trace in figure.data}
    assert list(named["Loss ratio, month still open"].x) == (
        found.table.filter(~pl.col("mature"))["month"].to_list()
    )
    assert named["Loss ratio, month still open"].marker.symbol == "circle-open"
    assert list(named["Loss ratio"].y) == found.table.filter("mature")["loss_ratio"].to_list()
    bands = [t for t in figure.data if t.type == "scatter" and t.fill == "tonexty"]
    assert list(bands[0].y) == found.table["lower_95"].to_list()
    assert list(bands[1].y) == found.table["lower_80"].to_list()
    seen = results()[2]
    lines = {trace.name: trace for trace in seen.figure("zh").data}
    assert list(lines["赔付偏高的证据"].y) == seen.table["evidence_up"].to_list()


def test_every_column_and_method_has_a_label():
    known = catalogue()
    for found in results():
        for frame in (found.table, *found.frames.values()):
            assert [n for n in frame.columns if f"term.{n}" not in known] == []
    for frame, name in ((results()[2].frames["power"], "method"), (results()[2].table, "alarm")):
        assert [v for v in frame[name] if f"level.{v}" not in known] == []
