"""AWS sessions, the client that all commands use to call AWS, and prices."""
