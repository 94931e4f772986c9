"""A device sends what is normal and what is not; the patient is asked, answers, and the doctor is told."""

import json
import os
import re
import subprocess
import time
from datetime import UTC, datetime
from typing import Any

import httpx

from deployments.demo.laboratory import Steps
from deployments.demo.scenario import Hub, Outcome, ScenarioError
from deployments.launcher.parts import ROOT, python_module

PATIENT, ADDRESS, DOCTOR = "PAT-003", "ngozi@patients.example", "doctor@lagoon.example"
MAIL_SECONDS = 30
LINK = re.compile(r"https?://[^\s\"'<>]+/alerts/question/[^\s\"'<>]+")


def device(hub: Hub) -> list[Outcome]:
    """The documented requests of a device, and the two stages of an alert."""
    steps = Steps(hub)
    with steps.step("device", f"DEV001 of {PATIENT}") as said:
        _labwire(hub, "device", "create", "DEV001", "--tenant", "lagoon", "--patient", PATIENT)
        key = _labwire(hub, "device", "key", "DEV001", "--tenant", "lagoon")["key"]
        said["outcome"] = "created, key shown once"
    with steps.step("POST vitals", "a normal reading") as said:
        answer = _post(hub, key, heart_rate=75)
        said["outcome"] = _expect(answer, alerts_triggered=0)
    with steps.step("POST vitals", "heart rate 190") as said:
        answer = _post(hub, key, heart_rate=190)
        said["outcome"] = _expect(answer, alerts_triggered=1)
        said["link"] = steps.page("/alerts")
    with steps.step("alert", "the patient is asked") as said:
        steps.run("escalate-alerts", tenant="lagoon")
        steps.run("deliver-messages", tenant="lagoon")
        link = LINK.search(_mail_to(hub, ADDRESS, "alerts/question"))
        if link is None:
            raise ScenarioError("the patient's mail holds no link")
        said["outcome"] = "a mail with a one-time link"
    with steps.step("alert", "the patient answers yes") as said:
        with httpx.Client(trust_env=False) as browser:
            form = re.search(r'name="csrf_token" value="([^"]+)"', browser.get(link[0]).raise_for_status().text)
            if form is None:
                raise ScenarioError("the patient's page has no form")
            browser.post(link[0], data={"answer": "yes", "csrf_token": form[1]}).raise_for_status()
        said["outcome"] = "the doctor may be told"
    with steps.step("alert", "the doctor is told") as said:
        steps.run("escalate-alerts", tenant="lagoon")
        steps.run("deliver-messages", tenant="lagoon")
        _mail_to(hub, DOCTOR, "/alerts/")
        said |= {"outcome": "mail arrived", "link": hub.urls["mailbox"]}
    return steps.rows


def _labwire(hub: Hub, *words: str) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LABWIRE_", "PREFECT_"))}
    done = subprocess.run(
        python_module("deployments.cli.main", *words, "--json"),
        env=environment | hub.settings | {"LABWIRE_STATE_DIR": str(hub.state_dir)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ScenarioError(f"labwire {' '.join(words[:2])}: {done.stderr.strip()[-300:]}")
    return dict(json.loads(done.stdout))


def _post(hub: Hub, key: str, **values: int) -> dict[str, Any]:
    body = {"device_id": "DEV001", "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"), **values}
    headers = {"Authorization": f"Bearer {key}"}
    return dict(hub.api.post("/api/iot/vitals/", json=body, headers=headers).raise_for_status().json())


def _expect(answer: dict[str, Any], *, alerts_triggered: int) -> str:
    if not answer["success"] or answer["alerts_triggered"] != alerts_triggered:
        raise ScenarioError(f"answered {answer}")
    return f"vital sign {answer['vital_sign_id']}, alerts {alerts_triggered}"


def _mail_to(hub: Hub, address: str, what: str) -> str:
    deadline = time.monotonic() + MAIL_SECONDS
    while time.monotonic() < deadline:
        for mail in httpx.get(f"{hub.urls['mailbox']}/messages.json", trust_env=False).raise_for_status().json():
            if address in json.dumps(mail):
                page = httpx.get(f"{hub.urls['mailbox']}/messages/{mail['id']}", trust_env=False).raise_for_status()
                if what in page.text:
                    return page.text
        time.sleep(0.5)
    raise ScenarioError(f"no mail to {address} within {MAIL_SECONDS} s")
