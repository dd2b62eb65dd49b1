"""The command `agent-kernel`, run as `python -m agent_kernel`."""

from agent_kernel.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
