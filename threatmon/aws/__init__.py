"""Sessions, and the one way to ask AWS."""
