"""What the demo's arms do: survey a folder, review its documents and code, judge the findings, write the report.

Plain synchronous functions without Kafka and without a model. All are deterministic, and each returns the files it
read, so that whoever hosts them can record them as data sources.
"""

from arms.review.code import review_code
from arms.review.documents import review_documents
from arms.review.findings import Finding, Review
from arms.review.report import report
from arms.review.snippets import check_snippets, extract_snippets
from arms.review.survey import Batch, Survey, survey
from arms.review.verify import Refuted, Verdict, verify_findings

__all__ = [
    "Batch",
    "Finding",
    "Refuted",
    "Review",
    "Survey",
    "Verdict",
    "check_snippets",
    "extract_snippets",
    "report",
    "review_code",
    "review_documents",
    "survey",
    "verify_findings",
]
