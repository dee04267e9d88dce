"""What nodes keep on disk: the journal of Raft, the lock on a directory, the membership."""
