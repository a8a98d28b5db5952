"""containerd, over gRPC: our own private one (`daemon`), and the port `Tasks` on it (`tasks`).

daemon.py    start, find again, supervise and stop our containerd; vet somebody else's
tasks.py     the port: register, create, start, kill, delete, update, look
exits.py     one Wait per task: who ended, with which status, and who wants to know
execs.py     more processes inside a container: begun, waited for, and in the end always reaped
streams.py   a process's standard input and terminal at the shim's end
pipes.py     are the FIFOs there that a process is to be given?
freezing.py  pause and resume, whatever was done to the freezer from outside
shims.py     what a creation cut off or a killed shim leaves behind
client.py    the channel, the calls, and gRPC's errors as ours
process.py   a process that may not be our child: is it still the same, when does it end
proto/       the wire: our own small .proto files, and the code made of them
"""
