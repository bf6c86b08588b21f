"""CloudWatch: dashboards, and alarms over several metrics."""

from threatmon.emulator import tagging
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.emulated import ApiNames, Emulated, Properties, capitalised, first, from_api, to_api

_DASHBOARD = capitalised("dashboardName", "dashboardBody")


def _put_dashboard(account: EmulatedAccount, inputs: Properties) -> str:
    account.client("cloudwatch").put_dashboard(**to_api(inputs, _DASHBOARD))
    return inputs["dashboardName"]


def _look_at_dashboard(account: EmulatedAccount, name: str) -> Properties:
    dashboard = account.client("cloudwatch").get_dashboard(DashboardName=name)
    return from_api(dashboard, {**_DASHBOARD, **capitalised("dashboardArn")})


_ALARM: ApiNames = {
    "name": "AlarmName",
    "okActions": "OKActions",
    **capitalised("alarmDescription", "actionsEnabled", "alarmActions", "insufficientDataActions"),
    **capitalised("comparisonOperator", "evaluationPeriods", "threshold", "treatMissingData"),
}
_QUERY = capitalised("id", "expression", "label", "returnData")
_METRIC = capitalised("metricName", "namespace")
_METRIC_STAT = capitalised("period", "stat")


def _put_alarm(account: EmulatedAccount, inputs: Properties) -> str:
    queries = [_query_to_api(query) for query in inputs["metricQueries"]]
    account.client("cloudwatch").put_metric_alarm(**to_api(inputs, _ALARM), Metrics=queries)
    return inputs["name"]


def _query_to_api(query: Properties) -> Properties:
    metric = query.get("metric")
    if not metric:
        return to_api(query, _QUERY)
    dimensions = [{"Name": name, "Value": value} for name, value in metric.get("dimensions", {}).items()]
    stat = {**to_api(metric, _METRIC_STAT), "Metric": {**to_api(metric, _METRIC), "Dimensions": dimensions}}
    return {**to_api(query, _QUERY), "MetricStat": stat}


def _look_at_alarm(account: EmulatedAccount, name: str) -> Properties:
    alarm = first(account.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"])
    queries = [_query_from_api(query) for query in alarm["Metrics"]]
    return {**from_api(alarm, _ALARM), "arn": alarm["AlarmArn"], "metricQueries": queries}


def _query_from_api(query: Properties) -> Properties:
    stat = query.get("MetricStat")
    if not stat:
        return from_api(query, _QUERY)
    metric = {**from_api(stat, _METRIC_STAT), **from_api(stat["Metric"], _METRIC)}
    if dimensions := stat["Metric"].get("Dimensions"):
        metric["dimensions"] = {dimension["Name"]: dimension["Value"] for dimension in dimensions}
    return {**from_api(query, _QUERY), "metric": metric}


RESOURCES = (
    Emulated(
        type="aws:cloudwatch/dashboard:Dashboard",
        inputs={*_DASHBOARD},
        make=_put_dashboard,
        look=_look_at_dashboard,
        remove=lambda account, name, _: account.client("cloudwatch").delete_dashboards(DashboardNames=[name]),
        replaced_by={"dashboardName"},
        computed={"dashboardArn"},
    ),
    Emulated(
        type="aws:cloudwatch/metricAlarm:MetricAlarm",
        inputs={*_ALARM, "metricQueries", "tags"},
        make=_put_alarm,
        look=_look_at_alarm,
        remove=lambda account, name, _: account.client("cloudwatch").delete_alarms(AlarmNames=[name]),
        replaced_by={"name"},
        computed={"arn"},
        defaults={"actionsEnabled": True, "treatMissingData": "missing"},
        named="name",
        tagging=tagging.CLOUDWATCH,
    ),
)
