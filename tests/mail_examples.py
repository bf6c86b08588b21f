"""Events with invented facts, one for each kind of mail; the mails they become are in ``tests/model/mails``.

Those that ``threatmon verify`` sends to AWS are among them.
"""

from typing import Any

from examples import ACCOUNT, REGION
from findings import Event

from threatmon.model.location import Location
from threatmon.verify.sample_events import event_at, sample_events

ALIAS = "prod"
PLACE = Location(ACCOUNT, REGION, "aws", "amazonaws.com")
SAMPLES = sample_events(PLACE)


def event(finding_type: str, severity: float, title: str, resource: Event, service: Event, **more: Any) -> Event:
    """An event of a finding seen from 09:31 to 09:44 UTC."""
    identity = {"id": f"{hash_of(finding_type):032x}"[:32], "type": finding_type, "severity": severity, "title": title}
    return event_at(PLACE, {**identity, "resource": resource, "service": service, **more})


def hash_of(text: str) -> int:
    """A number that is the same in each run."""
    return int.from_bytes(text.encode()[-16:].rjust(16, b"\1"), "big")


def remote(ip: str, city: str, country: str, asn: str, name: str) -> Event:
    """Where an address is."""
    return {
        "ipAddressV4": ip,
        "city": {"cityName": city},
        "country": {"countryName": country},
        "geoLocation": {"lat": 50.11, "lon": 8.68},
        "organization": {"asn": asn, "asnOrg": name, "isp": name, "org": name},
    }


FRANKFURT = remote("198.51.100.7", "Frankfurt am Main", "Germany", "64496", "Example Networks")
LAGOS = remote("198.51.100.23", "Lagos", "Nigeria", "64500", "Example Mobile")

INSTANCE: Event = SAMPLES["ec2"]["detail"]["resource"]["instanceDetails"]
EKS: Event = {
    "name": "shop",
    "arn": f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/shop",
    "status": "ACTIVE",
    "vpcId": "vpc-0123456789abcdef0",
    "createdAt": 1786625755.218,
    "tags": [{"key": "Team", "value": "shop"}],
}
USER: Event = {
    "accessKeyId": "AKIAEXAMPLEEXAMPLE00",
    "principalId": "AIDAEXAMPLEEXAMPLE000",
    "userType": "IAMUser",
    "userName": "alice",
}


def bucket(name: str, permission: str, *, policy_allows_read: bool = False) -> Event:
    """A bucket that a call touched."""
    access = {"allowsPublicReadAccess": policy_allows_read, "allowsPublicWriteAccess": False}
    block = dict.fromkeys(
        ["ignorePublicAcls", "restrictPublicBuckets", "blockPublicAcls", "blockPublicPolicy"], not policy_allows_read
    )
    return {
        "name": name,
        "arn": f"arn:aws:s3:::{name}",
        "type": "Destination",
        "createdAt": 1776625755.0,
        "owner": {"id": "canonical-id-of-the-owner"},
        "tags": [],
        "defaultServerSideEncryption": {"encryptionType": "AES256"},
        "publicAccess": {
            "effectivePermission": permission,
            "permissionConfiguration": {
                "bucketLevelPermissions": {
                    "accessControlList": {"allowsPublicReadAccess": False, "allowsPublicWriteAccess": False},
                    "bucketPolicy": access,
                    "blockPublicAccess": block,
                },
                "accountLevelPermissions": {"blockPublicAccess": block},
            },
        },
    }


def api_call(service: str, api: str, source: Event, **more: Any) -> Event:
    """The action of a call to AWS."""
    call = {"serviceName": f"{service}.amazonaws.com", "api": api, "callerType": "Remote IP", "remoteIpDetails": source}
    return {"actionType": "AWS_API_CALL", "awsApiCallAction": {**call, **more}}


def signal(name: str, minute: int, api: str, service: str, **more: Any) -> Event:
    """A signal of a sequence, seen at 09:``minute`` UTC."""
    seen = 1789378200 + (minute - 30) * 60
    return {
        "uid": name,
        "type": "CLOUD_TRAIL",
        "name": name,
        "createdAt": seen,
        "firstSeenAt": seen,
        "lastSeenAt": seen,
        "severity": 5.0,
        "count": 1,
        "actorIds": ["a"],
        "endpointIds": ["e"],
        "resourceUids": [],
        "signalIndicators": [],
        "activities": [{"type": "API_CALL", "api": {"operation": api, "service": f"{service}.amazonaws.com"}}],
        **more,
    }


def sequence(actor: Event, signals: list[Event], *indicators: tuple[str, list[str]]) -> Event:
    """What attack sequences and custom detection rules have."""
    return {
        "uid": "s",
        "description": "",
        "actors": [{"id": "a", "user": actor, "session": {"mfaStatus": "DISABLED", "createdTime": 1789378140}}],
        "endpoints": [
            {
                "id": "e",
                "ip": "203.0.113.9",
                "location": {"city": "", "country": "Netherlands", "lat": 52.4, "lon": 4.9},
                "autonomousSystem": {"name": "Example Hosting", "number": 64501},
            }
        ],
        "resources": [],
        "signals": signals,
        "sequenceIndicators": [{"key": key, "values": values} for key, values in indicators],
    }


EXAMPLES: dict[str, Event] = {
    "ec2_portscan": SAMPLES["ec2"],
    "iam_anomalous": SAMPLES["iam"],
    "s3_anomalous": SAMPLES["s3"],
    "kubernetes_admin": SAMPLES["kubernetes"],
    "lambda_command_and_control": SAMPLES["lambda"],
    "rds_login": SAMPLES["rds"],
    "runtime_process": SAMPLES["runtime"],
    "attack_sequence": SAMPLES["sequence"],
    "unknown_type": SAMPLES["generic"],
    "ec2_brute_force_target": event(
        "UnauthorizedAccess:EC2/SSHBruteForce",
        2,
        "198.51.100.23 is performing SSH brute force attacks against i-0abcd1234ef567890.",
        {"resourceType": "Instance", "instanceDetails": INSTANCE},
        {
            "count": 12,
            "action": {
                "actionType": "NETWORK_CONNECTION",
                "networkConnectionAction": {
                    "connectionDirection": "INBOUND",
                    "protocol": "TCP",
                    "blocked": False,
                    "localIpDetails": {"ipAddressV4": "10.20.1.25"},
                    "localPortDetails": {"port": 22, "portName": "SSH"},
                    "remotePortDetails": {"port": 40112, "portName": "Unknown"},
                    "remoteIpDetails": LAGOS,
                },
            },
            "additionalInfo": {"type": "default"},
        },
        description="198.51.100.23 is performing SSH brute force attacks against i-0abcd1234ef567890. Brute force"
        " attacks are used to gain unauthorized access to your instance by guessing the SSH password.",
    ),
    "ec2_cryptocurrency_dns": event(
        "CryptoCurrency:EC2/BitcoinTool.B!DNS",
        8,
        "Bitcoin-related domain name queried by EC2 instance i-0abcd1234ef567890.",
        {"resourceType": "Instance", "instanceDetails": INSTANCE},
        {
            "resourceRole": "ACTOR",
            "count": 87,
            "action": {
                "actionType": "DNS_REQUEST",
                "dnsRequestAction": {"domain": "pool.example.net", "protocol": "UDP", "blocked": False},
            },
            "evidence": {
                "threatIntelligenceDetails": [{"threatListName": "Amazon", "threatNames": ["Miner pool"]}],
            },
            "additionalInfo": {"threatListName": "Amazon", "type": "default"},
        },
        description="EC2 instance i-0abcd1234ef567890 is querying a domain name that is associated with"
        " Bitcoin-related activity.",
    ),
    "s3_public": event(
        "Policy:S3/BucketAnonymousAccessGranted",
        8,
        "The S3 bucket customer-data was granted public anonymous access.",
        {
            "resourceType": "S3Bucket",
            "accessKeyDetails": USER,
            "s3BucketDetails": [bucket("customer-data", "PUBLIC", policy_allows_read=True)],
        },
        {"action": api_call("s3", "PutBucketPolicy", FRANKFURT), "additionalInfo": {"type": "default"}},
    ),
    "kubernetes_exec": event(
        "Execution:Kubernetes/AnomalousBehavior.ExecInPod",
        5,
        "A command was executed in a pod in an anomalous way.",
        {
            "resourceType": "EKSCluster",
            "eksClusterDetails": EKS,
            "kubernetesDetails": {
                "kubernetesUserDetails": {"username": "ops", "groups": ["system:masters", "system:authenticated"]},
                "kubernetesWorkloadDetails": {
                    "name": "api-7f9",
                    "namespace": "payments",
                    "type": "pods",
                    "serviceAccountName": "api",
                    "containers": [
                        {"name": "api", "image": "example/api:2.8", "securityContext": {"privileged": True}}
                    ],
                },
            },
        },
        {
            "action": {
                "actionType": "KUBERNETES_API_CALL",
                "kubernetesApiCallAction": {
                    "requestUri": "/api/v1/namespaces/payments/pods/api-7f9/exec",
                    "verb": "create",
                    "statusCode": 101,
                    "userAgent": "kubectl/v1.30",
                    "resource": "pods",
                    "subresource": "exec",
                    "namespace": "payments",
                    "resourceName": "api-7f9",
                    "sourceIPs": ["198.51.100.23"],
                    "remoteIpDetails": LAGOS,
                },
            }
        },
    ),
    "ecs_malware": event(
        "Execution:ECS/MaliciousFile",
        8,
        "Malicious file detected in an ECS cluster.",
        {
            "resourceType": "ECSCluster",
            "ecsClusterDetails": {
                "name": "shop",
                "arn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/shop",
                "status": "ACTIVE",
                "runningTasksCount": 4,
                "taskDetails": {
                    "arn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/shop/0f1e2d3c4b5a",
                    "definitionArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/api:7",
                    "launchType": "EC2",
                    "startedAt": 1789360000.0,
                    "containers": [{"name": "api", "image": "example/api:2.8"}],
                },
            },
            "ebsVolumeDetails": {
                "scannedVolumeDetails": [
                    {
                        "volumeArn": f"arn:aws:ec2:{REGION}:{ACCOUNT}:volume/vol-0123456789abcdef0",
                        "deviceName": "/dev/xvda",
                        "volumeType": "gp3",
                        "volumeSizeInGB": 8,
                        "encryptionType": "UNENCRYPTED",
                        "snapshotArn": None,
                        "kmsKeyArn": None,
                    }
                ],
                "skippedVolumeDetails": None,
            },
        },
        {
            "featureName": "EbsVolumeScan",
            "ebsVolumeScanDetails": {
                "scanId": "0a1b2c3d4e5f",
                "scanType": "GUARDDUTY_INITIATED",
                "scanCompletedAt": 1789378900.0,
                "triggerFindingId": "1ab92989eaf0e742df4a014d5c0a8841",
                "sources": ["Bitdefender"],
                "scanDetections": {
                    "scannedItemCount": {"files": 2043, "totalGb": 8, "volumes": 1},
                    "threatsDetectedItemCount": {"files": 1},
                    "highestSeverityThreatDetails": {"severity": "HIGH", "threatName": "EICAR-Test-File", "count": 1},
                    "threatDetectedByName": {
                        "itemCount": 1,
                        "uniqueThreatNameCount": 1,
                        "shortened": False,
                        "threatNames": [
                            {
                                "name": "EICAR-Test-File",
                                "severity": "HIGH",
                                "itemCount": 1,
                                "filePaths": [
                                    {
                                        "filePath": "/opt/app/eicar.com",
                                        "fileName": "eicar.com",
                                        "hash": "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f",
                                        "volumeArn": f"arn:aws:ec2:{REGION}:{ACCOUNT}:volume/vol-0123456789abcdef0",
                                    }
                                ],
                            }
                        ],
                    },
                },
            },
        },
    ),
    "custom_detection_rule": event(
        "DefenseImpairment:RDS/ModifyAuthenticationProcess",
        8,
        "The authentication of an RDS database was changed.",
        {"resourceType": "AccessKey"},
        {
            "count": 179,
            "featureName": "CustomDetectionRule - CloudTrailManagementEvent",
            "detection": {
                "sequence": sequence(
                    {"name": "etl", "type": "AssumedRole", "credentialUid": "ASIAEXAMPLEEXAMPLE00"},
                    [signal("RDSMasterPasswordReset", 31, "ModifyDBInstance", "rds", count=179)],
                    ("ATTACK_TACTIC", ["Defense Impairment"]),
                )
            },
        },
        description="The master password of an RDS database was reset.\nThis may weaken its authentication.",
        customDetectionRuleName="RDSMasterPasswordReset",
    ),
    "sample": event(
        "Recon:EC2/Portscan",
        5,
        "An outbound portscan was detected from EC2 instance i-99999999.",
        {"resourceType": "Instance", "instanceDetails": {**INSTANCE, "instanceId": "i-99999999", "tags": []}},
        {
            **SAMPLES["ec2"]["detail"]["service"],
            "count": 1,
            "archived": True,
            "additionalInfo": {"sample": True, "type": "default"},
        },
    ),
}
