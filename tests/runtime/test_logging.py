import asyncio
import io
import json
import logging
import math
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config_types import check_header_value
from exporter.model.failure import Failure, Reason
from exporter.runtime.logging import MAX_VALUE_LENGTH, Json, Logfmt, flush, setup
from exporter.runtime.secret import Secret

FIELD = re.compile(r'([A-Za-z0-9_.-]+)=(?:("(?:[^"\\]|\\.)*")|([^\s"=\\]+))(?: |$)')

texts = st.text(max_size=60) | st.text(
    alphabet='\n\r\t "=\\\x1b\x00\x85\u2028\u202e\U000e0041é[{', max_size=20
)
values = texts | st.integers() | st.floats() | st.booleans() | st.none()
extras = st.dictionaries(
    texts.filter(
        lambda name: name not in {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
    ),
    values,
    max_size=5,
)


def read_logfmt(line: str) -> dict[str, str]:
    """A strict reader: every byte of the line belongs to a field, no key comes twice."""
    fields: dict[str, str] = {}
    position = 0
    while position < len(line):
        field = FIELD.match(line, position)
        assert field, f"no field at {position} of {line!r}"
        key, quoted, bare = field.groups()
        assert key not in fields
        fields[key] = json.loads(quoted) if quoted else bare
        position = field.end()
    return fields


def record_of(message: str, extra: dict[str, object] | None = None, **rest: Any) -> logging.LogRecord:
    return logging.getLogger("exporter.test").makeRecord(
        "exporter.test", logging.WARNING, __file__, 1, message, (), rest.get("exc_info"), extra=extra
    )


def raised(action: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as info:  # noqa: PT011  # any: the kind is what is printed
        action()
    return info.value


def error_of(error: BaseException) -> str:
    record = record_of("it broke", exc_info=(type(error), error, error.__traceback__))
    return read_logfmt(Logfmt().format(record))["error"]


@pytest.fixture
def logs() -> Iterator[Callable[..., io.StringIO]]:
    root, own = logging.getLogger(), logging.getLogger("exporter")
    before = root.handlers[:], root.level, own.level, sys.excepthook

    def start(level: str = "info", format: Literal["logfmt", "json"] = "logfmt") -> io.StringIO:  # noqa: A002  # as in setup
        root.handlers = []
        stream = io.StringIO()
        setup(level, format, stream)
        return stream

    yield start
    root.handlers[:], root.level = before[0], before[1]
    own.setLevel(before[2])
    sys.excepthook = before[3]


@given(texts, extras)
def test_any_text_is_one_logfmt_line_that_reads_back(message: str, extra: dict[str, object]) -> None:
    line = Logfmt().format(record_of(message, extra))
    assert line.isprintable()
    fields = list(read_logfmt(line).values())
    assert fields[1:3] == ["warning", message]
    assert fields[3:] == [_shown(value) for value in extra.values()]


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, float) and not math.isfinite(value) else json.dumps(value)


@given(texts, extras)
def test_any_text_is_one_json_line_that_reads_back(message: str, extra: dict[str, object]) -> None:
    line = Json().format(record_of(message, extra))
    assert line.isascii()
    assert line.isprintable()
    fields = json.loads(line)
    assert len(fields) == 3 + len(extra)
    assert fields["msg"] == message
    finite = [str(v) if isinstance(v, float) and not math.isfinite(v) else v for v in extra.values()]
    assert list(fields.values())[3:] == finite


def test_a_line_has_time_level_message_and_fields_in_order() -> None:
    record = record_of("listening", {"zone": "a b", "address": "http://127.0.0.1:10072", "jobs": 3})
    record.created = 1700000000.1234
    start = "time=2023-11-14T22:13:20.123Z level=warning msg=listening "
    assert Logfmt().format(record) == start + 'zone="a b" address=http://127.0.0.1:10072 jobs=3'
    assert json.loads(Json().format(record)) == {
        "time": "2023-11-14T22:13:20.123Z",
        "level": "warning",
        "msg": "listening",
        "zone": "a b",
        "address": "http://127.0.0.1:10072",
        "jobs": 3,
    }


def test_hostile_text_forges_no_line_no_field_and_no_colour() -> None:
    line = Logfmt().format(record_of('x" level=error\ntime=now msg=paid', {"step": "\x1b[31mred a=b"}))
    assert r'msg="x\" level=error\ntime=now msg=paid" step="\u001b[31mred a=b"' in line


def test_an_extra_named_like_one_of_ours_does_not_replace_it() -> None:
    fields = read_logfmt(Logfmt().format(record_of("m", {"level": "debug", "time": "never"})))
    assert (fields["level"], fields["level_"], fields["time_"]) == ("warning", "debug", "never")


@pytest.mark.parametrize("formatter", [Logfmt(), Json()])
def test_lone_surrogates_are_escaped_so_that_any_stream_takes_the_line(formatter: logging.Formatter) -> None:
    assert r"\udc80" in formatter.format(record_of("bad \udc80 byte")).encode().decode()


def test_printable_text_of_every_script_stays_readable_in_logfmt() -> None:
    assert "msg=発行は終わりました" in Logfmt().format(record_of("発行は終わりました"))


def test_an_endless_value_is_cut() -> None:
    fields = read_logfmt(Logfmt().format(record_of("m" * 10_000, {"step": "s" * 10_000})))
    assert {len(fields["msg"]), len(fields["step"])} == {MAX_VALUE_LENGTH}
    assert fields["step"].endswith("s…")


@pytest.mark.parametrize("formatter", [Logfmt(), Json()])
def test_secrets_are_masked_alone_and_inside_of_other_values(formatter: logging.Formatter) -> None:
    secret = Secret.plain("hunter2")
    line = formatter.format(record_of("m", {"token": secret, "all": [secret, {"k": secret}]}))
    assert "***" in line
    assert "hunter2" not in line


def test_an_exception_of_our_own_shows_type_and_text() -> None:
    error = raised(lambda: (_ for _ in ()).throw(Failure(Reason.TIMEOUT, "no answer in 8 s")))
    assert error_of(error) == "Failure: timeout: no answer in 8 s"


def test_an_unknown_exception_shows_its_type_and_our_innermost_line_but_never_its_text() -> None:
    error = raised(lambda: check_header_value(b"hunter2"))  # type: ignore[arg-type]
    assert re.fullmatch(r"TypeError at exporter/model/text\.py:\d+", error_of(error))


def test_an_exception_from_elsewhere_shows_its_type_only() -> None:
    assert error_of(raised(lambda: json.loads("hunter2"))) == "json.decoder.JSONDecodeError"
    assert error_of(raised(lambda: int("hunter2"))) == "ValueError"


def test_a_group_of_exceptions_is_shown_by_its_first() -> None:
    group = ExceptionGroup("hunter2", [ExceptionGroup("hunter2", [KeyError("hunter2")])])
    assert error_of(group) == "KeyError"


def test_an_exception_as_a_field_shows_no_text_either() -> None:
    fields = read_logfmt(Logfmt().format(record_of("m", {"error": ValueError("hunter2")})))
    assert fields["error"] == "ValueError"


async def test_what_asyncio_tells_of_a_lost_task_holds_no_text_of_its_exception(
    logs: Callable[..., io.StringIO],
) -> None:
    stream = logs()
    task = asyncio.ensure_future(asyncio.sleep(0))
    error = ValueError("hunter2")
    asyncio.get_running_loop().call_exception_handler(
        {"message": "task failed", "exception": error, "future": "Task(ValueError('hunter2'))"}
    )
    await task
    flush()
    fields = read_logfmt(stream.getvalue().rstrip("\n"))
    assert (fields["level"], fields["msg"], fields["error"]) == ("error", "task failed", "ValueError")
    assert "hunter2" not in stream.getvalue()


def test_setup_prints_own_records_from_the_level_and_libraries_from_warning(
    logs: Callable[..., io.StringIO],
) -> None:
    stream = logs("debug", "json")
    logging.getLogger("exporter.wire").debug("ours")
    logging.getLogger("urllib3").info("GET /?token=hunter2")
    logging.getLogger("urllib3").warning("theirs")
    flush()
    messages = [json.loads(line)["msg"] for line in stream.getvalue().splitlines()]
    assert messages == ["ours", "theirs"]


def test_setup_again_replaces_what_was_before(logs: Callable[..., io.StringIO]) -> None:
    before = logs()
    after = io.StringIO()
    setup("error", "logfmt", after)
    logging.getLogger("exporter").warning("too quiet")
    logging.getLogger("exporter").error("heard once")
    flush()
    assert before.getvalue() == ""
    assert after.getvalue().count("\n") == 1


def test_a_record_with_wrong_arguments_prints_its_text_and_no_traceback(
    logs: Callable[..., io.StringIO], capfd: pytest.CaptureFixture[str]
) -> None:
    stream = logs()
    logging.getLogger("exporter").info("%d of %d", "hunter2")  # noqa: PLE1206  # the error meant
    flush()
    assert 'msg="%d of %d"' in stream.getvalue()
    assert capfd.readouterr().err == ""


def test_a_stream_that_fails_is_no_reason_to_print_the_record_elsewhere(
    logs: Callable[..., io.StringIO], capfd: pytest.CaptureFixture[str]
) -> None:
    logs().close()
    logging.getLogger("exporter").error("hunter2")
    flush()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("level", "format"), [("loud", "logfmt"), ("info", "xml")])
def test_an_unknown_level_or_format_is_refused_with_what_is_allowed(level: str, format: Any) -> None:  # noqa: A002  # as in setup
    with pytest.raises(ValueError, match="allowed are"):
        setup(level, format)
