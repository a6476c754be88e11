"""The pages of the documentation."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
DOCS = REPOSITORY / "docs"
PAGES = sorted((*DOCS.glob("*.md"), *DOCS.glob("decisions/*.md"), REPOSITORY / "README.md"))
