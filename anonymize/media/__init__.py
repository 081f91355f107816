"""Films and pictures in and out."""

from anonymize.core.formats import is_image
from anonymize.media.film import ColourTags, FilmInfo, check_size
from anonymize.media.images import Picture, check_image_output, read_image, result_name, write_image
from anonymize.media.reader import FilmReader, is_film, open_film
from anonymize.media.sequence import SequenceReader, SequenceWriter, pictures_in
from anonymize.media.writer import FilmWriter, open_output, write_film

__all__ = [
    "ColourTags",
    "FilmInfo",
    "FilmReader",
    "FilmWriter",
    "Picture",
    "SequenceReader",
    "SequenceWriter",
    "check_image_output",
    "check_size",
    "is_film",
    "is_image",
    "open_film",
    "open_output",
    "pictures_in",
    "read_image",
    "result_name",
    "write_film",
    "write_image",
]
