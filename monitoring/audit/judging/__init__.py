"""What each value turned out to be: findings, their shares, and the first of each kind."""
