"""The domain of the monitoring pipeline: settings, event patterns, messages, policy documents and queries.

Everything directly in this package is pure: it imports neither pulumi nor boto3. ``threatmon.emulator`` emulates AWS
in-process, ``threatmon.cli`` is the command line.
"""
