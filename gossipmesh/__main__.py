"""``python -m gossipmesh``, and the console script."""

from __future__ import annotations

from gossipmesh.cli.main import cli


def main() -> None:
    """Run the command line; exits with its status."""
    cli()


if __name__ == "__main__":
    main()
