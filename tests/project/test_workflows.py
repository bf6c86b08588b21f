"""The workflows of .github: who may do what, which commands they call, and what their scripts do."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
import yaml
from role_policies import DEPLOY_ROLE, ENVIRONMENTS, LONGEST_SESSION, PREVIEW_ROLE

from threatmon.cli import app
from threatmon.fleet.dangers import KINDS
from threatmon.fleet.preview_report import DRIFT, PREVIEW
from threatmon.project import ROOT as PROJECT_ROOT
from threatmon.stacks.engine import ENGINE_VERSION

WORKFLOWS = sorted((PROJECT_ROOT / ".github/workflows").glob("*.yml"))
ACTION = PROJECT_ROOT / ".github/actions/threatmon/action.yml"
GUIDE = (PROJECT_ROOT / "docs/ci.md").read_text(encoding="utf-8")
EVERYTHING = [*WORKFLOWS, ACTION]
MARKER, ISSUE = PREVIEW.marker, DRIFT.marker
every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
every_file = pytest.mark.parametrize("path", EVERYTHING, ids=lambda path: path.name)


class Job(NamedTuple):
    workflow: str
    name: str
    body: dict[str, Any]

    @property
    def permissions(self) -> dict[str, str]:
        return self.body["permissions"]

    @property
    def script(self) -> str:
        return "\n".join(step["run"] for step in self.body["steps"] if "run" in step)


def read(path: Path) -> dict[str, Any]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in document.items()}  # YAML 1.1 reads `on` as true


JOBS = [Job(path.stem, name, body) for path in WORKFLOWS for name, body in read(path)["jobs"].items()]
every_job = pytest.mark.parametrize("job", JOBS, ids=lambda job: f"{job.workflow}-{job.name}")


def the_job(workflow: str, name: str) -> Job:
    return next(job for job in JOBS if (job.workflow, job.name) == (workflow, name))


def steps(path: Path) -> list[dict[str, Any]]:
    document = read(path)
    return (
        document["runs"]["steps"]
        if "runs" in document
        else [step for job in document["jobs"].values() for step in job["steps"]]
    )


# -- what holds for all ------------------------------------------------------------------------------------------------


def test_there_are_four_workflows() -> None:
    assert [path.stem for path in WORKFLOWS] == ["check", "deploy", "drift", "preview"]


@every_file
def test_every_action_of_others_is_pinned_by_its_commit_and_names_its_version(path: Path) -> None:
    used = re.findall(r"^ *(?:- )?uses: *(.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert used
    for line in used:
        assert line == "./.github/actions/threatmon" or re.fullmatch(
            r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line
        )


def test_an_action_is_pinned_to_the_same_commit_everywhere() -> None:
    used = {step["uses"] for path in EVERYTHING for step in steps(path) if "uses" in step}
    names = [it.partition("@")[0] for it in used]
    assert sorted(names) == sorted(set(names))


@every_workflow
def test_a_workflow_gives_nothing_to_its_jobs_by_itself(path: Path) -> None:
    assert read(path)["permissions"] == {}


@every_job
def test_a_job_says_what_it_may_and_how_long_it_may_take(job: Job) -> None:
    assert job.permissions
    assert 0 < job.body["timeout-minutes"] <= 120
    assert job.body["runs-on"] == "ubuntu-24.04"


@every_job
def test_no_job_has_both_an_identity_and_a_pen(job: Job) -> None:
    writes = {scope for scope, access in job.permissions.items() if access == "write"}
    assert writes in (set(), {"id-token"}, {"pull-requests"}, {"issues"})


@every_job
def test_a_job_that_may_write_runs_no_code_of_the_repository(job: Job) -> None:
    if {"pull-requests", "issues"} & job.permissions.keys():
        assert "contents" not in job.permissions
        assert not [step for step in job.body["steps"] if step.get("uses", "").startswith((".", "actions/checkout"))]
        assert ".venv" not in job.script


@every_file
def test_no_checkout_leaves_its_token_behind(path: Path) -> None:
    checkouts = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@every_file
def test_scripts_get_what_varies_by_their_environment_alone(path: Path) -> None:
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


@every_workflow
def test_scripts_stop_at_the_first_failure_also_in_a_pipe(path: Path) -> None:
    # `bash` named, GitHub adds -eo pipefail:
    # https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idstepsshell
    assert read(path)["defaults"] == {"run": {"shell": "bash"}}


@every_workflow
def test_no_workflow_holds_a_secret(path: Path) -> None:
    assert "secrets." not in path.read_text(encoding="utf-8")


def test_the_guide_names_every_variable_to_set() -> None:
    used = {name for path in WORKFLOWS for name in re.findall(r"vars\.(\w+)", path.read_text(encoding="utf-8"))}
    rows = "\n".join(line for line in GUIDE.splitlines() if line.strip().startswith("| `"))
    assert set(re.findall(r"`([A-Z][A-Z_]+)`", rows)) == used


def test_nothing_runs_with_the_rights_of_main_for_a_pull_request() -> None:
    triggers = {path.stem: set(read(path)["on"]) for path in WORKFLOWS}
    assert triggers == {
        "check": {"pull_request", "push"},
        "deploy": {"push", "workflow_dispatch"},
        "drift": {"schedule", "workflow_dispatch"},
        "preview": {"pull_request"},
    }


def test_zizmor_finds_nothing() -> None:
    zizmor = shutil.which("zizmor", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert zizmor, "run `make install`"
    done = subprocess.run(
        [zizmor, "--offline", "--pedantic", "--no-progress", ".github"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# -- each --------------------------------------------------------------------------------------------------------------


def test_the_check_is_the_command_of_the_readme() -> None:
    assert the_job("check", "check").script == "make test"
    assert "make test" in (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")


def test_a_fork_gets_no_identity_and_no_comment() -> None:
    same = "github.event.pull_request.head.repo.full_name == github.repository"
    assert the_job("preview", "plan").body["if"] == same
    assert the_job("preview", "preview").body["needs"] == "plan"  # skipped with it
    for name, needed in (("report", "plan"), ("comment", "report")):
        assert f"needs.{needed}.result != 'skipped'" in the_job("preview", name).body["if"]


def test_a_new_push_ends_the_preview_of_the_last_one() -> None:
    concurrency = read(PROJECT_ROOT / ".github/workflows/preview.yml")["concurrency"]
    assert concurrency == {"group": "preview-${{ github.event.pull_request.number }}", "cancel-in-progress": True}


def test_deployments_wait_for_each_other_and_none_is_stopped() -> None:
    concurrency = read(PROJECT_ROOT / ".github/workflows/deploy.yml")["concurrency"]
    assert concurrency == {"group": "deploy", "cancel-in-progress": False}


def test_the_rest_is_deployed_after_the_canary_each_in_the_environment_that_its_role_trusts() -> None:
    jobs = [job for job in JOBS if job.workflow == "deploy"]
    assert tuple(job.body["environment"] for job in jobs) == ENVIRONMENTS
    assert [job.body.get("needs") for job in jobs] == [None, "canary"]
    assert jobs[0].body["if"] == "github.ref == 'refs/heads/main'"


def test_the_dangers_one_can_allow_are_those_there_are() -> None:
    allow = read(PROJECT_ROOT / ".github/workflows/deploy.yml")["on"]["workflow_dispatch"]["inputs"]["allow"]
    assert allow["type"] == "choice"
    assert allow["default"] == "none"
    assert allow["options"] == ["none", *KINDS]


def test_only_deployments_use_the_role_that_writes() -> None:
    using = {
        role: {job.workflow for job in JOBS if f"--role {role} " in job.script} for role in (PREVIEW_ROLE, DEPLOY_ROLE)
    }
    assert using == {PREVIEW_ROLE: {"preview", "drift"}, DEPLOY_ROLE: {"deploy"}}
    states = {
        (job.workflow, step["with"]["state-role"])
        for job in JOBS
        for step in job.body["steps"]
        if "state-role" in step.get("with", {})
    }
    assert states == {
        ("preview", "${{ vars.STATE_READ_ROLE }}"),
        ("drift", "${{ vars.STATE_READ_ROLE }}"),
        ("deploy", "${{ vars.STATE_WRITE_ROLE }}"),
    }


def test_the_engine_is_the_one_the_project_is_tested_with() -> None:
    versions = [step["with"]["pulumi-version"] for step in steps(ACTION) if "pulumi-version" in step.get("with", {})]
    assert versions == [ENGINE_VERSION]


@every_job
def test_the_state_stays_open_as_long_as_the_job_may_take(job: Job) -> None:
    default = int(read(ACTION)["inputs"]["seconds"]["default"])
    for step in job.body["steps"]:
        if "state-role" in step.get("with", {}):
            assert int(step["with"].get("seconds", default)) == 60 * job.body["timeout-minutes"] <= LONGEST_SESSION


def test_drift_is_looked_for_at_a_minute_when_not_everybody_asks() -> None:
    [entry] = read(PROJECT_ROOT / ".github/workflows/drift.yml")["on"]["schedule"]
    assert int(entry["cron"].split()[0]) % 5


# -- commands ----------------------------------------------------------------------------------------------------------

SCRIPTS = [step["run"] for path in EVERYTHING for step in steps(path) if "run" in step]
FENCED = re.findall(r"^```\w*\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
INLINE = re.findall(r"`((?:threatmon|make) [^`]+)`", GUIDE)
# What stands for a shell variable; any other is a 1.
VALUES = {"ALLOW": "policy-widened"}


def commands(text: str) -> Iterator[list[str]]:
    """Arguments of every call of threatmon in a script."""
    joined = re.sub(r"\\\n\s*", " ", text)
    added = " ".join(re.findall(r"options\+=\(([^)]*)\)", joined))
    for call in re.findall(r"(?<!<!-- )(?<![\w-])threatmon ([a-z].*)", joined):
        command = re.split(r" (?:2?>|\|\|?|&&|;)|;", call)[0].replace('"${options[@]}"', added)
        command = re.sub(r"\$\{\w+\[@\]/#/(--[a-z-]+=)\}", r"\g<1>1", command)
        command = re.sub(r"\$\{?(\w+)\}?", lambda variable: VALUES.get(variable[1], "1"), command)
        yield shlex.split(command)


CALLS = [call for text in [*SCRIPTS, *FENCED, *INLINE] for call in commands(text)]


def test_the_commands_are_found() -> None:
    called = {tuple(call[:2]) for text in SCRIPTS for call in commands(text)}
    assert called == {("fleet", it) for it in ("matrix", "preview", "up", "drift")}
    assert {("fleet", it) for it in ("preview", "up", "drift")} <= {
        tuple(call[:2]) for text in FENCED for call in commands(text)
    }


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_every_command_exists_with_these_options(call: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    names, rest = ["threatmon"], list(call)
    while hasattr(command, "commands"):
        assert rest, f"{call}: no command"
        assert rest[0] in command.commands, f"{rest[0]}: no command of {' '.join(names)}"
        command = command.commands[rest[0]]
        names.append(rest.pop(0))
    command.make_context(" ".join(names), rest)  # raises what a user would be told


def test_every_make_target_exists() -> None:
    makefile = (PROJECT_ROOT / "Makefile").read_text(encoding="utf-8")
    called = {it for text in [*SCRIPTS, *FENCED, *INLINE] for it in re.findall(r"(?:^|\s)make ([a-z-]+)", text)}
    assert called >= {"install", "test"}
    assert [it for it in called if f"\n{it}:" not in makefile] == []


# -- scripts -----------------------------------------------------------------------------------------------------------

needs_jq = pytest.mark.skipif(not shutil.which("jq"), reason="gh has jq built in; here it has to be on PATH")

# `gh api`, as far as the scripts use it: pages of what is there go through --jq one by one, what is sent is kept.
GH = """
import json, pathlib, subprocess, sys
arguments = sys.argv[1:]
def option(name):
    return arguments[arguments.index(name) + 1] if name in arguments else None
if "--method" in arguments:
    path = next(it for it in arguments if it.startswith("repos/"))
    fields = [arguments[at + 1].split("=", 1) for at, it in enumerate(arguments) if it == "--field"]
    sent = {key: pathlib.Path(text[1:]).read_text() if text.startswith("@") else text for key, text in fields}
    pathlib.Path("sent.json").write_text(json.dumps([option("--method"), path, sent]))
else:
    pages = json.loads(pathlib.Path("pages.json").read_text())
    for page in pages if "--paginate" in arguments else pages[:1]:
        subprocess.run(["jq", "-r", option("--jq")], input=json.dumps(page), text=True, check=True)
"""


def run_step(job: Job, folder: Path, environment: Mapping[str, str], programs: Mapping[str, str]) -> int:
    """Runs the last script of a job that is longer than a line, as GitHub does; ``programs`` are written in Python."""
    for path, text in programs.items():
        program = folder / path
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
        program.chmod(0o755)
    script = [step["run"] for step in job.body["steps"] if "\n" in step.get("run", "")][-1]
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],  # noqa: S607 - whichever is there
        cwd=folder,
        env={
            **os.environ,
            "GITHUB_OUTPUT": "output",
            "GITHUB_STEP_SUMMARY": "summary",
            **environment,
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode


def comment(folder: Path, pages: list[list[dict[str, Any]]], report: str | None) -> Any:
    """What is sent to GitHub where the pull request has these comments: method, path, fields."""
    (folder / "pages.json").write_text(json.dumps(pages), encoding="utf-8")
    if report is not None:
        (folder / "comment.md").write_text(report, encoding="utf-8")
    environment = {"MARKER": MARKER, "NUMBER": "7", "REPOSITORY": "o/r", "RUN": "https://example.com/run"}
    assert run_step(the_job("preview", "comment"), folder, environment, {"gh": GH}) == 0
    return json.loads((folder / "sent.json").read_text(encoding="utf-8"))


def a_comment(number: int, body: str, login: str = "github-actions[bot]") -> dict[str, Any]:
    return {"id": number, "body": body, "user": {"login": login}}


def test_the_workflows_look_for_what_the_reports_begin_with() -> None:
    found = {
        job.workflow: step["env"]["MARKER"]
        for job in JOBS
        for step in job.body["steps"]
        if "MARKER" in step.get("env", {})
    }
    assert found == {"preview": MARKER, "drift": ISSUE}


@needs_jq
def test_the_first_preview_makes_a_comment(tmp_path: Path) -> None:
    report = f"{MARKER}\nall is well\n"
    others = [a_comment(1, report, login="mallory"), a_comment(2, "built")]
    assert comment(tmp_path, [others], report) == ["POST", "repos/o/r/issues/7/comments", {"body": report}]


@needs_jq
def test_the_next_one_updates_it_on_whichever_page_it_is(tmp_path: Path) -> None:
    pages = [[a_comment(1, "built")], [a_comment(41, f"{MARKER}\nold"), a_comment(42, f"{MARKER}\nolder")]]
    report = f"{MARKER}\nnew\n"
    assert comment(tmp_path, pages, report) == ["PATCH", "repos/o/r/issues/comments/41", {"body": report}]


@needs_jq
def test_a_report_without_the_marker_gets_it(tmp_path: Path) -> None:
    assert comment(tmp_path, [[]], "all is well\n")[2] == {"body": f"{MARKER}\nall is well\n"}


@needs_jq
def test_where_there_is_no_report_the_comment_points_at_the_run(tmp_path: Path) -> None:
    sent = comment(tmp_path, [[]], None)[2]["body"]
    assert sent == f"{MARKER}\nThe preview did not come to an end: [what it printed](https://example.com/run).\n"


@needs_jq
def test_a_report_that_github_would_not_take_is_cut_and_says_so(tmp_path: Path) -> None:
    sent = comment(tmp_path, [[]], f"{MARKER}\n{'x' * 70_000}")[2]["body"]
    assert len(sent) <= 65_536
    assert sent.endswith("... cut here; [the run](https://example.com/run) has the whole report.\n")


FOLDS = 'import sys; print("folded", *sys.argv[1:])'


def report(folder: Path, files: Mapping[str, str], outcome: str, program: str = FOLDS) -> tuple[int, str]:
    for name, text in files.items():
        (folder / "previews" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "previews" / name).write_text(text, encoding="utf-8")
    status = run_step(
        the_job("preview", "report"),
        folder,
        {"OUTCOME": outcome, "RUN": "https://example.com/run"},
        {".venv/bin/threatmon": program},
    )
    written = folder / "comment.md"
    return status, written.read_text(encoding="utf-8") if written.exists() else ""


def test_a_change_that_affects_no_stack_is_reported_as_such(tmp_path: Path) -> None:
    assert report(tmp_path, {}, "skipped") == (0, "No stack is affected by this change.\n")


def test_the_previews_of_all_shards_are_put_together(tmp_path: Path) -> None:
    files = {f"preview-{it}/preview.json": "{}" for it in (0, 1)} | {"preview-0/error.txt": "progress\n"}
    text = "folded fleet preview --from=previews/preview-0/preview.json --from=previews/preview-1/preview.json"
    assert report(tmp_path, files, "success") == (0, f"{text} --format markdown --pointer https://example.com/run\n")


def test_a_shard_that_printed_no_preview_is_reported_by_its_error(tmp_path: Path) -> None:
    files = {
        "preview-0/preview.json": "{}",
        "preview-1/preview.json": "",
        "preview-1/error.txt": "no credentials\n<b>```\n",
    }
    status, text = report(tmp_path, files, "failure")
    assert status == 0
    assert text.startswith(
        "folded fleet preview --from=previews/preview-0/preview.json --format markdown --pointer https://example.com/run\n"
    )
    assert text.endswith("\n**Stacks could not be previewed:**\n\n    no credentials\n    <b>```\n")


def test_faults_in_stack_files_are_reported(tmp_path: Path) -> None:
    files = {"preview-plan/error.txt": "Pulumi.dev.yaml has 1 fault:\n  threat-monitor:protect: ...\n"}
    _, text = report(tmp_path, files, "skipped")
    assert "    Pulumi.dev.yaml has 1 fault:\n      threat-monitor:protect: ...\n" in text
    assert "No stack is affected" not in text


def test_a_preview_that_was_killed_is_not_reported_as_no_stack(tmp_path: Path) -> None:
    assert report(tmp_path, {}, "failure") == (0, "")


def test_a_report_that_fails_turns_the_job_red(tmp_path: Path) -> None:
    files = {"preview-0/preview.json": "{}"}
    assert report(tmp_path, files, "success", "import sys; print('so far'); sys.exit(1)") == (1, "so far\n")


def issue(folder: Path, pages: list[list[dict[str, Any]]], outcome: str) -> Any:
    """What is sent to GitHub where the repository has these open issues; None for nothing."""
    (folder / "pages.json").write_text(json.dumps(pages), encoding="utf-8")
    (folder / "drift.md").write_text("a topic is gone\n", encoding="utf-8")
    environment = {"MARKER": ISSUE, "OUTCOME": outcome, "REPOSITORY": "o/r", "RUN": "https://example.com/run"}
    assert run_step(the_job("drift", "issue"), folder, environment, {"gh": GH}) == 0
    sent = folder / "sent.json"
    return json.loads(sent.read_text(encoding="utf-8")) if sent.exists() else None


def an_issue(number: int, body: str | None) -> dict[str, Any]:
    return {"number": number, "body": body, "user": {"login": "github-actions[bot]"}}


@needs_jq
def test_drift_opens_an_issue(tmp_path: Path) -> None:
    body = f"{ISSUE}\n[The run](https://example.com/run)\n\na topic is gone\n"
    title = "The accounts differ from the stacks"
    assert issue(tmp_path, [[an_issue(1, None)]], "failure") == [
        "POST",
        "repos/o/r/issues",
        {"title": title, "body": body},
    ]


@needs_jq
def test_the_next_drift_updates_the_issue(tmp_path: Path) -> None:
    method, path, fields = issue(tmp_path, [[], [an_issue(5, f"{ISSUE}\nold")]], "failure")
    assert (method, path) == ("PATCH", "repos/o/r/issues/5")
    assert "a topic is gone" in fields["body"]


@needs_jq
def test_the_issue_is_closed_once_nothing_differs(tmp_path: Path) -> None:
    assert issue(tmp_path, [[an_issue(5, ISSUE)]], "success") == ["PATCH", "repos/o/r/issues/5", {"state": "closed"}]


@needs_jq
def test_without_drift_and_issue_nothing_is_said(tmp_path: Path) -> None:
    assert issue(tmp_path, [[]], "success") is None


def test_a_look_for_drift_that_fails_says_why_in_the_summary(tmp_path: Path) -> None:
    fails = "import sys; print('no state', file=sys.stderr); sys.exit(1)"
    assert run_step(the_job("drift", "drift"), tmp_path, {}, {".venv/bin/threatmon": fails}) == 1
    assert (tmp_path / "summary").read_text(encoding="utf-8") == "The look for drift failed:\n\n    no state\n"


def test_drift_is_in_the_summary_and_turns_the_job_red(tmp_path: Path) -> None:
    finds = "import sys; print('a topic is gone'); sys.exit(1)"
    assert run_step(the_job("drift", "drift"), tmp_path, {}, {".venv/bin/threatmon": finds}) == 1
    assert (tmp_path / "summary").read_text(encoding="utf-8") == "a topic is gone\n"


def test_the_plan_hands_the_matrix_on(tmp_path: Path) -> None:
    matrix = '{"include":[{"shard":"1/1","stacks":"a,b"}]}'
    plans = f"print({matrix!r})"
    environment = {"BASE": "main", "SHARDS": "1", "RUNNER_TEMP": str(tmp_path)}
    assert run_step(the_job("preview", "plan"), tmp_path, environment, {".venv/bin/threatmon": plans}) == 0
    assert (tmp_path / "output").read_text(encoding="utf-8") == f"matrix={matrix}\n"


# -- GitLab ------------------------------------------------------------------------------------------------------------


def gitlab() -> dict[str, Any]:
    [pipeline] = [yaml.safe_load(block) for block in FENCED if block.startswith("# .gitlab-ci.yml")]
    return pipeline


def test_the_gitlab_pipeline_has_the_same_guards() -> None:
    pipeline = gitlab()
    jobs = {name: body for name, body in pipeline.items() if "script" in body}
    lines = [line for body in pipeline.values() for line in [*body.get("before_script", []), *body.get("script", [])]]
    assert all(isinstance(line, str) for line in lines)  # a colon in a line makes YAML read it as a mapping
    identified = {
        name for name, body in jobs.items() if "id_tokens" in {**body, **pipeline.get(body.get("extends"), {})}
    }
    assert identified == {"preview", "canary", "production", "drift"}
    # What holds the token that comments runs no code of the merge request.
    assert not identified & {"note"}
    assert "before_script" not in jobs["note"]
    assert {jobs[it]["resource_group"] for it in ENVIRONMENTS} == {"deploy"}
    assert all(jobs[it].get("interruptible") is False for it in ENVIRONMENTS)
    assert jobs["production"]["rules"][0]["when"] == "manual"
    assert [jobs[it]["environment"] for it in ENVIRONMENTS] == list(ENVIRONMENTS)


# curl, as far as the script uses it.
CURL = """
import json, pathlib, sys
arguments = sys.argv[1:]
def option(name):
    return arguments[arguments.index(name) + 1] if name in arguments else None
url = arguments[-1]
assert option("--header") and "--fail" in arguments
if option("--request"):
    sent = json.loads(pathlib.Path(option("--data")[1:]).read_text())
    pathlib.Path("sent.json").write_text(json.dumps([option("--request"), url, sent]))
elif url.endswith("/user"):
    print('{"id": 9}')
else:
    pages = json.loads(pathlib.Path("pages.json").read_text())
    page = int(url.rpartition("=")[2])
    pathlib.Path(option("--output")).write_text(json.dumps(pages[page - 1]))
    print(page + 1 if page < len(pages) else "", end="")
"""


@needs_jq
@pytest.mark.parametrize(
    ("pages", "sent"),
    [
        ([[]], ["POST", ""]),
        ([[{"id": 1, "body": f"{MARKER}\nold", "author": {"id": 8}}]], ["POST", ""]),
        (
            [[{"id": 1, "body": "hello", "author": {"id": 9}}], [{"id": 2, "body": MARKER, "author": {"id": 9}}]],
            ["PUT", "/2"],
        ),
    ],
)
def test_the_gitlab_note_is_made_once_and_then_updated(
    tmp_path: Path, pages: list[list[dict[str, Any]]], sent: list[str]
) -> None:
    (tmp_path / "pages.json").write_text(json.dumps(pages), encoding="utf-8")
    (tmp_path / "comment.md").write_text(f"{MARKER}\nnew", encoding="utf-8")
    note = gitlab()["note"]
    job = Job("gitlab", "note", {"steps": [{"run": "\n".join(note["script"])}]})
    environment = {
        "MARKER": note["variables"]["MARKER"],
        "NOTE_TOKEN": "t",
        "CI_API_V4_URL": "https://gitlab.com/api/v4",
        "CI_PROJECT_ID": "3",
        "CI_MERGE_REQUEST_IID": "4",
    }
    assert run_step(job, tmp_path, environment, {"curl": CURL, "apk": ""}) == 0
    method, url, body = json.loads((tmp_path / "sent.json").read_text(encoding="utf-8"))
    assert [method, url.removeprefix("https://gitlab.com/api/v4/projects/3/merge_requests/4/notes")] == sent
    assert body == {"body": f"{MARKER}\nnew"}
