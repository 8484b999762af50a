"""Registered claims as the answers to a pre-registration form: from the lock alone, without a model."""
