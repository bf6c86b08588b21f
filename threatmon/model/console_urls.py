"""Links into the AWS console and its documentation, for each partition."""

from urllib.parse import quote

_HOSTS = {
    "aws": "console.aws.amazon.com",
    "aws-us-gov": "console.amazonaws-us-gov.com",
    "aws-cn": "console.amazonaws.cn",
}


def _home(partition: str, service: str, region: str) -> str:
    return f"https://{_HOSTS.get(partition, _HOSTS['aws'])}/{service}/home?region={region}"


def finding(partition: str, region: str, finding_id: str) -> str:
    """A finding in GuardDuty, in the form of AWS's own notification example:
    https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_settingup.html"""
    return f"{_home(partition, 'guardduty', region)}#/findings?search=id%3D{finding_id}"


def dashboard(partition: str, region: str, name: str) -> str:
    """A CloudWatch dashboard."""
    return f"{_home(partition, 'cloudwatch', region)}#dashboards/dashboard/{quote(name)}"


def finding_type(name: str) -> str:
    """AWS's page of the active finding types, scrolled to this one.

    A text fragment, because EventBridge can put the type into a link as it is but cannot turn it into an anchor:
    https://developer.mozilla.org/en-US/docs/Web/URI/Reference/Fragment/Text_fragments
    """
    return f"https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_finding-types-active.html#:~:text={name}"


def logs_insights(partition: str, region: str, log_group_name: str, query: str, *, start: str, end: str) -> str:
    """A Logs Insights query, opened for the time from ``start`` to ``end`` (ISO 8601, UTC).

    The console keeps the query in the fragment, in an encoding of its own: ``*`` before the hex digits of every special
    character of a text, all of it percent-encoded twice with ``$`` for the outer ``%``. Only the characters at which
    mail clients end a link are encoded here, to keep it short. Text in angle brackets is left alone, as a placeholder
    of an EventBridge template.
    """
    detail = "".join(
        [
            f"~(end~'{end}~start~'{start}~timeType~'ABSOLUTE~tz~'UTC~editorString~'{_text(query)}",
            f"~source~(~'{_text(log_group_name)}))",
        ]
    )
    encoded = "".join(f"$25{ord(char):02X}" if char in "()'" else char for char in detail)
    return f"{_home(partition, 'cloudwatch', region)}#logsV2:logs-insights$3FqueryDetail$3D{encoded}"


def _text(value: str) -> str:
    return "".join(char if char.isalnum() or char in "-_.<>" else f"*{ord(char):02x}" for char in value)
