"""Apps that end while their daemons live, with nothing configured."""

from __future__ import annotations

from harness import Mesh, eventually, unused_port
from webapp import WebApp, app_process
from webclient import Asking


def test_an_app_that_is_killed_is_out_of_rotation_everywhere_and_back_when_it_runs_again(mesh: Mesh) -> None:
    port = unused_port()
    with WebApp("hello-1") as app, app_process(port) as process:
        seed = mesh.node("hello-1", services={"hello": app.port}).start().ready()
        other = mesh.node("hello-2", join=seed, services={"hello": port}).start()
        client = mesh.node("client", join=seed).start()

        def everywhere(healthy: int) -> bool:
            return all(node.healthy("hello") == healthy for node in (seed, other, client))

        eventually(lambda: everywhere(2))
        asking = Asking(client.listen("proxy"), "http://hello/")
        asking.start()
        eventually(lambda: len(asking.answers) > asking.answered_by("hello-1") + 3)
        process.kill()
        eventually(lambda: everywhere(1))
        (down,) = (each for each in client.ask("endpoints/hello")["endpoints"] if not each["healthy"])
        assert (down["node"], down["reason"]) == ("hello-2", "its own health check fails")
        (service,) = other.ask("status")["services"]
        assert (service["state"], service["reason"]) == ("unhealthy", f"nobody listens on port {port}")
        assert other.is_ready()
        with app_process(port):
            eventually(lambda: everywhere(2))
            others = len(asking.answers) - asking.answered_by("hello-1")
            eventually(lambda: len(asking.answers) - asking.answered_by("hello-1") > others + 3)
            asking.finish()
        assert {answer.status for answer in asking.answers} == {200}
        assert asking.errors == []
