"""Two real S3 servers as processes: moto, strict about conditional puts, and OpenStack swift, strict about signatures,
checksums and addresses that expire. Each is started when the first test asks for it, once per test process."""

import getpass
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import trustme

from deployments.launcher.postgres import free_port
from tasks.clients.storage.s3_bucket import Account, Bucket, bucket_of
from tests.launcher.running import PATIENCE_SECONDS

PART_BYTES = 5 * 1024 * 1024
"""The least that S3 takes of a part which is not the last."""
PROGRAMS = Path(sys.executable).parent
RINGS = """
import sys
from swift.common.ring import RingBuilder
folder, *servers = sys.argv[1:]
for server in servers:
    kind, port = server.split("=")
    builder = RingBuilder(4, 1, 0)
    builder.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1.0, "ip": "127.0.0.1", "port": int(port),
        "replication_ip": "127.0.0.1", "replication_port": int(port), "device": "disk", "meta": ""})
    builder.rebalance()
    builder.get_ring().save(f"{folder}/{kind}.ring.gz")
"""
STORE = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
fallocate_reserve = 0
workers = 0
user = {user}
log_address = {folder}/no-log
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""
PROXY = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {folder}
workers = 0
user = {user}
log_address = {folder}/no-log
[pipeline:main]
pipeline = catch_errors healthcheck s3api tempauth slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
storage_domain = localhost
[filter:tempauth]
use = egg:swift#tempauth
user_radiology_hub = {secret} .admin
[filter:slo]
use = egg:swift#slo
"""


@dataclass(frozen=True)
class S3Server:
    """Where it listens and the key it lets in; the bucket is there."""

    name: str
    port: int
    key_id: str
    secret: str
    bucket: str = "radiology"
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def account(self, **other: object) -> Account:
        values = {"bucket": self.bucket, "key_id": self.key_id, "secret": self.secret, "region": "us-east-1"}
        return Account(**(values | {"endpoint": self.url, "is_plain": True} | other))  # type: ignore[arg-type]

    def connected(self) -> Bucket:
        return bucket_of(self.account())

    def environment(self) -> dict[str, str]:
        """The settings under which the hub uses it."""
        return {
            "LABWIRE_RADIOLOGY_STORAGE": "s3",
            "LABWIRE_AWS_ACCESS_KEY_ID": self.key_id,
            "LABWIRE_AWS_SECRET_ACCESS_KEY": self.secret,
            "LABWIRE_AWS_STORAGE_BUCKET_NAME": self.bucket,
            "LABWIRE_AWS_S3_ENDPOINT_URL": self.url,
            "LABWIRE_AWS_S3_USE_SSL": "false",
        }


@pytest.fixture(scope="session")
def moto() -> Iterator[S3Server]:
    """An S3 server whose conditional puts are atomic; it lets any key in."""
    server = S3Server("moto", free_port(), "any-key-id", "any-key-for-moto")
    with _running([[str(PROGRAMS / "moto_server"), "-H", "127.0.0.1", "-p", str(server.port)]]):
        _with_bucket(server, f"{server.url}/moto-api/")
        yield server


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server that verifies every signature, checksum and expiry; its conditional puts are not atomic."""
    folder = tmp_path_factory.mktemp("swift")
    server = S3Server("swift", free_port(), "radiology:hub", "a-key-of-the-tests")
    stores = {kind: free_port() for kind in ("account", "container", "object")}
    (folder / "devices" / "disk").mkdir(parents=True)
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = tests\n")
    words = {"folder": folder, "user": getpass.getuser(), "secret": server.secret}
    (folder / "proxy.conf").write_text(PROXY.format(port=server.port, **words))
    for kind, port in stores.items():
        (folder / f"{kind}.conf").write_text(STORE.format(kind=kind, port=port, **words))
    rings = [sys.executable, "-c", RINGS, str(folder), *(f"{kind}={port}" for kind, port in stores.items())]
    subprocess.run(rings, check=True, capture_output=True)
    kinds = ("proxy", *stores)
    with _running([[str(PROGRAMS / f"swift-{kind}-server"), str(folder / f"{kind}.conf")] for kind in kinds]):
        for port in stores.values():
            _await(f"http://127.0.0.1:{port}/recon/version")
        _with_bucket(server, f"{server.url}/healthcheck")
        yield server


@contextmanager
def secure_moto(authority: trustme.CA, folder: Path) -> Iterator[S3Server]:
    """The same behind TLS, with a certificate of this authority."""
    server = S3Server("secure", free_port(), "any-key-id", "any-key-for-moto", scheme="https")
    certificate, key, trusted = folder / "server.pem", folder / "server.key", folder / "trusted.pem"
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(key)
    for blob in issued.cert_chain_pems:
        blob.write_to_path(certificate, append=True)
    authority.cert_pem.write_to_path(trusted)
    line = [str(PROGRAMS / "moto_server"), "-H", "127.0.0.1", "-p", str(server.port), "-c", str(certificate)]
    with _running([[*line, "-k", str(key)]]):
        _await(f"{server.url}/moto-api/", verify=False)
        Bucket(server.account(ca_file=trusted)).client.create_bucket(Bucket=server.bucket)
        yield server


@contextmanager
def _running(commands: list[list[str]]) -> Iterator[None]:
    processes = [subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for line in commands]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait(10)


def _with_bucket(server: S3Server, health: str) -> None:
    _await(health)
    server.connected().client.create_bucket(Bucket=server.bucket)


def _await(url: str, *, verify: bool = True) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            httpx.get(url, trust_env=False, verify=verify)
        except httpx.TransportError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return
