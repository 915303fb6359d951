"""`python -m derta`, the form that `accelerate launch -m derta` needs."""

from derta.cli import main

if __name__ == "__main__":
    main()
