"""What a search costs, and what it finds."""
