"""The one account, Region and resources that tests are about, unless they need another."""

ACCOUNT = "111122223333"
OTHER_ACCOUNT = "444455556666"
REGION = "eu-west-1"
SUBNET = "subnet-0123456789abcdef0"
OTHER_SUBNET = "subnet-0fedcba9876543210"
VPC = "vpc-0123456789abcdef0"
DETECTOR_ID = "12abc34d567e8fa901bc2d34e56789f0"
KEY_ARN = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
EMAIL = "security@example.com"
SLACK = {"workspaceId": "T0123456789", "channelId": "C0123456789"}
TEAMS = {
    "tenantId": "0a1b2c3d-0123-4567-89ab-0123456789ab",
    "teamId": "1A2B3C4D-0123-4567-89AB-0123456789AB",
    "channelId": "19:kMBFi0pHYQ_wX-abc1@thread.tacv2",
}
