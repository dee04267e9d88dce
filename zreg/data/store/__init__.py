"""What a data node holds: datums by bucket, their versions, op logs and tombstones."""
