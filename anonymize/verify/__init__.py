"""Checks of anonymized films: who of the original can still be seen?"""

from anonymize.verify.pairs import MismatchError
from anonymize.verify.person import PartCheck, PersonCheck
from anonymize.verify.sightings import Sighting, Totals, sightings
from anonymize.verify.verification import FrameCheck, verify

__all__ = ["FrameCheck", "MismatchError", "PartCheck", "PersonCheck", "Sighting", "Totals", "sightings", "verify"]
