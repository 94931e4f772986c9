"""One bucket as the settings name it, and the process's connections to it. Nothing is read from anywhere else:
no profile, no AWS_ variable, no instance metadata, no proxy."""

import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Self
from urllib.parse import SplitResult, urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
from botocore.httpsession import where
from botocore.loaders import Loader

from models.kernel.errors import ConfigError
from models.kernel.settings import Settings
from tasks.clients.storage.s3_errors import translated

CONNECT_SECONDS = 5
SILENT_SECONDS = 30
ATTEMPTS = 3
CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Account:
    """Which bucket, where, with which key; `endpoint` and `domain` empty where AWS's own and the endpoint's hold."""

    bucket: str
    key_id: str
    secret: str = field(repr=False)
    region: str
    endpoint: str = ""
    domain: str = ""
    """`host[:port]`, with `/bucket` behind it or not."""
    is_plain: bool = False
    """Browsers are sent to http://."""
    ca_file: Path | None = None

    @classmethod
    def of(cls, given: Settings) -> Self:
        """As the settings say; ConfigError names the variable that is missing or does not fit."""
        endpoint = given.aws_s3_endpoint_url.rstrip("/")
        if endpoint:
            _check_endpoint(endpoint, may_be_plain=not given.aws_s3_use_ssl)
        domain = given.aws_s3_custom_domain.strip("/")
        at = urlsplit(f"//{domain}")
        if domain and not (_is_host(at) and at.path.strip("/") in ("", given.aws_storage_bucket_name)):
            raise ConfigError("LABWIRE_AWS_S3_CUSTOM_DOMAIN is not a host, with or without the bucket behind it")
        return cls(
            bucket=given.required("aws_storage_bucket_name"),
            key_id=given.required("aws_access_key_id"),
            secret=given.required("aws_secret_access_key"),
            region=given.required("aws_s3_region_name"),
            endpoint=endpoint,
            domain=at.netloc,
            is_plain=not given.aws_s3_use_ssl,
            ca_file=given.outside_ca_file,
        )


class Bucket:
    """A bucket's connections, shared by all tenants and threads of this process."""

    def __init__(self, account: Account) -> None:
        self.name = account.bucket
        # At AWS a bucket is a host of its own; not with a dot in its name, for no certificate fits that.
        is_path = bool(account.endpoint) or "." in account.bucket
        self.client = _client(account, account.endpoint, "path" if is_path else "virtual")
        self.signer = _signer(account) if account.domain else self.client
        """Makes addresses for browsers: the host is part of what is signed."""
        self.is_conditional: bool | None = None
        """Whether the store honours `If-None-Match: *`; None until it was asked."""


def bucket_of(account: Account) -> Bucket:
    """The process's one Bucket of this account; a fork makes its own."""
    return _bucket(account, os.getpid())


@lru_cache(maxsize=8)
def _bucket(account: Account, _process: int) -> Bucket:
    return Bucket(account)


def _check_endpoint(endpoint: str, *, may_be_plain: bool) -> None:
    at = urlsplit(endpoint)
    if at.scheme not in ("http", "https") or not _is_host(at) or at.query or at.fragment:
        raise ConfigError("LABWIRE_AWS_S3_ENDPOINT_URL is not an address like https://minio.example.org:9000")
    if at.scheme == "http" and not may_be_plain:
        raise ConfigError("LABWIRE_AWS_S3_ENDPOINT_URL is http://: set LABWIRE_AWS_S3_USE_SSL to false to allow that")


def _is_host(at: SplitResult) -> bool:
    """Whether it is a host with or without a port, and nobody's name and password."""
    try:
        return bool(at.hostname) and "@" not in at.netloc and (at.port is None or at.port > 0)
    except ValueError:
        return False


def _signer(account: Account) -> Any:
    """Signs for the domain: `bucket.host` is the bucket itself; below any other host it is the path's first part."""
    scheme = "http" if account.is_plain else "https"
    first, dot, rest = account.domain.partition(".")
    if dot and first == account.bucket:
        return _client(account, f"{scheme}://{rest}", "virtual")
    return _client(account, f"{scheme}://{account.domain}", "path")


def _client(account: Account, endpoint: str, addressing: str) -> Any:
    with translated():
        session = boto3.session.Session(
            aws_access_key_id=account.key_id,
            aws_secret_access_key=account.secret,
            region_name=account.region,
            botocore_session=_core(),
        )
        try:
            return session.client(
                "s3", endpoint_url=endpoint or None, verify=_trust(account.ca_file), config=_config(addressing)
            )
        except ValueError:
            raise ConfigError("LABWIRE_AWS_S3_ENDPOINT_URL or LABWIRE_AWS_S3_CUSTOM_DOMAIN is no address") from None


def _core() -> botocore.session.Session:
    """A session that reads no variable and no file of AWS's tools."""
    kept = {name: (None, None, default, kind) for name, (_, _, default, kind) in _variables()}
    kept["config_file"] = kept["credentials_file"] = (None, None, os.devnull, None)
    core = botocore.session.Session(session_vars=kept)
    core.register_component("data_loader", _loader())
    return core


@lru_cache(maxsize=1)
def _loader() -> Loader:
    """The description of S3, a megabyte of JSON that is read once for all connections."""
    return Loader(include_default_search_paths=True)


def _variables() -> Any:
    return BOTOCORE_DEFAUT_SESSION_VARIABLES.items()


def _config(addressing: str) -> Config:
    return Config(
        signature_version="s3v4",
        connect_timeout=CONNECT_SECONDS,
        read_timeout=SILENT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=CONNECTIONS,
        proxies={},  # an empty one is used; None would ask the environment
        ignore_configured_endpoint_urls=True,
        # We send SHA-256 ourselves; the library's own trailers are not understood by every compatible store.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": addressing, "us_east_1_regional_endpoint": "regional"},
        user_agent_extra="labwire",
    )


@lru_cache(maxsize=4)
def _trust(private_ca: Path | None) -> str | bool:
    """The public authorities and the private one as one file, which lives in memory: the library takes one path."""
    if private_ca is None:
        return True
    try:
        together = Path(where()).read_bytes() + b"\n" + private_ca.read_bytes()
    except OSError:
        raise ConfigError("LABWIRE_OUTSIDE_CA_FILE is not a readable file of certificates") from None
    file = os.memfd_create("labwire-trust")
    with os.fdopen(os.dup(file), "wb") as out:
        out.write(together)
    return f"/proc/self/fd/{file}"
