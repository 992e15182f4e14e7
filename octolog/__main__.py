"""`python -m octolog`: the command line where its script is not on the path."""

from octolog.cli import main

main()
