"""Claims over an interface, read by a hostile second reader: zones, versions, words, a file beside the study."""

import json
from datetime import UTC, date

import polars as pl
import pytest

from pricing.data.claim_messages import claims_of_messages
from pricing.errors import InputError


def message(**changes):
    claim = {"number": "C1", "policy": "AJ1", "incurred": "2024-03-01", "amount": 900.0,
             "benefit": "inpatient", "status": "paid"}  # fmt: skip
    outer = {k: changes.pop(k) for k in ("version", "sent") if k in changes}
    return json.dumps({"claim": claim | changes, **outer}, ensure_ascii=False)


def told(*bodies, **options):
    lines = [str(i) for i, _ in enumerate(bodies, start=1)]
    return claims_of_messages(pl.DataFrame({"message_line": lines, "body": bodies}), **options)


def reasons(*bodies, **options):
    return told(*bodies, **options).lines["set_aside_reason"].to_list()


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2024-03-01T09:30:00+08:00", "2024-03-01T02:00:00Z"),  # 10:00 in China
        ("2024-03-01T02:00:00Z", "2024-03-01 10:30:00"),
        ("2024-03-01T10:00:00.100Z", "2024-03-01T10:00:00.900Z"),
        ("2024-03-01T10:00:00+0800", "2024-02-29T22:00:00-05:00"),
        ("2024-03-01", "2024-03-01 00:01"),
        ("2024/03/01 08:00", "2024-03-01 08:01"),
    ],
)
def test_the_last_message_wins_whatever_zone_it_tells_its_time_in(earlier, later):
    first, last = message(amount=1, sent=earlier), message(amount=2, sent=later)
    for bodies in ((first, last), (last, first)):
        assert told(*bodies).claims["amount"].to_list() == [2.0]


@pytest.mark.parametrize(
    ("said", "day"),
    [
        ("2024-02-29T23:30:00Z", date(2024, 3, 1)),
        ("2024-03-01T07:30:00+08:00", date(2024, 3, 1)),
        ("2024-02-29T15:59:00.5Z", date(2024, 2, 29)),
        ("2024-03-01T23:30:00", date(2024, 3, 1)),
        ("2024-03-01", date(2024, 3, 1)),
        ("20240301", date(2024, 3, 1)),
    ],
)
def test_days_are_those_of_china(said, day):
    assert told(message(incurred=said)).claims["incurred"].to_list() == [day]


def test_a_version_that_is_no_number_is_named_and_not_taken_for_the_earliest():
    found = reasons(message(amount=1, version=1), message(amount=2, version="v2"))
    assert found == ["message_kept", "message_order"]
    whole = told(message(amount=1, version=1), message(amount=2, version="2.0"))
    assert whole.claims["amount"].to_list() == [2.0]
    assert reasons(message(sent="yesterday")) == ["message_order"]
    assert reasons(message(sent="yesterday", version=3)) == ["message_kept"]


def test_words_of_a_status_are_the_same_in_capitals():
    assert reasons(message(status="Paid_Out"), statuses={"PAID_OUT": "paid"}) == ["message_kept"]


@pytest.mark.parametrize("amount", ["1,200.50", "1200元", "", True, -1, None, "NaN", "inf"])
def test_amounts_that_cannot_be_read_are_named_and_never_guessed(amount):
    assert reasons(message(amount=amount)) == ["message_amount"]


@pytest.mark.parametrize("most", ["1e8", 0, -1, True, None])
def test_limits_that_are_none_are_refused(most):
    with pytest.raises(InputError, match="above 0"):
        told(message(), most_amount=most)


def test_a_study_reads_its_messages_from_lines_of_json(tmp_path):
    from pricing.data.alarm_book import simulate_alarms
    from pricing.data.tables import bundled
    from pricing.plans.plan_study import PlanStudy

    simulate_alarms(tmp_path / "book", members=300, seed=5)
    bodies = pl.read_parquet(tmp_path / "book/claim_messages/*.parquet")["body"].to_list()
    half = len(bodies) // 2
    (tmp_path / "a-1.jsonl").write_text("\n".join(bodies[:half]) + "\n\n", encoding="utf-8")
    (tmp_path / "a-2.jsonl").write_text(
        "\n".join(bodies[half:]).replace("\n", "\r\n"), encoding="utf-8"
    )
    text = bundled("studies/anjia_link.toml").read_text(encoding="utf-8").split("[[scenarios]]")[0]
    made, tables = "[simulate]\nmembers = 6_000\nseed = 20260302\n", ""
    for name in ("policies", "renewals", "watches", "alarms"):
        tables += f'[tables.{name}]\nfiles = "book/{name}/*.parquet"\n'
    for ending, lines in (
        ("jsonl", '[tables.claim_messages]\nfiles = "a-*.jsonl"\n'),
        ("parquet", '[tables.claim_messages]\nfiles = "book/claim_messages/*.parquet"\n'),
    ):
        assert made in text
        (tmp_path / f"{ending}.toml").write_text(
            text.replace(made, tables + lines), encoding="utf-8"
        )
    one, two = (PlanStudy(tmp_path / f"{ending}.toml") for ending in ("jsonl", "parquet"))
    assert one.headline() == two.headline()
    assert one.checked["claim_messages"].accepted.height == len(bodies)
    first = one.checked["claim_messages"].accepted.row(half, named=True)
    assert first["message_line"] == "a-2.jsonl:1"


def test_a_file_of_messages_that_is_none_is_named(tmp_path):
    from pricing.data.files import read_files

    (tmp_path / "blank.jsonl").write_text(" \n\n", encoding="utf-8")
    (tmp_path / "wide.jsonl").write_text('{"claim": 1}', encoding="utf-16")
    for name, said in (("blank", "the file is empty"), ("wide", "UTF-16")):
        with pytest.raises(InputError, match=said):
            read_files(f"{name}.jsonl", folder=tmp_path, encoding="utf-8", separator=",")


def test_alarms_are_of_the_day_in_china():
    from datetime import datetime, timedelta, timezone

    from pricing.activity.alarms import alarm_rates, alarm_rows

    late = datetime(2023, 12, 31, 16, 30, tzinfo=UTC)  # half past midnight in China
    east = late.astimezone(timezone(timedelta(hours=8)))
    for raised in (late, "2023-12-31T16:30:00Z", east.isoformat(), "2024-01-01 00:30"):
        export = pl.DataFrame({"policy_id": ["AJ1"], "raised": [raised], "kind": ["fall"]})
        rows = alarm_rows(export)
        assert rows["raised"].to_list() == [date(2024, 1, 1)]
        terms = pl.DataFrame({"policy_id": ["AJ1"], "policy_year": [1], "start": [date(2024, 1, 1)]})  # fmt: skip
        worn = pl.DataFrame({"policy_id": ["AJ1"], "worn_from": [date(2023, 1, 1)], "worn_until": [date(2025, 1, 1)]})  # fmt: skip
        assert alarm_rates(terms, rows, worn)["alarms"].to_list() == [0]
        with pytest.raises(InputError, match="not a day"):
            alarm_rates(terms, rows.cast({"raised": pl.String}), worn)
        with pytest.raises(InputError, match="out of their domain"):
            alarm_rates(terms, rows, worn, least="0.25")
