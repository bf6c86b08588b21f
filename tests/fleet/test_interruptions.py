from threatmon.fleet.interruptions import Interrupted, interrupted

GROUP = (
    "urn:pulumi:prod::threat-monitor::threat-monitor:index:MonitoringPipeline$threat-monitor:index:FlowLogs"
    "$aws:ec2/flowLog:FlowLog::threat-monitor-flow-logs-subnet-1"
)
WARNING = f"""Attempting to deploy or update resources with 2 pending operations from previous deployment.
  * {GROUP}, interrupted while creating
  * urn:pulumi:prod::threat-monitor::aws:sns/topic:Topic::a name, with a comma, interrupted while updating
These resources are in an unknown state because the Pulumi CLI was interrupted while waiting for changes."""


def test_the_warning_names_every_operation_that_was_interrupted() -> None:
    first, second = interrupted(WARNING)
    assert first == Interrupted(GROUP, "creating")
    assert (first.type, first.name) == ("aws:ec2/flowLog:FlowLog", "threat-monitor-flow-logs-subnet-1")
    assert str(first) == "creating FlowLog threat-monitor-flow-logs-subnet-1"
    assert str(second) == "updating Topic a name, with a comma"


def test_another_warning_names_none() -> None:
    assert interrupted(f"something else\n  * {GROUP}, interrupted while creating") == []
