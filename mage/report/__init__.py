"""One HTML page that holds everything there is to say of some runs."""

from mage.report.page import write_report

__all__ = ["write_report"]
