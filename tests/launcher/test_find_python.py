"""Which Python the set-up takes: what was named, else a quick one, else any that is new enough."""

import os
import subprocess
from pathlib import Path

import pytest

from deployments.launcher.parts import ROOT

OPTIMISED, PLAIN = "'--enable-shared' '--enable-optimizations'", "'--enable-shared'"
VENV = ["/usr/bin/python3", "-c", "import ensurepip"]
HAS_VENV = subprocess.run(VENV, check=False, capture_output=True).returncode == 0


@pytest.fixture
def found(tmp_path: Path) -> str:
    """A folder of interpreters that come before all others."""
    return str(tmp_path)


def put(folder: str, name: str, arguments: str, *, is_new: bool = True) -> str:
    """An interpreter that says it was configured so, and whether it is new enough."""
    path = Path(folder, name)
    answer = f'case "$2" in *ensurepip*) echo "$0 {arguments}" ;; *) exit {0 if is_new else 1} ;; esac'
    path.write_text(f"#!/bin/sh\n{answer}\n")
    path.chmod(0o700)
    return str(path)


def chosen(folder: str, **environment: str) -> str:
    path = f"{folder}:{os.environ['PATH']}"
    values = {"PATH": path} | environment
    done = subprocess.run([ROOT / ".ci/find-python"], check=False, env=values, capture_output=True, text=True)
    return done.stdout.strip()


def test_an_optimised_python3_is_taken(found: str) -> None:
    assert chosen(found) != (python := put(found, "python3", OPTIMISED))
    assert chosen(found) == python


@pytest.mark.skipif(not HAS_VENV, reason="the distribution's Python makes no environments")
def test_the_distributions_is_taken_before_one_that_is_slow(found: str) -> None:
    put(found, "python3", PLAIN)
    assert chosen(found) == "/usr/bin/python3"


def test_what_is_named_is_taken_however_slow(found: str) -> None:
    put(found, "python3", OPTIMISED)
    named = put(found, "mine", PLAIN)
    assert chosen(found, PYTHON=named) == named


def test_one_that_is_too_old_is_not_taken(found: str) -> None:
    old = put(found, "python3", OPTIMISED, is_new=False)
    assert chosen(found) != old
    assert chosen(found, PYTHON=old) != old
