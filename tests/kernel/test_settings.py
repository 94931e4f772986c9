"""Settings: no secret has a default, samples are refused, the environment wins over the file."""

import re
import secrets as random
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from models.kernel import settings as settings_of_hub
from models.kernel.errors import ConfigError
from models.kernel.secrets import decrypt, encrypt, new_token, resolve_references, token_hash
from models.kernel.settings import Settings, read_settings, settings

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
SECRETS = [name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)]


def test_no_secret_has_a_default() -> None:
    assert {"secret_key", "audit_key", "smtp_password", "prefect_auth_string", "database_url"} <= set(SECRETS)
    assert {name: Settings.model_fields[name].default for name in SECRETS} == dict.fromkeys(SECRETS)
    named_like_one = {name for name in Settings.model_fields if name.endswith(("_key", "_password", "_secret"))}
    assert named_like_one <= set(SECRETS)


def test_every_setting_is_named_in_the_documentation() -> None:
    said = "".join(page.read_text() for page in (ROOT / "docs").rglob("*.md"))
    named = set(re.findall(r"LABWIRE_[A-Z0-9_]+", said))
    variables = {field.alias or f"LABWIRE_{name.upper()}" for name, field in Settings.model_fields.items()}
    assert variables - named == set()


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("sample", ["changeme", "Password", " secret "])
def test_sample_values_are_refused_outside_the_demo(
    name: str, sample: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = f"postgresql://labwire_app:{sample.strip()}@db.example.org/labwire" if name.endswith("url") else sample
    monkeypatch.setenv(f"LABWIRE_{name.upper()}", value)
    with pytest.raises(ConfigError, match=f"LABWIRE_{name.upper()} holds a sample value") as refused:
        read_settings(tmp_path)
    assert sample.strip() not in str(refused.value)
    monkeypatch.setenv("LABWIRE_DEMO", "true")
    assert read_settings(tmp_path).required(name) == value


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "environment").write_text("LABWIRE_API_PORT='8123'\nLABWIRE_WORK_POOL='from-file'\n")
    monkeypatch.setenv("LABWIRE_WORK_POOL", "from-environment")
    read = read_settings(tmp_path)
    assert (read.api_port, read.work_pool, read.base_url) == (8123, "from-environment", "http://127.0.0.1:8123")


def test_what_was_read_before_a_change_is_not_remembered_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread reads while another changes the environment and says so."""
    reads, may_go_on, read = threading.Event(), threading.Event(), settings_of_hub.read_settings

    def slowly() -> Settings:
        found = read()
        reads.set()
        may_go_on.wait(10)
        return found

    monkeypatch.setenv("LABWIRE_SMTP_PORT", "2501")
    settings.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(settings_of_hub, "read_settings", slowly)
        reading = threading.Thread(target=settings)
        reading.start()
        assert reads.wait(10)
    monkeypatch.setenv("LABWIRE_SMTP_PORT", "2502")
    clearing = threading.Thread(target=settings.cache_clear)
    clearing.start()
    clearing.join(0.2)  # it would be done by now, or waits for the reader
    may_go_on.set()
    for thread in (clearing, reading):
        thread.join(10)
    assert settings().smtp_port == 2502
    settings.cache_clear()


def test_what_is_missing_or_unusable_is_named_without_its_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LABWIRE_AUDIT_KEY")
    with pytest.raises(ConfigError, match="LABWIRE_AUDIT_KEY is not set"):
        read_settings(tmp_path).key("audit_key")
    for wrong, complaint in (("zz", "not hexadecimal"), ("00" * 32, "32 random bytes"), ("1234", "32 random bytes")):
        monkeypatch.setenv("LABWIRE_AUDIT_KEY", wrong)
        with pytest.raises(ConfigError, match=complaint):
            read_settings(tmp_path).key("audit_key")
    monkeypatch.setenv("LABWIRE_API_PORT", "no-such-port")
    with pytest.raises(ConfigError, match="settings not acceptable: api_port") as refused:
        read_settings(tmp_path)
    assert "no-such-port" not in str(refused.value)


def test_secrets_do_not_show() -> None:
    assert "s3cr3t" not in repr(Settings(smtp_password=SecretStr("s3cr3t")))


def test_a_secret_at_rest_opens_only_where_it_was_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    settings.cache_clear()
    sealed = encrypt("Grüße", context="equipment_key:1:2")
    assert b"Gr" not in sealed
    assert encrypt("Grüße", context="equipment_key:1:2") != sealed
    assert decrypt(sealed, context="equipment_key:1:2") == "Grüße"
    for context, what in (("equipment_key:1:3", sealed), ("equipment_key:1:2", sealed[:-1] + b"\0")):
        with pytest.raises(ConfigError, match="cannot be decrypted"):
            decrypt(what, context=context)
    monkeypatch.setenv("LABWIRE_SECRET_KEY", random.token_hex(32))
    settings.cache_clear()
    with pytest.raises(ConfigError, match="was LABWIRE_SECRET_KEY changed"):
        decrypt(sealed, context="equipment_key:1:2")
    monkeypatch.undo()
    settings.cache_clear()


def test_tokens_are_long_random_and_kept_only_as_a_hash() -> None:
    first, second = new_token("api"), new_token("api")
    assert first.text != second.text
    assert len(first.text) >= len("lw_api_") + 43  # 256 bits in base64
    assert first.text.startswith(first.prefix)
    assert len(first.prefix) < 20
    assert token_hash(first.text) == first.sha256


def test_references_to_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANALYSER_KEY", "k1")
    assert resolve_references("Key ${ANALYSER_KEY}!") == "Key k1!"
    with pytest.raises(ConfigError, match="NO_SUCH_KEY is referred to but not set"):
        resolve_references("${NO_SUCH_KEY}")
