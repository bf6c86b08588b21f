"""GuardDuty's protection plans by the names the settings give them."""

from collections.abc import Mapping

# protectionPlans key -> the name of GuardDuty's feature:
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
