"""Blobs and coordination for processes of one machine: files, file locks and Unix sockets in one folder."""
