"""The desktop's driver. It runs inside the sandbox and needs only Python's standard library and Xvfb.

`program.source` on the host's side sends these modules over the stream, in the order of `ORDER`.
"""

HERE = __name__
ORDER = (
    "x11",
    "names",
    "keyboard",
    "pointer",
    "picture",
    "screen",
    "windows",
    "look",
    "pages",
    "programs",
    "desktop",
    "actions",
    "hands",
    "news",
    "watch",
    "driver",
)
