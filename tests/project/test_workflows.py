"""The workflows of .github: who may do what, which commands they call, and what their scripts do."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
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
RUN = "https://example.com/run"
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

    def steps_with(self, key: str, name: str) -> list[Any]:
        return [step[key][name] for step in self.body["steps"] if name in step.get(key, {})]


def read(path: Path) -> dict[str, Any]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in document.items()}  # YAML 1.1 reads `on` as true


JOBS = [Job(path.stem, name, body) for path in WORKFLOWS for name, body in read(path)["jobs"].items()]
every_job = pytest.mark.parametrize("job", JOBS, ids=lambda job: f"{job.workflow}-{job.name}")


def the_job(workflow: str, name: str) -> Job:
    return next(job for job in JOBS if (job.workflow, job.name) == (workflow, name))


def steps(path: Path) -> list[dict[str, Any]]:
    document = read(path)
    jobs = [document["runs"]] if "runs" in document else document["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


# -- what holds for all ------------------------------------------------------------------------------------------------


@every_file
def test_every_action_of_others_is_pinned_by_its_commit_and_names_its_version(path: Path) -> None:
    used = re.findall(r"^ *(?:- )?uses: *(.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert used
    for line in used:
        pinned = re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)
        assert pinned or line == "./.github/actions/threatmon"


def test_an_action_is_pinned_to_the_same_commit_everywhere() -> None:
    used = {step["uses"] for path in EVERYTHING for step in steps(path) if "uses" in step}
    names = [action.partition("@")[0] for action in used]
    assert sorted(names) == sorted(set(names))


@every_workflow
def test_a_workflow_gives_nothing_to_its_jobs_and_holds_no_secret(path: Path) -> None:
    assert read(path)["permissions"] == {}
    assert "secrets." not in path.read_text(encoding="utf-8")
    # `bash` named, GitHub adds -eo pipefail:
    # https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idstepsshell
    assert read(path)["defaults"] == {"run": {"shell": "bash"}}


@every_job
def test_a_job_says_what_it_may_and_how_long_it_may_take(job: Job) -> None:
    assert job.permissions
    assert 0 < job.body["timeout-minutes"] <= 120
    assert job.body["runs-on"] == "ubuntu-24.04"


@every_job
def test_a_job_with_an_identity_writes_nothing_and_one_that_writes_runs_no_code_of_the_repository(job: Job) -> None:
    writes = {scope for scope, access in job.permissions.items() if access == "write"}
    assert writes in (set(), {"id-token"}, {"pull-requests"}, {"issues"})
    if writes - {"id-token"}:
        assert "contents" not in job.permissions
        assert not [step for step in job.body["steps"] if step.get("uses", "").startswith((".", "actions/checkout"))]
        assert ".venv" not in job.script


@every_file
def test_no_checkout_leaves_its_token_and_no_script_holds_an_expression(path: Path) -> None:
    checkouts = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


def test_the_guide_names_every_variable_to_set() -> None:
    used = {name for path in WORKFLOWS for name in re.findall(r"vars\.(\w+)", path.read_text(encoding="utf-8"))}
    rows = "\n".join(line for line in GUIDE.splitlines() if line.strip().startswith("| `"))
    assert set(re.findall(r"`([A-Z][A-Z_]+)`", rows)) == used


def test_nothing_runs_with_the_rights_of_main_for_a_pull_request() -> None:
    assert {path.stem: set(read(path)["on"]) for path in WORKFLOWS} == {
        "check": {"pull_request", "push"},
        "deploy": {"push", "workflow_dispatch"},
        "drift": {"schedule", "workflow_dispatch"},
        "preview": {"pull_request"},
    }


def test_zizmor_finds_nothing() -> None:
    zizmor = shutil.which("zizmor", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert zizmor, "run `make install`"
    command = [zizmor, "--offline", "--pedantic", "--no-progress", ".github"]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
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


@pytest.mark.parametrize(
    ("workflow", "group", "ends"),
    [("preview", "preview-${{ github.event.pull_request.number }}", True), ("deploy", "deploy", False)],
)
def test_a_new_push_ends_the_last_preview_and_no_deployment(workflow: str, group: str, ends: bool) -> None:
    concurrency = read(PROJECT_ROOT / f".github/workflows/{workflow}.yml")["concurrency"]
    assert concurrency == {"group": group, "cancel-in-progress": ends}


def test_the_rest_is_deployed_after_the_canary_each_in_the_environment_that_its_role_trusts() -> None:
    canary, production = (job.body for job in JOBS if job.workflow == "deploy")
    assert (canary["environment"], production["environment"]) == ENVIRONMENTS
    assert (canary.get("needs"), production["needs"]) == (None, "canary")
    assert canary["if"] == "github.ref == 'refs/heads/main'"


def test_the_dangers_one_can_allow_are_those_there_are() -> None:
    allow = read(PROJECT_ROOT / ".github/workflows/deploy.yml")["on"]["workflow_dispatch"]["inputs"]["allow"]
    assert (allow["type"], allow["default"], allow["options"]) == ("choice", "none", ["none", *KINDS])


def test_only_deployments_use_the_roles_that_write() -> None:
    using = {
        role: {job.workflow for job in JOBS if f"--role {role} " in job.script} for role in (PREVIEW_ROLE, DEPLOY_ROLE)
    }
    assert using == {PREVIEW_ROLE: {"preview", "drift"}, DEPLOY_ROLE: {"deploy"}}
    assert {(job.workflow, role) for job in JOBS for role in job.steps_with("with", "state-role")} == {
        ("preview", "${{ vars.STATE_READ_ROLE }}"),
        ("drift", "${{ vars.STATE_READ_ROLE }}"),
        ("deploy", "${{ vars.STATE_WRITE_ROLE }}"),
    }


def test_the_engine_is_the_one_the_project_is_tested_with() -> None:
    versions = [step["with"]["pulumi-version"] for step in steps(ACTION) if "pulumi-version" in step.get("with", {})]
    assert versions == [ENGINE_VERSION]


@every_job
def test_the_state_stays_open_as_long_as_the_job_may_take(job: Job) -> None:
    default = read(ACTION)["inputs"]["seconds"]["default"]
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


def test_the_commands_are_found() -> None:
    called = {tuple(call[:2]) for text in SCRIPTS for call in commands(text)}
    assert called == {("fleet", name) for name in ("matrix", "preview", "up", "drift")}
    assert {("fleet", name) for name in ("preview", "up", "drift")} <= {
        tuple(call[:2]) for text in FENCED for call in commands(text)
    }


@pytest.mark.parametrize(
    "call", [call for text in [*SCRIPTS, *FENCED, *INLINE] for call in commands(text)], ids=" ".join
)
def test_every_command_exists_with_these_options(call: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    context: Any = typer.Context(command)
    rest = call
    while hasattr(command, "resolve_command"):
        _, command, rest = command.resolve_command(context, rest)
    command.make_context("threatmon", list(rest))  # raises what a user would be shown


def test_every_make_target_exists() -> None:
    makefile = (PROJECT_ROOT / "Makefile").read_text(encoding="utf-8")
    called = {name for text in [*SCRIPTS, *FENCED, *INLINE] for name in re.findall(r"(?:^|\s)make ([a-z-]+)", text)}
    assert called >= {"install", "test"}
    assert [name for name in called if f"\n{name}:" not in makefile] == []


# -- scripts -----------------------------------------------------------------------------------------------------------

needs_jq = pytest.mark.skipif(not shutil.which("jq"), reason="gh has jq built in; here it has to be on PATH")

# `gh api`, as far as the scripts use it: pages of what is there go through --jq one by one, what is sent is kept.
GH = """
import json, pathlib, subprocess, sys
arguments = sys.argv[1:]
def option(name):
    return arguments[arguments.index(name) + 1] if name in arguments else None
if "--method" in arguments:
    path = next(text for text in arguments if text.startswith("repos/"))
    fields = [arguments[at + 1].split("=", 1) for at, text in enumerate(arguments) if text == "--field"]
    sent = {key: pathlib.Path(text[1:]).read_text() if text.startswith("@") else text for key, text in fields}
    pathlib.Path("sent.json").write_text(json.dumps([option("--method"), path, sent]))
else:
    pages = json.loads(pathlib.Path("pages.json").read_text())
    for page in pages if "--paginate" in arguments else pages[:1]:
        subprocess.run(["jq", "-r", option("--jq")], input=json.dumps(page), text=True, check=True)
"""
# curl, as far as GitLab's script uses it.
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
Pages = Sequence[Sequence[Mapping[str, Any]]]


def run_script(
    script: str, folder: Path, environment: Mapping[str, str], programs: Mapping[str, str], **files: Any
) -> int:
    """Run a script as GitHub does; ``programs`` are Python, ``files`` are written before (pages_json as pages.json)."""
    for path, text in programs.items():
        program = folder / path
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
        program.chmod(0o755)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],  # noqa: S607 - whichever is there
        cwd=folder,
        env={
            **os.environ,
            "GITHUB_OUTPUT": "output",
            "GITHUB_STEP_SUMMARY": "summary",
            "REPOSITORY": "o/r",
            "RUN": RUN,
            **environment,
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        },
        capture_output=True,
        check=False,
    ).returncode


def last_script(workflow: str, job: str) -> str:
    """The last script of a job that is longer than a line."""
    return [step["run"] for step in the_job(workflow, job).body["steps"] if "\n" in step.get("run", "")][-1]


def sent(folder: Path) -> Any:
    """What a script sent: method, path, fields; None for nothing."""
    file = folder / "sent.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def test_the_workflows_look_for_what_the_reports_begin_with() -> None:
    markers = {(job.workflow, marker) for job in JOBS for marker in job.steps_with("env", "MARKER")}
    assert markers == {("preview", MARKER), ("drift", ISSUE)}


def comment(folder: Path, pages: Pages, **files: str) -> Any:
    environment = {"MARKER": MARKER, "NUMBER": "7"}
    assert (
        run_script(last_script("preview", "comment"), folder, environment, {"gh": GH}, pages_json=pages, **files) == 0
    )
    return sent(folder)


def a_comment(number: int, body: str, login: str = "github-actions[bot]") -> dict[str, Any]:
    return {"id": number, "body": body, "user": {"login": login}}


@needs_jq
def test_the_first_preview_makes_a_comment_and_the_next_one_updates_it_on_whichever_page_it_is(tmp_path: Path) -> None:
    report = f"{MARKER}\nall is well\n"
    others = [a_comment(1, report, login="mallory"), a_comment(2, "built")]
    posted = ["POST", "repos/o/r/issues/7/comments", {"body": report}]
    assert comment(tmp_path, [others], comment_md=report) == posted
    pages = [others, [a_comment(41, f"{MARKER}\nold"), a_comment(42, f"{MARKER}\nolder")]]
    patched = ["PATCH", "repos/o/r/issues/comments/41", {"body": report}]
    assert comment(tmp_path, pages, comment_md=report) == patched


NO_END = f"The preview did not finish: [what it printed]({RUN}).\n"


@needs_jq
@pytest.mark.parametrize(
    ("files", "body"),
    [
        ({"comment_md": "all is well\n"}, f"{MARKER}\nall is well\n"),
        ({}, f"{MARKER}\n{NO_END}"),
    ],
)
def test_the_comment_always_has_the_marker_and_a_text(tmp_path: Path, files: dict[str, str], body: str) -> None:
    assert comment(tmp_path, [[]], **files)[2] == {"body": body}


@needs_jq
def test_a_report_that_github_would_not_take_is_cut_and_says_so(tmp_path: Path) -> None:
    body = comment(tmp_path, [[]], comment_md=f"{MARKER}\n{'x' * 70_000}")[2]["body"]
    assert len(body) <= 65_536
    assert body.endswith(f"... cut here; [the run]({RUN}) has the whole report.\n")


def report(
    folder: Path,
    files: Mapping[str, str],
    outcome: str,
    program: str = 'import sys; print("grouped", *sys.argv[1:])',
    matrix: str = '{"include":[]}',
) -> tuple[int, str]:
    for name, text in files.items():
        (folder / "previews" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "previews" / name).write_text(text, encoding="utf-8")
    programs = {".venv/bin/threatmon": program}
    status = run_script(last_script("preview", "report"), folder, {"OUTCOME": outcome, "MATRIX": matrix}, programs)
    written = folder / "comment.md"
    return status, written.read_text(encoding="utf-8") if written.exists() else ""


GROUPED = (
    "grouped fleet preview --from=previews/preview-0/preview.json{} --expect matrix.json -o markdown --pointer "
    + RUN
    + "\n"
)
FAILED = "\n**Stacks could not be previewed:**\n\n"
FAULT = "Pulumi.dev.yaml has 1 fault:\n  threat-monitor:protect: ...\n"


@pytest.mark.parametrize(
    ("files", "outcome", "text"),
    [
        ({}, "skipped", "No stack is affected by this change.\n"),
        ({}, "failure", ""),  # a preview that was killed
        (
            {f"preview-{shard}/preview.json": "{}" for shard in (0, 1)} | {"preview-0/error.txt": "progress\n"},
            "success",
            GROUPED.format(" --from=previews/preview-1/preview.json"),
        ),
        (
            {"preview-0/preview.json": "{}", "preview-1/preview.json": "", "preview-1/error.txt": "no\n<b>```\n"},
            "failure",
            f"{GROUPED.format('')}{FAILED}    no\n    <b>```\n",
        ),
        (
            {"preview-plan/error.txt": FAULT},
            "skipped",
            f"{FAILED}    Pulumi.dev.yaml has 1 fault:\n      threat-monitor:protect: ...\n",
        ),
    ],
)
def test_the_report_puts_shards_together_and_says_which_failed(
    tmp_path: Path, files: Mapping[str, str], outcome: str, text: str
) -> None:
    assert report(tmp_path, files, outcome) == (0, text)


def test_the_report_knows_which_stacks_the_plan_had(tmp_path: Path) -> None:
    program = "print(open('matrix.json').read())"
    matrix = '{"include":[{"shard":"1/1","stacks":"dev"}]}'
    assert report(tmp_path, {"preview-0/preview.json": "{}"}, "failure", program, matrix) == (0, f"{matrix}\n\n")


def test_a_report_that_fails_turns_the_job_red(tmp_path: Path) -> None:
    program = "import sys; print('so far'); sys.exit(1)"
    assert report(tmp_path, {"preview-0/preview.json": "{}"}, "success", program) == (1, "so far\n")


BODY = f"{ISSUE}\n[The run]({RUN})\n\na topic is gone\n"
TITLE = "The accounts differ from the stacks"


@needs_jq
@pytest.mark.parametrize(
    ("body", "outcome", "expected"),
    [
        (None, "failure", ["POST", "repos/o/r/issues", {"title": TITLE, "body": BODY}]),
        (f"{ISSUE}\nold", "failure", ["PATCH", "repos/o/r/issues/5", {"body": BODY}]),
        (ISSUE, "success", ["PATCH", "repos/o/r/issues/5", {"state": "closed"}]),
        (None, "success", None),
    ],
)
def test_drift_opens_updates_and_closes_one_issue(
    tmp_path: Path, body: str | None, outcome: str, expected: list[Any] | None
) -> None:
    pages = [[], [{"number": 5, "body": body, "user": {"login": "github-actions[bot]"}}]]
    environment = {"MARKER": ISSUE, "OUTCOME": outcome}
    files = {"pages_json": pages, "drift_md": "a topic is gone\n"}
    assert run_script(last_script("drift", "issue"), tmp_path, environment, {"gh": GH}, **files) == 0
    assert sent(tmp_path) == expected


@pytest.mark.parametrize(
    ("printed", "summary"),
    [
        ("'no state', file=sys.stderr", "The look for drift failed:\n\n    no state\n"),
        ("'a topic is gone'", "a topic is gone\n"),
    ],
)
def test_drift_and_a_look_for_it_that_fails_are_in_the_summary_and_turn_the_job_red(
    tmp_path: Path, printed: str, summary: str
) -> None:
    program = f"import sys; print({printed}); sys.exit(1)"
    assert run_script(last_script("drift", "drift"), tmp_path, {}, {".venv/bin/threatmon": program}) == 1
    assert (tmp_path / "summary").read_text(encoding="utf-8") == summary


def test_the_plan_hands_the_matrix_on(tmp_path: Path) -> None:
    matrix = '{"include":[{"shard":"1/1","stacks":"a,b"}]}'
    environment = {"BASE": "main", "SHARDS": "1", "RUNNER_TEMP": str(tmp_path)}
    programs = {".venv/bin/threatmon": f"print({matrix!r})"}
    assert run_script(last_script("preview", "plan"), tmp_path, environment, programs) == 0
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
    # What holds the token that comments, `note`, runs no code of the merge request.
    assert identified == {"preview", "canary", "production", "drift"}
    assert "before_script" not in jobs["note"]
    for name in ENVIRONMENTS:
        assert (jobs[name]["environment"], jobs[name]["resource_group"]) == (name, "deploy")
        assert jobs[name].get("interruptible") is False
    assert jobs["production"]["rules"][0]["when"] == "manual"


@needs_jq
@pytest.mark.parametrize(
    ("pages", "method", "path"),
    [
        ([[]], "POST", ""),
        ([[{"id": 1, "body": f"{MARKER}\nold", "author": {"id": 8}}]], "POST", ""),
        (
            [[{"id": 1, "body": "hello", "author": {"id": 9}}], [{"id": 2, "body": MARKER, "author": {"id": 9}}]],
            "PUT",
            "/2",
        ),
    ],
)
def test_the_gitlab_note_is_made_once_and_then_updated(tmp_path: Path, pages: Pages, method: str, path: str) -> None:
    note = gitlab()["note"]
    environment = {
        "MARKER": note["variables"]["MARKER"],
        "NOTE_TOKEN": "t",
        "CI_API_V4_URL": "https://gitlab.com/api/v4",
        "CI_PROJECT_ID": "3",
        "CI_MERGE_REQUEST_IID": "4",
    }
    files = {"pages_json": pages, "comment_md": f"{MARKER}\nnew"}
    assert run_script("\n".join(note["script"]), tmp_path, environment, {"curl": CURL, "apk": ""}, **files) == 0
    url = f"https://gitlab.com/api/v4/projects/3/merge_requests/4/notes{path}"
    assert sent(tmp_path) == [method, url, {"body": f"{MARKER}\nnew"}]
