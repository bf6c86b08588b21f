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
    """Return the link to a finding, in the form of AWS's own notification example.

    https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_settingup.html
    """
    return f"{_home(partition, 'guardduty', region)}#/findings?search=id%3D{finding_id}"


def dashboard(partition: str, region: str, name: str) -> str:
    """Return the link to a CloudWatch dashboard."""
    return f"{_home(partition, 'cloudwatch', region)}#dashboards/dashboard/{quote(name)}"


def finding_type(name: str) -> str:
    """Return the link to a finding type on AWS's page of the active ones.

    It ends in a text fragment, because EventBridge can fill the type in but cannot turn it into an anchor:
    https://developer.mozilla.org/en-US/docs/Web/URI/Reference/Fragment/Text_fragments
    """
    return f"https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_finding-types-active.html#:~:text={name}"


def logs_insights(partition: str, region: str, log_group_name: str, query: str, *, start: str, end: str) -> str:
    """Return the link that opens a Logs Insights query for the time from ``start`` to ``end`` (ISO 8601, UTC).

    The console keeps the query in the fragment, in its own encoding: ``*`` before the hex digits of every special
    character of a text, then all of it percent-encoded twice, with ``$`` for the outer ``%``. Only the characters at
    which mail clients end a link are encoded here, to keep it short. Angle brackets stay, because they mark the
    variables of an EventBridge template.
    """
    detail = (
        f"~(end~'{end}~start~'{start}~timeType~'ABSOLUTE~tz~'UTC~editorString~'{_text(query)}"
        f"~source~(~'{_text(log_group_name)}))"
    )
    encoded = "".join(f"$25{ord(char):02X}" if char in "()'" else char for char in detail)
    return f"{_home(partition, 'cloudwatch', region)}#logsV2:logs-insights$3FqueryDetail$3D{encoded}"


def _text(value: str) -> str:
    return "".join(char if char.isalnum() or char in "-_.<>" else f"*{ord(char):02x}" for char in value)
