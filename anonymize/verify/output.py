"""The results of a verification as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from anonymize.core.errors import MediaError
from anonymize.core.files import whole_file
from anonymize.verify.person import PersonCheck
from anonymize.verify.sightings import Sighting, Totals
from anonymize.verify.verification import FrameCheck

FORMAT = "anonymize-verify-1"
HEADER = f"{'time (s)':>19}  {'frames':>6}  {'person (x, y, width, height)':28}  {'score':>5}  {'same':>5}  verdict"
MOST_SPANS = 20
SAME_PART = 0.75
"""A part of the body at least this similar is named in the table; the verdict does not hang on it."""


def table_row(sighting: Sighting) -> str:
    """A line of the table, under `HEADER`; the place and the figures are those of the worst frame."""
    left, top, right, bottom = sighting.worst.box_xyxy
    times = f"{sighting.start:.3f} - {sighting.end:.3f}" if sighting.frames > 1 else f"{sighting.start:.3f}"
    place = f"{left}, {top}, {right - left}, {bottom - top}{' plate' if sighting.worst.plate else ''}"
    worst = sighting.worst
    word = "VISIBLE" if worst.visible else "in part"
    verdict = f"{word}: {', '.join(_same_parts(worst))}" if worst.visible or worst.partly else "covered"
    return f"{times:>19}  {sighting.frames:>6}  {place:28}  {worst.score:5.2f}  {worst.overall:5.2f}  {verdict}"


def closing_line(totals: Totals) -> str:
    """What was found, in one line."""
    looked = f"{totals.people} people in {totals.frames} frames looked up"
    if totals.partly:
        looked += f", of {totals.partly} some is as it was, or background beside them"
    if totals.plates:
        looked += f"; {totals.plates} number plates"
    if not totals.visible_frames:
        return f"no person{' or number plate' if totals.plates else ''} is visible ({looked})"
    shown = ", ".join(
        f"{start:.3f} s" if frames == 1 else f"{start:.3f} - {end:.3f} s"
        for start, end, frames in totals.spans[:MOST_SPANS]
    )
    more = len(totals.spans) - MOST_SPANS
    return (
        f"{_seen(totals)} is visible in {totals.visible_frames} frames, look at {shown}"
        f"{f' and {more} more' if more > 0 else ''} ({looked})"
    )


def _seen(totals: Totals) -> str:
    """What is visible."""
    return " or ".join(["a person"] * bool(totals.visible) + ["a number plate"] * bool(totals.plates_visible))


class JsonOutput:
    """Writes a verification to a file as it goes, one person a line. Use it in a `with`.

    The file appears under its name when the `with` ends well; an existing one is replaced, unless it is an input.
    """

    def __init__(self, path: Path, *, inputs: Sequence[Path] = ()) -> None:
        self._path, self._inputs = path, inputs

    def __enter__(self) -> JsonOutput:
        if self._path.exists() and any(self._path.samefile(source) for source in self._inputs):
            raise MediaError(f"cannot write {self._path}: it is the input")
        with ExitStack() as stack:
            partial = stack.enter_context(whole_file(self._path, overwrite=True))
            self._stream = stack.enter_context(partial.open("w", encoding="utf-8", newline="\n"))
            self._ending = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.__exit__(kind, error, traceback)

    def people(self, head: dict[str, Any], checks: Iterable[FrameCheck]) -> Iterator[FrameCheck]:
        """Write what is known beforehand and each check, and hand the checks on."""
        fields = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in {"format": FORMAT, **head}.items()]
        self._stream.write("{" + ",\n ".join(fields) + ',\n "people": [')
        separator = "\n"
        for check in checks:
            for person in check.people:
                self._stream.write(separator + "  " + json.dumps(_person(check, person)))
                separator = ",\n"
            yield check
        self._stream.write("\n ]")

    def totals(self, totals: Totals) -> None:
        """Write what is known afterwards; call it last."""
        summary = {
            "frames": totals.frames,
            "people_found": totals.people,
            "people_visible": totals.visible,
            "people_partly": totals.partly,
            "plates_found": totals.plates,
            "plates_visible": totals.plates_visible,
            "frames_visible": totals.visible_frames,
            "look_at": [{"start": s, "end": e, "frames": n} for s, e, n in totals.spans],
        }
        fields = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in summary.items()]
        self._stream.write(",\n " + ",\n ".join(fields) + "\n}\n")


def _person(check: FrameCheck, person: PersonCheck) -> dict[str, Any]:
    return {
        "frame": check.index,
        "class": "plate" if person.plate else "person",
        "seconds": round(check.seconds, 6),
        "box_xyxy": person.box_xyxy,
        "score": round(person.score, 4),
        "similarity": round(person.similarity, 4),
        "overall": round(person.overall, 4),
        "appearance_distance": round(person.appearance_distance, 2),
        "verdict": "visible" if person.visible else "partly" if person.partly else "covered",
        "parts": {
            name: {
                "similarity": None if part.similarity is None else round(part.similarity, 4),
                "appearance_distance": round(part.appearance_distance, 2),
            }
            for name, part in person.parts.items()
        },
    }


def _same_parts(person: PersonCheck) -> list[str]:
    """Names of the parts that look as they did; the most similar one if none does as a whole."""
    known = {name: part.similarity for name, part in person.parts.items() if part.similarity is not None}
    return [name for name, value in known.items() if value >= SAME_PART] or sorted(known, key=lambda n: -known[n])[:1]
