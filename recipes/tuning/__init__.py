"""A search for better settings: its oracle, its processes, its folder, and what is shown of it."""
