"""Programme files: what ships, versions by date, and every fault of a bad file at once."""

from datetime import date

import pytest

from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.programme.programme_file import in_force, read_programme, read_versions
from pricing.result.words import LANGUAGES

BUNDLED = ("huoli", "aia_hong_kong", "aia_new_zealand", "aia_thailand", "manulife_move")
SMALL = """
name = "small"
title = { en = "Small", zh = "小" }
source = { en = "none", zh = "无" }
effective = 2024-01-01
consent = "assumed"
[window]
[value]
[evidence]
device = 1.0
[movement]
cap = 0.2
[[group]]
name = "G0"
rate = 0.0
[[group]]
name = "G1"
cutoff = 500
rate = 0.1
[[category]]
name = "activity"
title = { en = "Activity", zh = "运动" }
weight = 1.0
[[task]]
name = "steps"
title = { en = "Steps", zh = "步数" }
category = "activity"
cycle = "day"
cap_year = 100
ways = [{ measure = "steps", line = [[0, 0], [8000, 8]] }]
"""


def written(tmp_path, text, name="a.toml"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


@pytest.mark.parametrize("name", BUNDLED)
def test_what_ships_is_read_and_says_what_it_rests_on(name):
    programme = read_programme(name)
    assert programme.name == name
    for lang in LANGUAGES:
        assert getattr(programme.title, lang)
        assert all(programme.titles(lang).values())
        assert [getattr(t, lang) for t in (*programme.not_public, *programme.assumed)]
    assert bundled(f"programmes/{name}.toml").read_text(encoding="utf-8").startswith("#")
    back = type(programme).model_validate(programme.model_dump(mode="json", exclude_none=True))
    assert back == programme
    assert back.fingerprint == programme.fingerprint


def test_the_default_is_the_references():
    huoli = read_programme("huoli")
    assert huoli.caps == {"activity": 3960, "habit": 880, "prevention": 300, "markers": 550}
    assert [c.weight for c in huoli.category] == [0.40, 0.15, 0.15, 0.30]
    assert (huoli.window.days, huoli.window.lag_days, huoli.window.min_valid_days) == (365, 60, 180)
    assert (huoli.value.kappa, huoli.movement.hysteresis, huoli.movement.max_move) == (60, 25, 1)
    assert huoli.rates == (0, 0.05, 0.10, 0.15, 0.20)


def test_the_version_in_force_is_the_last_that_took_effect(tmp_path):
    later = SMALL.replace("2024-01-01", "2025-01-01").replace("cutoff = 500", "cutoff = 600")
    written(tmp_path, later, "1.toml")
    written(tmp_path, SMALL, "2.toml")
    versions = read_versions(tmp_path)
    assert [v.effective.year for v in versions] == [2024, 2025]
    for on, cutoff in (
        (date(2024, 1, 1), 500),
        (date(2024, 12, 31), 500),
        (date(2025, 1, 1), 600),
        (date(2030, 1, 1), 600),
    ):
        assert read_programme(tmp_path, on).cutoffs == (cutoff,)
    assert read_programme(tmp_path).cutoffs == (600,)
    with pytest.raises(InputError, match=r"no version is in force on 2023-12-31.*2024-01-01"):
        in_force(versions, date(2023, 12, 31))
    with pytest.raises(InputError, match="on is no date: '2024'"):
        in_force(versions, "2024")


def test_one_file_may_hold_the_versions(tmp_path):
    def table(text):  # the same tables, one level down
        head, *rest = text.split("\n[")
        down = ["[[version." + p[1:] if p.startswith("[") else "[version." + p for p in rest]
        return "[[version]]" + head + "\n" + "\n".join(down)

    two = table(SMALL) + "\n" + table(SMALL.replace("2024-01-01", "2026-01-01"))
    assert [v.effective.year for v in read_versions(written(tmp_path, two))] == [2024, 2026]
    twice = table(SMALL) + "\n" + table(SMALL)
    with pytest.raises(InputError, match="two versions begin on 2024-01-01"):
        read_versions(written(tmp_path, twice))
    other = table(SMALL) + "\n" + table(SMALL.replace('name = "small"', 'name = "other"', 1))
    with pytest.raises(InputError, match="several programmes, other, small"):
        read_versions(written(tmp_path, other))


FAULTS = {
    'weight = 1.0\n[[task]]': ('weight = 0.7\n[[task]]', "weights sum to 0.7, not 1"),
    'category = "activity"': ('category = "activty"', "no 'activty'; did you mean 'activity'?"),
    "cutoff = 500": ("", "group.2: lacks its cutoff"),
    "rate = 0.1": ("rate = 0.3", "rate 0.3 is above the cap 0.2"),
    "rate = 0.0": ("rate = 0.05", "the standard group pays the standard premium"),
    "[window]": ("[window]\nlag = 3", "window.lag: .*not permitted.*remove or rename it"),
    'cycle = "day"': ('cycle = "hour"', "task.1.cycle: .*'hour'"),
    "cap_year = 100": ("", "task.1.cap_year: field required; add it"),
    "[[0, 0], [8000, 8]]": ("[[0, 0], [8000, 8], [9000, 7]]", "points fall or are below 0"),
    "[0, 0], [8000, 8]": ("[8000, 8], [0, 0]", "does not rise from knot to knot"),
    "[[0, 0], ": ("[", "one knot is no line"),
    'measure = "steps"': ('measure = "claims_paid"', "looks like claims, which are no input"),
    ", line = [[0, 0], [8000, 8]]": ("", "exactly one of line, steps or bands"),
    "device = 1.0": ("device = 1.5", "evidence.device: 1.5 is no weight"),
    "cap = 0.2": ('cap = 0.2\nkind = "walk"', "0 for 2 groups; give one each"),
    "[movement]": ('[movement]\nentry = "G9"', "movement.entry: there is no group 'G9'"),
    'name = "G1"': ('name = "G0"', "'G0' stands twice"),
    "ways = [{": ('replaces = "walks"\nways = [{', "no task 'walks'"),
    'cap_year = 100\n': ('cap_year = 100\nwithin_days = 9\n', "only events have a last day"),
    'line = [[0, 0]': ('of = "count", line = [[0, 0]', "'count' is not taken of activity"),
    "[value]": ("[value]\nkappa = nan", "value.kappa"),
}  # fmt: skip


@pytest.mark.parametrize("right", [k for k, (_, said) in FAULTS.items() if said])
def test_a_fault_is_named_with_its_place_and_what_to_do(tmp_path, right):
    wrong, said = FAULTS[right]
    assert right in SMALL
    with pytest.raises(InputError, match=said) as refused:
        read_programme(written(tmp_path, SMALL.replace(right, wrong, 1)))
    assert "do: correct them" in str(refused.value)
    assert all(fault.startswith("a.toml: ") for fault in refused.value.faults)
    assert read_programme(written(tmp_path, SMALL)).cutoffs == (500,)


def test_all_faults_are_listed_at_once(tmp_path):
    text = SMALL
    for right in (
        "cutoff = 500",
        "device = 1.0",
        'cycle = "day"',
        "[window]",
        "[[0, 0], [8000, 8]]",
    ):
        text = text.replace(right, FAULTS[right][0], 1)
    with pytest.raises(InputError) as refused:
        read_programme(written(tmp_path, text))
    assert len(refused.value.faults) == 5
    for right in ("cutoff", "evidence.device", "hour", "window.lag", "points fall"):
        assert any(right in fault for fault in refused.value.faults), right


def test_a_walk_needs_its_start_and_ordered_deltas(tmp_path):
    text = bundled("programmes/aia_new_zealand.toml").read_text(encoding="utf-8")
    for right, wrong, said in (
        ("start = 0.10", "", "movement.start: a walk begins somewhere"),
        ("start = 0.10", "start = 0.30", "outside floor and cap"),
        ("[-0.02, -0.01, 0.0, 0.02]", "[-0.02, 0.01, 0.0, 0.02]", "a healthier group moves less"),
        ('name = "Gold"', 'name = "Gold"\nrate = 0.1', "have deltas, no rate"),
    ):
        assert right in text
        with pytest.raises(InputError, match=said):
            read_programme(written(tmp_path, text.replace(right, wrong, 1)))


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no file 'programmes/houli.toml'.*huoli.toml"):
        read_programme("houli")
    with pytest.raises(InputError, match="cannot be read"):
        read_programme(tmp_path / "none.toml")
    with pytest.raises(InputError, match="cannot be read"):
        read_programme(written(tmp_path, "name = "))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no .toml file"):
        read_programme(tmp_path / "empty")
    with pytest.raises(InputError, match="name: field required"):
        read_programme(written(tmp_path, ""))
