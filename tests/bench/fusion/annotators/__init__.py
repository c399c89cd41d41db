"""Measure what is said of annotators: of judges that think alike, and of whom a fit depends on."""
