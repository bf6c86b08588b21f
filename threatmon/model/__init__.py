"""What the program deploys, as pure data and functions: exactly what ``__main__.py`` and ``components`` import."""
