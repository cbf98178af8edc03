"""Guessing passwords, and scrapes meanwhile."""

import asyncio
import pickle
import threading
from collections.abc import Iterator

import bcrypt
import pytest

from exporter.web.passwords import MAX_CHECKS, MAX_CHECKS_PER_CLIENT, BusyError, Passwords
from tests.waiting import seen
from tests.web.secured import PASSWORD, hashed

RIGHT = PASSWORD.encode()


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords({"alice": hashed(), "bob": hashed("another")})
    yield made
    made.close()


class Held:
    """bcrypt that waits until it is let go; the hashes that it was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self.hashes: list[bytes] = []
        self.at_once = self.most_at_once = 0
        self._real = bcrypt.checkpw
        monkeypatch.setattr(bcrypt, "checkpw", self.check)

    def check(self, password: bytes, hashed: bytes) -> bool:
        self.hashes.append(hashed)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.go.wait(60)
        self.at_once -= 1
        return self._real(password, hashed)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    made = Held(monkeypatch)
    yield made
    made.go.set()


async def begins(held: Held) -> None:
    """Waits until a check has begun, and with it all that were asked for at the same time wait."""
    await seen(lambda: held.at_once, "a check")


def guess(passwords: Passwords, number: int, client: str = "") -> asyncio.Task[bool]:
    client = client or f"192.0.2.{number}"
    return asyncio.create_task(passwords.check(b"alice", f"guess {number}".encode(), client))


async def test_each_user_has_an_own_password(passwords: Passwords) -> None:
    assert await passwords.check(b"alice", RIGHT, "")
    assert await passwords.check(b"bob", b"another", "")
    assert not await passwords.check(b"bob", RIGHT, "")
    assert not await passwords.check(b"alice", b"another", "")
    assert not await passwords.check(b"carol", RIGHT, "")
    assert not await passwords.check(b"alice:x", RIGHT, "")


async def test_of_a_long_password_the_first_72_bytes_count_as_everywhere_in_bcrypt() -> None:
    passwords = Passwords({"alice": hashed("x" * 72)})
    assert await passwords.check(b"alice", b"x" * 100, "")
    assert not await passwords.check(b"alice", b"x" * 71, "")
    passwords.close()


async def test_a_name_that_nobody_has_takes_as_long_as_some_user(held: Held) -> None:
    held.go.set()
    costs = {hashed(cost=4), hashed(cost=5)}
    passwords = Passwords({f"user {index}": each for index, each in enumerate(costs)})
    for _ in range(3):
        assert not await passwords.check(b"nobody", RIGHT, "")
    assert len(set(held.hashes)) == 1
    for number in range(40):
        assert not await passwords.check(f"nobody {number}".encode(), RIGHT, "")
    assert {each.decode() for each in held.hashes} == costs
    passwords.close()


async def test_scrapes_side_by_side_share_one_check(passwords: Passwords, held: Held) -> None:
    waiting = [asyncio.create_task(passwords.check(b"alice", RIGHT, "192.0.2.1")) for _ in range(50)]
    await begins(held)
    waiting[0].cancel()
    held.go.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert results[1:] == [True] * 49
    assert len(held.hashes) == 1


async def test_whoever_was_let_in_once_never_waits_behind_guesses(passwords: Passwords, held: Held) -> None:
    held.go.set()
    assert await passwords.check(b"alice", RIGHT, "198.51.100.1")
    held.go.clear()
    guesses = [guess(passwords, number) for number in range(MAX_CHECKS)]
    await begins(held)
    with pytest.raises(BusyError):
        await guess(passwords, 99)
    assert await passwords.check(b"alice", RIGHT, "198.51.100.1")
    assert not any(each.done() for each in guesses)
    assert held.most_at_once == 1
    held.go.set()
    assert not any(await asyncio.gather(*guesses))
    assert await passwords.check(b"bob", b"another", "198.51.100.1")


async def test_one_client_takes_few_of_the_places(passwords: Passwords, held: Held) -> None:
    guesses = [guess(passwords, number, "192.0.2.1") for number in range(MAX_CHECKS_PER_CLIENT)]
    await begins(held)
    with pytest.raises(BusyError):
        await guess(passwords, 99, "192.0.2.1")
    right = asyncio.create_task(passwords.check(b"alice", RIGHT, "198.51.100.1"))
    held.go.set()
    assert await right
    await asyncio.gather(*guesses)
    assert not await guess(passwords, 100, "192.0.2.1")


async def test_a_password_is_not_to_be_found_in_what_is_remembered(passwords: Passwords) -> None:
    assert await passwords.check(b"alice", RIGHT, "")
    kept = {name: value for name, value in vars(passwords).items() if name not in ("_executor", "_checks")}
    assert RIGHT not in pickle.dumps(kept)


async def test_a_right_password_of_before_is_wrong_once_replaced_under_way(
    passwords: Passwords, held: Held
) -> None:
    before = asyncio.create_task(passwords.check(b"alice", RIGHT, ""))
    await begins(held)
    passwords.replace({"alice": hashed("newer")})
    held.go.set()
    await before
    assert not await passwords.check(b"alice", RIGHT, "")
    assert await passwords.check(b"alice", b"newer", "")
