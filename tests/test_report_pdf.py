"""PDF: printed by a browser that the machine has, whole, numbered, with nothing asked of a network."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pricing.cli import main
from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.report import pdf as pdf_module
from pricing.report.pdf import browser, write_pdf


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "index.html").write_text("<title>a</title><h1>a</h1>", encoding="utf-8")
    return tmp_path


def test_a_report_prints_in_both_languages(randhie, tmp_path):
    if browser() is None:
        pytest.skip("there is no Chromium, Chrome or Edge on this machine")
    shutil.copytree(randhie.folder, tmp_path / "report")
    for lang, word in (("en", "RAND Health"), ("zh", "兰德健康")):
        path = write_pdf(tmp_path / "report", lang)
        assert path.name == f"report-{lang}.pdf"
        made = path.read_bytes()
        assert made.startswith(b"%PDF-")
        assert len(re.findall(rb"/Type\s*/Page\b", made)) > 10
        assert b"/Outlines" in made
        assert b"D:20000101000000" in made
        assert not re.search(rb"D:20[1-9]\d", made)
        told = word.encode("utf-16-be").hex().upper().encode()
        assert told in made.upper() or word.encode("ascii", "ignore") in made
    before = {p.name for p in randhie.folder.iterdir()}
    after = {p.name for p in (tmp_path / "report").iterdir()}
    assert after - before == {"report-en.pdf", "report-zh.pdf"}


def test_without_a_browser_it_says_so_and_the_report_stands(folder, monkeypatch):
    monkeypatch.setattr(pdf_module, "browser", lambda: None)
    with pytest.raises(InputError, match="no browser to print with") as refused:
        write_pdf(folder, "en")
    assert "install Chromium, Chrome or Edge" in str(refused.value)
    assert "the report itself is there" in str(refused.value)
    assert [p.name for p in folder.iterdir()] == ["index.html"]


def test_the_browser_is_looked_for_on_the_path(tmp_path, monkeypatch):
    monkeypatch.setattr(pdf_module, "PLACES", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    assert browser() is None
    for name in ("msedge", "google-chrome"):
        (tmp_path / name).write_text("#!/bin/sh\n", encoding="utf-8")
        (tmp_path / name).chmod(stat.S_IRWXU)
    assert browser() == str(tmp_path / "google-chrome")


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for a browser is a shell script")
@pytest.mark.parametrize(
    "script, why",
    [
        ("exit 1", "did not print the page to its end"),
        ("echo '%PDF-1.4 (unfinished)' > \"$out\"", "did not print the page to its end"),
        (None, "could not print"),
    ],
)
def test_a_browser_that_fails_is_named_and_leaves_nothing(
    folder, tmp_path_factory, monkeypatch, script, why
):
    program = tmp_path_factory.mktemp("bin") / "chromium"
    find = (
        'for a in "$@"; do case "$a" in --print-to-pdf=*) out="${a#--print-to-pdf=}";; esac; done\n'
    )
    program.write_text(f"#!/bin/sh\n{find}{script}\n", encoding="utf-8")
    program.chmod(stat.S_IRWXU if script else stat.S_IRUSR)
    if script is None:  # a file that is no program
        program.write_bytes(b"")
        program.chmod(stat.S_IRUSR)
    monkeypatch.setattr(pdf_module, "browser", lambda: str(program))
    with pytest.raises(InputError, match=why) as refused:
        write_pdf(folder, "zh")
    assert str(program) in str(refused.value)
    assert [p.name for p in folder.iterdir()] == ["index.html"]


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for a browser is a shell script")
def test_what_the_browser_is_asked(folder, tmp_path_factory, monkeypatch):
    """Headless, with a profile of its own, every host but none resolved, the page in the language."""
    asked = []

    def run(command, **options):
        asked.append(command)
        target = next(a for a in command if a.startswith("--print-to-pdf="))
        Path(target.partition("=")[2]).write_bytes(
            b"%PDF-1.4 /CreationDate (D:20261122091500+00'00') /ModDate (D:20261122091500+00'00')"
        )
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(pdf_module, "browser", lambda: "chromium")
    monkeypatch.setattr(subprocess, "run", run)
    made = write_pdf(folder, "zh").read_bytes()
    assert made.count(b"(D:20000101000000+00'00')") == 2
    (command,) = asked
    assert "--host-resolver-rules=MAP * ~NOTFOUND" in command
    assert any(a.startswith("--user-data-dir=") for a in command)
    assert command[-1] == f"{(folder / 'index.html').as_uri()}?print=zh"


def test_a_folder_without_a_report_and_a_language_nobody_speaks_are_refused(tmp_path, folder):
    with pytest.raises(InputError, match="there is no report to print"):
        write_pdf(tmp_path / "none", "en")
    with pytest.raises(InputError, match="no language 'fr'"):
        write_pdf(folder, "fr")


def test_the_command_writes_the_report_first_and_then_says_what_lacks(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(pdf_module, "browser", lambda: None)
    out = tmp_path / "report"
    with pytest.raises(SystemExit) as left:
        main(["run", str(bundled("studies/randhie.toml")), "--out", str(out), "--pdf"])
    assert left.value.code == 2
    said = capsys.readouterr()
    assert "no browser to print with" in said.err
    assert "Open in a browser" in said.out
    assert (out / "index.html").is_file()
