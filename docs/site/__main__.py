"""Writes the sources of the site: ``python -m docs.site FOLDER [REF]``."""

import sys
from pathlib import Path

from docs.site.pages import write

write(Path(sys.argv[1]), *sys.argv[2:])
