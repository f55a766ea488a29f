"""Tables, figures and the HTML page."""

from extremal.report.page import write_report
from extremal.report.picture import picture
from extremal.report.text import table

__all__ = ["picture", "table", "write_report"]
