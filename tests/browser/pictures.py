"""Takes the pictures of the pages in ``docs/pictures/`` from a running demo.

``python -m tests.browser.pictures http://127.0.0.1:10072``
"""

import argparse
import shutil
import subprocess
from pathlib import Path
from typing import Literal

from playwright.sync_api import ViewportSize, sync_playwright

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
WIDE: ViewportSize = {"width": 1120, "height": 720}
PHONE: ViewportSize = {"width": 390, "height": 720}


def take(address: str, folder: Path) -> list[Path]:
    """Takes all of them.

    Args:
        address: of the exporter of ``make demo``.
        folder: where the files are written.

    Raises:
        SystemExit: there is no Chromium.
    """
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("chromium is not installed; get it with: apt-get install chromium")
    files = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for name, path, size, click in (
            ("jobs-dark", "/jobs", WIDE, ""),
            ("jobs-light", "/jobs", WIDE, ""),
            ("jobs-phone", "/jobs?state=running", PHONE, ""),
            ("job-page", "/jobs?system=docs&state=running", WIDE, ".jobs tbody a"),
        ):
            scheme: Literal["dark", "light"] = "dark" if name.endswith("-dark") else "light"
            page = browser.new_page(viewport=size, color_scheme=scheme)
            page.goto(address + path)
            if click:
                page.click(click)
            files.append(folder / f"{name}.png")
            page.screenshot(path=files[-1])
        browser.close()
    return files


def main() -> None:
    """Takes them, and makes them smaller if pngquant is installed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("folder", nargs="?", type=Path, default=PICTURES)
    options = parser.parse_args()
    files = take(options.address.rstrip("/"), options.folder)
    if pngquant := shutil.which("pngquant"):
        subprocess.run([pngquant, "--force", "--ext", ".png", *files], check=True)


if __name__ == "__main__":
    main()
