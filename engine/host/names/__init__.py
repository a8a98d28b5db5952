"""The name service inside a container's network namespace, at 127.0.0.11.

A query to 127.0.0.11:53 is led to sockets on random ports (`rules.py`), so that a name server of the container's own may
listen on 0.0.0.0:53. The sockets are opened inside the namespace and served by the engine's event loop (`serving.py`). Names
of ours are answered at once (`answers.py`); for all others the real servers are asked (`upstream.py`).
"""

from engine.host.names.servers import NameServers

__all__ = ["NameServers"]
