#!/bin/sh
# Write the Python modules from the .proto files beside this script. The result is checked in.
#
# The versions are pinned, in an environment of their own: code from grpcio-tools 1.76 runs on protobuf 6.31 to 7,
# while newer ones refuse an older runtime, and 1.76 itself cannot be installed beside protobuf 7.
set -eu
cd "$(dirname "$0")/../../../.."
here=engine/host/containerd/proto
env=$(mktemp -d)
trap 'rm -rf "$env"' EXIT
python3 -m venv "$env"
"$env/bin/pip" install --quiet 'grpcio-tools==1.76.0' 'mypy-protobuf==3.7.0' 'setuptools<81'
PATH="$env/bin:$PATH" "$env/bin/python" -m grpc_tools.protoc -I. \
    --python_out=. --mypy_out=. --grpc_python_out=. --mypy_grpc_out=. "$here"/*.proto
# Files without a service get an empty grpc module.
for proto in "$here"/*.proto; do
    grep -q '^service' "$proto" || rm -f "${proto%.proto}_pb2_grpc.py" "${proto%.proto}_pb2_grpc.pyi"
done
