"""Style, script and picture of the pages: files of the package, which browsers keep."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

_TYPES = {
    "favicon.svg": "image/svg+xml",
    "script.js": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
}
_FOR_GOOD = "max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    type: str
    version: str


class StaticFiles:
    """The files in ``static/``, read at start.

    Attributes:
        paths: of each file by its name, with its version: a new version has another address.
    """

    def __init__(self) -> None:
        folder = files(__package__) / "static"
        self._files = {name: _load((folder / name).read_bytes(), type_) for name, type_ in _TYPES.items()}
        self.paths = {name: f"static/{name}?v={file.version}" for name, file in self._files.items()}

    async def serve(self, request: Request) -> Response:
        """One file; 304 if the browser has it."""
        file = self._files.get(request.path_params["name"])
        if file is None:
            return PlainTextResponse("Not Found\n", 404)
        tag = f'"{file.version}"'
        # Without the version in its address, as for /favicon.ico, a file may change.
        caching = _FOR_GOOD if request.url.query == f"v={file.version}" else "no-cache"
        headers = {"ETag": tag, "Cache-Control": caching}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(file.content, headers={**headers, "Content-Type": file.type})


def _load(content: bytes, type_: str) -> _File:
    return _File(content, type_, hashlib.sha256(content).hexdigest()[:16])
