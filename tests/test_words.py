"""People are tracks, detections and persons in names, comments and docs, so that each word says what it stands for."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VAGUE = re.compile(r"\b(somebody|whoever|nobody)\b", re.IGNORECASE)


def test_no_vague_words_for_people() -> None:
    files = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md")]
    files += [file for file in (ROOT / "anonymize").rglob("*") if file.suffix in (".py", ".html", ".css", ".md")]
    assert len(files) > 100
    lines = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in files
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if VAGUE.search(line)
    ]
    assert not lines, "\n".join(lines)
