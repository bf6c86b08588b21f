"""Threat monitoring of AWS accounts, as code; CONTRIBUTING.md has a line for each sub-package."""
