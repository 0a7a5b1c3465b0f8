"""Full training of derived networks on Ray Train: recipes, training loops, checkpoints, weights."""
