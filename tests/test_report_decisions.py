"""The log of decisions: what is changed, gone or torn is found; writers take turns."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from pricing.cli import main
from pricing.errors import InputError
from pricing.report import decisions
from pricing.report.decisions import append_decision, decisions_on, read_decisions
from pricing.report.page import decide, write

WORDS = [
    ("李伟", "折扣上限定为 15%，自 2026 年起执行", "证据只支持到 15%"),
    ('O\'Brien "the" <b>', "a\nb\r\n\tc\u2028d\u0085e\x00f", "=1+1, {what} %s \\u0041 \\"),
    ("🙂 e\u0301", "x" * 10_000, ""),
]


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "reports" / "decisions.jsonl"
    for who, what, because in WORDS:
        append_decision(path, who=who, what=what, because=because, study="s", run="r")
    return path


def test_odd_characters_come_back_as_they_were(log):
    assert [(d.who, d.what, d.because) for d in read_decisions(log)] == WORDS
    lines = log.read_bytes().split(b"\n")
    assert len(lines) == 4
    assert lines[-1] == b""
    assert "折扣".encode() in lines[0]
    assert [json.loads(line)["number"] for line in lines[:3]] == [1, 2, 3]


def test_the_time_is_utc(tmp_path):
    now = datetime.fromisoformat("2026-03-01T07:30:15.9+08:00")
    made = append_decision(tmp_path / "a.jsonl", who="a", what="b", now=now)
    assert made.time == "2026-02-28T23:30:15Z"
    assert now.astimezone(UTC).hour == 23


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda lines: [lines[0].replace(b"15%", b"25%"), *lines[1:]], "line 2 does not follow"),
        (lambda lines: [*lines[:2], lines[2].replace(b"xx", b"xy", 1)], "line 3 was changed"),
        (lambda lines: lines[1:], "line 1 does not follow"),
        (lambda lines: [lines[0], lines[2]], "line 2 does not follow"),
        (lambda lines: lines[:2], "1 of 3 lines are gone from the end"),
        (lambda lines: [], "3 of 3 lines are gone from the end"),
        (lambda lines: [lines[1], lines[0], lines[2]], "line 1 does not follow"),
        (lambda lines: [lines[0], lines[0], *lines[1:]], "line 2 does not follow"),
        (lambda lines: [lines[0] + b" ", *lines[1:]], "line 1 is none that this program writes"),
        (lambda lines: [lines[0], b"", *lines[1:]], "line 2 is none that"),
        (lambda lines: [*lines[:2], b"[" * 100_000], "line 3 is none that"),
        (lambda lines: [b"\xff\xfe", *lines[1:]], "line 1 is none that"),
    ],
)
def test_any_tampering_is_found_and_nothing_is_added_to_it(log, harm, said):
    lines = log.read_bytes().split(b"\n")[:-1]
    log.write_bytes(b"".join(line + b"\n" for line in harm(lines)))
    before = log.read_bytes()
    with pytest.raises(InputError) as caught:
        read_decisions(log)
    assert any(fault.startswith(said) for fault in caught.value.faults), caught.value.faults
    with pytest.raises(InputError):
        append_decision(log, who="a", what="b")
    assert log.read_bytes() == before
    assert decisions_on(log, "r") == ()


def test_every_cut_is_found(log):
    data = log.read_bytes()
    for end in {*range(0, len(data), 371), len(data) - 1}:
        log.write_bytes(data[:end])
        with pytest.raises(InputError, match="fault"):
            read_decisions(log)


def test_a_log_made_anew_is_found_by_a_hash_noted_elsewhere(log):
    noted = read_decisions(log)[1].hash
    assert len(read_decisions(log, known=noted)) == 3
    for path in log.parent.iterdir():
        path.unlink()
    append_decision(log, who="a", what="another story")
    with pytest.raises(InputError, match="no line has the hash"):
        read_decisions(log, known=noted)


def test_a_lost_head_is_said(log):
    log.with_name(log.name + ".head").unlink()
    with pytest.raises(InputError, match="says how many lines"):
        read_decisions(log)


def test_a_kill_between_the_line_and_its_count_leaves_a_whole_log(log, monkeypatch):
    head = log.with_name(log.name + ".head").read_bytes()
    append_decision(log, who="a", what="b")
    log.with_name(log.name + ".head").write_bytes(head)
    assert len(read_decisions(log)) == 4
    append_decision(log, who="a", what="c")
    assert len(read_decisions(log)) == 5


def test_a_full_disk_leaves_the_log_as_it_was(log, monkeypatch):
    before = log.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decisions.os, "fsync", full)
    with pytest.raises(InputError, match="not written"):
        append_decision(log, who="a", what="b")
    monkeypatch.undo()
    assert log.read_bytes() == before
    assert append_decision(log, who="a", what="b").number == 4


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"who": " ", "what": "b"}, "who is empty"),
        ({"who": "a", "what": "\n"}, "what is empty"),
        ({"who": "a", "what": "x" * 10_001}, "10,001 characters"),
        ({"who": "a\udcff", "what": "b"}, "no text"),
    ],
)
def test_what_cannot_stand_in_the_log_is_refused(tmp_path, texts, said):
    with pytest.raises(InputError, match=said):
        append_decision(tmp_path / "a.jsonl", **texts)
    assert list(tmp_path.iterdir()) == []


WRITER = """
import sys
from pricing.report.decisions import append_decision
for i in range(15):
    append_decision(sys.argv[1], who=sys.argv[2], what="决定 " + "y" * 5_000 + str(i))
"""


def test_writers_at_once_tear_no_line(tmp_path):
    log = tmp_path / "decisions.jsonl"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(log), f"w{n}"], env=env)
        for n in range(3)
    ]
    for number in range(15):  # and this one, reading too
        append_decision(log, who="here", what=str(number))
        assert read_decisions(log)
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    held = read_decisions(log)
    assert len(held) == 60
    for who in ("w0", "w1", "w2"):
        own = [d.what[-2:].lstrip("y") for d in held if d.who == who]
        assert own == [str(i) for i in range(15)]


def test_the_page_lists_the_decisions_on_its_run(randhie, tmp_path, capsys):
    folder = tmp_path / "reports" / "randhie"
    shutil.copytree(randhie.folder, folder)
    before = (folder / "index.html").read_bytes()
    who, _, because = WORDS[1]
    with pytest.raises(SystemExit) as end:
        main(["decide", str(folder), "--what", "Cap <script>alert(1)</script>", "--who", who])
    assert end.value.code == 0
    decide(folder, who="李伟", what="维持 20%", because=because)
    append_decision(folder.parent / "decisions.jsonl", who="a", what="of another run", run="x")
    page = (folder / "index.html").read_text("utf-8")
    assert "Decisions on this run" in page
    assert "维持 20%" in page
    assert "&lt;script&gt;alert(1)" in page
    assert "of another run" not in page
    start, _, rest = page.partition("<!--decisions-->")
    assert (start + "<!--decisions-->" + rest[rest.index("<!--/decisions-->") :]).encode() == before
    write(randhie.study, randhie.results, folder)  # a run again: the same page, the decisions in it
    assert (folder / "index.html").read_text("utf-8") == page
    capsys.readouterr()
    for known, code in (("", 0), ("0" * 64, 1)):
        with pytest.raises(SystemExit) as end:
            main(
                [
                    "log",
                    str(folder.parent / "decisions.jsonl"),
                    *(["--known", known] if known else []),
                ]
            )
        assert end.value.code == code
    assert "3 decisions, their chain is whole" in capsys.readouterr().out
    log = folder.parent / "decisions.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole.replace("维持 20%".encode(), "维持 25%".encode()))
    write(randhie.study, randhie.results, folder)
    page = (folder / "index.html").read_text("utf-8")
    assert "is broken, so no decision is shown" in page  # never silently none
    assert "已损坏" in page
    assert "pricing log decisions.jsonl" in page
    assert "维持 25%" not in page
    log.write_bytes(whole)
    write(randhie.study, randhie.results, folder)
    assert "is broken" not in (folder / "index.html").read_text("utf-8")


def test_no_decision_without_a_report(tmp_path):
    with pytest.raises(InputError, match="no report"):
        decide(tmp_path, who="a", what="b")
    assert list(tmp_path.iterdir()) == []
