"""The one way to ask AWS. Import it only when a command runs: boto3 and botocore are slow to load."""
