"""The guest: the untrusted process that loads a build and executes calls. It knows no test, score, clock or oracle.

Runs with `python -I -S` from the runtime's folder, without the grader's package; `channel.py` documents the frames.
Arguments: folder of the lab's module, descriptor of the channel, descriptors and sizes of the two arenas, task limit,
whether to watch for crashes, descriptors that the build may use (joined by commas), names of the functions.
"""

import _socket
import posix
import resource
import struct
import sys

MAX_DESCRIPTOR = 1024
_LEFT_OVER = (
    33  # EDOM: errno holds what some earlier call left there, so an error must come from the call itself
)


def main() -> None:
    """Load the build, say hello, then execute frames until the grader is gone."""
    folder, channel_fd, in_fd, in_size, out_fd, out_size, tasks, watch, more, *names = sys.argv[1:]
    kept = sorted(map(int, (channel_fd, in_fd, out_fd, *(more.split(",") if more else ()))))
    for low, high in zip([2, *kept], [*kept, MAX_DESCRIPTOR], strict=True):
        posix.closerange(low + 1, high)  # such as the log of a tool that watches this process
    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, int(channel_fd))
    channel.send(b"S")  # from here on, what happens may be the submission's doing
    sys.path[:0] = [folder, sys.argv[0].rpartition("/")[0] + "/lib"]
    if int(tasks):
        resource.setrlimit(resource.RLIMIT_NPROC, (int(tasks), int(tasks)))

    sys.setdlopenflags(1)  # RTLD_LAZY: a reference need not define functions that nobody calls
    import _lab  # type: ignore[import-not-found]  # loads the submission's library, constructors and all

    ffi, lib = _lab.ffi, _lab.lib
    sizes = (int(in_size), int(out_size))
    bases = (lib.guest_map(int(in_fd), sizes[0], 0), lib.guest_map(int(out_fd), sizes[1], 1))
    if ffi.NULL in bases or (int(watch) and lib.guest_watch(int(channel_fd)) != 0):
        raise SystemExit("the guest could not map its arenas")
    addresses = tuple(int(ffi.cast("uintptr_t", base)) for base in bases)
    functions = [getattr(lib, name) for name in names]
    handles = [ffi.NULL]
    channel.send(struct.pack("<c7xQQ", b"H", *addresses))

    def argument(tag: bytes, data: bytes) -> object:
        if tag == b"n":
            return ffi.NULL
        number = int.from_bytes(data, "little", signed=tag == b"q")
        if tag == b"p":
            return ffi.cast("void *", addresses[number >> 63] + (number & ~(1 << 63)))
        if tag == b"h":
            return handles[number]
        return struct.unpack("<d", data)[0] if tag == b"d" else number

    def value(result: object) -> bytes:
        if result is None:
            return struct.pack("<c7x8s", b"n", bytes(8))
        if isinstance(result, int):
            tag, signed = (b"Q", False) if result >> 63 == 1 else (b"q", True)
            return struct.pack("<c7x8s", tag, result.to_bytes(8, "little", signed=signed))
        if isinstance(result, float):
            return struct.pack("<c7x8s", b"d", struct.pack("<d", result))
        if result == ffi.NULL:
            return struct.pack("<c7x8s", b"n", bytes(8))
        handles.append(result)
        return struct.pack("<c7x8s", b"h", (len(handles) - 1).to_bytes(8, "little"))

    while True:
        frame = channel.recv(1 << 17)
        if not frame:
            return
        _, count, token = struct.unpack_from("<cxHxxxxQ", frame)
        position, calls = 16, []
        for _ in range(count):
            kind = frame[position : position + 1]
            if kind == b"P":
                position += 1
                for base, size in zip(bases, sizes, strict=True):
                    lib.guest_close(base, size)
            elif kind == b"W":
                _, arena, offset, length = struct.unpack_from("<cBQQ", frame, position)
                position += 18
                lib.guest_window(bases[arena], sizes[arena], offset, length, arena)
            else:
                _, index, arity = struct.unpack_from("<cHB", frame, position)
                pairs = struct.iter_unpack("<c8s", frame[position + 4 : position + 4 + 9 * arity])
                position += 4 + 9 * arity
                calls.append((functions[index], [argument(tag, data) for tag, data in pairs]))
        ffi.errno = _LEFT_OVER  # not ENOMEM: what this batch is refused is told when it crashes
        try:
            results = [function(*arguments) for function, arguments in calls]
            answer = b"".join([value(result) for result in results])
            failed = 0
        except Exception as error:  # a wrong call is the lab's mistake, not the student's: say so and go on
            print(f"guest: {error!r}", file=sys.stderr, flush=True)
            answer, failed = b"", 1
        channel.send(struct.pack("<cB6xQ", b"D", failed, token) + answer)


if __name__ == "__main__":
    main()
