"""The page itself: semantic HTML in one file, without a script and without a request."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from anonymize import __version__
from anonymize.report.collector import FilmReport, Weights
from anonymize.report.history import TrackHistory
from anonymize.report.spans import Spans
from anonymize.report.style import STYLE
from anonymize.report.text import clock, count, escape
from anonymize.report.timeline import Row, draw, track_row

if TYPE_CHECKING:
    from anonymize.pipeline import Summary

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
"""A browser that heeds it asks nobody for anything, even if something slipped into the page."""
TICKS = 4
OPEN_REVIEWS, MOST_REVIEWS = 20, 500
"""Rows of the review that are shown at once, and when asked for."""


def render(report: FilmReport, summary: Summary, settings: Mapping[str, object], weights: Sequence[Weights]) -> str:
    """The page as text.

    Args:
        report: What was gathered; complete.
        summary: What the pipeline says of its work.
        settings: Name and value of each setting.
        weights: The weights that were used.
    """
    tracks = sorted(report.tracks.values(), key=lambda track: track.number)
    title = f"Report on {escape(summary.output.name)}"
    sections = [
        _summary(summary, report),
        _timeline(report, tracks) if summary.frames > 1 else "",
        _review(report, tracks),
        _tracks(tracks),
        _settings(settings),
        _weights(weights),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        '<meta name="robots" content="noindex">\n<link rel="icon" href="data:,">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<header>\n<h1><bdi>{escape(summary.output.name)}</bdi></h1>\n"
        f'<p class="quiet">{_sentence(summary, report)}</p>\n</header>\n<main>\n'
        + "\n".join(section for section in sections if section)
        + "\n</main>\n"
        f"<footer>anonymize {escape(__version__)}. All pictures on this page are cut from the result.</footer>\n"
        "</body>\n</html>\n"
    )


def _sentence(summary: Summary, report: FilmReport) -> str:
    people = "Nobody was found" if not summary.people else f"{count(summary.people, 'track')} covered"
    if summary.frames == 1:
        return f"{people} in a picture."
    return f"{people} in {count(summary.frames, 'frame')}, {clock(report.end)}."


def _section(name: str, title: str, content: str) -> str:
    return f'<section aria-labelledby="{name}">\n<h2 id="{name}">{title}</h2>\n{content}\n</section>'


def _summary(summary: Summary, report: FilmReport) -> str:
    rate = summary.frames / summary.seconds if summary.seconds > 0 else 0.0
    figures = [
        ("Frames", f"{summary.frames:,}"),
        ("with people", f"{summary.frames_with_people:,}"),
        ("Tracks", f"{summary.people:,}"),
        ("Length", clock(report.end)),
        ("Time taken", clock(summary.seconds)),
        ("Frames/s", f"{rate:.1f}"),
    ]
    if summary.frames == 1:
        del figures[3]
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures)
    notes = list(summary.warnings)
    if summary.corrupt_frames:
        notes.append(f"{count(summary.corrupt_frames, 'frame')} dropped that could not be decoded")
    if summary.stripped:
        notes.append(f"left out, as it may identify somebody: {', '.join(summary.stripped)}")
    content = f'<dl class="figures">{cells}</dl>'
    if notes:
        content += '\n<ul class="notes quiet">' + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>"
    return _section("summary", "Summary", content)


def _review(report: FilmReport, tracks: Sequence[TrackHistory]) -> str:
    rows = [
        f'<tr><td class="time">{_span(start, end)}</td>{cells}</tr>'
        for start, end, cells in sorted(_doubts(report, tracks))
    ]
    if not rows:
        content = f"<p>Nothing: everybody was found with a score of at least {report.low_score:g}, without gaps.</p>"
        return _section("review", "To review", content)
    head = '<tr><th scope="col">Time</th><th scope="col">Who</th><th scope="col">Why</th></tr>'
    content = (
        '<p class="quiet">Here the detector was unsure of somebody, or missed them between two frames in which it '
        "found them. Look whether they are covered well, and whether it is a person at all.</p>\n"
        f"<table><thead>{head}</thead><tbody>{''.join(rows[:OPEN_REVIEWS])}</tbody></table>"
    )
    if rest := rows[OPEN_REVIEWS:MOST_REVIEWS]:
        content += (
            f"\n<details><summary>{len(rest):,} more</summary>"
            f"<table><thead>{head}</thead><tbody>{''.join(rest)}</tbody></table></details>"
        )
    if len(rows) > MOST_REVIEWS:
        content += f'\n<p class="quiet">And {len(rows) - MOST_REVIEWS:,} later ones, which the timeline shows.</p>'
    return _section("review", "To review", content)


def _doubts(report: FilmReport, tracks: Sequence[TrackHistory]) -> Iterator[tuple[float, float, str]]:
    """Start, end, and the cells for who and why, of each row of the review."""
    for track in tracks:
        doubtful = Spans()
        for spans in (track.unsure, track.filled):
            doubtful.merge(spans)
        for start, end in doubtful:
            why = []
            if track.unsure.touches(start, end):
                why.append(f"score below {report.low_score:g} (down to {track.lowest:.2f})")
            if track.filled.touches(start, end):
                why.append("filled in by the tracker")
            who = f'<a href="#track-{track.number}">{track.name}</a>'
            yield start, end, f"<td>{who}</td><td>{'; '.join(why)}</td>"
    for start, end in report.others.doubtful:
        yield start, end, "<td>other tracks</td><td>low score, or filled in by the tracker</td>"


def _timeline(report: FilmReport, tracks: Sequence[TrackHistory]) -> str:
    rows = [track_row(track) for track in tracks]
    labels = [f'<li><a href="#track-{track.number}">{track.name}</a></li>' for track in tracks]
    if report.others.tracks:
        rows.append(Row("Other tracks", [("seen", report.others.seen), ("unsure", report.others.doubtful)]))
        labels.append(f"<li>{report.others.tracks:,} more</li>")
    if not rows or report.end <= 0:
        return ""
    ticks = "".join(f"<span>{clock(report.end * k / TICKS) if k else '0'}</span>" for k in range(TICKS + 1))
    names = [("seen", "found"), ("unsure", f"score below {report.low_score:g}"), ("filled", "filled in by the tracker")]
    key = "".join(
        f'<li><svg viewBox="0 0 2 1" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="{name}" width="2" height="1"/></svg>{words}</li>'
        for name, words in names
    )
    content = (
        f'<ul class="key">{key}</ul>\n<div class="timeline"><ol>{"".join(labels)}</ol>\n{draw(rows, report.end)}\n'
        f'<div class="axis" aria-hidden="true">{ticks}</div></div>'
    )
    return _section("timeline", "Timeline", content)


def _tracks(tracks: Sequence[TrackHistory]) -> str:
    if not tracks:
        return ""
    return _section("tracks", "Tracks", f'<ul class="tracks">{"".join(_card(track) for track in tracks)}</ul>')


def _card(track: TrackHistory) -> str:
    picture = '<span class="frame">outside of the picture</span>'
    if track.thumbnail is not None:
        data = base64.b64encode(track.thumbnail.jpeg).decode("ascii")
        picture = (
            f'<span class="frame"><img src="data:image/jpeg;base64,{data}" '
            f'width="{track.thumbnail.width}" height="{track.thumbnail.height}" '
            f'alt="{track.name} in the result"></span>'
        )
    spans = list(track.seen)
    score = "" if track.mean_score is None else f"<br>mean score {track.mean_score:.2f}"
    filled = f", {track.filled.frames:,} filled" if track.filled.frames else ""
    return (
        f'<li id="track-{track.number}"><figure>{picture}<figcaption><strong>{track.name}</strong>'
        f'<span class="quiet">{_span(spans[0][0], spans[-1][1])}<br>'
        f"{count(track.seen.frames, 'frame')}{filled}{score}</span></figcaption></figure></li>"
    )


def _settings(settings: Mapping[str, object]) -> str:
    if not settings:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td><bdi>{_value(value)}</bdi></td></tr>'
        for name, value in settings.items()
    )
    return _section("settings", "Settings", f"<table><tbody>{rows}</tbody></table>")


def _value(value: object) -> str:
    if value is None:
        return '<span class="quiet">default</span>'
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_value(one) for one in value) or '<span class="quiet">none</span>'
    return escape(value)


def _weights(weights: Sequence[Weights]) -> str:
    if not weights:
        return ""
    rows = "".join(
        f'<tr><th scope="row"><bdi>{escape(file.name)}</bdi></th><td>{file.size / 1e6:.1f} MB</td>'
        f"<td><code>{escape(file.sha256)}</code></td></tr>"
        for file in weights
    )
    head = '<tr><th scope="col">File</th><th scope="col">Size</th><th scope="col">SHA-256</th></tr>'
    return _section("weights", "Weights", f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>")


def _span(start: float, end: float) -> str:
    first, last = clock(start), clock(end)
    return first if first == last else f"{first.removesuffix(' s') if last.endswith(' s') else first} to {last}"
