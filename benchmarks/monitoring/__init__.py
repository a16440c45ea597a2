"""What monitoring says where the truth is known."""
