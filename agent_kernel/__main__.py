"""`python -m agent_kernel` is the command `agent-kernel`."""

from agent_kernel.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
