"""The page in a real browser: drawn, dressed and spoken as asked, with a silent console."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from pricing.report.pdf import FLAGS, browser
from pricing.report.portfolio import write_index
from pricing.result.figure import DARKER

KEPT = [flag for flag in FLAGS if "pdf" not in flag]


def opened(page, asked, profile):
    """The page as the browser holds it, and what its console said."""
    program = browser()
    if program is None:
        pytest.skip("there is no Chromium, Chrome or Edge on this machine")
    root = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    command = [program, *KEPT, *root, f"--user-data-dir={profile}", "--enable-logging=stderr", "--v=0",
               "--window-size=1280,2000", "--virtual-time-budget=20000", "--dump-dom",
               f"{page.as_uri()}?{asked}"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, encoding="utf-8")
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize("lang, theme, tag", [("en", "light", "en"), ("zh", "dark", "zh-Hans")])
def test_the_decision_is_drawn_in_its_language_and_theme(randhie, tmp_path, lang, theme, tag):
    page = randhie.folder / "index.html"
    dom, console = opened(page, f"lang={lang}&theme={theme}", tmp_path)
    assert console == []
    assert re.search(rf'<html lang="{tag}" data-lang="{lang}" data-theme="{theme}"', dom)
    assert f"<title>{randhie.study.title(lang)}</title>" in dom
    first = dom[dom.index('id="decision"') : dom.index('id="since"')]
    places = re.findall(r'<div class="(\w+) drawn[^"]*" data-figure="([^"]+)"[^>]*>(<div)?', first)
    assert {(one, bool(svg)) for one, _, svg in places} == {
        (lang, True),
        ("zh" if lang == "en" else "en", False),
    }
    blue = DARKER["#0072b2"] if theme == "dark" else "#0072b2"
    red, green, other = (int(blue[n : n + 2], 16) for n in (1, 3, 5))
    assert f"rgb({red}, {green}, {other})" in first


def test_the_index_opens_in_a_browser(randhie, tmp_path):
    folder = tmp_path / "reports"
    folder.mkdir()
    (folder / "one").symlink_to(randhie.folder)
    dom, console = opened(write_index(folder), "lang=zh&theme=dark", tmp_path / "profile")
    assert console == []
    assert "<title>全部研究</title>" in dom
    assert 'data-theme="dark"' in dom
