"""Background tasks: kept until they end, and their errors are logged."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

_log = logging.getLogger(__name__)


def start(work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]], name: str) -> None:
    """Runs a coroutine as a task of the running loop.

    Args:
        tasks: contains the task until it ends, since the loop has only a weak reference.
        name: of the work, for the log.
    """
    task = asyncio.get_running_loop().create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    log_failure(task, name)


def log_failure(task: asyncio.Task[Any], name: str) -> None:
    """Logs the exception of a task, if it ends with one. For tasks whose result may never be read."""

    def ended(task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()):
            _log.error("task failed", exc_info=error, extra={"task": name})

    task.add_done_callback(ended)
