"""Settings of Sphinx, https://www.sphinx-doc.org/en/master/usage/configuration.html."""

from exporter import __version__

project = "remote-job-exporter"
version = release = __version__
extensions = ["myst_parser", "sphinx_copybutton"]

root_doc = "index"
myst_heading_anchors = 6
# The languages of some blocks are unknown to Pygments, and excerpts with an ellipsis are no valid JSON.
suppress_warnings = ["misc.highlighting_failure"]
highlight_language = "text"

html_theme = "furo"
html_favicon = "../../exporter/web/static/favicon.svg"
html_title = f"remote-job-exporter {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = ["offline.js"]
html_copy_source = False
html_show_copyright = False
html_use_index = False
copybutton_selector = "div.highlight-sh pre, div.highlight-yaml pre, div.highlight-promql pre"
