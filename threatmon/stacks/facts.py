"""Former names of functions, for modules that still import them."""

from threatmon.stacks.files import settings_of
from threatmon.stacks.location import location_of as place_of

__all__ = ["place_of", "settings_of"]
