"""What nodes keep on disk: Raft's journal, the lock of a directory, the cached membership."""
