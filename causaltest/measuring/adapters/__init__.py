"""Which module of a model is which site, and how a run of it goes."""
