"""The wire: names and field numbers are containerd's, and the generated code is that of the files beside it."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

from engine.host.containerd import proto
from engine.host.containerd.proto import (
    containers_pb2,
    events_pb2,
    health_pb2,
    runc_options_pb2,
    task_events_pb2,
    tasks_pb2,
    types_pb2,
    version_pb2,
)

DIRECTORY = Path(str(proto.__file__)).parent

PUBLISHED = {
    "containerd.services.containers.v1.Container": {"id": 1, "runtime": 4, "spec": 5, "created_at": 8},
    "containerd.services.containers.v1.Container.Runtime": {"name": 1, "options": 2},
    "containerd.services.containers.v1.CreateContainerRequest": {"container": 1},
    "containerd.services.containers.v1.CreateContainerResponse": {"container": 1},
    "containerd.services.containers.v1.GetContainerRequest": {"id": 1},
    "containerd.services.containers.v1.GetContainerResponse": {"container": 1},
    "containerd.services.containers.v1.DeleteContainerRequest": {"id": 1},
    "containerd.services.tasks.v1.CreateTaskRequest": {
        "container_id": 1,
        "stdin": 4,
        "stdout": 5,
        "stderr": 6,
        "terminal": 7,
        "options": 9,
    },
    "containerd.services.tasks.v1.CreateTaskResponse": {"container_id": 1, "pid": 2},
    "containerd.services.tasks.v1.StartRequest": {"container_id": 1, "exec_id": 2},
    "containerd.services.tasks.v1.StartResponse": {"pid": 1},
    "containerd.services.tasks.v1.DeleteTaskRequest": {"container_id": 1},
    "containerd.services.tasks.v1.DeleteResponse": {"id": 1, "pid": 2, "exit_status": 3, "exited_at": 4},
    "containerd.services.tasks.v1.DeleteProcessRequest": {"container_id": 1, "exec_id": 2},
    "containerd.services.tasks.v1.GetRequest": {"container_id": 1, "exec_id": 2},
    "containerd.services.tasks.v1.GetResponse": {"process": 1},
    "containerd.services.tasks.v1.ListTasksRequest": {"filter": 1},
    "containerd.services.tasks.v1.ListTasksResponse": {"tasks": 1},
    "containerd.services.tasks.v1.KillRequest": {"container_id": 1, "exec_id": 2, "signal": 3, "all": 4},
    "containerd.services.tasks.v1.ExecProcessRequest": {
        "container_id": 1,
        "stdin": 2,
        "stdout": 3,
        "stderr": 4,
        "terminal": 5,
        "spec": 6,
        "exec_id": 7,
    },
    "containerd.services.tasks.v1.ResizePtyRequest": {"container_id": 1, "exec_id": 2, "width": 3, "height": 4},
    "containerd.services.tasks.v1.CloseIORequest": {"container_id": 1, "exec_id": 2, "stdin": 3},
    "containerd.services.tasks.v1.ListPidsRequest": {"container_id": 1},
    "containerd.services.tasks.v1.ListPidsResponse": {"processes": 1},
    "containerd.services.tasks.v1.UpdateTaskRequest": {"container_id": 1, "resources": 2},
    "containerd.services.tasks.v1.PauseTaskRequest": {"container_id": 1},
    "containerd.services.tasks.v1.ResumeTaskRequest": {"container_id": 1},
    "containerd.services.tasks.v1.WaitRequest": {"container_id": 1, "exec_id": 2},
    "containerd.services.tasks.v1.WaitResponse": {"exit_status": 1, "exited_at": 2},
    "containerd.v1.types.Process": {"container_id": 1, "id": 2, "pid": 3, "status": 4, "exit_status": 9, "exited_at": 10},
    "containerd.v1.types.ProcessInfo": {"pid": 1},
    "containerd.services.events.v1.SubscribeRequest": {"filters": 1},
    "containerd.services.events.v1.Envelope": {"timestamp": 1, "namespace": 2, "topic": 3, "event": 4},
    "containerd.events.TaskExit": {"container_id": 1, "id": 2, "pid": 3, "exit_status": 4, "exited_at": 5},
    "containerd.events.TaskOOM": {"container_id": 1},
    "containerd.services.version.v1.VersionResponse": {"version": 1, "revision": 2},
    "grpc.health.v1.HealthCheckRequest": {"service": 1},
    "grpc.health.v1.HealthCheckResponse": {"status": 1},
    "containerd.runc.v1.Options": {"binary_name": 6, "root": 7, "systemd_cgroup": 9},
}
"""Field numbers in containerd's published interface, for what we use of it."""

MODULES = (
    containers_pb2,
    events_pb2,
    health_pb2,
    runc_options_pb2,
    task_events_pb2,
    tasks_pb2,
    types_pb2,
    version_pb2,
)


def fields(module: ModuleType) -> dict[str, dict[str, int]]:
    messages = list(module.DESCRIPTOR.message_types_by_name.values())
    messages += [inner for message in messages for inner in message.nested_types]
    return {message.full_name: {f.name: f.number for f in message.fields} for message in messages}


def test_names_and_numbers_are_the_published_ones() -> None:
    ours = {name: numbers for module in MODULES for name, numbers in fields(module).items()}
    assert ours == PUBLISHED


def test_a_request_on_the_wire() -> None:
    # protobuf's encoding guide: a tag is (field number << 3) | wire type, then a varint or a length and its bytes.
    request = tasks_pb2.KillRequest(container_id="ab", exec_id="x", signal=300, all=True)
    assert request.SerializeToString() == b"\x0a\x02ab\x12\x01x\x18\xac\x02\x20\x01"


def test_fields_we_do_not_know_are_skipped() -> None:
    wire = b"\x0a\x02ab\x2a\x05stdin" + b"\x48\x07"
    task = types_pb2.Process.FromString(wire)
    assert (task.container_id, task.exit_status) == ("ab", 7)


@pytest.mark.parametrize("path", sorted(DIRECTORY.glob("*.proto")), ids=lambda path: path.stem)
def test_generated_code_is_of_these_files(path: Path) -> None:
    text = re.sub(r"//.*", "", path.read_text())
    descriptor = importlib.import_module(f"{proto.__name__}.{path.stem}_pb2").DESCRIPTOR
    assert descriptor.package == re.search(r"^package (.*);", text, re.M)[1]  # type: ignore[index]
    written = {name: int(number) for name, number in re.findall(r"(\w+) = (\d+);", text)}
    generated = dict(pair for numbers in fields_and_values(descriptor) for pair in numbers.items())
    assert generated == written
    assert set(re.findall(r"rpc (\w+)", text)) == {m.name for s in descriptor.services_by_name.values() for m in s.methods}


def fields_and_values(descriptor: object) -> list[dict[str, int]]:
    """Numbers of every field and every enum's value of a file."""
    messages = list(descriptor.message_types_by_name.values())  # type: ignore[attr-defined]
    messages += [inner for message in messages for inner in message.nested_types]
    enums = list(descriptor.enum_types_by_name.values())  # type: ignore[attr-defined]
    enums += [enum for message in messages for enum in message.enum_types]
    return [{f.name: f.number for f in m.fields} for m in messages] + [{v.name: v.number for v in e.values} for e in enums]
