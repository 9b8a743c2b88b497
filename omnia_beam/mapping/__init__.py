"""What a migration changes on the way: target series, units, statuses, and the report of what cannot be kept."""
