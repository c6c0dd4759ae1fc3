"""The house: its map is the tree, its floors hold, and what must not be in it is not."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import pricing

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "pricing"
FILES = sorted(SOURCE.rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MODULES = sorted(m.name for m in pkgutil.walk_packages(pricing.__path__, "pricing."))


def map_of_rooms():
    """Floor and files of each room, as ARCHITECTURE.md lists them."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in text.splitlines()
        if re.match(r"\|\s*\d+\s*\|", line)
    ]
    rooms = {}
    for floor, room, files, what in rows:
        name = room.strip("`")
        assert name not in rooms, f"{name} stands twice in ARCHITECTURE.md"
        assert what, name
        rooms[name] = (int(floor), sorted(re.findall(r"`([^`]+)`", files)))
    return rooms


def tree_of_rooms():
    rooms = {}
    for path in SOURCE.iterdir():
        if path.is_dir() and (path / "__init__.py").is_file():
            rooms[f"{path.name}/"] = sorted(
                p.stem for p in path.glob("*.py") if p.stem != "__init__"
            )
        elif path.suffix == ".py" and path.stem != "__init__":
            rooms[path.stem] = []
    return rooms


def test_the_map_is_the_tree():
    assert {room: files for room, (_, files) in map_of_rooms().items()} == tree_of_rooms()


def test_the_maps_floors_are_the_contracts():
    layers = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    order = [{n.strip().removeprefix("pricing.") for n in layer.split("|")} for layer in layers]
    place = {room: i for i, rooms in enumerate(reversed(order)) for room in rooms}
    floors = {room.strip("/"): floor for room, (floor, _) in map_of_rooms().items()}
    assert set(place) == set(floors)
    for one in place:
        for other in place:
            if place[one] < place[other]:
                assert floors[one] <= floors[other], (one, other)
            if place[one] == place[other]:
                assert floors[one] == floors[other], (one, other)


def test_the_floors_hold(tmp_path):
    """lint-imports keeps every contract of pyproject.toml."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--config", ROOT / "pyproject.toml", "--no-cache"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    contracts = len(PROJECT["tool"]["importlinter"]["contracts"])
    assert f"{contracts} kept, 0 broken" in done.stdout


def test_nothing_imports_the_package_root():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert "pricing" not in [n.name for n in node.names], path
            if isinstance(node, ast.ImportFrom):
                assert node.module != "pricing", path
                assert node.level == 0, path


LOCKS = (ROOT / "requirements.lock", ROOT / "spark.lock")


@pytest.mark.parametrize(
    "name", ["Makefile", "requirements.lock", "spark.lock", "build.in", "pyproject.toml"]
)
def test_no_host_stands_in_what_builds(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"--(extra-)?index-url|--trusted-host|--find-links", text)


def test_every_pin_has_its_hash():
    lines = [line for lock in LOCKS for line in lock.read_text(encoding="utf-8").splitlines()]
    pins = [i for i, line in enumerate(lines) if re.match(r"[a-zA-Z0-9]", line)]
    assert len(pins) > 50
    for i in pins:
        assert "==" in lines[i], lines[i]
        assert "--hash=sha256:" in lines[i + 1], lines[i]


def test_every_dependency_is_locked():
    lock = "".join(lock.read_text(encoding="utf-8").lower() for lock in LOCKS)
    project = PROJECT["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(name for extra in extras for name in extra)]
    for requirement in wanted:
        name = re.match(r"[\w.-]+", requirement)[0].lower()
        assert re.search(rf"^{re.escape(name)}==", lock, re.M), name


def test_nothing_is_pickled():
    words = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                assert not words & {n.name.partition(".")[0] for n in node.names}, path
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] not in words, path
        assert "to_pickle" not in text, path


def test_categorical_is_read_and_never_made():
    """A column may arrive as Categorical; it is cast away, and none is made."""
    made = re.compile(
        r"cast\(\s*(pl\.)?Categorical|dtype\s*=\s*(pl\.)?Categorical|pl\.Categorical\("
    )
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert not made.search(text), path
        if "pl.Categorical" in text:
            room = path.relative_to(SOURCE).as_posix()
            assert room in {
                "data/files.py",
                "data/values.py",
                "experience/cells.py",
                "experience/cover.py",
            }, room


def test_no_room_is_called_after_nothing():
    for path in FILES:
        assert path.stem not in {"utils", "util", "helpers", "helper", "base", "common", "misc"}


def test_rooms_are_small():
    for path in FILES:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 500, path


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_says_what_it_is(name):
    module = importlib.import_module(name)
    assert (module.__doc__ or "").strip(), name
    for public in getattr(module, "__all__", ()):
        thing = getattr(module, public)
        if not (inspect.isfunction(thing) or inspect.isclass(thing)):
            continue
        said = inspect.getdoc(thing) or ""
        assert said, f"{name}.{public} has no docstring"
        if inspect.isfunction(thing):
            assert ">>>" in said, f"{name}.{public} has no example"
            missing = [
                p.name
                for p in inspect.signature(thing).parameters.values()
                if p.annotation is inspect.Parameter.empty
            ]
            assert not missing, f"{name}.{public}: {missing} without a type"


def test_every_file_names_what_it_offers():
    for name in MODULES:
        if name.count(".") > 1 or name in ("pricing.errors", "pricing.files"):
            module = importlib.import_module(name)
            assert hasattr(module, "__all__"), name
            assert len(module.__all__) == len(set(module.__all__)), name


def test_the_root_offers_its_rooms_lazily():
    assert set(pricing.__all__) <= set(dir(pricing))
    for name in pricing.__all__:
        assert getattr(pricing, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nosuch'"):
        _ = pricing.nosuch


def test_the_version_is_one():
    from importlib.metadata import version

    assert version("pricing") == PROJECT["project"]["version"]


def test_the_data_folder_ships_with_the_wheel():
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"data": "pricing/_data"}
    for path in (ROOT / "data").rglob("*"):
        assert path.is_dir() or path.stat().st_size < 500_000, path


def test_every_reference_table_has_its_source():
    tables = ROOT / "data" / "tables"
    sources = tomllib.loads((tables / "SOURCES.toml").read_text(encoding="utf-8"))
    assert set(sources) == {p.stem for p in tables.glob("*.csv")}
    assert all(entry["source"] for entry in sources.values())
