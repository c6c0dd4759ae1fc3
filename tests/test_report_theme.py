"""Colours of the pages: read on white and on dark, by the colour-blind too."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

import pricing
from pricing.result.figure import COLOURS, DARKER, PAGES

SOURCE = Path(pricing.__file__).parent
# Machado, Oliveira and Fernandes (2009), severity 1, on linear light.
BLINDNESS = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
    "none": np.eye(3),
}  # fmt: skip


def linear(colour):
    parts = np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """WCAG 2.2: ratio of relative luminances."""
    light = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (light[1] + 0.05) / (light[0] + 0.05)


def lab(rgb):
    matrix = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
              [0.0193339, 0.1191920, 0.9503041]]  # fmt: skip
    xyz = np.array(matrix) @ np.clip(rgb, 0, 1) / [0.95047, 1.0, 1.08883]
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


SERIES = ["estimate", "second", "third"]


@pytest.mark.parametrize("dark", [False, True])
def test_marks_stand_out_from_the_page(dark):
    page = PAGES[dark]
    for name in [*SERIES, "line", "text"]:
        colour = COLOURS[name].lower()
        least = 4.5 if name in ("text", "line") else 3.0  # WCAG 2.2, 1.4.3 and 1.4.11
        assert contrast(DARKER[colour] if dark else colour, page) >= least, name


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("kind", list(BLINDNESS))
def test_series_are_told_apart_by_the_colour_blind(dark, kind):
    those = [COLOURS[name].lower() for name in SERIES]
    seen = [lab(BLINDNESS[kind] @ linear(DARKER[c] if dark else c)) for c in those]
    for one, other in itertools.combinations(seen, 2):
        assert np.linalg.norm(one - other) > 15


def test_every_colour_of_a_figure_has_its_dark_one():
    """Whoever draws in a new colour gives it a dark one in result/figure.py."""
    rooms = [p for p in SOURCE.rglob("*.py") if p.parts[-2] not in ("report", "tariff", "verify")]
    used = {
        c.lower() for p in rooms for c in re.findall(r"\"(#[0-9a-fA-F]{6})\"", p.read_text("utf-8"))
    }
    assert {"#0072b2", "#d55e00"} <= used
    assert used - DARKER.keys() - set(DARKER.values()) == set()


def test_one_sheet_dresses_text_in_both(tmp_path):
    style = (SOURCE / "report" / "page.css").read_text(encoding="utf-8")
    blocks = re.findall(
        r"--paper: (#\w+); --ink: (#\w+); --quiet: (#\w+);.*?--accent: (#\w+); --panel: (#\w+)",
        style,
        re.S,
    )
    assert len(blocks) == 3
    assert blocks[1] == blocks[2]  # asked for, or the system's own
    for paper, *texts, panel in blocks:
        full = [f"#{c[1:] * 2}" if len(c) == 4 else c for c in (paper, panel)]
        for text in texts:
            assert min(contrast(text, page) for page in full) >= 4.5, (paper, text)
    assert blocks[1][0] == PAGES[True]
