#!/bin/sh
# Runs charrnn on an emulated 64-bit ARM processor: an arm64 Debian in a folder.
#
#     benchmarks/emulated_arm.sh FOLDER [COMMAND...]
#
# The folder is filled the first time (some twenty minutes, 1 GB); then COMMAND runs in it, beside a copy of
# this checkout, or else the tests of products and threads. As root, on Debian or Ubuntu, with the
# packages debootstrap and qemu-user-static.
set -eu
root=$(mkdir -p "$1" && cd "$1" && pwd)
shift
cd "$(dirname "$0")/.."

if [ ! -e "$root/ready" ]; then
    debootstrap --arch=arm64 --variant=minbase --include=python3 --foreign bookworm "$root"
    chroot "$root" /debootstrap/debootstrap --second-stage
    # Unpacked from outside: pip itself would be slow in there. Bookworm has Python 3.11.
    python3 -m pip install --quiet --no-compile --target "$root/opt/packages" \
        --python-version 3.11 --only-binary=:all: --platform manylinux_2_17_aarch64 \
        --platform manylinux_2_27_aarch64 --platform manylinux_2_28_aarch64 \
        click numba numpy safetensors tqdm pytest pytest-xdist hypothesis
    touch "$root/ready"
fi
mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
mountpoint -q "$root/dev" || mount --bind /dev "$root/dev"
mkdir -p "$root/src"
cp -r charrnn tests corpora setup.cfg "$root/src"

[ $# -gt 0 ] || set -- python3 -m pytest -q -p no:cacheprovider -n 0 \
    tests/test_products.py tests/test_barrier.py tests/test_threads.py
exec chroot "$root" env -i HOME=/root PATH=/usr/bin:/bin LANG=C.UTF-8 \
    PYTHONPATH=/src:/opt/packages sh -c 'cd /src && exec "$@"' sh "$@"
