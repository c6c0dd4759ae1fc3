"""Claims over an interface and alarms of watches: every line accounted for, no leak, known truth found."""

import json
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from pricing.activity.alarms import alarm_rates, alarm_rows
from pricing.activity.pseudonym import Key
from pricing.claims.alarm_effect import alarm_effect
from pricing.data.alarm_book import WRONG, simulate_alarms
from pricing.data.check import check
from pricing.data.claim_messages import GOOD, claims_of_messages, read_messages
from pricing.errors import InputError
from pricing.experience.bands import band
from pricing.experience.person_years import person_years
from pricing.plans.plan_file import changed
from pricing.plans.plan_study import PlanStudy
from pricing.result.shape import Result


def message(**changes):
    claim = {"number": "C1", "policy": "AJ00000001", "incurred": "2024-03-01", "amount": 900.0,
             "benefit": "inpatient", "status": "paid"}  # fmt: skip
    outer = {k: changes.pop(k) for k in ("version", "sent") if k in changes}
    return json.dumps({"claim": claim | changes, **outer}, ensure_ascii=False)


def told(*bodies, **options):
    lines = [str(i) for i, _ in enumerate(bodies, start=1)]
    return claims_of_messages(
        pl.DataFrame({"message_line": lines, "body": bodies}, schema_overrides={"body": pl.String}),
        **options,
    )


def outcome(*bodies, **options):
    return (
        told(*bodies, **options)
        .lines["set_aside_reason"]
        .cast(pl.String)
        .str.replace("message_", "")
        .to_list()
    )


# -- messages -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('{"claim": {"number": "C1"', "malformed"),
        ("no json", "malformed"),
        ("[1, 2]", "malformed"),
        ("5", "malformed"),
        ('""', "malformed"),
        ("null", "malformed"),
        (message() + " trailing", "malformed"),
        (message() + "\ufffd", "malformed"),
        (message(benefit="x" * 30_000), "malformed"),
        ("{}", "claim_number"),
        ('{"claim": "C1"}', "claim_number"),
        (message(number=None), "claim_number"),
        (message(number="  "), "claim_number"),
        (message(number="C" * 65), "claim_number"),
        (message(number=12345678901234567890123), "claim_number"),
        (message(policy="PA00000001"), "policy_number"),
        (message(policy="aj00000001"), "policy_number"),
        (message(policy=None), "policy_number"),
        (message(status="perhaps"), "status"),
        (message(status=None), "status"),
        (message(incurred="2024-13-01"), "day"),
        (message(incurred="2023-02-29"), "day"),
        (message(incurred="yesterday"), "day"),
        (message(incurred=None), "day"),
        (message(paid="2024-02-01"), "day"),
        (message(paid="soon"), "day"),
        (message(reported="2024-02-28"), "day"),
        (message(amount=-1), "amount"),
        (message(amount=1e300), "amount"),
        (message(amount="1,000"), "amount"),
        (message(amount="NaN"), "amount"),
        (message(amount="inf"), "amount"),
        (message(amount=None), "amount"),
        (message(amount=[1]), "amount"),
        (message(amount=12345678901234567890123), "amount"),
        (message(benefit=None), "benefit"),
        (message(benefit=["x"]), "benefit"),
        (message(number={"a": 1}), "claim_number"),
        (message(), "kept"),
        (message(amount=0), "kept"),
        (message(amount="850.50"), "kept"),
        (message(incurred="2024/03/01"), "kept"),
        (message(incurred="20240301"), "kept"),
        (message(incurred="2024-03-01T08:00:00+08:00"), "kept"),
        (message(status="已结案", benefit="住院"), "kept"),
        (message(status="拒赔"), "cancelled"),
    ],
)  # fmt: skip
def test_every_line_comes_out_once_with_its_reason(body, why):
    whole = outcome(message(number="C0"), body)
    assert whole == ["kept", why]


def test_the_last_version_wins_and_its_history_is_kept():
    found = told(
        message(version=2, amount=850.0),
        message(version=1, amount=900.0, status="已报案"),
        message(number="C2", sent="2024-03-05 10:00:00", amount=10),
        message(number="C2", sent="2024-03-04 10:00:00", amount=11),
        message(number="C3", amount=20),
        message(number="C3", amount=21),
    )
    assert found.claims.select("claim_id", "amount").rows() == [
        ("C1", 850.0),
        ("C2", 10.0),
        ("C3", 21.0),
    ]
    assert found.history.select("versions", "first_amount", "last_amount").rows() == [
        (2, 900.0, 850.0), (2, 11.0, 10.0), (2, 20.0, 21.0)]  # fmt: skip
    assert found.reasons.rows() == [("message_kept", 3), ("message_earlier", 3)]
    assert check(found.claims, "claims").rejected.is_empty()


def test_what_contradicts_is_set_aside_whole_and_repeats_are_told():
    assert outcome(message(version=2), message(version=2, amount=1)) == ["order", "order"]
    assert outcome(message(version=1), message(version=1, amount=1), message(version=2, amount=3)) == [
        "earlier", "earlier", "kept"]  # fmt: skip
    assert outcome(message(), message(policy="AJ2")) == ["two_policies", "two_policies"]
    assert outcome(message(), message(), message(version=3)) == ["earlier", "repeated", "kept"]
    # a message that cannot be read leaves the claim as it stood
    found = told(message(version=1), message(version=2, amount=-5))
    assert found.claims["amount"].to_list() == [900.0]
    assert found.aside["claim_id"].to_list() == ["C1"]


def test_a_withdrawn_claim_is_none_but_may_come_back():
    assert told(message(version=1), message(version=2, status="withdrawn")).claims.is_empty()
    back = told(message(version=1), message(version=2, status="withdrawn"), message(version=3))
    assert back.claims.height == 1


def test_an_open_claim_has_no_day_of_payment():
    found = told(
        message(status="已报案", paid="2024-04-01"), message(number="C2", paid="2024-04-01")
    )
    assert found.claims["paid"].to_list() == [None, date(2024, 4, 1)]


def test_places_and_words_of_another_interface():
    body = json.dumps({"赔案": {"号": "1", "金额": 5}, "保单": "AJ9", "日": "2024-01-02", "态": "了结", "类": "门诊"},
                      ensure_ascii=False)  # fmt: skip
    paths = {"claim_id": "$.赔案.号", "amount": "$.赔案.金额", "policy_id": "$.保单", "incurred": "$.日",
             "status": "$.态", "benefit": "$.类"}  # fmt: skip
    found = told(body, paths=paths, statuses={"了结": "paid"})
    assert found.claims.select("claim_id", "policy_id", "amount", "benefit").row(0) == (
        "1",
        "AJ9",
        5.0,
        "门诊",
    )
    with pytest.raises(InputError, match="did you mean 'amount'"):
        told(body, paths={"amout": "$.x"})
    with pytest.raises(InputError, match="no place in a message"):
        told(body, paths={"amount": "claim.amount"})
    with pytest.raises(InputError, match="open, paid or withdrawn, not done"):
        told(body, statuses={"了结": "done"})


def test_order_of_lines_does_not_matter_where_versions_are_numbered():
    bodies = [message(number=f"C{i % 40}", version=i // 40, amount=float(i)) for i in range(120)]
    plain = told(*bodies).claims.sort("claim_id")
    mixed = [bodies[i] for i in np.random.default_rng(1).permutation(120)]
    assert told(*mixed).claims.sort("claim_id").equals(plain)


def test_files_with_marks_blanks_and_wrong_bytes(tmp_path):
    path = tmp_path / "claims.jsonl"
    path.write_bytes(
        b"\xef\xbb\xbf"
        + message().encode()
        + b"\r\n\r\n"
        + message(number="C2", benefit="门诊").encode("gb18030")
        + b"\n"
    )
    lines = read_messages(path)
    assert lines["message_line"].to_list() == ["1", "3"]
    found = claims_of_messages(lines)
    assert found.lines["set_aside_reason"].to_list() == ["message_kept", "message_malformed"]
    path.write_bytes(message(benefit="住院").encode("gb18030"))
    assert (
        claims_of_messages(read_messages(path, encoding="gb18030")).claims["benefit"].item()
        == "住院"
    )
    for data, said in ((b"", "empty"), (b" \n\n", "empty"), (b"\xff\xfe{\x00", "UTF-16")):
        path.write_bytes(data)
        with pytest.raises(InputError, match=said):
            read_messages(path)
    path.write_bytes(b"x" * 100)
    with pytest.raises(InputError, match="100 bytes, more than 99"):
        read_messages(path, most_bytes=99)
    with pytest.raises(InputError, match="no readable file"):
        read_messages(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="no encoding"):
        read_messages(path, encoding="latin")
    with pytest.raises(InputError, match="no messages"):
        claims_of_messages(
            pl.DataFrame(
                {"message_line": [], "body": []},
                schema={"message_line": pl.String, "body": pl.String},
            )
        )
    with pytest.raises(InputError, match="lack body"):
        claims_of_messages(pl.DataFrame({"message_line": ["1"]}))


def test_lines_read_together_are_those_read_one_by_one():
    """Bad lines, names twice and long numbers change nothing of the lines beside them."""
    bodies = [message(number=f"C{i}", amount=i / 4) for i in range(300)]
    odd = [
        '{"claim": {"number": "D1", "amount": 1, "amount": 7, "policy": "AJ1", "incurred": "2024-03-01", '
        '"benefit": "x", "status": "paid"}}',
        "{broken",
        message(number="D2", amount=[1]),
        message(number=["D3"]),
        message(number=5, amount=3),
    ]
    together = told(*bodies[:150], *odd, *bodies[150:])
    alone = pl.concat([told(b).claims for b in (*bodies[:150], *odd, *bodies[150:])])
    assert together.claims.sort("claim_id").equals(alone.sort("claim_id"))
    assert together.claims.filter(claim_id="D1")["amount"].item() == 7.0
    assert together.claims.filter(claim_id="5").height == 1
    assert together.aside.height == 3


# -- alarms -------------------------------------------------------------------------------------------


def watched(worn=((date(2023, 1, 1), None),)):
    return pl.DataFrame(
        {"policy_id": ["AJ1"] * len(worn), "worn_from": [a for a, _ in worn], "worn_until": [b for _, b in worn]},
        schema_overrides={"worn_until": pl.Date},
    )  # fmt: skip


def raised(*days, confirmed=True):
    return pl.DataFrame({"policy_id": ["AJ1"] * len(days), "raised": list(days), "confirmed": [confirmed] * len(days)},
                        schema={"policy_id": pl.String, "raised": pl.Date, "confirmed": pl.Boolean})  # fmt: skip


TERM = pl.DataFrame({"policy_id": ["AJ1"], "policy_year": [1], "start": [date(2024, 1, 1)]})


def test_only_alarms_before_the_term_count():
    edge = [
        date(2022, 12, 31),
        date(2023, 1, 1),
        date(2023, 12, 31),
        date(2024, 1, 1),
        date(2024, 6, 1),
    ]
    assert alarm_rates(TERM, raised(*edge), watched())["alarms"].item() == 2
    before = alarm_rates(TERM, raised(*edge[:3]), watched())
    assert alarm_rates(TERM, raised(*edge), watched()).equals(before)
    assert alarm_rates(TERM, raised(*edge), watched(), lookback=1, least=1e-3)["alarms"].item() == 1


def test_watched_time_is_counted_once_and_bands_have_their_limits():
    worn = watched(
        (
            (date(2023, 1, 1), date(2023, 7, 1)),
            (date(2023, 6, 1), date(2023, 7, 1)),
            (date(2023, 12, 1), None),
        )
    )
    found = alarm_rates(TERM, raised(date(2023, 2, 1), date(2023, 8, 1)), worn).row(0, named=True)
    assert found["watched_years"] == pytest.approx((181 + 31) / 365)
    assert found["alarms"] == 1  # the one in August came from no watch
    day = date(2023, 3, 1)
    for many, name in ((0, "no_alarm"), (1, "few_alarms"), (2, "many_alarms")):
        assert alarm_rates(TERM, raised(*[day] * many), watched())["alarm_band"].item() == name
    short = alarm_rates(TERM, raised(day), watched(((day, day + timedelta(days=91)),)))
    assert short.select("alarm_rate", "alarm_band").row(0) == (None, "no_watch")
    unsure = alarm_rates(TERM, raised(day, confirmed=False), watched(), confirmed=True)
    assert unsure["alarm_band"].item() == "no_alarm"


def test_an_export_speaks_chinese_and_keeps_no_name():
    export = pl.DataFrame(
        {
            "policy_id": ["AJ1", "AJ2"],
            "raised": ["2024/03/01 23:59:59", "bad"],
            "kind": ["一键呼救", "Fall"],
        }
    )
    rows = alarm_rows(export)
    assert rows["kind"].to_list() == ["sos", "fall"]
    assert rows["raised"].to_list() == [date(2024, 3, 1), None]
    assert check(rows, "alarms").accepted.height == 1
    key = Key(bytes(range(32)))
    hidden = alarm_rows(export, key=key)
    assert hidden["policy_id"].to_list() == [key.of("AJ1"), key.of("AJ2")]
    with pytest.raises(InputError, match="neither day, time nor text"):
        alarm_rows(export.with_columns(raised=pl.lit(5)))


def test_contracts_say_what_is_wrong():
    bad = pl.DataFrame({"alarm_id": ["1", "1", "2"], "policy_id": ["AJ1", "AJ1", None],
                        "raised": ["2024-01-01"] * 3, "kind": ["fall", "fall", "earthquake"]})  # fmt: skip
    rules = set(check(bad, "alarms").faults["rule"])
    assert {"primary_key", "policy_id|nullability", "kind|level"} <= rules
    worn = pl.DataFrame(
        {
            "watch_id": ["1"],
            "policy_id": ["AJ1"],
            "worn_from": ["2024-02-01"],
            "worn_until": ["2024-02-01"],
        }
    )
    assert check(worn, "watches").faults["rule"].to_list() == ["until_after_from"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lookback": 0}, "days before a term"),
        ({"lookback": True}, "days before a term"),
        ({"least": 0.0}, "limits out of their domain"),
        ({"least": 2.0}, "limits out of their domain"),
        ({"many": 0.0}, "limits out of their domain"),
        ({"many": float("nan")}, "limits out of their domain"),
    ],
)
def test_windows_out_of_their_domain_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        alarm_rates(TERM, raised(), watched(), **options)


def test_terms_that_repeat_and_columns_that_lack_are_refused():
    with pytest.raises(InputError, match="2 terms appear twice"):
        alarm_rates(pl.concat([TERM, TERM]), raised(), watched())
    with pytest.raises(InputError, match="'worn_until'"):
        alarm_rates(TERM, raised(), watched().drop("worn_until"))
    rows = pl.DataFrame({"alarm_band": ["no_watch"], "exposure": [1.0], "claims": [1], "alarms": [0],
                         "watched_years": [0.0], "alarm_rate": [None]}, schema_overrides={"alarm_rate": pl.Float64})  # fmt: skip
    with pytest.raises(InputError, match="nothing to be compared with"):
        alarm_effect(rows)


# -- known truth --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    folder = tmp_path_factory.mktemp("anjia")
    simulate_alarms(folder, members=8_000, seed=3)
    names = ("policies", "renewals", "claims", "claim_messages", "watches", "alarms", "truth")
    return folder, {n: pl.read_parquet(folder / n / "*.parquet") for n in names}


def test_the_book_keeps_its_contracts_and_its_messages_are_its_claims(book):
    folder, tables = book
    for name in ("policies", "renewals", "claims", "claim_messages", "watches", "alarms"):
        assert check(tables[name], name).rejected.is_empty(), name
    found = claims_of_messages(tables["claim_messages"])
    columns = ["claim_id", "policy_id", "incurred", "amount", "benefit"]
    assert found.claims.sort("claim_id").select(columns).equals(tables["claims"].select(columns))
    assert found.aside.height == len(WRONG) + 1
    assert read_messages(folder / "claims.jsonl").equals(tables["claim_messages"])


def test_relativities_are_those_of_the_expected_claims(book):
    _, tables = book
    rows = person_years(tables["policies"], tables["renewals"], tables["claims"]).rows
    rows = alarm_rates(rows.filter(pl.col("policy_year") > 0), tables["alarms"], tables["watches"])
    rows = rows.with_columns(age_band=band("age", [0, 70, 80])).join(
        tables["truth"], on=["policy_id", "policy_year"]
    )
    # the truth: mean frailty by band, for alarms say nothing of age and sex
    made = rows.group_by("alarm_band").agg(pl.col("frailty").mean())
    base = made.filter(alarm_band="no_alarm")["frailty"].item()
    truth = made.select("alarm_band", relativity=pl.col("frailty") / base)
    found = alarm_effect(rows, ["age_band", "sex"], cluster="policy_id", truth=truth)
    inside = found.table.filter(pl.col("truth").is_between("lower", "upper"))
    assert inside.height == found.table.height
    order = dict(found.table.select("level", "relativity").rows())
    assert order["no_alarm"] < order["few_alarms"] < order["many_alarms"]
    assert found.facts["each_lower"] > 1
    shuffled = alarm_effect(
        rows.sample(fraction=1.0, shuffle=True, seed=1), ["age_band", "sex"], cluster="policy_id"
    )
    np.testing.assert_allclose(shuffled.table["relativity"], found.table["relativity"], rtol=1e-9)
    alone = alarm_effect(rows, ["age_band", "sex"])
    wide = (found.table["upper"] - found.table["lower"]).sum()
    assert wide > (alone.table["upper"] - alone.table["lower"]).sum()


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say(tmp_path):
    inside = total = 0
    for seed in range(60):
        folder = tmp_path / str(seed)
        simulate_alarms(folder, members=1_500, seed=seed)
        t = {
            n: pl.read_parquet(folder / n / "*.parquet")
            for n in ("policies", "renewals", "claims", "watches", "alarms", "truth")
        }
        rows = person_years(t["policies"], t["renewals"], t["claims"]).rows.filter(
            pl.col("policy_year") > 0
        )
        rows = alarm_rates(rows, t["alarms"], t["watches"]).join(
            t["truth"], on=["policy_id", "policy_year"]
        )
        rows = rows.with_columns(age_band=band("age", [0, 70, 80]))
        rates = rows.group_by("alarm_band").agg(f=pl.col("frailty").mean())
        base = rates.filter(alarm_band="no_alarm")["f"].item()
        truth = rates.select("alarm_band", relativity=pl.col("f") / base)
        table = alarm_effect(
            rows, ["age_band", "sex"], cluster="policy_id", truth=truth
        ).table.filter(pl.col("level") != "no_alarm")
        inside += table.filter(pl.col("truth").is_between("lower", "upper")).height
        total += table.height
    assert inside / total > 0.92  # the truth is that of the book's own frailties


# -- the study ----------------------------------------------------------------------------------------


def test_the_study_of_the_link(tmp_path):
    from pricing.data.tables import bundled

    text = (
        bundled("studies/anjia_link.toml")
        .read_text(encoding="utf-8")
        .replace("members = 6_000", "members = 1_500")
    )
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    study = PlanStudy(tmp_path / "study.toml", work=tmp_path / "work")
    found = study.run()
    assert list(found)[:3] == ["data_check", "claim_link", "alarm_effect"]
    assert (
        found["claim_link"].table["messages"].sum()
        == study.checked["claim_messages"].accepted.height
    )
    assert set(GOOD) & set(found["claim_link"].table["set_aside_reason"])
    line = study.headline()
    assert line["many_alarms_ratio"] > 1.5
    other = study.headline({"claims_link.prefix": "AJ0000"})
    assert 0 < other["claims_linked"] <= line["claims_linked"]
    with pytest.raises(InputError, match="hold no claim"):
        study.headline({"claims_link.prefix": "XX"})
    with pytest.raises(InputError, match="least_watched must lie within"):
        changed(study.settings, {"claims_link.least_watched": 1.5})
    for name in ("claim_link", "alarm_effect"):
        for lang in ("en", "zh"):
            assert found[name].finding(lang)
            assert found[name].figure(lang).data
        found[name].save(tmp_path / name)
        assert Result.load(tmp_path / name).finding() == found[name].finding()
