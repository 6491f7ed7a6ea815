"""Seccomp filters for the tests, with nothing but Python's standard library.

A filter is applied to this process and then survives exec: `enter` applies it and becomes the command.
"""

import ctypes
import os
import platform
import struct
import subprocess
import sys

EPERM, ENOSYS = 1, 38
ALLOW = 0x7FFF0000
KILL = 0x80000000
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# Offsets in struct seccomp_data; an argument is 8 bytes, little-endian.
NUMBER, ARCH, ARGUMENTS = 0, 4, 16

LOAD, AND, JUMP_EQUAL, RETURN = 0x20, 0x54, 0x15, 0x06


def errno(number):
    return 0x00050000 | number


def instruction(code, operand, if_true=0, if_false=0):
    return struct.pack("=HBBI", code, if_true, if_false, operand)


def numbers():
    """Number of each system call by name, as the C library's headers of this machine tell."""
    text = subprocess.run(
        ["cc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"],
        check=True, capture_output=True, text=True,
    ).stdout
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[1].startswith("__NR_") and words[2].isdigit():
            found[words[1][len("__NR_"):]] = int(words[2])
    return found


def rule(number, result, conditions=()):
    """Instructions that return `result` for the call `number` whose arguments meet every condition, each an
    index, a mask and a value of 32 bits; what does not match falls through, with the number loaded."""
    body = b""
    for index, mask, value in conditions:
        body += instruction(LOAD, ARGUMENTS + 8 * index) + instruction(AND, mask)
        body += instruction(JUMP_EQUAL, value, 0, 0)
    body += instruction(RETURN, result)
    size = len(body) // 8
    # A condition that fails jumps behind the return.
    patched = b""
    for at in range(size):
        code, _, _, operand = struct.unpack("=HBBI", body[8 * at:8 * at + 8])
        if_false = size - at - 1 if code == JUMP_EQUAL else 0
        patched += instruction(code, operand, 0, if_false)
    reload = instruction(LOAD, NUMBER) if conditions else b""
    return instruction(JUMP_EQUAL, number, 0, size) + patched + reload


def program(rules, default):
    """The whole filter: foreign architectures die, as container runtimes have it."""
    arch = AUDIT_ARCH[platform.machine()]
    head = instruction(LOAD, ARCH) + instruction(JUMP_EQUAL, arch, 1, 0) + instruction(RETURN, KILL)
    return head + instruction(LOAD, NUMBER) + b"".join(rules) + instruction(RETURN, default)


def enter(filter_program, command):
    """Applies the filter and becomes `command`."""

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    libc = ctypes.CDLL(None, use_errno=True)
    memory = ctypes.create_string_buffer(filter_program, len(filter_program))
    described = Program(len(filter_program) // 8, ctypes.addressof(memory))
    pr_set_seccomp, mode_filter, pr_set_no_new_privs = 22, 2, 38
    if libc.prctl(pr_set_no_new_privs, 1, 0, 0, 0) != 0:
        sys.exit("no_new_privs: " + os.strerror(ctypes.get_errno()))
    if libc.prctl(pr_set_seccomp, mode_filter, ctypes.byref(described), 0, 0) != 0:
        sys.exit("seccomp: " + os.strerror(ctypes.get_errno()))
    os.execv(command[0], command)
