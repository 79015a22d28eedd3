"""Files: local or remote stores, digests, checksums, reading ahead."""
