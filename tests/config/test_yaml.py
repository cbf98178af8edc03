import time

import pytest

from exporter.config.yaml import MAX_BYTES, line_of, parse


def value(text: str) -> object:
    document = parse(f"key: {text}".encode())
    assert document.problems == ()
    return document.root["key"]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-12", -12),
        ("+7", 7),
        ("1.5", 1.5),
        (".5e1", 5.0),
        ("1e3", 1000.0),
        ("2.", 2.0),
    ],
)
def test_plain_words_and_numbers_mean_what_yaml_1_2_says(text: str, meant: object) -> None:
    found = value(text)
    assert found == meant
    assert type(found) is type(meant)


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "no",
        "on",
        "off",
        "y",
        "2024-01-31",
        "2024-01-31T10:00:00Z",
        "0777",
        "-007",
        "0o17",
        "0x1F",
        "0b11",
        "1:30",
        "1_000",
        "10s",
        "1.2.3",
        ".inf",
        ".nan",
        "48c66c6002964721be537cdc6ce0297b",
        "--",
        ".",
        "+",
        "=",
    ],
)
def test_what_only_looks_like_something_else_stays_text(text: str) -> None:
    assert value(text) == text


@pytest.mark.parametrize("text", ["true", "42", "null", "1e3", ""])
def test_quotes_make_text(text: str) -> None:
    assert value(f'"{text}"') == text
    assert value(f"'{text}'") == text


def test_a_number_of_thousands_of_digits_stays_text() -> None:
    assert value("9" * 5000) == "9" * 5000


def test_anchors_and_merge_keys_work() -> None:
    root = parse(
        b"one: &one {a: 1, b: 2}\ntwo: &two {b: 3, c: 4}\nboth: {b: 9, <<: [*one, *two]}\nsame: *one\n"
        b"quoted: {'<<': 5}\n"
    ).root
    assert root["both"] == {"a": 1, "b": 9, "c": 4}
    assert root["same"] == root["one"]
    assert root["quoted"] == {"<<": 5}


def test_the_earlier_of_several_merged_mappings_wins() -> None:
    root = parse(b"one: &one {a: 1}\ntwo: &two {a: 2}\nboth: {<<: [*two, *one]}\n").root
    assert root["both"] == {"a": 2}


def test_an_anchor_may_be_given_again() -> None:
    assert parse(b"a: &x 1\nb: *x\nc: &x 2\nd: *x\n").root == {"a": 1, "b": 1, "c": 2, "d": 2}


def test_an_alias_costs_no_walk_of_its_value() -> None:
    many = b"a: &a [" + b"x," * 1_000 + b"]\nb: &b [" + b"*a," * 900 + b"]\n"
    began = time.thread_time()
    assert parse(many).problems == ()
    assert time.thread_time() - began < 0.3  # with a walk of 900,000 values it is a second
    (problem,) = parse(many + b"c: *b\n").problems
    assert problem.text == "has more than 1000000 values, aliases (*) expanded"


@pytest.mark.parametrize(("levels", "problems"), [(20, 0), (21, 1)])
def test_the_levels_below_an_alias_count(levels: int, problems: int) -> None:
    nested = b"[" * levels + b"x" + b"]" * levels
    assert len(parse(b"a: &a " + nested + b"\nb: " + b"[" * 10 + b"*a" + b"]" * 10).problems) == problems


def test_every_key_and_item_knows_its_line() -> None:
    root = parse(b"a:\n  b:\n    - x\n    - c: 1\n      d: 2\n").root
    assert line_of(root, ("a",)) == 1
    assert line_of(root, ("a", "b")) == 2
    assert line_of(root, ("a", "b", 0)) == 3
    assert line_of(root, ("a", "b", 1, "d")) == 5


def test_a_missing_key_is_where_the_mapping_is_that_lacks_it() -> None:
    root = parse(b"a:\n  b:\n    - x\n    - c: 1\n      d: 2\n").root
    assert line_of(root, ("a", "b", 1, "e")) == 4
    assert line_of(root, ("a", "e")) == 1
    assert line_of(root, ("e", "f")) == 1


def test_lines_are_counted_the_same_with_line_breaks_of_windows() -> None:
    assert line_of(parse(b"a: 1\r\nb:\r\n  c: 1\r\n").root, ("b", "c")) == 3


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    assert parse(b"\xef\xbb\xbfa: 1\n").root == {"a": 1}


def test_nothing_is_an_empty_mapping() -> None:
    assert parse(b"").root == {}
    assert parse(b"---\n...\n").root == {}


def test_all_repetitions_of_a_key_are_told() -> None:
    lines = [problem.line for problem in parse(b"a: 1\na: 2\nb: {c: 1,\n c: 2}\na: 3\n").problems]
    assert sorted(lines) == [2, 4, 5]


def test_the_first_of_repeated_keys_is_kept() -> None:
    assert parse(b"a: 1\na: 2\n").root == {"a": 1}


def test_too_large_a_file_is_refused() -> None:
    (problem,) = parse(b"#" * (MAX_BYTES + 1)).problems
    assert problem.text == "is over 16 MiB"


@pytest.mark.parametrize(
    "unit", [b"[", b"{a: ", b"- ", b"a, ", b"- a\n", b"? ", b"&a ", b"'", b"*a ", b"!", b"- &a [*a]\n"]
)
def test_megabytes_of_anything_are_dealt_with(unit: bytes) -> None:
    document = parse(unit * ((1 << 20) // len(unit)))
    assert document.problems or document.root


def test_a_problem_at_the_end_of_the_file_is_on_its_last_line() -> None:
    (problem,) = parse(b"a: [1,\n  2\n\n").problems
    assert problem.line == 1
    (problem,) = parse(b"a: {b: 1\nc: 2").problems
    assert problem.line == 2
