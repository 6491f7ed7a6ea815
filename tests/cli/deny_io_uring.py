"""deny_io_uring.py ERRNO COMMAND...: becomes COMMAND where the io_uring system calls fail with ERRNO, as in
containers whose runtime filters them (1, EPERM) or does not know them (38, ENOSYS)."""

import sys

import bpf

# The three calls have the same numbers on every architecture.
IO_URING = [425, 426, 427]

if __name__ == "__main__":
    refused = bpf.errno(int(sys.argv[1]))
    bpf.enter(bpf.program([bpf.rule(number, refused) for number in IO_URING], bpf.ALLOW), sys.argv[2:])
