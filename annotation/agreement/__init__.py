"""Agreement of annotators: alpha, kappa, habits, each with its interval."""
