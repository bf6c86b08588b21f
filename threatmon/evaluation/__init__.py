"""How AWS decides: event patterns, IAM policies, and the shape of findings; pure."""
