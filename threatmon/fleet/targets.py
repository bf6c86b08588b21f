"""The stacks of a fleet: reading all stack files, reporting their faults, selecting some."""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from threatmon.errors import ThreatmonError
from threatmon.model.names import is_stack_name
from threatmon.model.one_line import one_line
from threatmon.model.settings import NAMESPACE, SECRET_PLACEHOLDER, ConfigFaults, Settings
from threatmon.model.suggestions import did_you_mean
from threatmon.project import PROJECT_FILE
from threatmon.reports.model import counted, first_few
from threatmon.stacks import files as stack_files
from threatmon.stacks.files import StackFile, StackFileError, file_name, settings_of

# What the program consists of, besides a stack file: requirements.txt pins the AWS plugin too. A test compares it with
# what the program imports. To preview a whole fleet for anything else would bury the changes that count.
_PROGRAM_FILES = frozenset(
    {PROJECT_FILE, "__main__.py", "requirements.txt", "threatmon/__init__.py", "threatmon/errors.py"}
)
_PROGRAM_FOLDERS = ("components/", "threatmon/model/")

_ACCOUNTS, _REGION = "aws:allowedAccountIds", "aws:region"


class Target(NamedTuple):
    """One stack of the fleet; its file has no faults."""

    file: StackFile
    settings: Settings
    account_id: str
    region: str

    @property
    def stack(self) -> str:
        """Name of the stack."""
        return self.file.name


class FleetFaults(ThreatmonError):  # noqa: N818 - it carries any number of faults and reads as what it reports
    """Lists all faults of the stack files, or of the choice of stacks, one a line."""

    def __init__(self, faults: Sequence[str]) -> None:
        # Names and values are free text; a line break in one must not look like a further fault.
        self.faults = tuple(map(one_line, faults))
        head = f"The fleet has {counted(len(faults), 'fault')}:"
        super().__init__("\n".join([head, *(f"  {fault}" for fault in self.faults)]))


def read(folder: Path) -> list[Target]:
    """Return every stack that has a file in the project's folder, by name.

    Raises :class:`FleetFaults` with the faults of all files, those between files included; a value shared by
    Pulumi.yaml is one fault, however many stacks it reaches.
    """
    faults, files, targets = list[str](), list[StackFile](), list[Target]()
    shared = defaultdict[str, list[str]](list)
    for stack in stack_files.names(folder):
        try:
            file = stack_files.load(folder, stack)
        except StackFileError as error:
            faults.append(str(error))
            continue
        files.append(file)
        found = [*_faults_of_location(file)]
        try:
            settings = settings_of(file)
        except ConfigFaults as error:
            found += [(f"{NAMESPACE}:{fault.path[0]}", str(fault)) for fault in error.faults]
        else:
            if not found:
                targets.append(Target(file, settings, file.account_ids[0], str(file.region)))
        for key, text in found:
            # An empty default is no wrong value; that the stack sets no other is.
            if key in file.shared and file.config[key]:
                shared[text].append(stack)
            else:
                faults.append(f"{file_name(stack)}: {text}")
    faults += map(_fault_of_name, stack_files.unread(folder))
    faults += [f"{PROJECT_FILE}, as it reaches {first_few(stacks)}: {text}" for text, stacks in shared.items()]
    faults += _faults_between(files)
    if faults:
        raise FleetFaults(list(dict.fromkeys(faults)))
    return targets


def select(
    targets: Sequence[Target], globs: Sequence[str], changed_files: Collection[str] | None = None
) -> list[Target]:
    """Return the targets whose stack matches one of ``globs``, and of those the ones that ``changed_files`` affect.

    ``changed_files`` are POSIX paths relative to the project's folder; None chooses by name alone. A stack is affected
    if its own file changed, and every stack is if the program did, or a stack lost its file. Raises
    :class:`FleetFaults` with every glob that matches no stack.
    """
    names = [target.stack for target in targets]
    unmatched = [glob for glob in globs if not any(fnmatchcase(name, glob) for name in names)]
    if unmatched:
        raise FleetFaults([f"{json.dumps(glob)} matches no stack{_suggestion(glob, names)}" for glob in unmatched])
    chosen = [target for target in targets if any(fnmatchcase(target.stack, glob) for glob in globs)]
    # Of a stack whose file is deleted only a preview of the others can speak.
    gone = {file for file in changed_files or () if fnmatchcase(file, file_name("*"))} - set(map(file_name, names))
    if changed_files is None or gone or any(map(is_program, changed_files)):
        return chosen
    return [target for target in chosen if file_name(target.stack) in changed_files]


def is_program(path: str) -> bool:
    """Say whether a changed file, a POSIX path relative to the project, can change what every stack deploys."""
    return path in _PROGRAM_FILES or (path.startswith(_PROGRAM_FOLDERS) and not path.endswith(".md"))


def _suggestion(glob: str, names: Sequence[str]) -> str:
    others = f" (there are: {first_few(names)})" if names else "; there is no stack file"
    return did_you_mean(glob, names) or others


# -- faults -----------------------------------------------------------------------------------------------------------


def _fault_of_name(name: str) -> str:
    why = f"the engine does not read it, as the project's file is {PROJECT_FILE}"
    return f"{name}: {why}; rename it: mv {name} {Path(name).stem}.yaml"


def _faults_of_location(file: StackFile) -> Iterator[tuple[str, str]]:
    """Yield config keys and what is wrong with them; the key is empty if it is the name of the stack."""
    if not is_stack_name(file.name):
        expected = "1 to 100 letters, digits, hyphens, underscores and periods, no hyphen first"
        yield "", f"{json.dumps(file.name)} cannot be the name of a stack (expected {expected}); rename the file"
    accounts = file.account_ids
    if not accounts:
        yield _ACCOUNTS, f'{_ACCOUNTS}: is not set; name the one account the stack may touch, such as ["111122223333"]'
    if len(accounts) > 1:
        text = f"{json.dumps(accounts)} are {len(accounts)}; keep one, and give each other account a stack of its own"
        yield _ACCOUNTS, f"{_ACCOUNTS}: {text}"
    for index, account in enumerate(accounts):
        if not re.fullmatch("[0-9]{12}", account):
            text = f"{json.dumps(account)} is not an account id (expected 12 digits, in quotes)"
            yield _ACCOUNTS, f"{_ACCOUNTS}[{index}]: {text}"
    if not file.region:
        yield _REGION, f"{_REGION}: is not set; name the Region to deploy to, such as eu-west-1"
    elif not re.fullmatch(r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}", str(file.region)):
        text = f"{json.dumps(file.region, default=str)} is not a Region (expected a name such as eu-west-1)"
        yield _REGION, f"{_REGION}: {text}"


def _faults_between(files: Sequence[StackFile]) -> Iterator[str]:
    """Yield what several stacks claim; files with faults of their own count too, so that all is reported at once."""
    claimed = defaultdict[tuple[str, str, str], list[str]](list)
    for file in files:
        for claim in dict.fromkeys(claims(file)):
            claimed[claim].append(file_name(file.name))
    for (key, value, fix), names in claimed.items():
        if len(names) > 1:
            yield f"{first_few(names)}: {key}: {value} is claimed by {len(names)} stacks; {fix}"


def claims(file: StackFile) -> Iterator[tuple[str, str, str]]:
    """Yield what no two stacks may have: key, value, and what to do if two have it."""
    if file.region:
        for account in file.account_ids:
            fix = "an account has one detector for each Region, so keep one of the stacks, with the subnets of both"
            yield f"{_ACCOUNTS} and {_REGION}", f"{account} in {file.region}", fix
    for key in (f"{NAMESPACE}:subnetIds", f"{NAMESPACE}:vpcIds"):
        for value in file.list_of(key):
            if value != SECRET_PLACEHOLDER:
                yield key, json.dumps(value, default=str), "its traffic would be recorded twice; keep it in one of them"
