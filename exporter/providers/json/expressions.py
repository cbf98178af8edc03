"""JMESPath with arithmetic (JEP 16) over answers that nobody vouches for.

Importing this costs memory, so it is done once something has to be compiled. The expressions are the
user's own and checked beforehand; what they meet in an answer is not: nothing found stays nothing, and
neither time nor memory can run away.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import jmespath
from jmespath.exceptions import IncompleteExpressionError, JMESPathTypeError, ParseError
from jmespath.functions import Functions
from jmespath.lexer import Lexer
from jmespath.visitor import Options, TreeInterpreter

MAX_LENGTH = 2000
MAX_DEPTH = 40
MAX_STEPS = 1_000_000
MAX_TEXT = 1 << 20

Node = Mapping[str, Any]
"""A node of jmespath's syntax tree: ``type``, ``children`` and often ``value``."""


class Misfit(ValueError):
    """An expression met values that it cannot work with; the text quotes nothing of them."""


def finder(source: str) -> Callable[[Any], Any]:
    """What an expression does: takes a value and returns what it finds there, see `found`.

    Raises:
        ValueError: what is wrong with it, in one sentence that does not quote it.
    """
    tree = compiled(source)
    names = _names(tree)
    return partial(_walk, names) if names else partial(found, tree)


def _names(tree: Node) -> list[str]:
    """The names of an expression like ``a.b``, as most of them are; nothing for any other."""
    parts = tree["children"] if tree["type"] == "subexpression" else [tree]
    return [part["value"] for part in parts] if all(part["type"] == "field" for part in parts) else []


def _walk(names: list[str], value: Any) -> Any:
    """What `found` finds too, at a fraction of the time."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def compiled(source: str) -> Node:
    """The syntax tree of an expression.

    Raises:
        ValueError: what is wrong with it, in one sentence that does not quote it.
    """
    if len(source) > MAX_LENGTH:
        raise ValueError(f"is longer than {MAX_LENGTH} characters")
    try:
        tree: Node = jmespath.compile(source).parsed
    except IncompleteExpressionError:
        raise ValueError("is no whole JMESPath expression: something is missing at its end") from None
    except ParseError as error:
        raise ValueError(_explained(source, error.lex_position)) from None
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise ValueError("is no JMESPath expression") from None
    for text in _errors(tree, frozenset(), 0):
        raise ValueError(text)
    return tree


def tight_minus(source: str) -> int | None:
    """Where an expression subtracts one field from another without spaces around the minus.

    Returns:
        The first such place, counted from 0; ``None`` where there is none.
    """
    tokens = list(Lexer().tokenize(source))
    for left, minus, right, after in zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False):
        is_name = left["type"] == right["type"] == "unquoted_identifier" and after["type"] != "lparen"
        at: int = minus["start"]
        if is_name and source[at] == "-" and left["end"] == at and right["start"] == at + 1:
            return at
    return None


def _explained(source: str, position: int) -> str:
    wrong = f"is no JMESPath expression: wrong from character {position + 1} on"
    if source[position : position + 1].isdigit():
        return f"{wrong}; numbers stand between backticks, as in `100`"
    return wrong


def found(tree: Node, value: Any) -> Any:
    """What an expression finds in a value; ``None`` is nothing.

    Raises:
        Misfit: it cannot work with what the value holds, or not within bounds.
    """
    try:
        return _Interpreter().evaluate(tree, value)
    except Misfit:
        raise
    except JMESPathTypeError as error:
        detail = f"{error.function_name}() cannot work with a value of this type"
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError):
        detail = "cannot work with these values"
    # Raised out here: what the library raises carries what it was given.
    raise Misfit(detail)


class _Functions(Functions):
    """The functions of JMESPath; those whose result may be far larger than what they are given, bounded."""

    def call_function(self, function_name: str, resolved_args: list[Any], *more: Any, **rest: Any) -> Any:
        if _result_length(function_name, resolved_args) > MAX_TEXT:
            raise Misfit(f"{function_name}() would make a text that is too long")
        if function_name == "to_string":
            return _text(*resolved_args)
        try:
            return super().call_function(function_name, resolved_args, *more, **rest)
        except JMESPathTypeError as error:
            # A function of nothing is nothing: what an answer leaves out is no fault of its type.
            if error.current_value is None:
                return None
            raise


def _text(value: object) -> str:
    """What ``to_string`` makes, told to stop in time."""
    if isinstance(value, str):
        return value
    text = ""
    for chunk in json.JSONEncoder(separators=(",", ":")).iterencode(value):
        text += chunk
        if len(text) > MAX_TEXT:
            raise Misfit("to_string() would make a text that is too long")
    return text


def _result_length(name: str, arguments: list[Any]) -> float:
    """About how long a text a function is going to make; 0 for those that make no longer one."""
    match name, arguments:
        case "pad_left" | "pad_right", [_, int() | float() as width, *_]:
            return width
        case "join", [str(glue), list(parts)]:
            return len(glue) * len(parts) + sum(len(part) for part in parts if isinstance(part, str))
        case "replace", [str(text), str(old), str(new), *_]:
            return len(text) + text.count(old) * len(new)
    return 0


class _Interpreter(TreeInterpreter):
    """Evaluates one expression once, in a bounded number of steps."""

    def __init__(self) -> None:
        super().__init__(Options(custom_functions=_Functions()))
        self._steps = 0

    def visit(self, node: Node, *args: Any, **kwargs: Any) -> Any:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise Misfit("takes too many steps")
        return super().visit(node, *args, **kwargs)

    def visit_arithmetic(self, node: Node, value: Any) -> float | None:
        left, right = (self.visit(child, value) for child in node["children"])
        if left is None or right is None:
            return None
        # Python's signs mean something for texts and lists too.
        if not (_is_number(left) and _is_number(right)):
            raise Misfit("calculates with what is no number")
        try:
            result: float = self._ARITHMETIC_FUNC[node["value"]](left, right)
        except ZeroDivisionError:
            return None  # a share of nothing
        return result

    def visit_arithmetic_unary(self, node: Node, value: Any) -> float | None:
        operand = self.visit(node["children"][0], value)
        if operand is None:
            return None
        if not _is_number(operand):
            raise Misfit("calculates with what is no number")
        result: float = self._ARITHMETIC_UNARY_FUNC[node["value"]](operand)
        return result


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _errors(node: Node, variables: frozenset[str], depth: int) -> Iterator[str]:
    """What the parser lets through and no answer could ever make right."""
    if depth > MAX_DEPTH:
        yield f"is nested deeper than {MAX_DEPTH} levels"
        return
    children: list[Node] = [child for child in node["children"] if isinstance(child, dict)]
    match node["type"]:
        case "function_expression":
            yield from _wrong_call(node["value"], children)
            # What stands behind & is fine here, and only here.
            children = [child["children"][0] if child["type"] == "expref" else child for child in children]
        case "expref":
            yield "has an & that is no argument of a function"
        case "variable_ref" if node["value"] not in variables:
            yield "uses a $variable that no let defines"
        case "let_expression":
            inner = variables | {child["value"] for child in children[:-1]}
            yield from _errors(children.pop(), inner, depth + 1)
        case "slice" if node["children"][2] == 0:
            yield "has a slice of step 0"
        case "arithmetic" | "arithmetic_unary":
            if any(child["type"] == "literal" and not _is_number(child["value"]) for child in children):
                yield "calculates with what is no number"
    for child in children:
        yield from _errors(child, variables, depth + 1)


def _wrong_call(name: str, arguments: list[Node]) -> Iterator[str]:
    known = _Functions.FUNCTION_TABLE.get(name)
    if known is None:
        yield f"calls an unknown function; allowed: {', '.join(sorted(_Functions.FUNCTION_TABLE))}"
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
