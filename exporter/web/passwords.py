"""User and password against bcrypt hashes, such that guessing costs neither scrapes nor secrets."""

import asyncio
import hmac
import os
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b

MAX_CHECKS = 16
MAX_CHECKS_PER_CLIENT = 4
# bcrypt looks at no more; its Python module wants this done by whoever calls it.
_MAX_PASSWORD_BYTES = 72


class BusyError(Exception):
    """So many passwords wait to be checked that this one is not."""


class Passwords:
    """Checks passwords one at a time, in a thread of its own, and remembers each user's right one.

    What is remembered is a digest under a key that lives as long as the process: a password cannot be
    had from it. Only right ones are remembered, one a user, so whoever guesses displaces nobody; a
    scraper that was let in once never waits behind guesses. The name of no user costs a check too, of
    some user's hash, so the time tells nobody which names there are.
    """

    def __init__(self, users: Mapping[str, str]) -> None:
        self._key = os.urandom(32)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")
        self._right: dict[bytes, bytes] = {}
        self._checks: dict[bytes, asyncio.Future[bool]] = {}
        self._clients: Counter[str] = Counter()
        self.replace(users)

    def replace(self, users: Mapping[str, str]) -> None:
        """Takes other users, or other hashes of the same ones; what is remembered of others goes."""
        self._users = {user.encode(): hashed.encode() for user, hashed in users.items()}
        self._hashes = sorted(set(self._users.values()))
        self._right = {user: digest for user, digest in self._right.items() if user in self._users}

    async def check(self, user: bytes, password: bytes, client: str) -> bool:
        """Whether this is the user's password.

        Raises:
            BusyError: too many checks wait already, altogether or of this client.
        """
        known = user in self._users
        hashed = self._users[user] if known else self._decoy(user)
        digest = self._digest(user, hashed, password)
        if hmac.compare_digest(self._right.get(user, bytes(len(digest))), digest):
            return True
        # Scrapes side by side with the same password share one check.
        check = self._checks.get(digest) or self._begin(digest, hashed, password, client)
        right = await asyncio.shield(check) and known
        if right and self._users.get(user) == hashed:
            self._right[user] = digest
        return right

    def close(self) -> None:
        """Begins no more checks."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _begin(self, digest: bytes, hashed: bytes, password: bytes, client: str) -> asyncio.Future[bool]:
        if len(self._checks) >= MAX_CHECKS or self._clients[client] >= MAX_CHECKS_PER_CLIENT:
            raise BusyError
        check = asyncio.get_running_loop().run_in_executor(
            self._executor, _matches, password[:_MAX_PASSWORD_BYTES], hashed
        )
        self._checks[digest] = check
        self._clients[client] += 1

        def ended(_: asyncio.Future[bool]) -> None:
            del self._checks[digest]
            self._clients[client] -= 1
            self._clients += Counter()  # drops those at zero

        check.add_done_callback(ended)
        return check

    def _decoy(self, user: bytes) -> bytes:
        """The hash that stands in for that of a user there is not: any, but always the same."""
        place = blake2b(user, digest_size=8, key=self._key).digest()
        return self._hashes[int.from_bytes(place) % len(self._hashes)]

    def _digest(self, user: bytes, hashed: bytes, password: bytes) -> bytes:
        # A hash has no colon and a user has none, so no two triples make one text.
        return blake2b(b":".join((user, hashed, password)), digest_size=32, key=self._key).digest()


def _matches(password: bytes, hashed: bytes) -> bool:
    import bcrypt  # noqa: PLC0415  # only where passwords are configured

    return bcrypt.checkpw(password, hashed)
