from fleet.previews import hostile
from hypothesis import given

from threatmon.fleet.preview_errors import important_lines


def test_of_a_traceback_only_the_messages_are_kept() -> None:
    error = (
        "Program failed with an unhandled exception:\n"
        "Traceback (most recent call last):\n"
        '  File "/srv/repo/__main__.py", line 33, in <module>\n'
        "    pipeline = MonitoringPipeline(settings)\n"
        "               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
        "ValueError: emails: is empty\n\n"
    )
    assert important_lines(error) == ("Program failed with an unhandled exception:", "ValueError: emails: is empty")


def test_a_message_of_several_lines_is_kept_as_it_is() -> None:
    error = "Pulumi.prod.yaml: 2 faults\n  subnetIds: is empty\n  alertEmails: is empty"
    assert important_lines(error) == tuple(error.split("\n"))


def test_what_is_said_twice_is_kept_once() -> None:
    assert important_lines("error: denied\nerror: denied\n") == ("error: denied",)


def test_an_error_without_words_says_so() -> None:
    assert important_lines(" \n") == ("no reason given",)


@given(hostile)
def test_there_is_always_a_reason(error: str) -> None:
    assert "".join(important_lines(error)).strip()
