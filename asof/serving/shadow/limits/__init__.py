"""What a challenger may take of the machine, and when it is not asked any more."""
