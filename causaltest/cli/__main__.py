"""`python -m causaltest.cli`, where the command is not on the path."""

from causaltest.cli import main

main(prog_name="causaltest")
