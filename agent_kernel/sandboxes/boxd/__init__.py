"""boxd: the program inside a sandbox that runs commands and moves files for its host.

Standard library only, Python 3.8 or newer, and it imports nothing of agent_kernel: the folder is copied into
any image as it is. It is process 1 of its sandbox, so it reaps every orphan and its end is the end of all.
"""
