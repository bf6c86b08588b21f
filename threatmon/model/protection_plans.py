"""GuardDuty's protection plans by the names the settings give them."""

from collections.abc import Mapping
from typing import Literal

PlanName = Literal["s3", "eksAudit", "malware", "rds", "lambda", "runtime", "ai"]
# The name of each plan's feature:
# https://docs.aws.amazon.com/guardduty/latest/APIReference/API_DetectorFeatureConfiguration.html
FEATURES: Mapping[str, str] = {
    "s3": "S3_DATA_EVENTS",
    "eksAudit": "EKS_AUDIT_LOGS",
    "malware": "EBS_MALWARE_PROTECTION",
    "rds": "RDS_LOGIN_EVENTS",
    "lambda": "LAMBDA_NETWORK_LOGS",
    "runtime": "RUNTIME_MONITORING",
    "ai": "AI_PROTECTION",
}
# Declared, on or off, by every stack that manages its detector. `ai` is not: some Regions do not have it.
DEFAULT_PLANS: tuple[PlanName, ...] = ("s3", "eksAudit", "malware", "rds", "lambda", "runtime")
