"""The emulated resource types, one module for each AWS service."""
