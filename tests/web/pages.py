"""A page as a browser finds it."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """What a browser finds in a page.

    Attributes:
        links: address and text of each link.
        elements: name and attributes of each.
        text: all of it.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: dict[str, str] = {}
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._link = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._link = dict(attrs).get("href") or "" if tag == "a" else self._link

    def handle_endtag(self, tag: str) -> None:
        self._link = "" if tag == "a" else self._link

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._link:
            self.links[self._link] = self.links.get(self._link, "") + data

    @property
    def words(self) -> str:
        return " ".join(self.text.split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]
