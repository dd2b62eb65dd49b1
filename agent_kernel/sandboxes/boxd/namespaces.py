"""The filter for namespaces and the kernel's keyrings, which boxd loads in addition to the engine's filter.

Docker's default filter refuses both. Podman's allows a command to make a user namespace, in which it has all
capabilities over that namespace, and so far more of the kernel to try. Sources: linux/seccomp.h,
linux/sched.h, and the kernel's tables of calls.
"""

from __future__ import annotations

from .families import (
    ALLOW,
    EPERM,
    EQUAL,
    FIRST_ARGUMENT,
    LOAD,
    NUMBER,
    RETURN,
    by_architecture,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .families import Word

CALLS = {
    0xC000003E: (56, (272, 308, 248, 249, 250)),
    0xC00000B7: (220, (97, 268, 217, 218, 219)),
    0x40000003: (120, (310, 346, 286, 287, 288)),
    0x40000028: (120, (337, 375, 309, 310, 311)),
}
"""By AUDIT_ARCH: the numbers of `clone`, and of `unshare`, `setns`, `add_key`, `request_key`, `keyctl`."""

CLONE3 = 435
"""Takes its flags in memory, where no filter can read them. C libraries use `clone` where it is missing."""

NEW_NAMESPACES = 0x7E020000
"""The flags of `clone` that make a namespace, of any kind that it can make."""

ANY_BIT, ENOSYS = 0x45, 0x00050026


def tests(clone: int, refused: tuple[int, ...]) -> list[Word]:
    """Return the words that test a call of one architecture. They all end."""
    return [
        (LOAD, 0, 0, NUMBER),
        *((EQUAL, len(refused) + 4 - i, 0, number) for i, number in enumerate(refused)),
        (EQUAL, 5, 0, CLONE3),
        (EQUAL, 0, 2, clone),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (ANY_BIT, 1, 0, NEW_NAMESPACES),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, EPERM),
        (RETURN, 0, 0, ENOSYS),
    ]


def program() -> bytes:
    """Return the filter for every architecture in `CALLS`; calls of others are refused."""
    return by_architecture({each: tests(*calls) for each, calls in CALLS.items()})
