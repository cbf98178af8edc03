"""The syntax tree of an expression: its errors, what `check` warns of, and the functions that evaluate it."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import jmespath
from jmespath.exceptions import IncompleteExpressionError, ParseError
from jmespath.lexer import Lexer

from exporter.expressions.budget import Budget, Find, Misfit
from exporter.expressions.evaluation import FUNCTIONS, PRODUCTS, Node, found, is_number

MAX_LENGTH = 2000
MAX_DEPTH = 40

_OF_VALUE = frozenset(
    {"subexpression", "index_expression", "projection", "value_projection", "filter_projection", "flatten"}
)
"""Nodes that look for something in the value of their first child."""

_BEFORE_TEXT = frozenset({"eq", "ne", "and", "or", "comma", "lbracket"})
_INTO = frozenset({"dot", "lbracket", "filter", "flatten", "colon"})
_PLAIN = re.compile(r"[A-Za-z_]\w*", re.ASCII).fullmatch


def finder(source: str) -> Find:
    """The function of an expression, from a value and a budget to the result, see `found`.

    Raises:
        ValueError: the error in it, in one sentence that does not quote it.
    """
    tree = compiled(source)
    names = _names(tree)
    return partial(_walk, names) if names else partial(found, tree)


def place_of_loss(source: str, value: Any, budget: Budget) -> Any:
    """The part of a value in which an expression that finds nothing looks last, such as ``a`` for ``a.b``.

    ``None`` if it finds null.
    """
    return _lost(compiled(source), value, budget)


def _lost(node: Node, value: Any, budget: Budget) -> Any:
    children: list[Node] = [child for child in node["children"] if isinstance(child, dict)]
    is_path = node["type"] in _OF_VALUE or node["type"] == "pipe"
    if node["type"] == "field" and isinstance(value, dict) and node["value"] in value:
        return None
    try:
        for child in children:
            inner = found(child, value, budget)
            is_list = child["type"] == "multi_select_list" and isinstance(inner, list)
            if inner is None or (is_list and None in inner):
                return _lost(child, value, budget)
            if is_path:
                if node["type"].endswith("projection"):
                    break  # the others are for its elements
                value = inner
    except Misfit:
        pass  # also for a $variable, which is known only inside of its let
    return value


def _names(tree: Node) -> list[str]:
    """The names of an expression like ``a.b``, the most frequent form; nothing for any other."""
    parts = tree["children"] if tree["type"] == "subexpression" else [tree]
    return [part["value"] for part in parts] if all(part["type"] == "field" for part in parts) else []


def _walk(names: list[str], value: Any, budget: Budget | None = None) -> Any:
    """The same result as `found`, in a fraction of the time."""
    del budget
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def whole_list(source: str) -> Find:
    """The function of the list from which an expression takes its result: ``jobs`` for ``jobs[?failed].id``.

    That of the expression itself if it is of another form.
    """
    return partial(found, _whole(compiled(source)))


def _whole(node: Node) -> Node:
    children = node["children"]
    match node["type"]:
        case "filter_projection" | "projection":
            return _whole(children[0])
        # Not of a list that the expression itself writes, as in ``[main, extra][]``.
        case "flatten" if children[0]["type"] != "multi_select_list":
            return _whole(children[0])
        case "pipe":
            first, last = children[0], _whole(children[1])
            is_of_first = last["type"] in ("current", "identity")
            return _whole(first) if is_of_first else {**node, "children": [first, last]}
        case "subexpression":
            return {**node, "children": [*children[:-1], _whole(children[-1])]}
        case "or_expression":
            return {**node, "children": [_whole(children[0]), *children[1:]]}
    return node


def compiled(source: str) -> Node:
    """The syntax tree of an expression; raises the errors of `finder`."""
    if len(source) > MAX_LENGTH:
        raise ValueError(f"is longer than {MAX_LENGTH} characters")
    try:
        tree: dict[str, Any] = jmespath.compile(source).parsed
    except IncompleteExpressionError:
        raise ValueError("is not a complete JMESPath expression: something is missing at its end") from None
    except ParseError as error:
        raise ValueError(_explained(source, error.lex_position)) from None
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise ValueError("is not a JMESPath expression") from None
    for text in _errors(tree, frozenset(), 0):
        raise ValueError(text)
    _prepare(tree)
    return tree


def _prepare(node: dict[str, Any]) -> None:
    """Adds to each node the ``size`` that `found` needs: how many nodes it has, itself included.

    A list of literals, as in ``contains(['A', 'B'], state)``, becomes one literal, which costs less.
    """
    children = [child for child in node["children"] if isinstance(child, dict)]
    for child in children:
        _prepare(child)
    if node["type"] == "multi_select_list" and all(child["type"] == "literal" for child in children):
        node.update(type="literal", value=[child["value"] for child in children], children=[])
        children = []
    node["size"] = 1 + sum(child["size"] for child in children)


def can_take_long(source: str) -> bool:
    """Whether an expression can take more than a fraction of a millisecond for a small response.

    It can if it has a loop, or a function that compares or repeats one value of the response for another one.
    """
    return _can_take_long(compiled(source))


def _can_take_long(node: Node) -> bool:
    children: list[Node] = [child for child in node["children"] if isinstance(child, dict)]
    match node["type"]:
        case "projection" | "value_projection" | "filter_projection" | "expref":
            return True
        case "function_expression" if node["value"] in PRODUCTS:
            values = [child for child in children if child["type"] != "literal"]
            return len(values) > 1 or any(map(_can_take_long, values))
    return any(map(_can_take_long, children))


def tight_minus(source: str) -> int | None:
    """The index of the first minus without spaces between two fields; ``None`` if there is none."""
    tokens = list(Lexer().tokenize(source))
    for left, minus, right, after in zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False):
        is_name = left["type"] == right["type"] == "unquoted_identifier" and after["type"] != "lparen"
        at: int = minus["start"]
        if is_name and source[at] == "-" and left["end"] == at and right["start"] == at + 1:
            return at
    return None


def quoted_name(source: str) -> int | None:
    """The index of the first name in needless double quotes where a text is usual; ``None`` if there is none.

    In ``state == "OK"`` a text is intended, but double quotes are for fields.
    """
    tokens = list(Lexer().tokenize(source))
    for before, token, after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        is_name = token["type"] == "quoted_identifier" and _PLAIN(token["value"])
        if is_name and before["type"] in _BEFORE_TEXT and after["type"] not in _INTO:
            at: int = token["start"]
            return at
    return None


def calculates_text(tree: Node) -> bool:
    """Whether an expression can result in a calculated number, alone or as a part of a text.

    Conditions may calculate, and ``to_string`` shows that the number is intended.
    """
    children: list[Node] = [child for child in tree["children"] if isinstance(child, dict)]
    match tree["type"]:
        case "arithmetic" | "arithmetic_unary":
            return True
        case "and_expression" | "pipe":
            return calculates_text(children[-1])
        case "or_expression" | "multi_select_list":
            return any(map(calculates_text, children))
        case "function_expression" if tree["value"] == "join":
            return any(map(calculates_text, children))
    return False


def _explained(source: str, position: int) -> str:
    hint = "; write numbers in backticks, as in `100`" if source[position : position + 1].isdigit() else ""
    return f"is not a JMESPath expression: wrong from character {position + 1} on{hint}"


def _errors(node: Node, variables: frozenset[str], depth: int) -> Iterator[str]:
    """Errors that the parser accepts and that make every evaluation fail."""
    if depth > MAX_DEPTH:
        yield f"is nested deeper than {MAX_DEPTH} levels"
        return
    children: list[Node] = [child for child in node["children"] if isinstance(child, dict)]
    match node["type"]:
        case "function_expression":
            yield from _wrong_call(node["value"], children)
            # An & is only allowed here.
            children = [child["children"][0] if child["type"] == "expref" else child for child in children]
        case "expref":
            yield "has an & that is not an argument of a function"
        case "variable_ref" if node["value"] not in variables:
            yield "uses a $variable that no let defines"
        case "let_expression":
            inner = variables | {child["value"] for child in children[:-1]}
            yield from _errors(children.pop(), inner, depth + 1)
        case "slice" if node["children"][2] == 0:
            yield "has a slice of step 0"
        case "arithmetic" | "arithmetic_unary":
            if any(child["type"] == "literal" and not is_number(child["value"]) for child in children):
                yield "calculates with a value that is not a number"
    yield from _wrong_negation(node["type"], children)
    yield from _wrong_literal(node)
    for child in children:
        yield from _errors(child, variables, depth + 1)


def _wrong_literal(node: Node) -> Iterator[str]:
    """NaN and infinite numbers, which the library reads."""
    try:
        json.dumps(node["value"] if node["type"] == "literal" else None, allow_nan=False)
    except ValueError:
        yield "has a number that JSON does not have"


def _wrong_negation(kind: str, children: list[Node]) -> Iterator[str]:
    if kind in _OF_VALUE and children and children[0]["type"] == "not_expression":
        yield "has a ! that negates only the first name of a path; write !(a.b) to negate the whole path"


def _wrong_call(name: str, arguments: list[Node]) -> Iterator[str]:
    known = FUNCTIONS.get(name)
    if known is None:
        yield f"calls an unknown function; allowed: {', '.join(sorted(FUNCTIONS))}"
        return
    signature: tuple[Mapping[str, Any], ...] = known["signature"]
    least = sum(not parameter.get("optional") for parameter in signature)
    variadic = any(parameter.get("variadic") for parameter in signature)
    if len(arguments) < least or (len(arguments) > len(signature) and not variadic):
        more = "or more" if variadic else f"to {len(signature)}" if least < len(signature) else ""
        allowed = f"{least} {more}".rstrip()
        yield f"has the wrong number of arguments for {name}(): {len(arguments)}; allowed: {allowed}"
    for argument, parameter in zip(arguments, signature, strict=False):
        if (argument["type"] == "expref") != (parameter.get("types") == ["expref"]):
            yield f"calls {name}() with an & too many or too few"
