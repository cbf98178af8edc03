"""HTML pages, made of the templates in ``html/``. Every value is escaped."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Template


class Templates:
    """Renders pages.

    Args:
        files: path of each static file by its name.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files

    def render(self, name: str, root: str, **values: Any) -> bytes:
        """A page. Call it in a thread: the first one compiles the templates.

        Args:
            root: relative address of ``/``, such as ``../``: a proxy may serve the exporter under a prefix.
        """
        return self._pages[name].render(root=root, **values).encode()

    @cached_property
    def _pages(self) -> "Mapping[str, Template]":
        # Jinja and the templates need 0.1 s and 4 MB: nothing for an exporter that only Prometheus reads.
        from exporter.web.environment import compiled  # noqa: PLC0415

        return compiled(self._files)


def root_of(raw_path: bytes) -> str:
    """The relative address of ``/`` for a page, by the path as the client has sent it."""
    return "../" * (raw_path.count(b"/") - 1) or "./"
