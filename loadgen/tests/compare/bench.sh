#!/bin/sh
# Measures nothing: writes a result as `loadgen bench` would, for a server whose cost is in its environment,
# or, where it is given no process, in its own. A rate that is more than the server can do fails in part.
# COST is CPU nanoseconds per request, NOISE the greatest random addition to it; SWING is
# added for half of the seeds and taken off for the others; FAIL makes the run fail.

while [ $# -gt 0 ]; do
    case $1 in
    --server-pid) pid=$2 && shift ;;
    --seed) seed=$2 && shift ;;
    -R) rate=$2 && shift ;;
    -o) file=${2#json=} && shift ;;
    esac
    shift
done
pid=${pid:-$$} rate=${rate%.*}
of_server() {
    tr '\0' '\n' </proc/"$pid"/environ | sed -n "s/^$1=//p"
}
cost=$(of_server COST)
noise=$(of_server NOISE)
fail=$(of_server FAIL)
swing=$(of_server SWING)
reasons='' errors=0
case $fail in
invalid) reasons='"a worker was over 90 % busy"' ;;
errors) errors=1000 ;;
late) sleep 60 ;;
refused) echo 'connection refused' >&2 && exit 5 ;;
esac
[ $((seed % 2)) -eq 0 ] || swing=-${swing:-0}
cost=$((cost + ${swing:-0} + (seed + pid * 7919) % (noise + 1)))
done=${rate:-$((1000000000 / cost))}
[ $((done * cost)) -le 1000000000 ] || errors=$((done / 10))
used=$((done * cost))
server=$(printf '{"pid": %d, "user_s": %d.%09d, "system_s": 0, "switches": 0, "read_write_calls": null,
    "resident_bytes": 1}' "$pid" $((used / 1000000000)) $((used % 1000000000)))
none='{"histogram": "HISTFAAAACJ4nJNpmSzMwMDAyAABzFCakYGB2c1gxwIG+w9QEQBSpgRM"}'
cat >"$file" <<JSON
{
  "schema": "quoit-loadgen/1", "version": "0", "started_unix_ms": 0, "command": [],
  "plan": {"urls": [], "mode": "closed", "rate": null, "arrival": null, "connections": 1, "cpus": [0],
    "duration_s": 1, "requests": null, "warmup_s": 0, "ramp_s": 0, "pipeline": 1, "new_connections": false,
    "seed": $seed, "protocol": "http/1.1"},
  "host": {"kernel": "6.18", "processor": "a chip", "processors": 2, "memory_bytes": 1},
  "validity": {"reasons": [$reasons], "warnings": []},
  "measured_s": 1,
  "total": {"planned": $((done + errors)), "sent": $done, "done": $done, "errors": $errors, "timeouts": 0,
    "dropped": 0, "errors_by_kind": {"reset": $errors}, "received_bytes": 0, "sent_bytes": 0,
    "response": {"histogram": "HISTFAAAACZ4nJNpmSzMwMDAwgABzFCakYGB2c1gxwIG+w8Qgc0ZD4QAZc8GXA=="},
    "service": $none, "lag": $none},
  "intervals": [],
  "connections": {"opened": 0, "lost": 0, "connect": $none, "done_each": []},
  "cost": {"generator_cpu_s": 0, "generator_busy_max": 0, "server": $server}
}
JSON
