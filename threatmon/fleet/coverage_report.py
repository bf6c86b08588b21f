"""The coverage of a fleet as a report."""

from collections import Counter
from collections.abc import Iterable, Sequence

from threatmon.fleet.coverage import DAYS, STATE_OF, Coverage, CoverageProblem, StackCoverage, SubnetCoverage
from threatmon.reports.model import STATES, Check, Facts, Report, Section, Status, Table, Value, first_few

_LIMITS = (
    "Only the accounts and Regions that stack files name were read; GuardDuty and flow logs elsewhere are not known.",
    f"The last alert is the hour in which a topic of the stack last delivered anything, a sample finding too, within "
    f"{DAYS} days. `threatmon verify --send` tries whether one arrives.",
)


def report(found: Coverage) -> Report:
    """Return everything that was found, what failed first."""
    conclusion = Status("ok", "Everything that was checked is covered.")
    if found.problems:
        counts = _counted([problem.state for problem in found.problems], STATES)
        conclusion = Status("failed", f"Problems: {counts}.")
    return Report(
        "Coverage of the fleet",
        [
            Section("Summary", [conclusion, Facts(_summary(found))]),
            Section("Failed or unknown", [_problems(found)] if found.problems else ["Nothing."]),
            Section("Stacks", [_stacks(found)]),
            Section("Subnets", [_subnets(found)]),
            Section("What this report does not cover", _LIMITS),
        ],
        _document(found),
    )


def _summary(found: Coverage) -> list[tuple[str, str]]:
    targets = [stack.target for stack in found.stacks]
    return [
        ("Asked at", f"{found.at:%Y-%m-%d %H:%M} UTC"),
        ("Accounts", str(len({target.account_id for target in targets}))),
        ("Regions", str(len({target.region for target in targets}))),
        ("Stacks", _counted([stack.state for stack in found.stacks], STATES)),
        ("Subnets", _counted([row.state for row in found.subnets], STATE_OF)),
    ]


def _counted(words: Iterable[str], order: Iterable[str]) -> str:
    """Return ``3 failed, 1 ok``."""
    counts = Counter(words)
    return ", ".join(f"{counts[word]} {word}" for word in order if counts[word]) or "0"


def _table(columns: Sequence[str], rows: Sequence[Sequence[Value]], heading: str) -> Table:
    return Table("", ("State", "Account", "Region", "Stack", *columns), rows, heading=heading)


def _problems(found: Coverage) -> Table:
    rows = [
        (
            Status(row.state),
            row.account_id,
            row.region,
            row.stack or "none",
            first_few(row.subjects),
            row.found,
            row.todo,
        )
        for row in found.problems
    ]
    return _table(("What", "Found", "To do"), rows, "What")


def _stacks(found: Coverage) -> Table:
    rows = [
        (
            Status(stack.state),
            *(stack.target.account_id, stack.target.region, stack.target.stack),
            _counted([check.state for check in stack.checks], STATES),
            _confirmed(stack.checks),
            _last_alert(stack),
        )
        for stack in found.stacks
    ]
    return _table(("Checks", "Subscriptions", "Last alert"), rows, "Stack")


def _confirmed(checks: Sequence[Check]) -> str:
    states = [check.state for check in checks if " subscription " in check.subject]
    if not states or "unknown" in states:
        return "unknown"
    return f"{sum(state != 'failed' for state in states)} of {len(states)} confirmed"


def _last_alert(stack: StackCoverage) -> str:
    found = (check.found for check in stack.checks if check.subject == "last alert" and check.state == "ok")
    return next(found, "unknown")


def _subnets(found: Coverage) -> Table:
    rows = [
        (Status(STATE_OF[row.state], row.state), row.account_id, row.region, row.stack or "none", *row[4:9])
        for row in found.subnets
    ]
    return _table(("Subnet", "Name", "VPC", "CIDR", "Flow log"), rows, "Subnet")


def _document(found: Coverage) -> dict[str, object]:
    return {
        "at": found.at.isoformat(),
        "covered": not found.problems,
        "problems": [_entry(problem) for problem in found.problems],
        "stacks": [
            {
                "stack": stack.target.stack,
                "account": stack.target.account_id,
                "region": stack.target.region,
                "state": stack.state,
                "checks": [check._asdict() for check in stack.checks],
            }
            for stack in found.stacks
        ],
        "subnets": [_entry(row) for row in found.subnets],
    }


def _entry(row: CoverageProblem | SubnetCoverage) -> dict[str, object]:
    entry = row._asdict()
    return {"account": entry.pop("account_id"), **entry}
