"""boxd: the program inside a sandbox that runs commands and moves files for its host.

It uses only the standard library, runs on Python 3.8 or newer and imports nothing of agent_kernel, because it
is sent into any image. It is process 1 of its sandbox: it reaps every orphan, and when it ends, all end.
"""
