"""Not moved here yet."""
