"""A page about what was done to a film: `FilmReport` watches the frames as they are written."""

from anonymize.report.collector import FilmReport, check_report_path

__all__ = ["FilmReport", "check_report_path"]
