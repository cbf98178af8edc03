"""What is watched: systems, their jobs and listings, who is due, who waits, and what a scrape shows."""
