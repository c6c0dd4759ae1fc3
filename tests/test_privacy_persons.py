"""Keyed names, one person forgotten, consents: what is left is what would be there without them."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from pricing.activity.days import count_days
from pricing.activity.pseudonym import Key
from pricing.cli import main
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.privacy.consent import added, agreed_samples, consents, with_consent
from pricing.privacy.forget import forget_persons, forgotten, retained
from pricing.privacy.pseudonymise import pseudonymise, read_folder
from pricing.renewal.price import price_renewals
from pricing.renewal.rules import RenewalRules
from pricing.study.study_book import StudyBook

KEY, OTHER = Key(bytes(range(32))), Key(bytes(range(1, 33)))


def book():
    return {
        "policies.parquet": pl.DataFrame(
            {
                "policy_id": ["1", "2", "3", "4"],
                "person_id": ["1", "2", "2", None],
                "sex": ["f", "m", "m", "f"],
            }
        ),
        "claims.csv": pl.DataFrame({"claim_id": ["9", "8", "7"], "policy_id": ["2", "3", "1"]}),
        "payments.csv": pl.DataFrame({"claim_id": ["9", "9", "7"], "amount": ["1", "2", "3"]}),
    }


def test_the_name_is_that_of_the_standard():
    """HMAC-SHA256 by its definition (RFC 2104): H(K ⊕ opad, H(K ⊕ ipad, text))."""
    from hashlib import sha256

    block = KEY.secret.ljust(64, b"\0")
    inner = sha256(bytes(b ^ 0x36 for b in block) + b"policy\x1fP1").digest()
    expected = sha256(bytes(b ^ 0x5C for b in block) + inner).hexdigest()[:32]
    assert KEY.of("P1", kind="policy") == expected


def test_joins_survive_and_another_key_cannot_be_linked():
    old, new, apart = book(), pseudonymise(book(), KEY), pseudonymise(book(), OTHER)
    for tables in (new, apart):
        joined = tables["claims.csv"].join(tables["policies.parquet"], on="policy_id")
        assert (
            joined["sex"].to_list()
            == old["claims.csv"].join(old["policies.parquet"], on="policy_id")["sex"].to_list()
        )
        assert tables["payments.csv"].join(tables["claims.csv"], on="claim_id").height == 3
    assert pseudonymise(book(), KEY)["policies.parquet"].equals(new["policies.parquet"])
    for column in ("policy_id", "person_id"):
        a, b = (set(t["policies.parquet"][column].drop_nulls()) for t in (new, apart))
        assert not a & b
        assert (
            new["policies.parquet"][column].null_count()
            == old["policies.parquet"][column].null_count()
        )
    # number 1 of a person and of a policy are two names
    first = new["policies.parquet"].row(0)
    assert first[0] != first[1]
    assert new["policies.parquet"]["person_id"][0] == KEY.of("1")  # as in the days of activity


def test_whole_numbers_and_texts_of_one_id_have_one_name():
    tables = {"a": pl.DataFrame({"policy_id": [17]}), "b": pl.DataFrame({"policy_id": [" 17"]})}
    found = pseudonymise(tables, KEY)
    assert found["a"]["policy_id"][0] == found["b"]["policy_id"][0] == KEY.of("17", kind="policy")


def test_what_names_a_person_without_a_key_is_refused_until_it_is_dropped():
    table = pl.DataFrame(
        {"policy_id": ["1", "2"], "tel": ["13912345678", None], "card": ["11010119900307123X", "x"]}
    )
    with pytest.raises(InputError) as refused:
        pseudonymise({"policies": table}, KEY)
    assert [f.split(":")[0] for f in refused.value.faults] == ["policies, tel", "policies, card"]
    assert "13912345678" not in str(refused.value)
    assert pseudonymise({"policies": table}, KEY, drop=["tel", "card"])["policies"].columns == [
        "policy_id"
    ]
    with pytest.raises(InputError, match="no table has"):
        pseudonymise({"policies": table}, KEY, drop=["phone"])
    with pytest.raises(InputError, match="no id"):
        pseudonymise({"policies": table.drop("policy_id")}, KEY)


def test_the_command_keeps_the_key_out(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name, table in book().items():
        (table.write_csv if name.endswith("csv") else table.write_parquet)(tmp_path / "in" / name)
    key = tmp_path / "key"
    key.write_text(KEY.secret.hex(), encoding="ascii")
    arguments = [
        "pseudonymise",
        str(tmp_path / "in"),
        "--out",
        str(tmp_path / "out"),
        "--key",
        str(key),
    ]
    key.chmod(0o640)
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert not (tmp_path / "out").exists()
    key.chmod(0o600)
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 0
    with pytest.raises(SystemExit) as stopped:
        main(
            [
                "forget",
                "2",
                "--tables",
                str(tmp_path / "out"),
                "--out",
                str(tmp_path / "less"),
                "--key",
                str(key),
            ]
        )
    assert stopped.value.code == 0
    said = "".join(capsys.readouterr())
    assert KEY.secret.hex() not in said
    for path in [*(tmp_path / "out").iterdir(), *(tmp_path / "less").iterdir()]:
        assert KEY.secret.hex().encode() not in path.read_bytes()
    left = pl.read_parquet(tmp_path / "less" / "policies.parquet")
    assert left.height == 2
    assert pl.read_csv(tmp_path / "less" / "claims.csv").height == 1


def test_a_person_goes_with_policies_and_claims_and_nobody_else_does():
    left, ledger = forget_persons(book(), ["2"])
    assert left["policies.parquet"]["policy_id"].to_list() == ["1", "4"]
    assert left["claims.csv"]["claim_id"].to_list() == ["7"]
    assert left["payments.csv"]["amount"].to_list() == ["3"]
    assert ledger["rows_taken"].to_list() == [2, 2, 2]
    with pytest.raises(InputError, match="stand in no table") as refused:
        forget_persons(book(), ["nobody"])
    assert "nobody" not in str(refused.value)


def test_a_policy_of_two_persons_stays_for_the_other():
    tables = {
        "policies": pl.DataFrame({"policy_id": ["1", "1"], "person_id": ["a", "b"]}),
        "claims": pl.DataFrame({"claim_id": ["9"], "policy_id": ["1"]}),
    }
    left, _ = forget_persons(tables, ["a"])
    assert left["policies"].rows() == [("1", "b")]
    assert left["claims"].height == 1


def years(n=400):
    draw = np.random.default_rng(2)
    return pl.DataFrame(
        {
            "person_id": [f"p{i % 97}" for i in range(n)],
            "sex": np.array(["f", "m"])[draw.integers(0, 2, n)],
            "tier": np.array(["a", "b", "c"])[draw.integers(0, 3, n)],
            "age": draw.integers(20, 60, n),
            "exposure": draw.uniform(0.1, 1, n),
            "claims": draw.poisson(0.5, n),
            "amount": draw.gamma(2.0, 500.0, n),
        }
    ).with_columns(amount=pl.when(pl.col("claims") > 0).then("amount").otherwise(0.0))


@pytest.mark.parametrize("person", ["p0", "p13", "p96"])
@pytest.mark.parametrize("keys", [["sex", "tier"], ["sex", "age"], ["tier", "sex", "age"]])
def test_cells_less_a_person_are_cells_without_the_person(person, keys):
    rows = years()
    found = forgotten(
        Experience.collect(rows, keys, amount="amount"),
        rows.filter(person_id=person),
        amount="amount",
    )
    other = Experience.collect(rows.filter(pl.col("person_id") != person), keys, amount="amount")
    assert found.cells.schema == other.cells.schema
    assert found.cells.select(*keys).equals(other.cells.select(*keys))
    for name in other.cells.columns:
        if name in keys:
            continue
        if other.cells.schema[name].is_integer():
            assert found.cells[name].equals(other.cells[name]), name
        np.testing.assert_allclose(found.cells[name], other.cells[name], rtol=1e-9, atol=1e-6)


def test_what_was_never_in_the_cells_cannot_be_taken_out():
    rows = years()
    seen = Experience.collect(rows, ["sex"])
    with pytest.raises(InputError, match="levels"):
        forgotten(seen, rows.head(2).with_columns(sex=pl.lit("x")))
    few = Experience.collect(rows.filter(person_id="p1"), ["sex", "tier"])
    with pytest.raises(InputError):
        forgotten(few, rows)
    with pytest.raises(InputError, match="nobody"):
        forgotten(seen, rows)


def samples():
    start = [datetime(2025, 3, 1, 8) + timedelta(days=i) for i in range(20)]
    people = pl.DataFrame({"person": ["a", "b", "c"], "steps": [4000.0, 6000.0, 9000.0]})
    rows = people.join(pl.DataFrame({"start": start}), how="cross").with_columns(
        end=pl.col("start") + pl.duration(minutes=50),
        metric=pl.lit("steps"),
        source=pl.lit("watch"),
        method=pl.lit("automatic"),
    )
    return rows.rename({"steps": "value"})


def test_days_counted_without_a_person_are_those_of_the_others():
    rows = samples()
    left, _ = forget_persons({"samples": rows}, ["b"])
    whole = count_days(rows, key=KEY, tz="Asia/Shanghai").days
    days, ledger = forget_persons({"days": whole}, ["b"], key=KEY)
    assert ledger["rows_taken"].item() == 20
    assert days["days"].equals(count_days(left["samples"], key=KEY, tz="Asia/Shanghai").days)


def test_old_samples_go_and_their_days_stay():
    rows = samples()
    kept, dropped = retained(rows, on=date(2025, 4, 10), months=1)
    assert (kept.height, dropped) == (33, 27)
    assert kept["start"].min() == datetime(2025, 3, 10, 8)
    for months in (0, 1.5, True):
        with pytest.raises(InputError):
            retained(rows, on=date(2025, 4, 10), months=months)
    with pytest.raises(InputError, match="not a day"):
        retained(rows, on=date(2025, 4, 10), months=1, column="person")


def ledger(*rows):
    names = {"person_id": pl.String, "purpose": pl.String, "agreed": pl.Date, "withdrawn": pl.Date}
    return consents(pl.DataFrame(rows, schema=names, orient="row"))


def test_a_member_without_consent_on_the_day_pays_the_standard_price():
    held = ledger(
        ("a", "discount", date(2024, 1, 1), None),
        ("b", "discount", date(2024, 1, 1), date(2025, 6, 1)),
        ("c", "activity", date(2024, 1, 1), None),
        ("e", "discount", date(2025, 6, 2), None),
    )
    due = pl.DataFrame(
        {
            "policy_id": list("abcde"),
            "person_id": list("abcde"),
            "due": [date(2025, 6, 1)] * 5,
            "health_group": ["G1"] * 5,
            "standard_premium": [1000.0] * 5,
        }
    )
    asked = with_consent(due, held, purpose="discount", on="due")
    assert asked["consent"].to_list() == [True, False, False, False, False]
    priced = price_renewals(
        asked, RenewalRules(discounts={"G0": 0.0, "G1": 0.1}, cap=0.2)
    ).collect()
    premium = dict(priced.select("policy_id", "premium").iter_rows())
    assert premium == {"a": 900.0, "b": 1000.0, "c": 1000.0, "d": 1000.0, "e": 1000.0}
    refused = due.with_columns(consent=pl.lit(False))
    assert not with_consent(refused, held, purpose="discount", on="due")["consent"].any()


def test_a_study_with_a_ledger_asks_it_on_the_day_a_renewal_is_due():
    held = ledger(
        ("a", "discount", date(2024, 1, 1), None),
        ("b", "discount", date(2024, 1, 1), date(2026, 3, 1)),
    )
    policies = pl.DataFrame(
        {"policy_id": ["1", "2", "3"], "person_id": ["a", "b", "c"], "end": [date(2030, 1, 1)] * 3}
    )
    terms = pl.DataFrame(
        {
            "policy_id": ["1", "2", "3"],
            "policy_year": [0] * 3,
            "start": [date(2025, 3, 1)] * 3,
            "end": [date(2026, 3, 1)] * 3,
            "health_group": ["G1"] * 3,
            "standard_premium": [100.0] * 3,
        }
    )
    tables = {"policies": policies, "renewals": terms, "consents": held}
    study = SimpleNamespace(
        path="study.toml",
        settings=SimpleNamespace(
            renewal=SimpleNamespace(ageing=0.0),
            study=SimpleNamespace(observed=(date(2025, 1, 1), date(2026, 1, 1))),
        ),
        checked={name: SimpleNamespace(accepted=table) for name, table in tables.items()},
    )
    found = StudyBook.due(study).collect()
    assert found["consent"].to_list() == [True, False, False]
    assert "person_id" not in found.columns
    study.checked["policies"].accepted = policies.drop("person_id")
    with pytest.raises(InputError, match="whose they are"):
        StudyBook.due(study)


def test_samples_without_consent_are_not_read():
    held = ledger(
        ("a", "activity", date(2025, 3, 5), None),
        ("b", "activity", date(2025, 1, 1), date(2025, 3, 31)),
    )
    kept, unread = agreed_samples(samples(), held, on=date(2025, 4, 1))
    assert set(kept["person"]) == {"a"}
    assert kept["start"].min() == datetime(2025, 3, 5, 8)
    assert kept.height + unread == 60


def test_a_ledger_only_grows():
    old = ledger(
        ("a", "discount", date(2024, 1, 1), date(2024, 6, 1)),
        ("b", "discount", date(2024, 1, 1), None),
    )
    more = ledger(
        ("b", "discount", date(2024, 1, 1), date(2025, 1, 1)),
        ("a", "discount", date(2024, 7, 1), None),
    )
    both = added(old, more)
    assert both.height == 3
    with pytest.raises(InputError, match="taken back or moved"):
        added(both, ledger(("a", "discount", date(2024, 1, 1), None)))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([("a", "discount", date(2024, 1, 1), date(2023, 1, 1))], "break the contract"),
        ([("a", "weather", date(2024, 1, 1), None)], "break the contract"),
        (
            [("a", "discount", date(2024, 1, 1), None), ("a", "discount", date(2024, 2, 1), None)],
            "while an earlier",
        ),
        (
            [
                ("a", "discount", date(2024, 1, 1), date(2024, 3, 1)),
                ("a", "discount", date(2024, 2, 1), None),
            ],
            "while an earlier",
        ),
    ],
)
def test_consents_that_contradict_are_refused(rows, says):
    with pytest.raises(InputError, match=says):
        ledger(*rows)


def test_tables_of_an_older_system_are_read_in_their_encoding(tmp_path, capsys):
    folder, key = tmp_path / "in", tmp_path / "key"
    folder.mkdir()
    text = "policy_id,姓名,city\nP1,张三,济南\nP2,李四,烟台\n"
    (folder / "保单.csv").write_bytes(text.encode("gb18030"))
    (folder / "claims.csv").write_bytes("policy_id,amount\nP2,007\n".encode("gb18030"))
    key.write_text(KEY.secret.hex(), encoding="ascii")
    key.chmod(0o600)
    arguments = ["pseudonymise", str(folder), "--out", str(tmp_path / "out"), "--key", str(key), "--drop", "姓名"]  # fmt: skip
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    said = " ".join("".join(capsys.readouterr()).split())
    assert stopped.value.code == 2
    assert "保单.csv" in said.replace(" ", "")
    assert "--encoding gb18030" in said
    assert not (tmp_path / "out").exists()
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--encoding", "gb18030"])
    assert stopped.value.code == 0
    policies = pl.read_csv(tmp_path / "out" / "保单.csv", infer_schema=False)
    claims = pl.read_csv(tmp_path / "out" / "claims.csv", infer_schema=False)
    assert policies["city"].to_list() == ["济南", "烟台"]
    assert policies.columns == ["policy_id", "city"]
    assert claims["policy_id"][0] == policies["policy_id"][1]
    assert claims["amount"].to_list() == ["007"]
    with pytest.raises(SystemExit):
        main([*arguments, "--encoding", "klingon"])
    assert "klingon" in "".join(capsys.readouterr())
    forgotten = ["forget", "nobody", "--tables", str(folder), "--out", str(tmp_path / "less")]
    with pytest.raises(SystemExit):
        main(forgotten)
    assert "--encoding gb18030" in " ".join("".join(capsys.readouterr()).split())


def test_a_row_of_the_wrong_width_names_its_file(tmp_path):
    (tmp_path / "claims.csv").write_text("policy_id,amount\nP1,3,4\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"claims\.csv: 1 rows do not have"):
        read_folder(tmp_path)
