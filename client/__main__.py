"""`python -m client`: the command line."""

from client.cli import main

if __name__ == "__main__":
    main()
