"""Which backend a tenant's images go to, and that the settings alone say how S3 is reached."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from models.kernel.errors import ConfigError
from models.kernel.settings import settings
from tasks.clients.storage.backends import storage_for, storage_for_new
from tasks.clients.storage.s3_bucket import Account
from tests.imaging.s3_servers import S3Server, secure_moto
from tests.imaging.storages import Content, new_key, new_slug, read

pytestmark = pytest.mark.contract


@pytest.fixture(autouse=True)
def fresh_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LABWIRE_MEDIA_ROOT", str(tmp_path / "media"))
    settings.cache_clear()
    yield
    settings.cache_clear()


def use(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()


def test_the_file_system_is_where_nothing_else_is_said(tmp_path: Path) -> None:
    storage, content, key = storage_for_new("lab"), Content.random(tmp_path), new_key()
    assert storage.name == "filesystem"
    content.put(storage, key)
    assert (tmp_path / "media" / "lab" / key).read_bytes() == content.data
    assert storage_for("filesystem", "lab") is storage
    assert storage_for("filesystem", "other") is not storage


def test_new_images_go_to_s3_where_the_setting_says_so_and_old_ones_stay(
    moto: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, key, slug = Content.random(tmp_path), new_key(), new_slug()
    content.put(storage_for_new(slug), key)
    use(monkeypatch, moto.environment())
    storage = storage_for_new(slug)
    assert storage.name == "s3"
    assert storage_for("s3", slug) is storage
    assert storage.stat(key) is None
    assert content.put(storage, key)
    assert read(storage_for("filesystem", slug), key) == content.data


@pytest.mark.parametrize("slug", ["", ".", "..", "../other", "a/b", "A", "a_b", "-a", "a" * 51, "a\n", "ä"], ids=repr)
def test_a_slug_that_is_none_opens_no_storage(slug: str) -> None:
    for backend in ("filesystem", "s3"):
        with pytest.raises(ConfigError):
            storage_for(backend, slug)


def test_an_unknown_backend_is_for_a_person() -> None:
    with pytest.raises(ConfigError):
        storage_for("tape", "lab")


@pytest.mark.parametrize(
    "name",
    ["LABWIRE_AWS_ACCESS_KEY_ID", "LABWIRE_AWS_SECRET_ACCESS_KEY", "LABWIRE_AWS_STORAGE_BUCKET_NAME"],
)
def test_what_s3_needs_and_is_not_set_is_named(moto: S3Server, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    use(monkeypatch, moto.environment() | {name: ""})
    with pytest.raises(ConfigError, match=name):
        storage_for_new("lab")


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("LABWIRE_AWS_S3_USE_SSL", "true", "LABWIRE_AWS_S3_USE_SSL"),
        ("LABWIRE_AWS_S3_ENDPOINT_URL", "minio:9000", "LABWIRE_AWS_S3_ENDPOINT_URL"),
        ("LABWIRE_AWS_S3_ENDPOINT_URL", "ftp://minio", "LABWIRE_AWS_S3_ENDPOINT_URL"),
        ("LABWIRE_AWS_S3_ENDPOINT_URL", "http://user:word@minio", "LABWIRE_AWS_S3_ENDPOINT_URL"),
        ("LABWIRE_AWS_S3_ENDPOINT_URL", "http://minio:port", "LABWIRE_AWS_S3_ENDPOINT_URL"),
        ("LABWIRE_AWS_S3_CUSTOM_DOMAIN", "https://images.example.org", "LABWIRE_AWS_S3_CUSTOM_DOMAIN"),
        ("LABWIRE_AWS_S3_CUSTOM_DOMAIN", "images.example.org/other", "LABWIRE_AWS_S3_CUSTOM_DOMAIN"),
    ],
)
def test_an_address_that_does_not_fit_is_named(
    moto: S3Server, monkeypatch: pytest.MonkeyPatch, name: str, value: str, named: str
) -> None:
    use(monkeypatch, moto.environment() | {name: value})
    with pytest.raises(ConfigError, match=named):
        storage_for_new("lab")


def test_a_domain_may_name_the_bucket_behind_it(moto: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, moto.environment() | {"LABWIRE_AWS_S3_CUSTOM_DOMAIN": "images.example.org/radiology"})
    url = storage_for_new("lab").signed_url("radiology/a", seconds=60, filename="a", mime_type="image/png")
    assert url is not None
    assert url.startswith("http://images.example.org/radiology/lab/radiology/a?")


def test_aws_itself_is_meant_where_no_endpoint_is_set(monkeypatch: pytest.MonkeyPatch, moto: S3Server) -> None:
    other = {"LABWIRE_AWS_S3_ENDPOINT_URL": "", "LABWIRE_AWS_S3_USE_SSL": "true"}
    use(monkeypatch, moto.environment() | other | {"LABWIRE_AWS_S3_REGION_NAME": "eu-west-1"})
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    url = storage_for_new("lab").signed_url("radiology/a", seconds=60, filename="a", mime_type="image/png")
    assert url is not None
    assert url.startswith("https://radiology.s3.eu-west-1.amazonaws.com/lab/radiology/a?")


def test_nothing_of_awss_own_tools_is_read(moto: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another's profile, address or proxy would send images and keys elsewhere."""
    (tmp_path / "config").write_text("[profile other]\nregion = eu-north-1\nendpoint_url = http://127.0.0.1:1\n")
    use(
        monkeypatch,
        moto.environment()
        | {
            "LABWIRE_AWS_ACCESS_KEY_ID": "connected-here-first",
            "AWS_PROFILE": "no-such-profile",
            "AWS_CONFIG_FILE": str(tmp_path / "config"),
            "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
            "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
            "AWS_ACCESS_KEY_ID": "another",
            "AWS_DEFAULT_REGION": "eu-north-1",
            "AWS_CA_BUNDLE": str(tmp_path / "none"),
            "AWS_USE_FIPS_ENDPOINT": "true",
            "HTTP_PROXY": "http://127.0.0.1:1",
            "http_proxy": "http://127.0.0.1:1",
        },
    )
    storage, content, key = storage_for_new(new_slug()), Content.random(tmp_path), new_key()
    assert content.put(storage, key)
    url = storage.signed_url(key, seconds=60, filename="a", mime_type="image/png")
    assert url is not None
    assert url.startswith(moto.url)
    assert "us-east-1" in url
    assert "connected-here-first" in url


def test_a_private_authority_is_trusted_where_it_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    content, key = Content.random(tmp_path), new_key()
    with secure_moto(authority, tmp_path) as server:
        use(monkeypatch, server.environment() | {"LABWIRE_AWS_S3_USE_SSL": "true"})
        with pytest.raises(ConfigError, match="LABWIRE_OUTSIDE_CA_FILE"):
            content.put(storage_for_new("lab"), key)
        use(monkeypatch, {"LABWIRE_OUTSIDE_CA_FILE": str(tmp_path / "none.pem")})
        with pytest.raises(ConfigError, match="LABWIRE_OUTSIDE_CA_FILE"):
            storage_for_new("lab")
        use(monkeypatch, {"LABWIRE_OUTSIDE_CA_FILE": str(tmp_path / "authority.pem")})
        assert content.put(storage_for_new("lab"), key)


def test_the_secret_is_in_no_representation(moto: S3Server) -> None:
    account = moto.account()
    assert isinstance(account, Account)
    assert moto.secret not in repr(account)


def test_an_installation_without_s3_does_not_load_its_library() -> None:
    script = (
        "import sys\n"
        "from tasks.clients.storage.backends import storage_for_new\n"
        "assert storage_for_new('lab').name == 'filesystem'\n"
        "assert not {'boto3', 'botocore', 'prefect', 'sqlalchemy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env=dict(os.environ))
