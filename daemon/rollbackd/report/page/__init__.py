"""The report of one life as one self-contained page: HTML and SVG, no script, nothing fetched."""

from rollbackd.report.page.composing import page as page
