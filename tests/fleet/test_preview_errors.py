from fleet.previews import hostile
from hypothesis import given

from threatmon.fleet.preview_errors import important


def test_of_the_engines_output_the_diagnostics_are_kept_without_progress_and_traceback() -> None:
    error = (
        " code: 255\n stdout: Previewing update (prod):\n\n@ previewing update....\n"
        "    pulumi:pulumi:Stack threat-monitor-prod running error: 1 error\n"
        "Diagnostics:\n  pulumi:pulumi:Stack (threat-monitor-prod):\n"
        "    \x1b[31merror: Program failed with an unhandled exception:\n"
        "    Traceback (most recent call last):\n"
        '      File "/srv/repo/__main__.py", line 33, in <module>\n'
        "        pipeline = MonitoringPipeline(settings)\n"
        "                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
        "    ValueError: emails: is empty\n\n"
        "Resources:\n    1 unchanged\n\nDuration: 2s\n"
    )
    assert important(error) == (
        "error: Program failed with an unhandled exception:",
        "ValueError: emails: is empty",
    )


def test_a_message_of_several_lines_is_kept_as_it_is() -> None:
    error = "Pulumi.prod.yaml: 2 faults\n  subnetIds: is empty\n  alertEmails: is empty"
    assert important(error) == tuple(error.split("\n"))


def test_what_is_said_twice_is_kept_once() -> None:
    assert important("error: denied\nerror: denied\n") == ("error: denied",)


def test_an_error_without_words_says_so() -> None:
    assert important(" \n") == ("no reason given",)


def test_an_error_of_noise_alone_is_kept() -> None:
    assert important("code: 255\nstdout:\n") == ("code: 255 stdout:",)


@given(hostile)
def test_there_is_always_a_reason(error: str) -> None:
    assert "".join(important(error)).strip()
