"""Passwords checked against bcrypt hashes. Guesses delay no scrapes and reveal no user names."""

import asyncio
import hmac
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b

MAX_CHECKS = 16
MAX_CHECKS_PER_CLIENT = 4
# bcrypt uses no more; its Python module rejects longer ones.
_MAX_PASSWORD_BYTES = 72


class BusyError(Exception):
    """Too many passwords wait to be checked."""


class Passwords:
    """Checks passwords one at a time, in its own thread, and caches the correct one of each user.

    The cache contains a digest with a random key of this process, which does not reveal the password.
    Only correct passwords are cached, one for each user: guesses displace none, and a scraper that was
    accepted once never waits behind guesses. For an unknown user the hash of another user is checked,
    so the response time does not reveal which users exist.
    """

    def __init__(self, users: Mapping[str, str]) -> None:
        self._key = os.urandom(32)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")
        self._cache: dict[bytes, bytes] = {}
        self._checks: dict[bytes, tuple[str, asyncio.Future[bool]]] = {}
        self.replace(users)

    def replace(self, users: Mapping[str, str]) -> None:
        """Applies other users or hashes; the cache keeps only users that still exist."""
        self._users = {user.encode(): hashed.encode() for user, hashed in users.items()}
        self._hashes = sorted(set(self._users.values()))
        self._cache = {user: digest for user, digest in self._cache.items() if user in self._users}

    async def check(self, user: bytes, password: bytes, client: str) -> bool:
        """Whether this is the user's password.

        Raises:
            BusyError: too many checks are waiting, in total or of this client.
        """
        known = user in self._users
        hashed = self._users[user] if known else self._decoy(user)
        digest = self._digest(user, hashed, password)
        if hmac.compare_digest(self._cache.get(user, bytes(len(digest))), digest):
            return True
        # Concurrent scrapes with the same password share one check.
        if digest not in self._checks:
            self._begin(digest, hashed, password, client)
        _, check = self._checks[digest]
        right = await asyncio.shield(check) and known
        if right and self._users.get(user) == hashed:
            self._cache[user] = digest
        return right

    def close(self) -> None:
        """Starts no more checks."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _begin(self, digest: bytes, hashed: bytes, password: bytes, client: str) -> None:
        clients = [each for each, _ in self._checks.values()]
        if len(clients) >= MAX_CHECKS or clients.count(client) >= MAX_CHECKS_PER_CLIENT:
            raise BusyError
        check = asyncio.get_running_loop().run_in_executor(
            self._executor, _matches, password[:_MAX_PASSWORD_BYTES], hashed
        )
        self._checks[digest] = client, check
        check.add_done_callback(lambda _: self._checks.pop(digest))

    def _decoy(self, user: bytes) -> bytes:
        """The hash to check for an unknown user: any, but always the same."""
        place = blake2b(user, digest_size=8, key=self._key).digest()
        return self._hashes[int.from_bytes(place) % len(self._hashes)]

    def _digest(self, user: bytes, hashed: bytes, password: bytes) -> bytes:
        # Neither hash nor user contains a colon, so no two triples are the same text.
        return blake2b(b":".join((user, hashed, password)), digest_size=32, key=self._key).digest()


def _matches(password: bytes, hashed: bytes) -> bool:
    import bcrypt  # noqa: PLC0415  # only where passwords are configured

    return bcrypt.checkpw(password, hashed)
