"""``python -m biport``: the command line, where its script is not on the path."""

from biport.app.cli import main

main()
