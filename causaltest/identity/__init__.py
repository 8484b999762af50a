"""What a model, an organism and a source are known by, learnt from files alone: nothing is opened, imported or run."""
