"""The demo's scenarios, in the order they are shown. A new one is a function and a line in SCENARIOS."""

from deployments.demo.imaging import dropped, imaging
from deployments.demo.laboratory import held_result, main_job, other_tenant, panel, unknown_submission, upkeep
from deployments.demo.scenario import Scenario
from deployments.demo.vitals import device, files

SCENARIOS: list[Scenario] = [
    *(main_job, panel, held_result, unknown_submission, other_tenant),
    *(device, files, imaging, dropped, upkeep),
]
