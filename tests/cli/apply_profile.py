"""apply_profile.py PROFILE COMMAND...: becomes COMMAND under a container runtime's seccomp profile.

scripts/seccomp-quoit.json is such a profile: refuse everything but a list. The list has what a server of ours
and its C library call (seen with strace -f, serve and doctor, glibc), the siblings that another libc or
another architecture calls in their place, what a container runtime calls between applying the profile and
starting the program, and what a small entry script or health check needs. Then io_uring's three calls, which
the runtimes' own profiles refuse. Not in it: mounts, namespaces (clone is allowed without the flags that make
one; clone3 hides its flags from filters and answers ENOSYS, so that the C library uses clone), tracing,
modules, keys, clocks, reboot, bpf, perf. What the ring does is not seen by seccomp: its file and socket
operations are bounded by the container's mounts, network and user as ever.
"""

import json
import sys

import bpf

ACTIONS = {"SCMP_ACT_ALLOW": lambda _: bpf.ALLOW, "SCMP_ACT_ERRNO": bpf.errno}


def condition(argument):
    if argument["op"] == "SCMP_CMP_EQ":
        return argument["index"], 0xFFFFFFFF, argument["value"]
    if argument["op"] == "SCMP_CMP_MASKED_EQ":
        return argument["index"], argument["value"], argument.get("valueTwo", 0)
    sys.exit("unknown comparison " + argument["op"])


def compile_profile(profile):
    known = bpf.numbers()
    rules = []
    for entry in profile["syscalls"]:
        result = ACTIONS[entry["action"]](entry.get("errnoRet", bpf.EPERM))
        conditions = [condition(argument) for argument in entry.get("args", [])]
        # A name that this architecture does not have is passed over, as the runtimes do.
        rules += [bpf.rule(known[name], result, conditions) for name in entry["names"] if name in known]
    return bpf.program(rules, ACTIONS[profile["defaultAction"]](profile.get("defaultErrnoRet", bpf.EPERM)))


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        bpf.enter(compile_profile(json.load(file)), sys.argv[2:])
