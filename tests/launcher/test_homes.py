"""Homes of embedded servers: a killed owner's are removed by the next start, a kept one is never removed unasked."""

import subprocess
import sys
from pathlib import Path

import pytest

from deployments.launcher import homes
from deployments.launcher.parts import ROOT
from deployments.launcher.process import child_setup

pytestmark = pytest.mark.unit

HOLD = """
import sys
from pathlib import Path
from deployments.launcher.homes import make_throw_away
print(make_throw_away("thrown-", Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def holder(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    """Another process that holds a home of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(parent)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=child_setup(),  # noqa: PLW1509 # calls into libc prepared beforehand
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_throw_away_home_lives_as_long_as_its_process_and_is_removed_by_the_next(tmp_path: Path) -> None:
    process, home = holder(tmp_path)
    (home / "data").mkdir()
    mine = homes.make_throw_away("thrown-", tmp_path)
    assert home.is_dir(), "its process lives"
    process.kill()
    process.communicate()
    other = homes.make_throw_away("thrown-", tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([mine, other])


def test_what_is_not_known_to_be_thrown_away_is_left_alone(tmp_path: Path) -> None:
    being_made = tmp_path / "thrown-being-made"
    being_made.mkdir()
    homes.make_throw_away("thrown-", tmp_path)
    assert being_made.is_dir()


def test_a_kept_home_names_its_state_folder_and_is_told_of_when_that_is_gone(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    home = homes.make_kept(tmp_path, state_dir)
    (state_dir / "postgres-home").write_text(str(home))
    assert list(homes.kept(tmp_path)) == [(home, state_dir)]
    assert homes.abandoned(tmp_path) == []
    (state_dir / "postgres-home").unlink()
    assert homes.abandoned(tmp_path) == [(home, state_dir)]
    assert home.is_dir()
