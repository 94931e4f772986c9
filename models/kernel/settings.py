"""Every setting of the hub, read from the environment (prefix LABWIRE_) and from the state folder's `environment` file.

The launcher writes that file (mode 0600) for the embedded default, so that any process started with the same
LABWIRE_STATE_DIR finds the same database and keys. What the environment says wins over the file.
"""

import os
import threading
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, TypeAdapter, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.kernel.errors import ConfigError
from models.kernel.fields import Email

SAMPLE_VALUES = frozenset(
    {"changeme", "change-me", "secret", "password", "labwire", "example", "test", "postgres", "admin"}
)
MINIMUM_KEY_BYTES = 32
MOST_DAYS = 36_500
_ADDRESS: TypeAdapter[str] = TypeAdapter(Email)


class Settings(BaseSettings):
    """One field per setting; units are in the names. No secret has a default."""

    model_config = SettingsConfigDict(env_prefix="LABWIRE_", extra="ignore", frozen=True)

    state_dir: Path = Path(".labwire")
    is_demo: bool = Field(default=False, alias="LABWIRE_DEMO")

    database_url: SecretStr | None = None
    database_owner_url: SecretStr | None = None
    database_pool_size: int = 5

    secret_key: SecretStr | None = None
    """Hex, at least 32 bytes: encrypts secrets kept in the database (AES-256-GCM)."""
    audit_key: SecretStr | None = None
    """Hex, at least 32 bytes: authenticates audit rows (HMAC-SHA-256)."""
    audit_head_dir: Path | None = None

    api_host: str = "127.0.0.1"
    api_port: int = 8000
    api_processes: int = 1
    public_url: str = ""
    """The address people reach the pages under; empty: http://api_host:api_port."""
    debug_errors: bool = False
    """Errors with their values in the server's log, for developers: never where there are real patients."""
    trusted_proxies: str = ""
    """Comma-separated addresses or networks whose X-Forwarded-For is believed."""

    prefect_port: int = 4200
    prefect_database_url: SecretStr | None = None
    prefect_auth_string: SecretStr | None = None
    """`user:password` of the Prefect server; the launcher makes one for the embedded default."""
    prefect_api_url: str = ""
    """The REST address of the Prefect server; empty: the one `labwire up` starts."""
    work_pool: str = "labwire"
    worker_type: Literal["labwire-warm", "process"] = "labwire-warm"
    """Prefect's name of the kind of worker: ours, whose runs start at once, or the stock one."""
    worker_limit: int = Field(default=8, ge=1)
    """Runs at the same time on one worker: on a laden machine more would only make each other late."""
    worker_drain_seconds: float = Field(default=10, ge=0)
    """How long a warm worker that is told to stop lets its runs go on."""

    smtp_host: str = ""
    smtp_port: int = 25
    smtp_user: str = ""
    smtp_password: SecretStr | None = None
    smtp_starttls: bool = False
    smtp_timeout_seconds: float = 10
    mail_from: str = "labwire@localhost"
    mailbox_url: str = ""
    """Where the demo's mail can be read; empty outside the demo."""

    instrument_api_timeout: float = 10
    """Seconds an instrument may take to answer where its own record does not say otherwise."""
    outside_ca_file: Path | None = None
    """A private certificate authority (PEM) trusted for outside systems besides the public ones."""
    submission_attempts: int = 5
    delivery_attempts: int = 8
    quality_checks_kept: int = Field(default=500, ge=1)
    """Validations kept of each suite and tenant that met everything, and as many that did not."""
    mail_attempts: int = 125
    """Four days at least, about five: what RFC 5321, 4.5.4.1, asks of a sender before it gives up."""

    iot_inbox_dir: Path | None = None
    """Where files with vital signs are dropped: `<tenant slug>/` each, the root for the tenant named below.
    Left out: `iot/inbox` in the state folder."""
    iot_archive_dir: Path | None = None
    """Where they go when they were taken; left out: `archive` beside the inbox."""
    iot_default_tenant: str = ""
    """Slug of the tenant whose files lie in the inbox's root; empty: files there are left alone and told of."""
    iot_file_owners: str = ""
    """Comma-separated users whose files are taken besides the hub's own and those of a folder's owner."""

    radiology_storage: Literal["filesystem", "s3"] = "filesystem"
    """Where new images are kept; every object knows where it lies, so a change moves nothing by itself."""
    media_root: Path | None = None
    """The filesystem's root, `<tenant slug>/radiology/` each, and of uploads on their way; left out: `media` in the
    state folder. With several machines it must be one file system for all of them."""
    aws_access_key_id: str = ""
    aws_secret_access_key: SecretStr | None = None
    aws_storage_bucket_name: str = ""
    aws_s3_region_name: str = "us-east-1"
    aws_s3_endpoint_url: str = ""
    """Of MinIO or another compatible store; empty: AWS."""
    aws_s3_use_ssl: bool = True
    """False: also an endpoint of http:// is spoken to."""
    aws_s3_custom_domain: str = ""
    """The host that browsers fetch images from by signed address; empty: the endpoint's."""
    radiology_largest_mb: int = Field(default=4096, ge=1)
    """Of one file."""
    radiology_inbox_dir: Path | None = None
    """Where studies are dropped as folders or ZIP files, `<tenant slug>/` each; left out: `radiology/inbox` in the
    state folder."""
    radiology_signed_urls: bool = True
    """Addresses of viewer and images let their bearer in until they expire; False: they ask for a sign-in."""
    radiology_url_seconds: int = Field(default=3600, ge=30, le=86_400)
    radiology_cors_origins: str = ""
    """Comma-separated origins of another OHIF that may read /dicom-web/ (`https://viewer.example.org`)."""
    ohif_viewer_url: str = "/viewer/"
    """Our own OHIF, another one's address, or empty for the light viewer."""
    ohif_dir: Path | None = None
    """Where our OHIF's files lie; left out: where set-up put them."""
    upload_remind_hours: float = Field(default=24, gt=0)
    upload_expire_days: float = Field(default=7, gt=0)
    """After so long without a byte an upload that is not complete is told of, and given up."""
    image_parsers: int = Field(default=2, ge=1)
    """Processes that read image files, of each process that receives some."""
    image_parser_memory_mb: int = Field(default=1024, ge=256)
    image_parser_seconds: float = Field(default=20, gt=0)

    operator_mail: str = ""
    """Comma-separated addresses that are told of failed runs; empty: nobody."""
    operator_tenant: str = ""
    """Slug of the tenant through whose outbox those mails go; empty: the first one that was made."""

    keep_idempotency_keys_days: int = Field(default=30, ge=1, le=MOST_DAYS)
    keep_sessions_days: int = Field(default=90, ge=1, le=MOST_DAYS)
    keep_links_days: int = Field(default=30, ge=1, le=MOST_DAYS)
    keep_mails_days: int = Field(default=90, ge=1, le=MOST_DAYS)
    keep_notices_days: int = Field(default=90, ge=2, le=MOST_DAYS)
    keep_checks_days: int = Field(default=90, ge=8, le=MOST_DAYS)
    """Days that `clean-up` leaves what has ended; uptime is shown over seven of them."""

    session_hours: float = 12
    session_idle_minutes: float = 60
    password_reset_minutes: float = 30
    login_attempts: int = 5
    login_lock_minutes: float = 15

    @model_validator(mode="after")
    def _absolute_state_dir(self) -> Self:
        object.__setattr__(self, "state_dir", self.state_dir.expanduser().absolute())
        return self

    @field_validator("operator_mail")
    @classmethod
    def _addresses(cls, given: str) -> str:
        return ",".join(_ADDRESS.validate_python(one) for one in given.split(",") if one.strip())

    @property
    def operator_addresses(self) -> list[str]:
        """Who is told of failed runs; empty: nobody."""
        return self.operator_mail.split(",") if self.operator_mail else []

    @property
    def iot_inbox(self) -> Path:
        """The folder files with vital signs are dropped into."""
        return (self.iot_inbox_dir or self.state_dir / "iot" / "inbox").expanduser().absolute()

    @property
    def iot_archive(self) -> Path:
        """The folder they are kept in; beside the inbox where nothing else is said."""
        return (self.iot_archive_dir or self.iot_inbox.parent / "archive").expanduser().absolute()

    @property
    def media(self) -> Path:
        """The root of images on the filesystem."""
        return (self.media_root or self.state_dir / "media").expanduser().absolute()

    @property
    def radiology_inbox(self) -> Path:
        """The folder studies are dropped into."""
        return (self.radiology_inbox_dir or self.state_dir / "radiology" / "inbox").expanduser().absolute()

    @property
    def base_url(self) -> str:
        """The public address of the pages, without a slash at its end."""
        return (self.public_url or f"http://{self.api_host}:{self.api_port}").rstrip("/")

    def required(self, name: str) -> str:
        """The setting `name` as text, or ConfigError naming its variable."""
        value = getattr(self, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if value in (None, ""):
            raise ConfigError(f"LABWIRE_{name.upper()} is not set")
        return str(value)

    def refuse_samples(self) -> None:
        """ConfigError for a secret, or a database password, copied from an example; in the demo they may stand."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr) and not self.is_demo and _is_sample(value.get_secret_value()):
                variable = f"LABWIRE_{name.upper()}"
                raise ConfigError(f"{variable} holds a sample value; generate one (for example: openssl rand -hex 32)")

    def key(self, name: str) -> bytes:
        """The key setting `name` (hex, at least 32 bytes) as bytes."""
        variable = f"LABWIRE_{name.upper()}"
        try:
            key = bytes.fromhex(self.required(name))
        except ValueError:
            raise ConfigError(f"{variable} is not hexadecimal") from None
        if len(key) < MINIMUM_KEY_BYTES or len(set(key)) < 8:
            raise ConfigError(f"{variable} needs {MINIMUM_KEY_BYTES} random bytes in hexadecimal")
        return key


def read_settings(state_dir: Path | None = None) -> Settings:
    """Settings from the environment and the state folder's `environment` file, uncached."""
    folder = state_dir or Path(os.environ.get("LABWIRE_STATE_DIR", ".labwire"))
    file = folder.expanduser().absolute() / "environment"
    try:
        if state_dir is None:
            read = Settings(_env_file=file)
        else:
            read = Settings(_env_file=file, state_dir=state_dir)
    except ValidationError as error:
        fields = ", ".join(".".join(str(part) for part in problem["loc"]) for problem in error.errors())
        raise ConfigError(f"settings not acceptable: {fields}") from None
    read.refuse_samples()
    return read


def _is_sample(secret: str) -> bool:
    """Whether a secret, the password in a URL, or the part behind `user:` is one of those that examples use."""
    _, is_url, rest = secret.partition("://")
    password = rest.rpartition("@")[0] if is_url else secret
    return password.rpartition(":")[2].strip().lower() in SAMPLE_VALUES


class _ReadOnce:
    """The process's settings. What was forgotten while a thread read it is not remembered, as `lru_cache` would."""

    def __init__(self) -> None:
        self._found: Settings | None = None
        self._reading = threading.RLock()
        os.register_at_fork(after_in_child=self._release)

    def __call__(self) -> Settings:
        """Read at the first call; ConfigError."""
        found = self._found
        if found is not None:
            return found
        with self._reading:
            if self._found is None:
                self._found = read_settings()
            return self._found

    def cache_clear(self) -> None:
        """Forget them: the next call reads anew."""
        with self._reading:
            self._found = None

    def _release(self) -> None:
        self._reading = threading.RLock()  # whoever read at the moment of the fork is not here


settings = _ReadOnce()
