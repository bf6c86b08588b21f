"""Time of rendering a mail offline, and the size of the expressions in the state machine's definition."""

import sys
from time import process_time

from mail_examples import EXAMPLES
from mail_findings import hostile_findings, whole_findings

from threatmon.evaluation.mail import FormattingError, render
from threatmon.model.mail_formatter import MailOptions, chat, formatter

OPTIONS = MailOptions("111122223333", "eu-west-1", "aws", {"111122223333": "prod"}, "/flow-logs", "dashboard")


def main() -> None:
    """Print the table; ``hostile`` takes the number of the first argument, 1,000 without one."""
    mail = formatter(OPTIONS)
    print(f"mail {len(mail.encode()):,} bytes, chat {len(chat(OPTIONS).encode()):,} bytes")
    hostile = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    sets = {
        "examples": list(EXAMPLES.values()),
        "whole": list(whole_findings()),
        "hostile": list(hostile_findings(9, hostile)),
    }
    for name, events in sets.items():
        failed, times = 0, list[float]()
        for event in events:
            start = process_time()
            try:
                render(mail, event)
            except FormattingError:
                failed += 1
            times.append((process_time() - start) * 1000)
        mean, most = sum(times) / len(times), max(times)
        print(f"{name:9} {len(times):5} findings: {mean:.0f} ms each, {most:.0f} at most, {failed} failed")


if __name__ == "__main__":
    main()
