"""The configs whose registrations are recorded, named by what they vary. Together they set every setting.

The values are those of a stack file, keys without the namespace.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml
from examples import DETECTOR_ID, KEY_ARN, OTHER_SUBNET, SLACK, SUBNET, TEAMS, VPC

from threatmon.model.settings import NAMESPACE
from threatmon.project import ROOT as PROJECT_ROOT

# More than the patterns of two rules hold; invented, because the catalogue changes.
_MANY_FINDING_TYPES = [f"Invented:EC2/NotInTheCatalogue.Number{number:03}!DNS" for number in range(100)]
_BOUNDARY = "arn:aws:iam::111122223333:policy/boundaries/Deployed"


class RecordedConfig(NamedTuple):
    """A config, and the place and kind of the run that is recorded with it."""

    config: Mapping[str, Any]
    region: str = "eu-west-1"
    partition: str = "aws"
    preview: bool = False


def _committed(stack: str) -> dict[str, Any]:
    """The config of a committed stack file, keys without the namespace."""
    text = (PROJECT_ROOT / f"Pulumi.{stack}.yaml").read_text(encoding="utf-8")
    prefix = f"{NAMESPACE}:"
    config = yaml.safe_load(text)["config"]
    return {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}


def _config(**settings: Any) -> dict[str, Any]:
    return {"subnetIds": [SUBNET], "alertEmails": ["security@example.com"], **settings}


CONFIGS: Mapping[str, RecordedConfig] = {
    "committed-stack": RecordedConfig(_committed("dev")),
    "vpcs-and-every-finding-type": RecordedConfig(
        {
            "vpcIds": [VPC, "vpc-0fedcba9"],
            "alertEmail": "security@example.com",
            "alerts": {"accountAlias": "Zurich, production"},
            "flowLogs": {"trafficType": "ACCEPT", "retentionDays": 3653},
        }
    ),
    "detector-imported-with-every-plan": RecordedConfig(
        _config(
            detector={"mode": "import", "id": DETECTOR_ID},
            protectionPlans=dict.fromkeys(("s3", "eksAudit", "malware", "rds", "lambda", "runtime", "ai"), True),
            findingPublishingFrequency="FIFTEEN_MINUTES",
            protect=True,
        )
    ),
    "detector-looked-up-and-own-key": RecordedConfig(
        _config(
            vpcIds=[VPC],
            detector={"mode": "lookup", "id": DETECTOR_ID},
            minimumSeverity="high",
            alerts={"kmsKeyArn": KEY_ARN},
        )
    ),
    "subscribers": RecordedConfig(
        _config(
            alertEmails=["security@example.com", "On.Call+aws@example.com"],
            findingTypes=["Recon:*", "UnauthorizedAccess:EC2/SSHBruteForce"],
            health={"enabled": True, "emails": ["watch@example.com"]},
            alerts={
                "runbooks": {"Recon:*": "https://wiki.example.com/scans"},
                "slack": SLACK,
                "teams": TEAMS | {"minimumSeverity": "high"},
                "subscribers": [
                    {"protocol": "email", "endpoint": "raw@example.com", "format": "raw"},
                    {"protocol": "email", "endpoint": "chief@example.com", "minimumSeverity": "critical"},
                    {"protocol": "email-json", "endpoint": "json@example.com", "minimumSeverity": "high"},
                    {"protocol": "https", "endpoint": "https://hooks.example.com/T0KEN", "format": "raw"},
                    {
                        "protocol": "sqs",
                        "endpoint": "arn:aws:sqs:eu-west-1:111122223333:findings",
                        "format": "raw",
                        "minimumSeverity": "medium",
                    },
                    {
                        "protocol": "lambda",
                        "endpoint": "arn:aws:lambda:eu-west-1:111122223333:function:findings",
                        "format": "raw",
                        "minimumSeverity": "low",
                    },
                    {"protocol": "sms", "endpoint": "+41791234567", "format": "text", "minimumSeverity": "critical"},
                ],
            },
        )
    ),
    "health-with-own-emails": RecordedConfig(
        _config(
            minimumSeverity="medium",
            health={"enabled": True, "emails": ["platform@example.com", "night-shift@example.com"]},
            alerts={"subscribers": [{"protocol": "https", "endpoint": "https://pager.example.com/T0KEN"}]},
        )
    ),
    "protected-and-kept": RecordedConfig(
        _config(
            protect=True,
            protectionPlans={"s3": True, "malware": False},
            flowLogs={"keepOnDestroy": True, "permissionsBoundary": _BOUNDARY},
        )
    ),
    "least-evidence-and-fewest-alerts": RecordedConfig(
        _config(
            subnetIds=[SUBNET, OTHER_SUBNET],
            minimumSeverity="critical",
            findingPublishingFrequency="ONE_HOUR",
            flowLogs={
                "format": "default",
                "aggregationSeconds": 600,
                "logGroupClass": "INFREQUENT_ACCESS",
                "trafficType": "REJECT",
                "retentionDays": 7,
            },
            alerts={"includeSamples": False},
        )
    ),
    "many-finding-types": RecordedConfig(
        _config(
            findingTypes=[*_MANY_FINDING_TYPES, "Recon:EC2/Portscan", "Recon:EC2/*", "Backdoor:*"],
            allowUnknownFindingTypes=True,
            minimumSeverity="high",
            alerts={"includeArchived": True, "subscribers": [{"protocol": "sms", "endpoint": "+12025550123"}]},
            health={"enabled": True},
        )
    ),
    "partition-aws-us-gov": RecordedConfig(
        _config(detector={"mode": "lookup"}, health={"enabled": True}, findingTypes=["Recon:EC2/*"]),
        region="us-gov-west-1",
        partition="aws-us-gov",
    ),
    "partition-aws-cn": RecordedConfig(
        _config(alerts={"accountAlias": "cn", "includeSamples": False, "includeArchived": True}),
        region="cn-north-1",
        partition="aws-cn",
    ),
    "preview": RecordedConfig(
        _config(
            vpcIds=[VPC],
            health={"enabled": True},
            alerts={"subscribers": [{"protocol": "https", "endpoint": "https://hooks.example.com/T0KEN"}]},
        ),
        preview=True,
    ),
}
