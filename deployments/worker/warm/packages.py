"""Whose flows may be forked: modules a warm parent imports ahead, and whose sources it must be as new as."""

import os
from importlib.util import find_spec

VARIABLE = "LABWIRE_WARM_PACKAGES"
"""Packages besides ours, separated by spaces: a hospital's own flows, for one."""
OURS = ("flows",)
BELOW = ("deployments", "expectations", "flows", "models", "tasks")
"""What our flows are made of."""


def warm_packages() -> tuple[str, ...]:
    """Packages whose every module is imported before the first run."""
    return OURS + tuple(os.environ.get(VARIABLE, "").split())


def is_warm(entrypoint: str) -> bool:
    """Whether an entrypoint `package.module.function` lies in one of them; a file path never does."""
    return any(entrypoint.startswith(f"{package}.") for package in warm_packages())


def source_folders() -> list[str]:
    """The folders of everything a parent imports that is ours, or named by the variable."""
    found = []
    for package in (*BELOW, *warm_packages()):
        specification = find_spec(package)
        found += list((specification and specification.submodule_search_locations) or ())
    return sorted(set(found))
