"""The house rules, as tests: linters, types, borders, budgets, lessons, and a README that tells the truth."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import engine.operations
import engine.steps
from engine.api import containers, networks
from engine.flow.step import CATALOGUE
from engine.model.status import AFTER, TRANSITIONS, NetworkVerb, Verb
from tests.diagram import diagram

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
FILE_LINES, FUNCTION_LINES = 400, 60
GENERATED = "engine/host/containerd/proto/"
README = (ROOT / "README.md").read_text()

for package in (engine.steps, engine.operations):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)


def sources(*below: str) -> Iterator[Path]:
    """Python files written by people."""
    for top in below or ("engine", "tui", "tests", "screenshots"):
        yield from (path for path in (ROOT / top).rglob("*.py") if GENERATED not in str(path))


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# Machines that check


def test_ruff() -> None:
    run(sys.executable, "-m", "ruff", "check", "--quiet")


@pytest.mark.timeout(600)
def test_mypy() -> None:
    run(sys.executable, "-m", "mypy")


def test_borders() -> None:
    run(str(BIN / "lint-imports"))


def test_shell_scripts_parse() -> None:
    for script in (ROOT / ".ci").iterdir():
        shell = script.read_text().partition("\n")[0].removeprefix("#!")
        run(shell, "-n", str(script))


# Budgets


def test_files_fit_a_head() -> None:
    long = {str(path.relative_to(ROOT)): lines for path in sources() if (lines := path.read_text().count("\n")) > FILE_LINES}
    assert not long, f"over {FILE_LINES} lines: {long}"


def test_functions_fit_a_screen() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES
    ]
    assert not long, f"over {FUNCTION_LINES} lines: {long}"


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    marks = re.compile(r"pytest\.(mark\.)?(skip|skipif|xfail|importorskip)\b")
    found = [str(path) for path in sources("tests") if path != Path(__file__) and marks.search(path.read_text())]
    assert not found


# One verb, one file, one test, one word


VERBS = (*Verb, *NetworkVerb)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_has_its_file_and_its_test(verb: str) -> None:
    assert callable(getattr(importlib.import_module(f"engine.operations.{verb}"), verb))
    assert (ROOT / f"tests/engine/operations/test_{verb}.py").exists()


@pytest.mark.parametrize("verb", Verb)
def test_a_verb_has_its_row_in_the_table(verb: Verb) -> None:
    assert (verb in AFTER) is (verb not in (Verb.RENAME, Verb.UPDATE, Verb.CONNECT, Verb.DISCONNECT))
    assert verb is Verb.CREATE or verb in TRANSITIONS


@pytest.mark.parametrize("verb", [verb for verb in Verb if verb.asked])
def test_a_verb_has_its_route(verb: Verb) -> None:
    home = networks if verb in (Verb.CONNECT, Verb.DISCONNECT) else containers
    routes = {handler.__name__: (method, path) for method, path, handler in home.ROUTES}
    method, path = routes[verb]
    assert method == "DELETE" if verb is Verb.REMOVE else path.endswith(f"/{verb}")


def test_no_operation_is_without_a_verb() -> None:
    files = {module.name for module in pkgutil.iter_modules(engine.operations.__path__)}
    assert files == set(VERBS)


# A step's docstring is its lesson


def steps() -> list[str]:
    homes = ("engine.steps.", "engine.operations.")
    return sorted(name for name, step in CATALOGUE.items() if step.__module__.startswith(homes))


def test_the_catalogue_is_every_step_there_is() -> None:
    written = {
        node.name
        for path in sources("engine/steps", "engine/operations")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and any("Step" in ast.unparse(base) for base in node.bases) and not node.keywords
    }
    assert set(steps()) == written and written


@pytest.mark.parametrize("name", steps())
def test_a_step_teaches(name: str) -> None:
    """A name for the screen on the first line, then a lesson in whole sentences; and words for both ways."""
    step = CATALOGUE[name]
    head, _, body = inspect.cleandoc(step.__doc__ or "").partition("\n\n")
    assert 0 < len(head) <= 60 and "\n" not in head and not head.endswith("."), "the first line is its name on the screen"
    assert len(body.split()) >= 20 and body.rstrip().endswith((".", ":")), "the rest is what a student reads"
    for method in ("title", "do", "undo", "evidence"):
        assert method in vars(step) or any(method in vars(base) for base in step.__mro__[1:-3]), f"{name} has no {method}"


# The README tells the truth


def test_readme_draws_the_transition_table() -> None:
    assert diagram() in README, "paste what `python -m tests.diagram` prints"


def test_readme_names_paths_that_exist() -> None:
    named = {word.rstrip("/") for word in re.findall(r"[`(]((?:\.ci|engine|tui|tests|screenshots)/[\w./-]*)[`)#]", README)}
    missing = sorted(path for path in named if not (ROOT / path).exists())
    assert named and not missing


def test_readme_names_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^ *)make ([a-z]+)", README, re.MULTILINE))
    assert {"run", "test"} <= named <= targets


def test_readme_shows_a_picture_in_the_first_screen() -> None:
    assert re.search(r"!\[[^]]+\]\(screenshots/", "\n".join(README.splitlines()[:30]))


def test_changelog_begins_with_what_is_not_released() -> None:
    assert re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0] == "Unreleased"
