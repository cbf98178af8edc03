"""Makes the links of the README addresses, before a package is built: ``python -m docs.site.readme REF``."""

import sys

from docs.site.pages import ROOT, readme

(ROOT / "README.md").write_text(readme(sys.argv[1]), encoding="utf-8")
