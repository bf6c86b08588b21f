"""Events with invented facts, one for each kind of mail; the mails they become are in ``tests/model/mails``."""

from typing import Any

from examples import ACCOUNT, REGION
from findings import Event

ALIAS = "prod"
_DETECTOR = "12abc34d567e8fa901bc2d34e56789f0"


def event(finding_type: str, severity: float, title: str, resource: Event, service: Event, **more: Any) -> Event:
    """An event of a finding seen from 09:31 to 09:44 UTC."""
    finding_id = f"{abs(hash_of(finding_type)):032x}"[:32]
    detail = {
        "schemaVersion": "2.0",
        "accountId": ACCOUNT,
        "region": REGION,
        "partition": "aws",
        "id": finding_id,
        "arn": f"arn:aws:guardduty:{REGION}:{ACCOUNT}:detector/{_DETECTOR}/finding/{finding_id}",
        "type": finding_type,
        "resource": resource,
        "service": {
            "serviceName": "guardduty",
            "detectorId": _DETECTOR,
            "resourceRole": "TARGET",
            "eventFirstSeen": "2026-09-14T09:31:02.000Z",
            "eventLastSeen": "2026-09-14T09:44:57.000Z",
            "archived": False,
            "count": 1,
            **service,
        },
        "severity": severity,
        "createdAt": "2026-09-14T09:36:41.119Z",
        "updatedAt": "2026-09-14T09:51:12.402Z",
        "title": title,
        **more,
    }
    return {
        "version": "0",
        "id": "7f3f0b2c-1de3-4c53-9f5e-2d1c0a7b9e10",
        "detail-type": "GuardDuty Finding",
        "source": "aws.guardduty",
        "account": ACCOUNT,
        "time": "2026-09-14T09:55:00Z",
        "region": REGION,
        "resources": [],
        "detail": detail,
    }


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
TOR = remote("203.0.113.9", "", "Netherlands", "64501", "Example Hosting")

INSTANCE: Event = {
    "instanceId": "i-0abcd1234ef567890",
    "instanceType": "t3.small",
    "instanceState": "running",
    "launchTime": "2026-09-01T08:12:44.000Z",
    "availabilityZone": f"{REGION}a",
    "imageId": "ami-0123456789abcdef0",
    "imageDescription": "Amazon Linux 2023 AMI",
    "platform": None,
    "outpostArn": None,
    "productCodes": [],
    "iamInstanceProfile": {
        "arn": f"arn:aws:iam::{ACCOUNT}:instance-profile/app-role",
        "id": "AIPAEXAMPLEEXAMPLE123",
    },
    "networkInterfaces": [
        {
            "networkInterfaceId": "eni-0123456789abcdef0",
            "privateIpAddress": "10.20.1.25",
            "privateIpAddresses": [{"privateDnsName": "ip-10-20-1-25", "privateIpAddress": "10.20.1.25"}],
            "publicIp": "203.0.113.10",
            "publicDnsName": "",
            "ipv6Addresses": [],
            "subnetId": "subnet-0123456789abcdef0",
            "vpcId": "vpc-0123456789abcdef0",
            "securityGroups": [{"groupName": "web", "groupId": "sg-0123456789abcdef0"}],
        }
    ],
    "tags": [{"key": "Name", "value": "web-1"}, {"key": "Team", "value": "shop"}],
}
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
ROLE: Event = {
    "accessKeyId": "ASIAEXAMPLEEXAMPLE00",
    "principalId": "AROAEXAMPLEEXAMPLE000:nightly",
    "userType": "AssumedRole",
    "userName": "etl",
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


JOHN = {
    "name": "john_doe",
    "uid": "AIDAEXAMPLEEXAMPLE001",
    "type": "IAMUser",
    "credentialUid": "AKIAEXAMPLEEXAMPLE01",
    "account": {"uid": ACCOUNT, "account": ""},
}

EXAMPLES: dict[str, Event] = {
    "ec2_portscan": event(
        "Recon:EC2/Portscan",
        5,
        "An outbound portscan was detected from EC2 instance i-0abcd1234ef567890.",
        {"resourceType": "Instance", "instanceDetails": INSTANCE},
        {
            "resourceRole": "ACTOR",
            "count": 3,
            "action": {
                "actionType": "NETWORK_CONNECTION",
                "networkConnectionAction": {
                    "connectionDirection": "OUTBOUND",
                    "protocol": "TCP",
                    "blocked": False,
                    "localIpDetails": {"ipAddressV4": "10.20.1.25"},
                    "localPortDetails": {"port": 45678, "portName": "Unknown"},
                    "remotePortDetails": {"port": 855, "portName": "Unknown"},
                    "remoteIpDetails": FRANKFURT,
                },
            },
            "additionalInfo": {"portsScannedSample": [855, 400, 813], "type": "default"},
        },
        description="EC2 instance i-0abcd1234ef567890 is performing outbound port scans against 198.51.100.7.",
    ),
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
    "iam_anomalous": event(
        "Exfiltration:IAMUser/AnomalousBehavior",
        8,
        "The user IAMUser : alice is anomalously invoking APIs commonly used in Exfiltration tactics.",
        {"resourceType": "AccessKey", "accessKeyDetails": USER},
        {
            "action": api_call("ec2", "CreateSnapshot", LAGOS, errorCode="AccessDenied"),
            "detection": {
                "anomaly": {
                    "unusual": {
                        "behavior": {
                            "UserIdentity": {
                                "api": {"observations": {"text": ["CreateSnapshot", "ModifySnapshotAttribute"]}},
                                "asn": {"observations": {"number": [64500]}},
                            }
                        }
                    }
                }
            },
            "additionalInfo": {
                "userAgent": {"fullUserAgent": "Boto3/1.34.0", "userAgentCategory": "Boto3"},
                "apiCalls": [
                    {"name": "CreateSnapshot", "count": 4, "firstSeen": 1789378262, "lastSeen": 1789378622},
                    {"name": "ModifySnapshotAttribute", "count": 1, "firstSeen": 1789378562, "lastSeen": 1789378562},
                ],
            },
        },
        description="APIs commonly used in Exfiltration tactics were invoked by user IAMUser : alice, under anomalous"
        " circumstances. Such activity is not typically seen from this user.",
    ),
    "s3_anomalous": event(
        "Exfiltration:S3/AnomalousBehavior",
        8,
        "The user AssumedRole : etl is anomalously invoking APIs commonly used in Exfiltration tactics.",
        {
            "resourceType": "S3Bucket",
            "accessKeyDetails": ROLE,
            "s3BucketDetails": [bucket("customer-data", "NOT_PUBLIC"), bucket("exports", "NOT_PUBLIC")],
        },
        {"action": api_call("s3", "GetObject", TOR, userAgent="aws-cli/2.15.0"), "additionalInfo": {"type": "default"}},
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
    "kubernetes_admin": event(
        "Policy:Kubernetes/AdminAccessToDefaultServiceAccount",
        8,
        "Default service account of a Kubernetes cluster was granted admin privileges.",
        {
            "resourceType": "EKSCluster",
            "eksClusterDetails": EKS,
            "kubernetesDetails": {
                "kubernetesUserDetails": {"username": "ops", "uid": "", "groups": ["system:masters"]},
                "kubernetesWorkloadDetails": {"name": "default-admin"},
            },
        },
        {
            "action": {
                "actionType": "KUBERNETES_API_CALL",
                "kubernetesApiCallAction": {
                    "requestUri": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
                    "verb": "create",
                    "statusCode": 201,
                    "userAgent": "kubectl/v1.30",
                    "sourceIPs": ["198.51.100.7"],
                    "remoteIpDetails": FRANKFURT,
                },
            }
        },
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
    "lambda_command_and_control": event(
        "Backdoor:Lambda/C&CActivity.B",
        8,
        "Command and control server communication from Lambda function resize.",
        {
            "resourceType": "Lambda",
            "lambdaDetails": {
                "functionName": "resize",
                "functionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:resize",
                "functionVersion": "12",
                "role": f"arn:aws:iam::{ACCOUNT}:role/resize-role",
                "lastModifiedAt": 1786625755.0,
                "vpcConfig": {
                    "vpcId": "vpc-0123456789abcdef0",
                    "subnetIds": ["subnet-0123456789abcdef0"],
                    "securityGroups": [{"groupId": "sg-0123456789abcdef0", "groupName": "lambda"}],
                },
            },
        },
        {
            "resourceRole": "ACTOR",
            "action": {
                "actionType": "NETWORK_CONNECTION",
                "networkConnectionAction": {
                    "connectionDirection": "OUTBOUND",
                    "protocol": "TCP",
                    "blocked": False,
                    "remotePortDetails": {"port": 443, "portName": "HTTPS"},
                    "remoteIpDetails": TOR,
                },
            },
            "evidence": {
                "threatIntelligenceDetails": [{"threatListName": "Amazon", "threatNames": ["Example bot"]}],
            },
        },
    ),
    "rds_login": event(
        "CredentialAccess:RDS/AnomalousBehavior.SuccessfulBruteForce",
        8,
        "A user logged in to the database orders after a brute force attack.",
        {
            "resourceType": "RDSDBInstance",
            "rdsDbInstanceDetails": {
                "dbInstanceIdentifier": "orders",
                "dbInstanceArn": f"arn:aws:rds:{REGION}:{ACCOUNT}:db:orders",
                "dbClusterIdentifier": "orders-cluster",
                "engine": "Aurora PostgreSQL",
                "engineVersion": "15.4",
            },
            "rdsDbUserDetails": {
                "user": "report",
                "application": "psql",
                "database": "orders",
                "ssl": "TLSv1.3",
                "authMethod": "password",
            },
        },
        {
            "action": {
                "actionType": "RDS_LOGIN_ATTEMPT",
                "rdsLoginAttemptAction": {
                    "remoteIpDetails": LAGOS,
                    "loginAttributes": [
                        {
                            "user": "report",
                            "application": "psql",
                            "failedLoginAttempts": 412,
                            "successfulLoginAttempts": 1,
                        }
                    ],
                },
            }
        },
    ),
    "runtime_process": event(
        "Execution:Runtime/NewBinaryExecuted",
        5,
        "A container in EC2 instance i-0abcd1234ef567890 executed a new binary.",
        {"resourceType": "Instance", "instanceDetails": INSTANCE},
        {
            "resourceRole": "ACTOR",
            "featureName": "RuntimeMonitoring",
            "runtimeDetails": {
                "process": {
                    "name": "kdevtmpfsi",
                    "executablePath": "/var/www/kdevtmpfsi",
                    "executableSha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    "pid": 4711,
                    "user": "www-data",
                    "userId": 33,
                    "euid": 33,
                    "pwd": "/var/www",
                    "startTime": 1789378255.0,
                    "uuid": "u1",
                    "lineage": [
                        {"name": "bash", "pid": 812, "userId": 33, "startTime": 1789378250.0},
                        {"name": "php-fpm", "pid": 700, "userId": 33, "startTime": 1789370000.0},
                        {"executablePath": "/usr/lib/systemd/systemd", "pid": 1, "userId": 0},
                    ],
                },
                "context": {
                    "modifyingProcess": {"name": "curl", "executablePath": "/usr/bin/curl", "pid": 4700},
                    "modifiedAt": 1789378253.0,
                },
            },
        },
    ),
    "attack_sequence": event(
        "AttackSequence:IAM/CompromisedCredentials",
        9.5,
        "Potential credential compromise of IAMUser/john_doe indicated by a sequence of actions.",
        {"resourceType": "AttackSequence"},
        {
            "detection": {
                "sequence": sequence(
                    JOHN,
                    [
                        signal("iam:ListUsers", 31, "ListUsers", "iam", count=12),
                        signal("iam:CreateRole", 33, "CreateRole", "iam"),
                        signal("iam:AttachRolePolicy", 34, "AttachRolePolicy", "iam"),
                        signal(
                            "Stealth:IAMUser/CloudTrailLoggingDisabled",
                            44,
                            "DeleteTrail",
                            "cloudtrail",
                            type="FINDING",
                            severity=2.0,
                        ),
                    ],
                    ("ATTACK_TACTIC", ["Discovery", "Persistence", "Defense Evasion"]),
                    ("TOR_IP", ["203.0.113.9"]),
                    ("HIGH_RISK_API", ["iam:AttachRolePolicy", "cloudtrail:DeleteTrail"]),
                )
            }
        },
        description="A sequence of actions involving 4 signals indicating a possible credential compromise was observed"
        " for IAMUser/john_doe with the following behaviors:\n - 3 MITRE ATT&CK tactics\n - connected from a Tor exit"
        " node",
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
    "unknown_type": event(
        "Tampering:Quantum/ResultsAltered",
        5,
        "The results of quantum task q-42 were altered.",
        {
            "resourceType": "QuantumTask",
            "quantumTaskDetails": {"taskId": "q-42", "device": {"name": "Aria", "qubits": 25}},
        },
        {"action": {"actionType": "QUANTUM_CALL", "quantumCallAction": {"verb": "alter", "allowed": True}}},
    ),
}
_SAMPLE = event(
    "Recon:EC2/Portscan",
    5,
    "An outbound portscan was detected from EC2 instance i-99999999.",
    {"resourceType": "Instance", "instanceDetails": {**INSTANCE, "instanceId": "i-99999999", "tags": []}},
    {
        **EXAMPLES["ec2_portscan"]["detail"]["service"],
        "count": 1,
        "archived": True,
        "additionalInfo": {"sample": True, "type": "default"},
    },
)
EXAMPLES["sample"] = _SAMPLE
