"""What makes a message ours: secrets, and the headers that prove a message by them (Standard Webhooks)."""

import base64
import secrets
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr
from standardwebhooks import Webhook

from retrieval.errors import InvalidSettings

_PREFIX = "whsec_"


def new_secret() -> str:
    """`whsec_` and 32 random bytes."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signed_headers(message_id: str, body: str, keys: Iterable[str]) -> dict[str, str]:
    """The headers of a message that is sent now: one signature for each secret that is good."""
    now = datetime.now(UTC)
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(key).sign(message_id, now, body) for key in keys),
    }


class Seal:
    """Keeps secrets unreadable in the database and its backups, by the operator's key; without one, as they are.

    Several keys, separated by commas: the first seals, all of them open.
    """

    def __init__(self, keys: SecretStr | None) -> None:
        named = keys.get_secret_value().split(",") if keys else []
        self._keys = MultiFernet([Fernet(key.strip()) for key in named]) if named else None

    def close(self, secret: str) -> str:
        """The secret, as it may be stored."""
        return self._keys.encrypt(secret.encode()).decode() if self._keys else secret

    def open(self, stored: str) -> str:
        """The secret, of what was stored with one of these keys or without any. Raises `InvalidSettings`."""
        if stored.startswith(_PREFIX):
            return stored
        if self._keys is not None:
            with suppress(InvalidToken):
                return self._keys.decrypt(stored.encode()).decode()
        raise InvalidSettings("PINCITE_WEBHOOKS_KEY does not open the webhooks' secrets")
