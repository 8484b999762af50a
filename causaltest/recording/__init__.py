"""Files that a person commits: registrations, the ledger, baselines."""
