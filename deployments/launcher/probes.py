"""Whether a part is ready, asked the way its users would ask."""

import asyncio
import base64
import http.client
import json
import socket
import urllib.request
from datetime import datetime

import psycopg2

from deployments.launcher.parts import Probe

PROBE_SECONDS = 5


def answers(url: str, auth: str = "") -> Probe:
    """Ready when GET `url` answers 200; `auth` is `user:password`."""

    async def probe(since: datetime) -> bool:
        return await asyncio.to_thread(is_answering, url, auth)

    return probe


def accepts(port: int) -> Probe:
    """Ready when the loopback port accepts a connection."""

    async def probe(since: datetime) -> bool:
        return await asyncio.to_thread(is_accepting, port)

    return probe


def database_accepts(url: str) -> Probe:
    """Ready when PostgreSQL lets us in."""

    async def probe(since: datetime) -> bool:
        return await asyncio.to_thread(is_database_ready, url)

    return probe


def worker_reports(api_url: str, auth: str, pool: str) -> Probe:
    """Ready when a worker of the pool has sent a sign of life since it was started."""

    async def probe(since: datetime) -> bool:
        return await asyncio.to_thread(has_worker_reported, api_url, auth, pool, since)

    return probe


def is_answering(url: str, auth: str = "") -> bool:
    """Whether GET `url` answers 200."""
    return _ask(url, auth) is not None


def is_accepting(port: int) -> bool:
    """Whether somebody listens on the loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PROBE_SECONDS).close()
    except OSError:
        return False
    return True


def is_database_ready(url: str) -> bool:
    """Whether PostgreSQL lets us in."""
    try:
        psycopg2.connect(url, connect_timeout=PROBE_SECONDS).close()
    except psycopg2.OperationalError:
        return False
    return True


def has_worker_reported(api_url: str, auth: str, pool: str, since: datetime) -> bool:
    """Whether a worker of the pool has sent a sign of life to the Prefect server after `since`."""
    answer = _ask(f"{api_url}/work_pools/{pool}/workers/filter", auth, body=b"{}")
    workers = json.loads(answer) if answer else []
    beats = [worker["last_heartbeat_time"] for worker in workers]
    return any(datetime.fromisoformat(beat) > since for beat in beats if beat)


def _ask(url: str, auth: str, body: bytes | None = None) -> bytes | None:
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})  # noqa: S310 # our own loopback addresses
    if auth:
        request.add_header("Authorization", "Basic " + base64.b64encode(auth.encode()).decode())
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({})
    )  # a proxy of the environment is not for loopback
    try:
        with opener.open(request, timeout=PROBE_SECONDS) as answer:
            return bytes(answer.read())
    except (OSError, http.client.HTTPException):  # the latter: who answers was killed in the middle of it
        return None
