"""Pulumi components of the monitoring pipeline, each usable alone."""
