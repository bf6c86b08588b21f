"""Many stacks as data: which there are, what would change in each, what of that is dangerous, in which order to go."""
