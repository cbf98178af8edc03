from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from exporter.runtime.memory import joined


@given(st.lists(st.binary(max_size=100_000), max_size=8), st.integers(0, 300_000))
def test_parts_are_joined_whatever_size_was_expected(parts: list[bytes], expected: int) -> None:
    assert joined(parts, expected) == b"".join(parts)


def test_one_part_is_in_memory_at_a_time() -> None:
    alive, most = 0, 0

    class Part(bytes):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def parts() -> Iterator[bytes]:
        nonlocal alive, most
        for _ in range(9):
            alive += 1
            most = max(most, alive)
            yield Part(1000)

    # The loop keeps one until it has the next.
    assert (len(joined(parts())), most) == (9000, 2)
