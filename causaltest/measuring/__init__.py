"""Where torch lives: models, patched runs and scores; experiments in, effects out."""
