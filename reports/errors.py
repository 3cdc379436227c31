"""What this package refuses, and how it says so.

ReportError
├── RecordError        a trial record cannot be read
└── ReportDataError    what a report is made of does not fit together
"""


class ReportError(Exception):
    """Base of every refusal of this package."""


class RecordError(ReportError):
    """A trial record of another schema, or with something missing."""


class ReportDataError(ReportError):
    """Records, objectives and layers that contradict one another."""
