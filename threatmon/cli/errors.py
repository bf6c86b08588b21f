"""What a user can mend, and how a command says so."""

from threatmon.fleet.targets import FleetFaults
from threatmon.local.constraints import ConstraintError
from threatmon.settings import ConfigFaults
from threatmon.stack_files import StackFileError

CHECK_FAILED = 1
WRONG_USE = 2


class UsageError(Exception):
    """A command was asked for something it cannot do; ``str()`` of it says what to do instead."""


USER_ERRORS = (ConfigFaults, ConstraintError, FleetFaults, StackFileError, UsageError)
