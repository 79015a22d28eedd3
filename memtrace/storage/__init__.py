"""Files: local or remote stores, digests, checksums, prefetching."""
