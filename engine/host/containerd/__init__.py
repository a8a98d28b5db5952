"""containerd, over gRPC: our own private one (`daemon`), and the port `Tasks` on it (`tasks`).

daemon.py   start, find again, supervise and stop our containerd; vet somebody else's
tasks.py    the port: register, create, start, pause, kill, delete
exits.py    one Wait per task: who ended, with which status, and who wants to know
probe.py    a command inside a container, with its output and its time limit
shims.py    shims that a creation cut off has left behind
client.py   the channel, the calls, and gRPC's errors as ours
process.py  a process that may not be our child: is it still the same, when does it end
proto/      the wire: our own small .proto files, and the code made of them
"""
