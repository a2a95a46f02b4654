"""`python -m codec …` is `codec …`."""

from codec.cli import main

main()
