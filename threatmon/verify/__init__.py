"""Checks of what is deployed, and sample findings that prove an alert arrives."""
