"""What can be refused before torch, the decoder and the networks are loaded, which takes seconds.

These are the checks that the work itself makes when it comes to that; here they come first.
"""

from __future__ import annotations

from pathlib import Path

from anonymize.core.errors import OptionError
from anonymize.core.files import check_input, check_output
from anonymize.core.formats import check_encoding, codec_for, container_of, image_suffix, is_image
from anonymize.detect.names import DetectorName
from anonymize.options import EncodeOptions, Options, RenderOptions
from anonymize.tracksfile.names import check_tracks_path


def check_plain(
    source: Path, output: Path, options: Options, *, tracks: Path | None, report: Path | None, overwrite: bool
) -> None:
    """Check the files of the plain command; the arguments are its own.

    Raises:
        AnonymizeError: With one line for the user.
    """
    if report is not None and report.absolute() == output.absolute():
        raise OptionError("OUTPUT and the page (--report) are the same file")
    sequence = options.read.sequence  # Its pictures are looked at when it is opened, before the networks are loaded.
    if not sequence:
        check_input(source)
    if sequence:
        check_encoding(options.encode.codec, options.encode.crf, options.encode.preset)
    elif is_image(source):
        if options.read.start is not None or options.read.end is not None:
            raise OptionError("a picture has no --start or --end")
        if tracks is not None:
            raise OptionError("a picture has no --tracks")
        image_suffix(output)
    else:
        _check_film_output(output, options.encode)
    _check_option_files(options)
    if tracks is not None:
        check_tracks_path(tracks, source, output, overwrite=overwrite)
    if report is not None:
        check_output(report, source=source, overwrite=overwrite)
    if not sequence:
        check_output(output, source=source, overwrite=overwrite)


def check_detect(film: Path, output: Path, options: Options, *, overwrite: bool) -> None:
    """Check the files of `anonymize detect`; the arguments are its own.

    Raises:
        AnonymizeError: With one line for the user.
    """
    check_tracks_path(output, film, overwrite=overwrite, to_render=True)
    if not options.read.sequence:
        check_input(film)
    _check_option_files(options)
    check_output(output, source=film, overwrite=overwrite)


def check_render(
    film: Path, tracks: Path, output: Path, *, render: RenderOptions, encode: EncodeOptions, overwrite: bool
) -> None:
    """Check the files of `anonymize render`; the arguments are its own.

    Raises:
        AnonymizeError: With one line for the user.
    """
    check_input(tracks)
    _check_regions(render)
    if not film.is_dir():  # A sequence is one, and so is its result.
        _check_film_output(output, encode)
        check_input(film)
        check_output(output, source=film, overwrite=overwrite)


def _check_film_output(output: Path, encode: EncodeOptions) -> None:
    codec = codec_for(container_of(output), encode.codec)
    check_encoding(codec, encode.crf, encode.preset)


def _check_option_files(options: Options) -> None:
    """Check the files that options name."""
    for picture in options.draw.identity:
        check_input(picture)
    if options.draw.weights_file is not None:
        check_input(options.draw.weights_file)
    detector = DetectorName.read(options.detector)
    if detector.family == "file":
        check_input(Path(detector.masks))
    _check_regions(options.render)


def _check_regions(render: RenderOptions) -> None:
    for regions in (render.always_cover, render.never_cover):
        if regions is not None:
            check_input(regions)
