"""``python -m mnistlib`` is the command ``mnistlib``."""

from mnistlib.cli import main

main()
