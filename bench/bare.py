"""The same resources as the program registers, with the same inputs and dependencies, and nothing of the project: what
Pulumi itself costs. For ``bench/program.py``; not for use."""

import json

import pulumi
import pulumi_aws as aws

config = pulumi.Config("threat-monitor")
identity = aws.get_caller_identity_output()
region = aws.get_region_output()
partition = aws.get_partition_output()
account = pulumi.Output.all(identity.account_id, region.region, partition.partition, partition.dns_suffix)

LOG_GROUP = "/threat-monitor/dev/flow-logs"
FIELDS = [
    "version",
    "account-id",
    "interface-id",
    "srcaddr",
    "dstaddr",
    "srcport",
    "dstport",
    "protocol",
    "packets",
    "bytes",
    "start",
    "end",
    "action",
    "log-status",
    "vpc-id",
    "subnet-id",
    "instance-id",
    "tcp-flags",
    "type",
    "pkt-srcaddr",
    "pkt-dstaddr",
    "region",
    "az-id",
    "pkt-src-aws-service",
    "pkt-dst-aws-service",
    "flow-direction",
    "traffic-path",
]
PARSE = f'parse @message "{" ".join("*" for _ in FIELDS)}" as {", ".join(it.replace("-", "_") for it in FIELDS)}'

# -- key --------------------------------------------------------------------------------------------------------------

key = aws.kms.Key(
    "key",
    description="Evidence and alerts",
    enable_key_rotation=True,
    deletion_window_in_days=30,
    policy=account.apply(
        lambda it: json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Sid": "OwnerAdministers",
                        "Effect": "Allow",
                        "Principal": {"AWS": f"arn:{it[2]}:iam::{it[0]}:root"},
                        "Action": "kms:*",
                        "Resource": "*",
                    },
                    {
                        "Sid": "EventBridgePublishes",
                        "Effect": "Allow",
                        "Principal": {"Service": "events.amazonaws.com"},
                        "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
                        "Resource": "*",
                    },
                    {
                        "Sid": "CloudWatchLogsStores",
                        "Effect": "Allow",
                        "Principal": {"Service": f"logs.{it[1]}.{it[3]}"},
                        "Action": [
                            "kms:Encrypt",
                            "kms:Decrypt",
                            "kms:ReEncrypt*",
                            "kms:GenerateDataKey*",
                            "kms:Describe*",
                        ],
                        "Resource": "*",
                        "Condition": {
                            "ArnEquals": {
                                "kms:EncryptionContext:aws:logs:arn": (
                                    f"arn:{it[2]}:logs:{it[1]}:{it[0]}:log-group:{LOG_GROUP}"
                                )
                            }
                        },
                    },
                ],
            }
        )
    ),
)
aws.kms.Alias("alias", target_key_id=key.key_id)

# -- flow logs --------------------------------------------------------------------------------------------------------

group = aws.cloudwatch.LogGroup(
    "log-group", name=LOG_GROUP, retention_in_days=365, log_group_class="STANDARD", kms_key_id=key.arn
)
role = aws.iam.Role(
    "role",
    description=f"Writes flow logs to {LOG_GROUP}",
    assume_role_policy=account.apply(
        lambda it: json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "vpc-flow-logs.amazonaws.com"},
                        "Action": "sts:AssumeRole",
                        "Condition": {
                            "StringEquals": {"aws:SourceAccount": it[0]},
                            "ArnLike": {"aws:SourceArn": f"arn:{it[2]}:ec2:{it[1]}:{it[0]}:vpc-flow-log/*"},
                        },
                    }
                ],
            }
        )
    ),
)
write = aws.iam.RolePolicy(
    "write",
    role=role.name,
    policy=account.apply(
        lambda it: json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Action": [
                            "logs:CreateLogStream",
                            "logs:PutLogEvents",
                            "logs:DescribeLogGroups",
                            "logs:DescribeLogStreams",
                        ],
                        "Resource": [
                            f"arn:{it[2]}:logs:{it[1]}:{it[0]}:log-group:{LOG_GROUP}",
                            f"arn:{it[2]}:logs:{it[1]}:{it[0]}:log-group:{LOG_GROUP}:*",
                        ],
                    }
                ],
            }
        )
    ),
)
for subnet_id in config.require_object("subnetIds"):
    aws.ec2.FlowLog(
        f"flow-log-{subnet_id}",
        subnet_id=subnet_id,
        traffic_type="ALL",
        max_aggregation_interval=60,
        log_destination=group.arn,
        iam_role_arn=role.arn,
        log_format=" ".join(f"${{{field}}}" for field in FIELDS),
        opts=pulumi.ResourceOptions(depends_on=[write]),
    )

# -- detector ---------------------------------------------------------------------------------------------------------

detector = aws.guardduty.Detector("detector", enable=True, finding_publishing_frequency="SIX_HOURS")
for feature in (
    "S3_DATA_EVENTS",
    "EKS_AUDIT_LOGS",
    "EBS_MALWARE_PROTECTION",
    "RDS_LOGIN_EVENTS",
    "LAMBDA_NETWORK_LOGS",
    "RUNTIME_MONITORING",
):
    aws.guardduty.DetectorFeature(feature, detector_id=detector.id, name=feature, status="DISABLED")

# -- alerts -----------------------------------------------------------------------------------------------------------

rules = {
    band: aws.cloudwatch.EventRule(
        band,
        description=f"GuardDuty findings of {band} severity",
        event_pattern=json.dumps(
            {
                "source": ["aws.guardduty"],
                "detail-type": ["GuardDuty Finding"],
                "detail": {
                    "severity": [{"numeric": severity}],
                    "type": config.require_object("findingTypes"),
                    "service": {"archived": [False, {"exists": False}]},
                },
            }
        ),
    )
    for band, severity in {
        "low": ["<", 4],
        "medium": [">=", 4, "<", 7],
        "high": [">=", 7, "<", 9],
        "critical": [">=", 9],
    }.items()
}
rule_arns = pulumi.Output.all(*[rule.arn for rule in rules.values()])
queue = aws.sqs.Queue(
    "dead-letters", message_retention_seconds=1209600, max_message_size=1048576, kms_master_key_id=key.arn
)
queue_policy = aws.sqs.QueuePolicy(
    "dead-letters-policy",
    queue_url=queue.url,
    policy=pulumi.Output.all(queue.arn, rule_arns).apply(
        lambda it: json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "events.amazonaws.com"},
                        "Action": "sqs:SendMessage",
                        "Resource": it[0],
                        "Condition": {"ArnEquals": {"aws:SourceArn": it[1]}},
                    }
                ],
            }
        )
    ),
)
topic = aws.sns.Topic("topic", display_name="GuardDuty alerts", kms_master_key_id=key.arn)
topic_policy = aws.sns.TopicPolicy(
    "topic-policy",
    arn=topic.arn,
    policy=pulumi.Output.all(topic.arn, account, rule_arns).apply(
        lambda it: json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"AWS": f"arn:{it[1][2]}:iam::{it[1][0]}:root"},
                        "Action": [
                            "sns:AddPermission",
                            "sns:DeleteTopic",
                            "sns:GetTopicAttributes",
                            "sns:ListSubscriptionsByTopic",
                            "sns:Publish",
                            "sns:RemovePermission",
                            "sns:SetTopicAttributes",
                            "sns:Subscribe",
                        ],
                        "Resource": it[0],
                    },
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "events.amazonaws.com"},
                        "Action": "sns:Publish",
                        "Resource": it[0],
                        "Condition": {"ArnEquals": {"aws:SourceArn": it[2]}},
                    },
                ],
            }
        )
    ),
)
RESOURCES = {
    "instance": "instanceDetails.instanceId",
    "user": "accessKeyDetails.userName",
    "bucket": "s3BucketDetails[0].name",
    "eksCluster": "eksClusterDetails.name",
    "ecsCluster": "ecsClusterDetails.name",
    "container": "containerDetails.name",
    "function": "lambdaDetails.functionName",
    "database": "rdsDbInstanceDetails.dbInstanceIdentifier",
    "shardGroup": "rdsLimitlessDbDetails.dbShardGroupIdentifier",
    "snapshot": "ebsSnapshotDetails.snapshotArn",
    "image": "ec2ImageDetails.imageArn",
    "recoveryPoint": "recoveryPointDetails.recoveryPointArn",
}
REMOTES = {
    "peer": "networkConnectionAction.remoteIpDetails.ipAddressV4",
    "prober": "portProbeAction.portProbeDetails[0].remoteIpDetails.ipAddressV4",
    "caller": "awsApiCallAction.remoteIpDetails.ipAddressV4",
    "kubernetesCaller": "kubernetesApiCallAction.remoteIpDetails.ipAddressV4",
    "databaseCaller": "rdsLoginAttemptAction.remoteIpDetails.ipAddressV4",
    "domain": "dnsRequestAction.domain",
}
for band, rule in rules.items():
    aws.cloudwatch.EventTarget(
        band,
        rule=rule.name,
        arn=topic.arn,
        input_transformer=aws.cloudwatch.EventTargetInputTransformerArgs(
            input_paths={
                "account": "$.detail.accountId",
                "count": "$.detail.service.count",
                "findingId": "$.detail.id",
                "firstSeen": "$.detail.service.eventFirstSeen",
                "interfaceId": "$.detail.resource.instanceDetails.networkInterfaces[0].networkInterfaceId",
                "lastSeen": "$.detail.service.eventLastSeen",
                "region": "$.detail.region",
                "resourceType": "$.detail.resource.resourceType",
                "severity": "$.detail.severity",
                "title": "$.detail.title",
                "type": "$.detail.type",
                "updatedAt": "$.detail.updatedAt",
                **{name: f"$.detail.resource.{path}" for name, path in RESOURCES.items()},
                **{name: f"$.detail.service.action.{path}" for name, path in REMOTES.items()},
            },
            input_template=account.apply(
                lambda it, band=band: "\n".join(
                    f'"{line}"'
                    for line in (
                        f"{band.upper()}: <type>",
                        "<title>",
                        "",
                        f"Severity: {band.upper()} (<severity>)",
                        "Account: <account>",
                        "Region: <region>",
                        f"Resource: <resourceType> {' '.join(f'<{name}>' for name in RESOURCES)}",
                        f"Remote: {' '.join(f'<{name}>' for name in REMOTES)}",
                        "First seen: <firstSeen>",
                        "Last seen: <lastSeen>",
                        "Count: <count>",
                        "Finding id: <findingId>",
                        "",
                        "The finding: https://console.aws.amazon.com/guardduty/home?region=<region>"
                        "#/findings?search=id%3D<findingId> ",
                        "About this finding type: https://docs.aws.amazon.com/guardduty/latest/ug/"
                        "guardduty_finding-types-active.html#:~:text=<type> ",
                        "Its traffic by destination port: https://console.aws.amazon.com/cloudwatch/home?region=<region>"
                        "#logsV2:logs-insights$3FqueryDetail$3D~$2528end~$2527<updatedAt>~start~$2527<firstSeen>"
                        f"~timeType~$2527ABSOLUTE~tz~$2527UTC~editorString~$2527{PARSE.replace(' ', '*20')}"
                        f"~source~$2528~$2527{it[2]}{LOG_GROUP}$2529$2529 ",
                        "Dashboard and saved queries: https://console.aws.amazon.com/cloudwatch/home?region=<region>"
                        "#dashboards/dashboard/threat-monitor-dev ",
                    )
                )
            ),
        ),
        dead_letter_config=aws.cloudwatch.EventTargetDeadLetterConfigArgs(arn=queue.arn),
        retry_policy=aws.cloudwatch.EventTargetRetryPolicyArgs(
            maximum_event_age_in_seconds=86400, maximum_retry_attempts=185
        ),
        opts=pulumi.ResourceOptions(depends_on=[topic_policy, queue_policy]),
    )
for address in config.require_object("alertEmails"):
    aws.sns.TopicSubscription(address, topic=topic.arn, protocol="email", endpoint=address)

# -- investigation ----------------------------------------------------------------------------------------------------

QUERIES = {
    "top talkers": '| filter log_status = "OK"\n| stats sum(bytes) as bytesTotal by srcaddr, dstaddr',
    "by destination port": '| filter log_status = "OK"\n| stats count(*) as flows by dstport, protocol, action',
    "port scans": "| filter protocol = 6\n| stats count_distinct(dstport) as ports by srcaddr, dstaddr, bin(5m)",
    "port sweeps": "| filter protocol = 6\n| stats count_distinct(dstaddr) as hosts by srcaddr, dstport, bin(5m)",
    "rejected": '| filter action = "REJECT"\n| stats count(*) as rejects by srcaddr, dstaddr, dstport, protocol',
    "bytes out": '| filter action = "ACCEPT"\n| stats sum(bytes) / 1048576 as MiBOut by srcaddr, dstaddr, dstport',
    "gaps in the record": '| filter log_status != "OK"\n| stats count(*) as records by log_status, interface_id',
}
for title, query in QUERIES.items():
    aws.cloudwatch.QueryDefinition(
        title.replace(" ", "-"),
        name=f"threat-monitor-dev/{title}",
        query_string=f"{PARSE}\n{query}",
        log_group_names=[group.name],
    )
dashboard = aws.cloudwatch.Dashboard(
    "dashboard",
    dashboard_name="threat-monitor-dev",
    dashboard_body=pulumi.Output.all(
        account, group.name, topic.arn, queue.url, *[rule.name for rule in rules.values()]
    ).apply(
        lambda it: json.dumps(
            {
                "widgets": [
                    {
                        "type": "metric",
                        "x": 0,
                        "y": 0,
                        "width": 24,
                        "height": 6,
                        "properties": {
                            "region": it[0][1],
                            "stat": "Sum",
                            "period": 300,
                            "metrics": [
                                ["AWS/Logs", "IncomingBytes", "LogGroupName", it[1]],
                                ["AWS/SNS", "NumberOfNotificationsFailed", "TopicName", it[2]],
                                ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", it[3]],
                                *[["AWS/Events", "TriggeredRules", "RuleName", rule] for rule in it[4:]],
                            ],
                        },
                    },
                    *[
                        {
                            "type": "log",
                            "x": 0,
                            "y": 6,
                            "width": 24,
                            "height": 6,
                            "properties": {
                                "region": it[0][1],
                                "query": f"SOURCE '{it[1]}' | {PARSE}\n{QUERIES[title]}",
                            },
                        }
                        for title in ("by destination port", "rejected", "port scans")
                    ],
                ]
            }
        )
    ),
)

pulumi.export("topicArn", topic.arn)
pulumi.export("detectorId", detector.id)
pulumi.export("logGroupName", group.name)
pulumi.export("ruleNames", [rule.name for rule in rules.values()])
pulumi.export("deadLetterQueueUrl", queue.url)
pulumi.export("dashboardUrl", dashboard.dashboard_name.apply(lambda it: f"https://console.aws.amazon.com/#{it}"))
pulumi.export("nextSteps", topic.arn.apply(lambda it: [f"aws sns confirm-subscription --topic-arn {it} --token"]))
