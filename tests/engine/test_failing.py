"""Deployments that cannot succeed: what is said, what is left, and how the next one repairs it."""

import re
import shlex
import subprocess
from typing import Any

import pytest
from engine.checkout import FLOW_LOG, inventory, when_made
from engine.stacks import SUBNETS, Stack

DETECTOR_ID = "0123456789abcdef0123456789abcdef"


def test_the_next_deployment_repairs_a_failed_one_without_duplicates(stack: Stack) -> None:
    stack.provider.fail_next(FLOW_LOG, "RequestLimitExceeded: try again", name=f"threat-monitor-flow-logs-{SUBNETS[1]}")
    run = stack.up()
    assert not run.ok
    assert "RequestLimitExceeded: try again" in run.output
    assert inventory(stack.account)["flow logs"] == [SUBNETS[0]]

    stack.up().succeeded()
    made = inventory(stack.account)
    assert made["flow logs"] == sorted(SUBNETS)
    assert {kind: len(made[kind]) for kind in ("detectors", "keys", "log groups", "roles", "topics", "queues")} == {
        "detectors": 1,
        "keys": 1,
        "log groups": 2,
        "roles": 3,
        "topics": 1,
        "queues": 1,
    }


def test_an_existing_detector_is_named_with_the_config_that_adopts_it(stack: Stack) -> None:
    stack.account.seed_detector(DETECTOR_ID)
    run = stack.up()
    assert not run.ok
    assert "a detector already exists for the current account" in run.output
    assert f"threat-monitor:detector: {{mode: import, id: {DETECTOR_ID}}}" in run.output
    assert f"threat-monitor:detector: {{mode: lookup, id: {DETECTOR_ID}}}" in run.output

    stack.configure(detector={"mode": "import", "id": DETECTOR_ID})
    stack.up().succeeded()
    assert stack.resources()["Detector detection-detector"]["id"] == DETECTOR_ID
    assert inventory(stack.account)["detectors"] == [DETECTOR_ID]
    assert stack.preview() == {}


def test_a_detector_looked_up_stays_what_it_was(stack: Stack) -> None:
    stack.account.seed_detector(DETECTOR_ID)
    before = stack.account.client("guardduty").get_detector(DetectorId=DETECTOR_ID)
    stack.configure(detector={"mode": "lookup"})
    stack.up().succeeded()
    assert not any(name.startswith("Detector") for name in stack.resources())
    stack.destroy().succeeded()
    after = stack.account.client("guardduty").get_detector(DetectorId=DETECTOR_ID)
    assert {**after, "ResponseMetadata": None} == {**before, "ResponseMetadata": None}


def test_an_adopted_detector_outlives_the_stack_that_adopted_it(stack: Stack) -> None:
    stack.account.seed_detector(DETECTOR_ID)
    stack.configure(detector={"mode": "import", "id": DETECTOR_ID})
    stack.up().succeeded()
    stack.destroy().succeeded()
    assert inventory(stack.account) == {"detectors": [DETECTOR_ID]}


def test_from_import_a_stack_can_go_on_to_look_its_detector_up(stack: Stack) -> None:
    stack.account.seed_detector(DETECTOR_ID)
    stack.configure(detector={"mode": "import", "id": DETECTOR_ID})
    stack.up().succeeded()
    stack.configure(detector={"mode": "lookup", "id": DETECTOR_ID})
    stack.up().succeeded()
    assert not any(name.startswith("Detector") for name in stack.resources())
    assert inventory(stack.account)["detectors"] == [DETECTOR_ID]


def test_a_detector_made_here_is_handed_over_by_way_of_import(stack: Stack) -> None:
    stack.up().succeeded()
    [detector_id] = inventory(stack.account)["detectors"]
    for mode in ("import", "lookup"):
        stack.configure(detector={"mode": mode, "id": detector_id})
        stack.up().succeeded()
    assert not any(name.startswith("Detector") for name in stack.resources())
    assert inventory(stack.account)["detectors"] == [detector_id]


@pytest.mark.parametrize(
    "detector", [{"mode": "lookup"}, {"mode": "import", "id": DETECTOR_ID}], ids=["lookup", "import"]
)
def test_a_detector_that_is_not_there_is_said_by_the_key_to_change(detector: dict[str, Any], stack: Stack) -> None:
    stack.configure(detector=detector)
    run = stack.run("preview")
    assert not run.ok
    assert "threat-monitor:detector: " in run.output
    assert "cannot be found in this account and Region" in run.output
    assert "aws guardduty list-detectors" in run.output


def test_a_kept_log_group_is_adopted_by_the_command_that_the_next_deployment_prints(stack: Stack) -> None:
    stack.configure(flowLogs={"keepOnDestroy": True})
    stack.up().succeeded()
    stack.destroy().succeeded()
    assert inventory(stack.account)["log groups"] == ["/threat-monitor/dev/flow-logs"]

    run = stack.up()
    assert not run.ok
    [command] = re.findall(r"^ +pulumi (import .*)$", run.output, re.MULTILINE)
    stack.run(*shlex.split(command)).succeeded()
    stack.up().succeeded()
    assert "/threat-monitor/dev/flow-logs" in inventory(stack.account)["log groups"]
    assert inventory(stack.account)["flow logs"] == sorted(SUBNETS)
    assert stack.preview() == {}


def test_a_killed_deployment_is_completed_by_what_the_next_one_says(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive"]
    with subprocess.Popen(arguments, cwd=stack.folder, env=stack.environment, stdout=subprocess.DEVNULL) as engine:

        def kill() -> None:
            engine.kill()
            engine.wait()

        when_made(monkeypatch, SUBNETS[1], kill)
        engine.wait()
    monkeypatch.undo()
    stack.run("cancel", "--yes").succeeded()  # the lock that a killed engine leaves
    made = {log["ResourceId"]: log["FlowLogId"] for log in stack.account.client("ec2").describe_flow_logs()["FlowLogs"]}
    assert SUBNETS[1] in made
    run = stack.up()
    assert not run.ok
    # What else was under way may not be recorded either; Pulumi gives it a new name, all but the flow logs.
    for _ in SUBNETS:
        for command in set(re.findall(r"^ +pulumi (import .*<id>.*)$", run.output, re.MULTILINE)):
            subnet = next(subnet for subnet in SUBNETS if subnet in command)
            stack.run(*shlex.split(command.replace("<id>", made[subnet]))).succeeded()
        run = stack.up()
    run.succeeded()
    assert inventory(stack.account)["flow logs"] == sorted(SUBNETS)
    assert stack.preview() == {}


def test_the_wrong_account_is_named_and_nothing_is_created(stack: Stack) -> None:
    stack.configure(**{"aws:allowedAccountIds": ["444455556666"]})
    run = stack.up()
    assert not run.ok
    assert f"AWS account ID not allowed: {stack.account.account_id}" in run.output
    assert "aws:allowedAccountIds: 444455556666" in run.output
    assert inventory(stack.account) == {}


def test_a_missing_region_is_asked_for_and_nothing_is_created(stack: Stack) -> None:
    stack.configure(**{"aws:region": None})
    run = stack.up()
    assert not run.ok
    assert "pulumi config set aws:region" in run.output
    assert inventory(stack.account) == {}


def test_faults_of_the_config_are_listed_and_nothing_is_registered(stack: Stack) -> None:
    stack.configure(subnetIds=["subnet-12xyz"], findingTypes=["Recon:EC2/PortScan"])
    run = stack.up()
    assert not run.ok
    assert "Pulumi.dev.yaml has 2 faults:" in run.output
    assert 'threat-monitor:subnetIds[0]: "subnet-12xyz" is not a subnet id' in run.output
    assert 'did you mean "Recon:EC2/Portscan"?' in run.output
    assert "Traceback" not in run.output
    assert stack.resources() == {}
    assert inventory(stack.account) == {}
