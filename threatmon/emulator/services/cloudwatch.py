"""CloudWatch: dashboards and metric alarms."""

from collections.abc import Iterable, Mapping
from typing import Any

from threatmon.emulator import tagging
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.emulated import Emulated, Fields, Properties, found, from_api, names, to_api

_DASHBOARD: Fields = {
    "dashboardName": "DashboardName",
    "dashboardBody": "DashboardBody",
    "dashboardArn": "DashboardArn",
}


def _put_dashboard(account: EmulatedAccount, inputs: Properties) -> str:
    account.client("cloudwatch").put_dashboard(
        DashboardName=inputs["dashboardName"], DashboardBody=inputs["dashboardBody"]
    )
    return inputs["dashboardName"]


def _look_at_dashboard(account: EmulatedAccount, name: str) -> Properties:
    return from_api(account.client("cloudwatch").get_dashboard(DashboardName=name), _DASHBOARD)


def _change_dashboard(account: EmulatedAccount, _: str, inputs: Properties) -> None:
    _put_dashboard(account, inputs)


def _remove_dashboard(account: EmulatedAccount, name: str, _: Properties) -> None:
    account.client("cloudwatch").delete_dashboards(DashboardNames=[name])


_ALARM: Fields = {
    "name": "AlarmName",
    "alarmDescription": "AlarmDescription",
    "actionsEnabled": "ActionsEnabled",
    "alarmActions": "AlarmActions",
    "okActions": "OKActions",
    "insufficientDataActions": "InsufficientDataActions",
    "comparisonOperator": "ComparisonOperator",
    "datapointsToAlarm": "DatapointsToAlarm",
    "evaluationPeriods": "EvaluationPeriods",
    "metricName": "MetricName",
    "namespace": "Namespace",
    "period": "Period",
    "statistic": "Statistic",
    "extendedStatistic": "ExtendedStatistic",
    "threshold": "Threshold",
    "treatMissingData": "TreatMissingData",
    "unit": "Unit",
}
_METRIC: Fields = {"metricName": "MetricName", "namespace": "Namespace"}
_METRIC_STAT: Fields = {"period": "Period", "stat": "Stat", "unit": "Unit"}
_METRIC_QUERY: Fields = {
    "id": "Id",
    "accountId": "AccountId",
    "expression": "Expression",
    "label": "Label",
    "returnData": "ReturnData",
    "period": "Period",
}


def _put_alarm(account: EmulatedAccount, inputs: Properties) -> str:
    parameters = to_api(inputs, _ALARM)
    if inputs.get("dimensions"):
        parameters["Dimensions"] = _dimensions_to_api(inputs["dimensions"])
    if inputs.get("metricQueries"):
        parameters["Metrics"] = [_metric_query_to_api(query) for query in inputs["metricQueries"]]
    account.client("cloudwatch").put_metric_alarm(**parameters)
    return inputs["name"]


def _dimensions_to_api(dimensions: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in dimensions.items()]


def _metric_query_to_api(query: Properties) -> dict[str, Any]:
    metric = query.get("metric")
    if not metric:
        return to_api(query, _METRIC_QUERY)
    dimensions = _dimensions_to_api(metric.get("dimensions") or {})
    return {
        **to_api(query, _METRIC_QUERY),
        "MetricStat": {
            **to_api(metric, _METRIC_STAT),
            "Metric": {**to_api(metric, _METRIC), "Dimensions": dimensions},
        },
    }


def _dimensions_from_api(dimensions: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {entry["Name"]: entry["Value"] for entry in dimensions}


def _metric_query_from_api(query: Properties) -> Properties:
    stat = query.get("MetricStat")
    if not stat:
        return from_api(query, _METRIC_QUERY)
    metric = {**from_api(stat, _METRIC_STAT), **from_api(stat["Metric"], _METRIC)}
    if stat["Metric"].get("Dimensions"):
        metric["dimensions"] = _dimensions_from_api(stat["Metric"]["Dimensions"])
    return {**from_api(query, _METRIC_QUERY), "metric": metric}


def _look_at_alarm(account: EmulatedAccount, name: str) -> Properties:
    alarm = found(account.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"])
    properties = {**from_api(alarm, _ALARM), "arn": alarm["AlarmArn"]}
    if alarm.get("Dimensions"):
        properties["dimensions"] = _dimensions_from_api(alarm["Dimensions"])
    if alarm.get("Metrics"):
        properties["metricQueries"] = [_metric_query_from_api(query) for query in alarm["Metrics"]]
    return properties


def _change_alarm(account: EmulatedAccount, _: str, inputs: Properties) -> None:
    _put_alarm(account, inputs)


def _remove_alarm(account: EmulatedAccount, name: str, _: Properties) -> None:
    account.client("cloudwatch").delete_alarms(AlarmNames=[name])


RESOURCES = (
    Emulated(
        type="aws:cloudwatch/dashboard:Dashboard",
        inputs=frozenset({"dashboardName", "dashboardBody"}),
        make=_put_dashboard,
        look=_look_at_dashboard,
        change=_change_dashboard,
        remove=_remove_dashboard,
        replaced_by=frozenset({"dashboardName"}),
        computed=frozenset({"dashboardArn"}),
    ),
    Emulated(
        type="aws:cloudwatch/metricAlarm:MetricAlarm",
        inputs=names(_ALARM, ("dimensions", "metricQueries", "tags")),
        make=_put_alarm,
        look=_look_at_alarm,
        change=_change_alarm,
        remove=_remove_alarm,
        replaced_by=frozenset({"name"}),
        computed=frozenset({"arn"}),
        defaults={"actionsEnabled": True, "treatMissingData": "missing"},
        named="name",
        tagging=tagging.CLOUDWATCH,
    ),
)
