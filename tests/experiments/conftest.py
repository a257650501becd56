"""The study of the report's tests, for the commands that show it."""

from tests.report.conftest import study_dir as study_dir
