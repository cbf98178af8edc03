"""Evaluates the syntax tree of an expression for a value from a response.

The interpreter is jmespath's own, except where the work of a node depends on the value: there it charges the
steps of `budget` first.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from math import isfinite
from typing import Any, TypeVar

from jmespath import visitor
from jmespath.exceptions import JMESPathTypeError
from jmespath.functions import Functions, signature

from exporter.expressions.budget import CHARACTERS, COMPARED, EXPRESSION_STEPS, Budget, Evaluation, Misfit

MAX_BITS = 1024
"""Of a whole number to calculate with: as many as a float has. A product of longer ones takes long."""

T = TypeVar("T")

Node = Mapping[str, Any]
"""A node of jmespath's syntax tree: ``type``, ``children``, ``size`` and often ``value``."""


def found(tree: Node, value: Any, budget: Budget | None = None) -> Any:
    """The result of an expression for a value; ``None`` if it finds nothing.

    Args:
        tree: from `tree.compiled`.
        budget: of the read; without it, that of a read with this expression alone.

    Raises:
        Exhausted: it needs more steps or time than are left.
        Misfit: it cannot be evaluated for this value.
    """
    evaluation = Evaluation(Budget() if budget is None else budget)
    try:
        return _Interpreter(evaluation).evaluate(tree, value)
    except Misfit:
        raise
    except JMESPathTypeError as error:
        detail = f"{error.function_name}() does not accept a value of this type"
    except TypeError:
        detail = "cannot be evaluated for these types; compare a text with a number as in to_number(a) > `1`"
    except (ValueError, LookupError, AttributeError, ArithmeticError, RecursionError):
        detail = "cannot be evaluated for these values"
    finally:
        evaluation.close()
    # Outside of the handler, since the library's exceptions contain the value.
    raise Misfit(detail)


def is_number(value: object) -> bool:
    """Whether a value is a JSON number; Python's booleans are numbers, too."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finite(result: T) -> T | None:
    """The result of a function or of a calculation; ``None`` for a number that JSON does not have.

    ``to_number`` reads NaN, and a sum can be infinite. To compare these has a result, which means nothing.
    """
    return None if isinstance(result, float) and not isfinite(result) else result


class _Expression(visitor._Expression):  # noqa: SLF001  the library knows the type by this name
    """The ``&a`` in ``max_by(list, &a)``, which the library evaluates for each element."""

    def visit(self, node: Node, value: Any) -> Any:
        interpreter = self.interpreter
        interpreter.charge(node["size"])
        result = interpreter.visit(node, value)
        if size := _size(result):  # sorting and grouping compare the results
            interpreter.charge(size)
        return result


def _grouped(functions: Functions, array: list[Any], expression: _Expression) -> dict[str, list[Any]] | None:
    """``group_by`` in one pass, where the library has one for each group."""
    groups: dict[str, list[Any]] = {}
    name_of = functions._create_key_func(expression, ["null", "string"], "group_by")  # noqa: SLF001  as there
    for element in array:
        if (name := name_of(element)) is not None:
            groups.setdefault(name, []).append(element)
    return groups if array else None


def _from_items(_: Functions, items: list[Any]) -> dict[str, Any]:
    """``from_items`` for names that are texts. Numbers can be chosen so that all have the same hash."""
    if not all(isinstance(item, list) and len(item) == 2 and isinstance(item[0], str) for item in items):
        raise ValueError
    return dict(items)


class _Functions(Functions):
    """The functions of JMESPath."""

    _func_from_items = signature({"types": ["array"]})(_from_items)
    _func_group_by = signature({"types": ["array"]}, {"types": ["expref"]})(_grouped)

    def call_function(self, function_name: str, resolved_args: list[Any], *_: Any, **__: Any) -> Any:
        # Without the library's check of the number of arguments, which `tree` checks once.
        function = FUNCTIONS[function_name]
        self._type_check(resolved_args, function["signature"], function_name)
        return function["function"](self, *resolved_args)

    def _get_allowed_pytypes(self, types: list[str]) -> Any:
        return _allowed(tuple(types))


@lru_cache(maxsize=1 << 8)
def _allowed(types: tuple[str, ...]) -> Any:
    """What the library works out for every argument of every call."""
    return Functions()._get_allowed_pytypes(types)  # noqa: SLF001  replaced there


class _Interpreter(visitor.TreeInterpreter):
    """Evaluates one expression once."""

    def __init__(self, evaluation: Evaluation) -> None:
        super().__init__(_OPTIONS)
        self.charge = evaluation.charge

    def visit(self, node: Node, value: Any, *_: Any) -> Any:
        return _VISITS[node["type"]](self, node, value)

    def visit_projection(self, node: Node, value: Any) -> Any:
        first, each = node["children"]
        base = self.visit(first, value)
        if isinstance(base, str) and _is_sliced(first):
            return self.visit(each, base)
        return self._each(each, base) if isinstance(base, list) else None

    def visit_value_projection(self, node: Node, value: Any) -> list[Any] | None:
        first, each = node["children"]
        base = self.visit(first, value)
        return self._each(each, base.values()) if isinstance(base, dict) else None

    def visit_filter_projection(self, node: Node, value: Any) -> list[Any] | None:
        first, each, condition = node["children"]
        base = self.visit(first, value)
        if not isinstance(base, list):
            return None
        size, results = condition["size"] + each["size"], []
        for element in base:
            self.charge(size)
            if self._is_true(self.visit(condition, element)):
                result = self.visit(each, element)
                if result is not None:
                    results.append(result)
        return results

    def _each(self, node: Node, elements: Iterable[Any]) -> list[Any]:
        """What a node finds in each element, without those in which it finds nothing."""
        size, results = node["size"], []
        for element in elements:
            self.charge(size)
            if (result := self.visit(node, element)) is not None:
                results.append(result)
        return results

    def visit_flatten(self, node: Node, value: Any) -> list[Any] | None:
        base = self.visit(node["children"][0], value)
        if not isinstance(base, list):
            return None
        results: list[Any] = []
        for element in base:
            if isinstance(element, list):
                self.charge(1 + len(element))
                results.extend(element)
            else:
                self.charge(1)
                results.append(element)
        return results

    def visit_slice(self, node: Node, value: Any) -> Any:
        result = super().visit_slice(node, value)
        self.charge(_size(result))
        return result

    def visit_comparator(self, node: Node, value: Any) -> bool | None:
        left, right = (self.visit(child, value) for child in node["children"])
        operator: Callable[[Any, Any], bool] = self.COMPARATOR_FUNC[node["value"]]
        if node["value"] in self._EQUALITY_OPS:
            # Values of unequal length are not compared any further.
            if isinstance(left, str | list | dict) and type(left) is type(right) and len(left) == len(right):
                self.charge(_deep(left))
            return operator(left, right)
        if not (_has_order(left) and _has_order(right)):
            return None
        self.charge(min(_size(left), _size(right)))
        return operator(left, right)

    def visit_expref(self, node: Node, value: Any) -> _Expression:
        del value
        return _Expression(node["children"][0], self)

    def visit_function_expression(self, node: Node, value: Any) -> Any:
        name, arguments = node["value"], [self.visit(child, value) for child in node["children"]]
        if name == "to_string":
            return self._text(arguments[0])
        if name not in CONSTANT:
            self.charge(_COSTS.get(name, _sizes)(arguments))
        try:
            return _finite(self._functions.call_function(name, arguments))
        except JMESPathTypeError as error:
            # A function of nothing is nothing: a missing value is not a value of a wrong type.
            if error.current_value is None:
                return None
            raise

    def _text(self, value: Any) -> str:
        if isinstance(value, str):
            return value
        chunks = []
        for chunk in json.JSONEncoder(separators=(",", ":")).iterencode(value):
            self.charge(1 + len(chunk) // CHARACTERS)
            chunks.append(chunk)
        return "".join(chunks)

    def visit_arithmetic(self, node: Node, value: Any) -> float | None:
        return self._calculated(self._ARITHMETIC_FUNC[node["value"]], node, value)

    def visit_arithmetic_unary(self, node: Node, value: Any) -> float | None:
        return self._calculated(self._ARITHMETIC_UNARY_FUNC[node["value"]], node, value)

    def _calculated(self, operator: Callable[..., float], node: Node, value: Any) -> float | None:
        operands = [self.visit(child, value) for child in node["children"]]
        if None in operands:
            return None
        # Python's operators also accept texts and lists.
        if not all(map(is_number, operands)):
            raise Misfit("calculates with a value that is not a number")
        if any(isinstance(each, int) and each.bit_length() > MAX_BITS for each in operands):
            raise Misfit("calculates with a number that is too large")
        try:
            return _finite(operator(*operands))
        except ZeroDivisionError:
            return None  # a share of 0 items

    def _is_false(self, value: Any) -> bool:
        return not value and not is_number(value)


_OPTIONS = visitor.Options(custom_functions=_Functions())
_VISITS: Mapping[str, Callable[[_Interpreter, Node, Any], Any]] = {
    name.removeprefix("visit_"): getattr(_Interpreter, name)
    for name in dir(_Interpreter)
    if name.startswith("visit_")
}

FUNCTIONS: Mapping[str, Any] = _Functions.FUNCTION_TABLE
"""The signature of each function by its name."""

CONSTANT = frozenset({"abs", "ceil", "floor", "length", "not_null", "to_array", "type"})
"""Functions whose work does not depend on the length of their arguments."""


def _is_sliced(node: Node) -> bool:
    """Whether the base of a projection is a slice, which a text can have as well as a list."""
    children = node["children"]
    return node["type"] == "index_expression" and len(children) > 1 and children[1]["type"] == "slice"


def _has_order(value: object) -> bool:
    return isinstance(value, str) or is_number(value)


def _size(value: object) -> int:
    """The steps of all elements of a list or an object, or of all characters of a text."""
    if isinstance(value, str):
        return len(value) // CHARACTERS
    return len(value) if isinstance(value, list | dict) else 0


def _sizes(arguments: list[Any]) -> int:
    return sum(map(_size, arguments))


def _deep(value: object) -> int:
    """The steps of a value with all that is inside; it stops counting where an expression may not go on."""
    steps, inside = 0, [value]
    while inside and steps <= EXPRESSION_STEPS:
        each = inside.pop()
        steps += _size(each)
        if isinstance(each, list | dict):
            inside.extend(each)
        if isinstance(each, dict):
            inside.extend(each.values())
    return steps


def _texts(arguments: list[Any]) -> int:
    """Those of lists of texts, of which each element is read."""
    return _sizes(arguments) + sum(_sizes(each) for each in arguments if isinstance(each, list))


def _product(arguments: list[Any]) -> int:
    """Each character of the first text is compared with each of the second one."""
    match arguments:
        case [str(text), str(other), *_]:
            return _size(text) + len(text) * len(other) // CHARACTERS
    return _sizes(arguments)


def _contains(arguments: list[Any]) -> int:
    match arguments:
        case [list(values), sought]:
            return len(values) * (1 + _deep(sought)) // COMPARED
    return _sizes(arguments)


def _join(arguments: list[Any]) -> int:
    match arguments:
        case [str(glue), list(parts)]:
            return _texts(arguments) + len(parts) * len(glue) // CHARACTERS
    return 0


def _padded(arguments: list[Any]) -> int:
    match arguments:
        case [_, int(width), *_]:
            return width // CHARACTERS
    return 0


def _replace(arguments: list[Any]) -> int:
    match arguments:
        case [str(text), str(old), str(new), *_]:
            return _sizes(arguments) + text.count(old) * len(new) // CHARACTERS
    return 0


def _split(arguments: list[Any]) -> int:
    match arguments:
        case [str(text), str(separator), *limit]:
            pieces = text.count(separator)
            most = limit[0] if limit and isinstance(limit[0], int) else pieces
            return _size(text) + min(pieces, most)
    return 0


_COSTS: Mapping[str, Callable[[list[Any]], int]] = {
    "contains": _contains,
    "find_last": _product,
    "join": _join,
    "max": _texts,
    "min": _texts,
    "pad_left": _padded,
    "pad_right": _padded,
    "replace": _replace,
    "sort": _texts,
    "split": _split,
    "trim": _product,
    "trim_left": _product,
    "trim_right": _product,
}
"""The steps of a call, if they are not those of its arguments' lengths."""

PRODUCTS = _COSTS.keys() - {"max", "min", "sort", "split"}
"""Functions whose work can be that of one argument for each part of another one."""
