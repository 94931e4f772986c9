"""A device sends what is normal and what is not, the patient answers, the doctor is told; files with readings."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from deployments.demo.laboratory import Steps
from deployments.demo.scenario import Hub, Outcome, ScenarioError
from deployments.launcher.parts import ROOT, python_module

PATIENT, ADDRESS, DOCTOR = "PAT-003", "ngozi@patients.example", "doctor@lagoon.example"
MAIL_SECONDS = 30
SETTLED_SECONDS = 4
"""A file that was written a moment ago is left alone."""
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


def files(hub: Hub) -> list[Outcome]:
    """A folder of files is ingested; the bad one goes to quarantine with its reason, and the run says so."""
    steps = Steps(hub)
    with steps.step("ingest-vitals-files", "2 good files, 1 bad") as said:
        base = hub.state_dir / "iot"
        inbox = base / "inbox" / "lagoon"
        inbox.mkdir(parents=True, exist_ok=True)
        for number in (1, 2):  # since the patient wears the device
            moment = datetime.now(UTC) - timedelta(seconds=number)
            reading = {"device_id": "DEV001", "timestamp": moment.isoformat(), "heart_rate": 72}
            (inbox / f"DEV001_{number}.json").write_text(json.dumps(reading))
        (inbox / "DEV001_torn.json").write_text('{"device_id": "DEV001", "timest')
        time.sleep(SETTLED_SECONDS)
        run = hub.run_deployment("ingest-vitals-files/ingest-vitals-files", tenant="lagoon")
        # The minute's own run may have claimed the files first: then ours has nothing to do, and that one ends later.
        _until(lambda: _ends(base) == (2, 1), "2 files in the archive and 1 in quarantine")
        said |= {"outcome": "2 archived, 1 in quarantine with its reason", "link": hub.run_link(run)}
    return steps.rows


def _ends(base: Path) -> tuple[int, int]:
    """How many files came to the archive, how many reasons to quarantine."""
    archived, reasons = (base / "archive" / "lagoon").rglob("*.json"), (base / "quarantine").rglob("*.reason.txt")
    return len(list(archived)), len(list(reasons))


def _until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + MAIL_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise ScenarioError(f"waited {MAIL_SECONDS} s for {what}")
        time.sleep(0.5)


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
