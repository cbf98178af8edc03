"""Passwords checked against bcrypt hashes. Guesses delay no scrapes for long and reveal no user names."""

import asyncio
import hmac
import itertools
import os
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Generic, TypeVar

MAX_CHECKS = 128
"""That wait, each of an open connection: half of the connections that can be open."""
MAX_CHECKS_PER_CLIENT = 64
"""That wait from one address. They take 3 s at a cost of 10, and delay other addresses by one check."""
MAX_CLIENTS = 4096
"""Addresses whose last turn is remembered."""
MAX_WRONG = 1024
"""Wrong passwords that are remembered, so that a scraper that always sends the same one costs one check."""
IPV6_PREFIX = 64
"""Bits of an IPv6 address that count: a client can choose the rest freely."""
# bcrypt uses no more; its Python module rejects longer ones.
_MAX_PASSWORD_BYTES = 72


class BusyError(Exception):
    """Too many passwords wait to be checked."""


Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class _Latest(OrderedDict[Key, Value], Generic[Key, Value]):
    """The values that were set last."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: Key, value: Value) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self._most:
            self.popitem(last=False)


@dataclass(eq=False, slots=True)
class _Check:
    """One password to be checked.

    Args:
        number: in the order of arrival.
        waiting: how many requests wait for it; those of clients that have left do not.
        clients: who has sent it.
    """

    user: bytes
    hashed: bytes
    password: bytes
    number: int
    result: asyncio.Future[bool]
    waiting: int = 0
    begun: bool = False
    clients: set[str] = field(default_factory=set)


class Passwords:
    """Checks passwords one at a time, in its own thread, and caches the correct one of each user.

    The caches contain digests with a random key of this process, which do not reveal the passwords. A
    scraper that was accepted once never waits behind guesses, which displace no correct password.

    Addresses of clients take turns: those that never sent a wrong password are first, then the one whose last
    turn is the longest ago. Of equal ones, those that were accepted before are first. A check goes on if its
    client leaves, so that the next request of a client with a short timeout finds it done.

    For an unknown user the hash of another user is checked, so the response time does not reveal which users
    exist.
    """

    def __init__(self, users: Mapping[str, str]) -> None:
        self._key = os.urandom(32)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")
        self._cache: dict[bytes, bytes] = {}
        self._wrong: _Latest[bytes, None] = _Latest(MAX_WRONG)
        self._checks: dict[bytes, _Check] = {}
        self._numbers = itertools.count(1)
        self._turns: _Latest[str, int] = _Latest(MAX_CLIENTS)
        self._accepted: _Latest[str, None] = _Latest(MAX_CLIENTS)
        self._worker: asyncio.Task[None] | None = None
        self.replace(users)

    def replace(self, users: Mapping[str, str]) -> None:
        """Applies other users or hashes; the cache keeps only users that still exist."""
        self._users = {user.encode(): hashed.encode() for user, hashed in users.items()}
        self._hashes = sorted(set(self._users.values()))
        self._cache = {user: digest for user, digest in self._cache.items() if user in self._users}

    async def check(self, user: bytes, password: bytes, client: str) -> bool:
        """Whether this is the user's password.

        Args:
            client: its address.

        Raises:
            BusyError: too many checks are waiting, in total or of this client.
        """
        hashed = self._users.get(user) or self._decoy(user)
        digest = self._digest(user, hashed, password)
        if hmac.compare_digest(self._cache.get(user, bytes(len(digest))), digest):
            return True
        if digest in self._wrong:
            self._wrong[digest] = None
            return False
        client = network(client)
        # Concurrent scrapes with the same password share one check.
        if digest not in self._checks:
            self._make_way(client)
            result = asyncio.get_running_loop().create_future()
            self._checks[digest] = _Check(user, hashed, password, next(self._numbers), result)
        check = self._checks[digest]
        check.clients.add(client)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        check.waiting += 1
        try:
            return await asyncio.shield(check.result)
        finally:
            check.waiting -= 1

    def close(self) -> None:
        """Starts no more checks."""
        self._checks.clear()
        if self._worker is not None:
            self._worker.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _make_way(self, client: str) -> None:
        """Drops a check if too many wait: one whose client has left, or one that is far behind in turn."""
        own = [digest for digest, check in self._checks.items() if client in check.clients]
        if len(own) >= MAX_CHECKS_PER_CLIENT:
            dropped = self._left(own)
        elif len(self._checks) >= MAX_CHECKS:
            dropped = self._left(self._checks) or self._behind(client)
        else:
            return
        if dropped is None:
            raise BusyError
        check = self._checks.pop(dropped)
        if check.waiting:
            check.result.set_exception(BusyError())

    def _left(self, digests: Iterable[bytes]) -> bytes | None:
        """A check that no request waits for."""
        left = (each for each in digests if not self._checks[each].waiting and not self._checks[each].begun)
        return next(left, None)

    def _behind(self, client: str) -> bytes | None:
        """The last check in turn, if the address is before it."""
        waiting = [digest for digest, check in self._checks.items() if not check.begun]
        last = max(waiting, key=self._turn, default=None)
        return last if last is not None and self._turn(last)[:2] > self._turn_of(client) else None

    async def _work(self) -> None:
        while self._checks:
            digest = min(self._checks, key=self._turn)
            check = self._checks[digest]
            check.begun = True
            try:
                matches = await asyncio.get_running_loop().run_in_executor(
                    self._executor, _matches, check.password[:_MAX_PASSWORD_BYTES], check.hashed
                )
            except Exception as error:  # noqa: BLE001  # whatever bcrypt raises costs this check alone
                check.result.set_exception(error)
            else:
                check.result.set_result(self._remember(check, digest, matches=matches))
            finally:
                self._checks.pop(digest, None)

    def _turn(self, digest: bytes) -> tuple[int, bool, int]:
        """The check with the lowest turn is next."""
        check = self._checks[digest]
        return *min(map(self._turn_of, check.clients)), check.number

    def _turn_of(self, client: str) -> tuple[int, bool]:
        return self._turns.get(client, 0), client not in self._accepted

    def _remember(self, check: _Check, digest: bytes, *, matches: bool) -> bool:
        # Not if the users were replaced meanwhile, or if the hash is a decoy.
        right = matches and self._users.get(check.user) == check.hashed
        if right:
            self._cache[check.user] = digest
            for client in check.clients:
                self._accepted[client] = None
                self._turns.pop(client, None)
        else:
            self._wrong[digest] = None
            turn = next(self._numbers)
            for client in check.clients:
                self._turns[client] = turn
        return right

    def _decoy(self, user: bytes) -> bytes:
        """The hash to check for an unknown user: any, but always the same."""
        place = blake2b(user, digest_size=8, key=self._key).digest()
        return self._hashes[int.from_bytes(place) % len(self._hashes)]

    def _digest(self, user: bytes, hashed: bytes, password: bytes) -> bytes:
        # Neither hash nor user contains a colon, so no two triples are the same text.
        return blake2b(b":".join((user, hashed, password)), digest_size=32, key=self._key).digest()


def network(client: str) -> str:
    """What counts as one client: an IPv4 address, or the network of an IPv6 address."""
    try:
        address = ip_address(client)
    except ValueError:  # a Unix socket
        return client
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped or ip_network((int(address), IPV6_PREFIX), strict=False))
    return str(address)


def _matches(password: bytes, hashed: bytes) -> bool:
    import bcrypt  # noqa: PLC0415  # only where passwords are configured

    return bcrypt.checkpw(password, hashed)
