"""Sphinx's settings of the book; `make book` calls it on the pages that assemble.py has put together."""

project = "vadkit: video anomaly detection, recomputed"
author = copyright = "the vadkit developers"
extensions = ["myst_nb", "sphinx_design", "sphinx_copybutton", "sphinx-mathjax-offline"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}

html_theme = "sphinx_book_theme"
html_title = "vadkit"
html_theme_options = {"show_toc_level": 2, "home_page_in_toc": True, "use_download_button": False}
html_sidebars = {"**": ["navbar-logo.html", "sbt-sidebar-nav.html"]}  # the search stands above the page
html_static_path = ["static"]
html_css_files = ["book.css"]
html_last_updated_fmt = None  # the same pages from the same notebooks

nb_execution_mode = "off"  # papermill has executed them
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3
copybutton_selector = "div.cell_input div.highlight > pre"
