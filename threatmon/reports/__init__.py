"""Reports: one model, and renderers for people (text, Markdown, HTML) and machines (JSON)."""
