from __future__ import annotations

import socket

from deploy.servers import ports


def test_a_drawn_port_is_free_and_below_the_ports_of_clients() -> None:
    port = ports.draw()
    assert ports.FIRST <= port <= ports.LAST < 32_768
    with socket.create_server((ports.HOST, port)):
        assert not ports.is_free(port)
    assert ports.is_free(port)


def test_a_port_taken_on_all_interfaces_is_taken() -> None:
    with socket.create_server(("", ports.draw())) as server:
        assert not ports.is_free(server.getsockname()[1])
