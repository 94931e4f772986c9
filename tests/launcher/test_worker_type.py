"""The stock worker is one setting away, and back."""

from pathlib import Path

import pytest

from tests.launcher.running import RunningHub, running_hub

pytestmark = [pytest.mark.contract, pytest.mark.slow]


def _pool_type(hub: RunningHub) -> str:
    with hub.prefect() as client:
        return str(client.get("/work_pools/labwire").raise_for_status().json()["type"])


def test_the_kind_of_worker_is_a_setting(tmp_path: Path) -> None:
    with running_hub(tmp_path) as hub:
        assert _pool_type(hub) == "labwire-warm"
        hub.wait_for_state(hub.start_run(), "COMPLETED")
        assert hub.stop() == 0
        for kind in ("process", "labwire-warm"):
            hub.settings["LABWIRE_WORKER_TYPE"] = kind
            hub.start()
            assert _pool_type(hub) == kind
            hub.wait_for_state(hub.start_run(), "COMPLETED")
            if kind == "process":
                assert hub.stop() == 0
