"""The holder: a process that holds the host's ports for the containers, and carries what comes to them in user space.

A bound socket is how a host knows that a port is taken. The kernel's NAT leads packets past it into the container; what it
does not translate (IPv6 to a container that has none, 127.0.0.1 where it may not be routed, all while somebody has flushed
the rules) reaches the socket and is relayed. One holder serves all containers of an engine, and outlives it.

    serve    the process, and what the engine asks of it
    ports    which ports are held, and how a free one is found
    relay    connections and datagrams on their way
    loop     one thread, one epoll; every handler tries, and returns when the kernel would make it wait, so that an event
             too many is harmless

Only the standard library, and by relative imports: it runs without the engine around it (`run.py`), for weeks.
"""
