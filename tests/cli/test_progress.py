import io

import pytest

from threatmon.cli import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    return screen


def test_a_status_is_replaced_on_a_terminal_and_gone_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_a_terminal(monkeypatch)
    with progress.status("Reading") as update:
        update("Asking [all]")
    assert "Asking [all]" in terminal.getvalue()
    assert terminal.getvalue().endswith("\x1b[2K")


def test_a_status_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.status("Reading") as update:
        update("Asking")
    assert capsys.readouterr() == ("", "")


def test_a_bar_counts_on_a_terminal_and_a_line_is_said_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_a_terminal(monkeypatch)
    with progress.bar("Previewed", 3) as count:
        count("dev")
        progress.say("Stopping [all]")
        count("prod")
    assert "2/3" in terminal.getvalue()
    assert "Stopping [all]" in terminal.getvalue()
    assert "prod" not in terminal.getvalue()


def test_a_bar_is_a_line_for_each_piece_of_work_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bar("Previewed", 2) as count:
        count("dev")
        count("prod: failed")
    assert capsys.readouterr() == ("", "Previewed 1 of 2: dev\nPreviewed 2 of 2: prod: failed\n")
