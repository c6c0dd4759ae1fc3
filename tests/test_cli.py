"""The command line: exit codes, one clear message, and the last good output untouched."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pricing.cli import app, main

PRICING = Path(sys.executable).with_name("pricing")
COMMANDS = (
    *("demo", "check", "run", "renew", "lab", "simulate", "verify", "index", "pictures"),
    *("diff", "decide", "log", "pseudonymise", "forget"),
)

STUDY = """
[study]
name = "made"
title = { en = "A study", zh = "研究" }
source = { en = "made by a test", zh = "测试数据" }
[tables.person_years]
files = "years.csv"
covariates = ["bmi"]
[tables.person_years.factors]
health_group = ["G0", "G1"]
sex = ["female", "male"]
[model]
frequency = "sex"
[discount]
order = ["G0", "G1"]
[premium]
target_loss_ratio = 0.7
cost_per_claim = 100.0
"""


def years(rows=400):
    rng = np.random.default_rng(1)
    group = rng.integers(0, 2, rows)
    return pl.DataFrame(
        {
            "person_year_id": [f"Y{i}" for i in range(rows)],
            "exposure": np.full(rows, 1.0),
            "claims": rng.poisson(1.0 - 0.4 * group),
            "health_group": np.array(["G0", "G1"])[group],
            "sex": np.array(["female", "male"])[rng.integers(0, 2, rows)],
            "bmi": rng.normal(24, 3, rows).round(1),
        }
    )


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a sound study and its table, where the command runs."""
    years().write_csv(tmp_path / "years.csv")
    (tmp_path / "study.toml").write_text(STUDY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pricing(capsys):
    """Run the command in this process: exit code, standard output, standard error."""

    def ran(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([str(a) for a in arguments])
        said = capsys.readouterr()
        return caught.value.code, said.out, said.err

    return ran


def files_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def first_rows(frame, count, **changes):
    """Change the first rows of a frame; every column becomes text, as in a file."""
    few = pl.int_range(pl.len()) < count
    return frame.cast(pl.String).with_columns(
        pl.when(few).then(pl.lit(value, dtype=pl.String)).otherwise(name).alias(name)
        for name, value in changes.items()
    )


# Help, start, exit codes


def test_the_installed_command_runs():
    done = subprocess.run([PRICING, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0.1.0"


def test_help_names_every_command(pricing):
    code, out, err = pricing("--help")
    assert (code, err) == (0, "")
    for command in COMMANDS:
        assert command in out
    assert sorted(n for n in app if not n.startswith("-")) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(pricing, command):
    code, out, err = pricing(command, "--help")
    assert (code, err) == (0, "")
    assert f"pricing {command}" in out
    assert len(out.splitlines()) > 5


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import pricing", ("polars", "numpy", "pandas", "scipy", "plotly", "cyclopts")),
        ("import pricing; dir(pricing)", ("polars", "numpy")),
        ("from pricing.cli import app, main", ("polars", "numpy", "scipy", "plotly", "pandas")),
        (
            "import contextlib\nfrom pricing.cli import main\n"
            "with contextlib.suppress(SystemExit): main(['--help'])",
            ("polars", "numpy", "scipy", "plotly", "pandas"),
        ),
        (
            "import contextlib\nfrom pricing.cli import main\n"
            "with contextlib.suppress(SystemExit): main(['run', '--help'])",
            ("polars", "numpy", "scipy", "plotly", "pandas"),
        ),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code, heavy):
    asked = f"{code}\nimport sys, json; print(json.dumps([n for n in {heavy} if n in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_a_sound_run_leaves_with_zero(pricing, place):
    code, out, err = pricing("run", "study.toml")
    assert (code, err) == (0, "")
    assert "400 of 400 rows were accepted" in out
    assert "Open in a browser: reports/made/index.html" in out.replace("\\", "/")
    assert (place / "reports" / "made" / "index.html").is_file()
    assert sorted(p.name for p in (place / "reports").iterdir()) == [".kept", "made"]
    code, out, err = pricing("check", "study.toml")
    assert (code, err) == (0, "")
    assert "what came in" in out
    assert not (place / "reports" / "check").exists() or not any(
        (place / "reports" / "check").iterdir()
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("nosuch",),
        ("run",),
        ("check",),
        ("run", "study.toml", "--nosuch", "x"),
        ("run", "study.toml", "extra"),
        ("simulate", "book"),
        ("simulate", "book", "--policies", "many", "--seed", "1"),
        ("simulate", "book", "--policies", "10", "--seed", "1.5"),
        ("simulate", "book", "--policies", "inf", "--seed", "1"),
        ("verify", "--jsn"),
    ],
)
def test_a_command_that_is_not_understood_leaves_with_two(pricing, place, arguments):
    code, out, err = pricing(*arguments)
    assert code == 2
    assert "Error" in err + out
    assert "Traceback" not in err + out
    assert sorted(p.name for p in place.iterdir()) == ["study.toml", "years.csv"]


def test_an_interrupt_leaves_with_130(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("pricing.cli.app", interrupted)
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 130


# Bad input

CSV = {
    "missing column": (lambda f: f.drop("claims"), ["claims", "missing"]),
    "misspelt column": (
        lambda f: f.rename({"exposure": "expsure"}),
        ["did you mean 'expsure'|'exposure'"],
    ),
    "misspelt factor": (lambda f: f.rename({"sex": "sax"}), ["sex", "sax"]),
    "empty table": (lambda f: f.head(0), ["no rows|no row|empty"]),
    "all rejected": (lambda f: first_rows(f, 400, exposure="0"), ["no row of", "pricing check"]),
    "all unknown levels": (lambda f: first_rows(f, 400, sex="x"), ["no row of"]),
    "all dates for numbers": (lambda f: first_rows(f, 400, claims="2024-01-01"), ["no row of"]),
    "a group without claims": (
        lambda f: f.with_columns(
            claims=pl.when(pl.col("health_group") == "G1").then(0).otherwise("claims")
        ),
        ["health_group[G1]: no claim"],
    ),
    "a group that is not there": (
        lambda f: f.filter(pl.col("health_group") == "G0"),
        ["order of groups", "G1"],
    ),
}


def one_message(code, out, err, *, hint=True):
    assert code == 2, (out, err)
    assert err.startswith("pricing: "), err
    assert "Traceback" not in err + out
    assert not hint or "  do: " in err or "did you mean" in err or "\n  - " in err, err
    return err


@pytest.mark.parametrize("name", CSV)
def test_a_table_that_cannot_be_priced_is_refused_and_the_last_report_stays(pricing, place, name):
    assert pricing("run", "study.toml", "--out", "out")[0] == 0
    before = files_of(place / "out")
    spoil, words = CSV[name]
    spoil(years()).write_csv(place / "years.csv")
    err = one_message(*pricing("run", "study.toml", "--out", "out"))
    for choice in words:
        assert any(word in err for word in choice.split("|")), err
    assert files_of(place / "out") == before
    left = sorted(p.name for p in place.iterdir())
    assert left == [".kept", "out", "study.toml", "years.csv"]


TOML = {
    "missing file": ([('files = "years.csv"', 'files = "yaers.csv"')], ["yaers.csv", "near it: years.csv"]),
    "no loader": ([('files = "years.csv"', 'loader = "randhi"')], ["did you mean 'randhie'"]),
    "three mistakes": (
        [('frequency = "sex"', 'frequency = "sox"'), ("[premium]", "[premum]"), ("target_loss_ratio = 0.7", "target_loss_ratio = 0.7\nx = 1"), ('order = ["G0", "G1"]', 'order = ["G0", "G2"]')],
        ["'sox' is not a column; did you mean 'sex'?", "premum: unknown key; did you mean 'premium'?", "discount.order"],
    ),
    "broken": ([("[model]", "[model")], ["not a readable TOML file", "line"]),
    "unknown encoding": ([("covariates", 'encoding = "gb18031"\ncovariates')], ["no encoding 'gb18031'", "gb18030"]),
    "separator": ([("covariates", 'separator = ";;"\ncovariates')], ["separator"]),
    "mapped column": ([("[model]", '[tables.person_years.columns]\nclaims = "赔付"\n[model]')], ["claims = '赔付'"]),
    "mapped levels": ([("[model]", '[tables.person_years.levels.sx]\nF = "female"\n[model]')], ["'sx'", "sex"]),
    "base": ([("[discount]", 'base = { sex = "mal" }\n[discount]')], ["mal", "male"]),
    "singular": ([('frequency = "sex"', 'frequency = "sex - 1"')], ["keeps its intercept"]),
    "group in bmi": ([("[discount]", '[discount]\ngroup = "bmi"')], ["bmi"]),
    "no premium": ([("[premium]\ntarget_loss_ratio = 0.7\ncost_per_claim = 100.0", "")], ["[premium] section"]),
}  # fmt: skip


@pytest.mark.parametrize("name", TOML)
def test_a_study_that_cannot_be_priced_is_refused_and_the_last_report_stays(pricing, place, name):
    assert pricing("run", "study.toml", "--out", "out")[0] == 0
    before = files_of(place / "out")
    changes, words = TOML[name]
    text = STUDY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (place / "study.toml").write_text(text, encoding="utf-8")
    hint = name != "separator"  # says what it is, and no more
    err = one_message(*pricing("run", "study.toml", "--out", "out"), hint=hint)
    for word in words:
        assert word in err, err
    assert files_of(place / "out") == before


def test_a_missing_study_names_the_nearest(pricing, place):
    err = one_message(*pricing("run", "studdy.toml"))
    assert "did you mean 'study.toml'" in err
    assert pricing("check", "studdy.toml")[0] == 2
    assert "not a readable TOML file" in pricing("check", place)[2]


@pytest.mark.parametrize("command", ["run", "check", "simulate", "demo"])
def test_an_output_that_cannot_be_written_is_said_before_any_work(pricing, place, command):
    blocked = place / "years.csv" / "below"
    before = files_of(place)
    arguments = {
        "run": ("study.toml", "--out", blocked),
        "check": ("study.toml", "--out", blocked),
        "simulate": (blocked, "--policies", 10, "--seed", 1),
        "demo": ("--out", blocked),
    }
    code, out, err = pricing(command, *arguments[command])
    err = one_message(code, out, err)
    assert "cannot write" in err
    assert str(blocked) in err
    assert "write-test" not in err
    assert out == ""
    assert files_of(place) == before


@pytest.mark.parametrize("out", [".", "years.csv", "mine"])
def test_a_place_that_holds_something_else_is_refused_before_any_work(
    pricing, place, out, monkeypatch
):
    def working(*_, **__):
        pytest.fail("the work began")

    monkeypatch.setattr("pricing.study.chain.Study.run", working)
    (place / "mine").mkdir()
    (place / "mine" / "thesis.txt").write_text("years of work", encoding="utf-8")
    before = files_of(place)
    assert one_message(*pricing("run", "study.toml", "--out", out))
    assert files_of(place) == before


def test_the_folder_it_runs_in_is_refused_even_where_it_is_empty(pricing, place, monkeypatch):
    (place / "empty").mkdir()
    monkeypatch.chdir(place / "empty")
    err = one_message(*pricing("run", "../study.toml", "--out", "."))
    assert "no name to write to" in err
    assert list((place / "empty").iterdir()) == []


def test_the_demo_builds_both_studies(pricing, place, huoli_text, monkeypatch):
    from pricing.data import tables

    real = tables.bundled
    (place / "huoli.toml").write_text(huoli_text, encoding="utf-8")
    small = {"studies/huoli.toml": place / "huoli.toml"}
    monkeypatch.setattr(tables, "bundled", lambda name: small.get(name) or real(name))
    code, out, err = pricing("demo", "--out", "demo")
    assert (code, err) == (0, "")
    assert "20,190 of 20,190 rows were accepted" in out
    assert "relativities hold the truth" in out
    for name in ("randhie", "huoli"):
        assert (place / "demo" / name / "index.html").is_file()
        assert str(Path("demo") / name / "index.html") in out
    index = (place / "demo" / "index.html").read_text(encoding="utf-8")
    assert index.count('class="study"') == 2


# check

ROWS = {
    "unknown level": ({"sex": "x"}, "sex|level"),
    "null": ({"claims": None}, "claims|nullability"),
    "zero exposure": ({"exposure": "0"}, "exposure|min_exclusive"),
    "negative exposure": ({"exposure": "-1"}, "exposure|min_exclusive"),
    "wrong type": ({"claims": "two"}, "claims|type"),
    "fractional count": ({"claims": "1.5"}, "claims|type"),
    "not finite": ({"bmi": "inf"}, "bmi|inf"),
    "duplicate key": ({"person_year_id": "Y1"}, "primary_key"),
}


@pytest.mark.parametrize("name", ROWS)
def test_check_sets_bad_rows_aside_with_their_reason(pricing, place, name):
    changes, rule = ROWS[name]
    first_rows(years(), 3, **changes).write_csv(place / "years.csv")
    code, out, err = pricing("check", "study.toml")
    assert (code, err) == (1, "")
    assert rule in out.replace("\n", "")
    kept = pl.read_csv(place / "reports/check/made/rejected_person_years.csv", infer_schema=False)
    assert kept.height == 3
    assert set(kept["_rules"]) == {rule}
    assert kept["_row"].to_list() == ["1", "2", "3"]
    assert kept.height + 397 == 400
    # the run goes on with the good rows, and says so
    code, out, _ = pricing("run", "study.toml", "--out", "out")
    assert code == 0
    assert "397 of 400 rows were accepted and 3 rejected" in out
    assert "pricing check study.toml" in out.replace("\n", " ")
    assert not (place / "out/rejected").exists()  # rows of persons are no part of a report


BOOK = """
[study]
name = "book"
title = { en = "A book", zh = "业务" }
source = { en = "made by a test", zh = "测试数据" }
observed = [2020-01-01, 2030-01-01]
[tables.policies]
files = "policies.csv"
[tables.renewals]
files = "renewals.csv"
[tables.claims]
files = "claims.csv"
[tables.renewals.factors]
health_group = ["G0", "G1"]
[model]
frequency = "sex"
[discount]
order = ["G0", "G1"]
"""


def test_check_of_a_book_with_dates_the_wrong_way_round(pricing, place):
    (place / "book.toml").write_text(BOOK, encoding="utf-8")
    n = 40
    policies = pl.DataFrame(
        {
            "policy_id": [f"P{i}" for i in range(n)],
            "birth_date": ["1980-02-29"] * n,
            "sex": ["female", "male"] * (n // 2),
            "start": ["2022-01-01"] * n,
            "end": ["2021-01-01"] + ["2023-01-01"] * (n - 1),  # the first the wrong way round
        }
    )
    policies.write_csv(place / "policies.csv")
    policies.select(
        "policy_id",
        "start",
        policy_year=pl.lit(0),
        end=pl.lit("2023-01-01"),
        health_group=pl.Series(["G0", "G1"] * (n // 2)),
        standard_premium=pl.lit(100.0),
    ).write_csv(place / "renewals.csv")
    policies.select(
        "policy_id",
        claim_id=pl.int_range(pl.len()),
        incurred=pl.lit("2022-03-01"),
        amount=pl.lit(50.0),
    ).write_csv(place / "claims.csv")
    code, out, err = pricing("check", "book.toml", "--out", "aside")
    assert (code, err) == (1, "")
    assert "end_after_start" in out.replace("\n", "")
    assert sorted(p.name for p in (place / "aside").iterdir()) == [
        "rejected_claims.csv",
        "rejected_policies.csv",
        "rejected_renewals.csv",
    ]
    for name in ("claims", "renewals"):
        kept = pl.read_csv(place / "aside" / f"rejected_{name}.csv")
        assert kept["_rules"].to_list() == ["policy_id|rejected_policy"]


def test_check_shows_markup_in_data_as_it_is(pricing, place):
    first_rows(years(), 1, sex="[bold red]x[/]", person_year_id="[/nosuch]").write_csv(
        place / "years.csv"
    )
    code, out, err = pricing("check", "study.toml")
    assert (code, err) == (1, "")
    assert "[/nosuch]" in out


# simulate


def test_simulate_writes_the_same_bytes_for_the_same_seed(pricing, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        code, out, err = pricing("simulate", tmp_path / name, "--policies", 200, "--seed", seed)
        assert (code, err) == (0, "")
        assert "200 policies in" in out
    a, b, c = (files_of(tmp_path / n) for n in "abc")
    assert a == b != c
    assert sorted({p.parts[0] for p in a}) == [
        "activity", "claims", "offers", "payments", "policies", "renewals", "truth", "truth.json",
    ]  # fmt: skip


@pytest.mark.parametrize(("policies", "seed"), [(0, 1), (-5, 1), (10, -1)])
def test_simulate_refuses_what_is_no_book(pricing, tmp_path, policies, seed):
    code, out, err = pricing(
        "simulate", tmp_path / "book", f"--policies={policies}", f"--seed={seed}"
    )
    one_message(code, out, err)
    assert list(tmp_path.iterdir()) == []


def test_simulate_does_not_touch_a_foreign_folder(pricing, place):
    before = files_of(place)
    one_message(*pricing("simulate", place, "--policies", 10, "--seed", 1))
    assert files_of(place) == before


# the installed command, as a user runs it


def test_the_installed_command_refuses_in_one_message(place):
    (place / "study.toml").write_text(STUDY.replace('frequency = "sex"', 'frequency = "sx"'))
    done = subprocess.run([PRICING, "run", "study.toml"], capture_output=True, text=True, cwd=place)
    assert one_message(done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    assert "model.frequency: 'sx' is not a column; did you mean 'sex'?" in done.stderr


def test_the_installed_command_prints_both_languages_in_any_locale(place):
    done = subprocess.run(
        [PRICING, "run", "study.toml", "--out", "out"],
        capture_output=True,
        cwd=place,
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin", "HOME": str(place)},
    )
    assert done.returncode == 0, done.stderr.decode()
    assert "研究" in (place / "out" / "index.html").read_text(encoding="utf-8")


def test_whole_numbers_may_be_written_short(pricing, tmp_path):
    assert pricing("simulate", tmp_path / "a", "--policies", "1e2", "--seed", "1")[0] == 0
    assert pricing("simulate", tmp_path / "b", "--policies", "100", "--seed", "1")[0] == 0
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
