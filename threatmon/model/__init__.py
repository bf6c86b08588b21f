"""What the program deploys, as data and pure functions: exactly what ``__main__.py`` and ``components`` import."""
