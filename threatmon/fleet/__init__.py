"""Many stacks: which ones exist, previews, dangerous changes, rollout, coverage."""
