"""A backtest as one self-contained page: HTML and SVG, no script, nothing fetched."""

from rollbackd.tuning.page.composing import page as page
