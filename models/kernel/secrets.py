"""Secrets: encryption at rest, random tokens and how they are recognised, and references to the environment."""

import hashlib
import os
import re
import secrets
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from models.kernel.errors import ConfigError
from models.kernel.settings import settings

NONCE_BYTES = 12
TOKEN_BYTES = 32
PREFIX_LENGTH = 8
_REFERENCE = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made: `text` is shown once, `prefix` and `sha256` are kept."""

    text: str
    prefix: str
    sha256: bytes


def encrypt(plain: str, *, context: str) -> bytes:
    """AES-256-GCM under the installation's key; `context` (table, tenant, row) must be the same when decrypting."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(_encryption_key()).encrypt(nonce, plain.encode(), context.encode())


def decrypt(sealed: bytes, *, context: str) -> str:
    """What `encrypt` was given; ConfigError when the key or the context is another or the bytes were changed."""
    try:
        return AESGCM(_encryption_key()).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context.encode()).decode()
    except InvalidTag:
        raise ConfigError(f"a secret cannot be decrypted ({context}); was LABWIRE_SECRET_KEY changed?") from None


def new_token(kind: str) -> NewToken:
    """256 random bits as `lw_<kind>_<base64url>`."""
    secret = secrets.token_urlsafe(TOKEN_BYTES)
    text = f"lw_{kind}_{secret}"
    return NewToken(text, text[: len(kind) + 4 + PREFIX_LENGTH], token_hash(text))


def token_hash(token: str) -> bytes:
    """SHA-256 of a token: enough for 256 random bits, and quick to look up."""
    return hashlib.sha256(token.encode()).digest()


def resolve_references(value: str) -> str:
    """`value` with each `${NAME}` replaced from the environment; ConfigError names a variable that is not set."""

    def replace(match: re.Match[str]) -> str:
        try:
            return os.environ[match[1]]
        except KeyError:
            raise ConfigError(f"{match[1]} is referred to but not set") from None

    return _REFERENCE.sub(replace, value)


def _encryption_key() -> bytes:
    return hashlib.sha256(settings().key("secret_key")).digest()
