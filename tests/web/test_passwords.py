"""Guessing passwords, and scrapes meanwhile."""

import asyncio
import pickle
import threading
from collections.abc import Iterator

import bcrypt
import pytest

from exporter.web import passwords as module
from exporter.web.passwords import MAX_CHECKS_PER_CLIENT, BusyError, Passwords, network
from tests.waiting import seen
from tests.web.secured import PASSWORD, hashed

RIGHT = PASSWORD.encode()


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords({"alice": hashed(), "bob": hashed("another")})
    yield made
    made.close()


class Held:
    """bcrypt that waits until it is let go; the passwords and hashes that it was asked for, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self.passwords: list[str] = []
        self.hashes: list[bytes] = []
        self.at_once = self.most_at_once = 0
        self._real = bcrypt.checkpw
        monkeypatch.setattr(bcrypt, "checkpw", self.check)

    def check(self, password: bytes, hashed: bytes) -> bool:
        self.passwords.append(password.decode())
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


async def test_whoever_was_let_in_once_never_waits_behind_guesses(
    passwords: Passwords, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CHECKS", 8)
    held.go.set()
    assert await passwords.check(b"alice", RIGHT, "198.51.100.1")
    held.go.clear()
    guesses = [guess(passwords, number) for number in range(8)]
    await begins(held)
    with pytest.raises(BusyError):
        await guess(passwords, 99)
    assert await passwords.check(b"alice", RIGHT, "198.51.100.1")
    assert not any(each.done() for each in guesses)
    assert held.most_at_once == 1
    held.go.set()
    assert not any(await asyncio.gather(*guesses))
    assert await passwords.check(b"bob", b"another", "198.51.100.1")


async def checked(held: Held, *tasks: asyncio.Task[bool]) -> list[str]:
    """The passwords in the order of their checks. None begins before all of them wait."""
    await begins(held)
    held.go.set()
    await asyncio.gather(*tasks)
    return held.passwords


def ask(passwords: Passwords, password: str, client: str) -> asyncio.Task[bool]:
    return asyncio.create_task(passwords.check(b"alice", password.encode(), client))


async def test_addresses_take_turns_and_new_ones_are_first(passwords: Passwords, held: Held) -> None:
    tasks = [ask(passwords, f"{client}{number}", client) for client in "ab" for number in range(3)]
    newcomer = ask(passwords, PASSWORD, "c")
    assert await checked(held, newcomer, *tasks) == ["a0", "b0", PASSWORD, "a1", "b1", "a2", "b2"]
    assert newcomer.result()


async def test_forty_guessers_with_addresses_of_their_own_do_not_delay_a_new_scraper(
    passwords: Passwords, held: Held
) -> None:
    held.go.set()
    await asyncio.gather(*[guess(passwords, number) for number in range(40)])
    held.go.clear()
    held.passwords.clear()
    guesses = [ask(passwords, f"another {number}", f"192.0.2.{number}") for number in range(40)]
    scraper = ask(passwords, PASSWORD, "198.51.100.1")
    assert (await checked(held, scraper, *guesses))[0] == PASSWORD
    assert scraper.result()


async def test_a_new_scraper_behind_the_address_of_forty_guessers_gets_in(
    passwords: Passwords, held: Held
) -> None:
    guesses = [guess(passwords, number, "192.0.2.1") for number in range(40)]
    scraper = ask(passwords, PASSWORD, "192.0.2.1")
    await checked(held, scraper, *guesses)
    assert scraper.result()


async def test_of_new_addresses_those_that_were_accepted_before_are_first(
    passwords: Passwords, held: Held
) -> None:
    held.go.set()
    assert await ask(passwords, PASSWORD, "a")
    passwords.replace({"alice": hashed("newer")})
    held.go.clear()
    held.passwords.clear()
    tasks = [
        ask(passwords, password, client) for password, client in (("1", "b"), ("2", "c"), ("newer", "a"))
    ]
    assert await checked(held, *tasks) == ["newer", "1", "2"]


async def test_one_address_has_few_of_the_places(passwords: Passwords, held: Held) -> None:
    guesses = [guess(passwords, number, "192.0.2.1") for number in range(MAX_CHECKS_PER_CLIENT)]
    await begins(held)
    with pytest.raises(BusyError):
        await guess(passwords, 99, "::ffff:192.0.2.1")
    right = asyncio.create_task(passwords.check(b"alice", RIGHT, "198.51.100.1"))
    held.go.set()
    assert await right
    await asyncio.gather(*guesses)
    assert not await guess(passwords, 100, "192.0.2.1")


async def test_where_all_places_are_in_use_a_new_address_takes_that_of_a_guesser(
    passwords: Passwords, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CHECKS", 3)
    held.go.set()
    assert not await guess(passwords, 0, "192.0.2.1")
    held.go.clear()
    guesses = [guess(passwords, number, "192.0.2.1") for number in range(1, 4)]
    await begins(held)
    right = ask(passwords, PASSWORD, "198.51.100.1")
    held.go.set()
    assert await right
    results = await asyncio.gather(*guesses, return_exceptions=True)
    assert [type(result) for result in results] == [bool, bool, BusyError]


@pytest.mark.parametrize("client", ["192.0.2.1", "198.51.100.1"])
async def test_checks_of_clients_that_have_left_go_on_and_make_way_for_others(
    client: str, passwords: Passwords, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CHECKS", 3)
    monkeypatch.setattr(module, "MAX_CHECKS_PER_CLIENT", 3)
    guesses = [guess(passwords, number, "192.0.2.1") for number in range(3)]
    await begins(held)
    for each in guesses:
        each.cancel()
    await asyncio.sleep(0)
    right = ask(passwords, PASSWORD, client)
    await asyncio.sleep(0)
    right.cancel()
    held.go.set()
    await seen(lambda: len(held.passwords) == 3, "the checks that are left")
    assert "guess 1" not in held.passwords
    assert await ask(passwords, PASSWORD, client)
    assert len(held.passwords) == 3


async def test_what_is_remembered_of_clients_and_guesses_is_bounded(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CLIENTS", 5)
    monkeypatch.setattr(module, "MAX_WRONG", 5)
    passwords = Passwords({"alice": hashed()})
    held.go.set()
    for number in range(20):
        assert not await guess(passwords, number)
        assert await ask(passwords, PASSWORD, f"198.51.100.{number}")
    sizes = {name: len(value) for name, value in vars(passwords).items() if isinstance(value, dict)}
    assert max(sizes.values()) == 5
    passwords.close()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "192.0.2.1", False),
        ("", "", True),
    ],
)
def test_an_ipv6_network_is_one_client(one: str, other: str, *, same: bool) -> None:
    assert (network(one) == network(other)) is same


async def test_a_password_is_not_to_be_found_in_what_is_remembered(passwords: Passwords) -> None:
    assert await passwords.check(b"alice", RIGHT, "")
    kept = {name: value for name, value in vars(passwords).items() if isinstance(value, dict | list | bytes)}
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
