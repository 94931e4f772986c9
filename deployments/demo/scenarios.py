"""The demo's scenarios, in the order they are shown. A new one is a function and a line in SCENARIOS."""

from deployments.demo.scenario import Hub, Outcome, Scenario


def stand_up(hub: Hub) -> list[Outcome]:
    """A flow run asked for over REST goes through deployment, work pool and worker, and completes."""
    run = hub.run_deployment("check-stand-up/check-stand-up", note="demo")
    message = (run["state"] or {}).get("message") or ""
    return [
        Outcome(
            process="check-stand-up",
            given='note "demo"',
            outcome=f"{run['state_name']}: {message}",
            link=hub.run_link(run),
            is_right=run["state_type"] == "COMPLETED" and message == "stands up: demo",
        )
    ]


SCENARIOS: list[Scenario] = [stand_up]
