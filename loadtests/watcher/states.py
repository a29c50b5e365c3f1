"""
What a thread does, from the system call that it is in: proc_pid_syscall(5), syscalls(2).

The numbers of the calls are those of <asm/unistd.h>, by architecture. Where the kernel does not
let others read the call, the kernel function that a thread waits in (proc_pid_wchan(5)) says nearly
as much.
"""

import platform
from collections.abc import Callable, Mapping

COMPUTES = "computes"  # on a core, or ready for one
SLEEPS = "sleeps"  # for a time
EVENTS = "events"  # epoll: an event loop without work
POLL = "poll"  # poll or select: for a few descriptors, as a blocking client with a timeout does
SOCKET = "socket"  # reads, writes or connects a socket
LOCK = "lock"
ACCEPT = "accept"  # a server that waits for a connection
OTHER = "other"  # files, pipes, children

BUSY = (COMPUTES, SLEEPS, POLL, SOCKET)
"""What a worker thread does while it has a task; it waits for one at a lock."""

_RUNNING = b"running"
_X86_64 = {
    SLEEPS: (35, 230),  # nanosleep, clock_nanosleep
    EVENTS: (232, 281, 441),  # epoll_wait, epoll_pwait, epoll_pwait2
    "poll": (7, 271),  # poll, ppoll
    "select": (23, 270),  # select, pselect6
    SOCKET: (42, 44, 45, 46, 47, 299, 307),  # connect, sendto, recvfrom, sendmsg, recvmsg, ...mmsg
    "file": (0, 1, 19, 20, 40),  # read, write, readv, writev, sendfile
    LOCK: (202, 449, 455),  # futex, futex_waitv, futex_wait
    ACCEPT: (43, 288),  # accept, accept4
}
_AARCH64 = {
    SLEEPS: (101, 115),
    EVENTS: (22, 441),
    "poll": (73,),
    "select": (72,),
    SOCKET: (203, 206, 207, 211, 212, 243, 269),
    "file": (63, 64, 65, 66, 71),
    LOCK: (98, 449, 455),
    ACCEPT: (202, 242),
}
_CALLS: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "x86_64": _X86_64,
    "amd64": _X86_64,
    "aarch64": _AARCH64,
    "arm64": _AARCH64,
}
_FUNCTIONS: Mapping[str, tuple[bytes, ...]] = {  # the beginnings of their names
    SLEEPS: (b"hrtimer_nanosleep", b"do_nanosleep", b"common_nsleep"),
    EVENTS: (b"ep_poll", b"do_epoll", b"epoll_wait"),
    POLL: (b"poll_schedule", b"do_poll", b"do_sys_poll", b"do_select", b"core_sys_select"),
    SOCKET: (
        *(b"wait_woken", b"sk_wait", b"sk_stream", b"tcp_", b"inet_stream", b"inet_wait"),
        *(b"unix_stream", b"unix_wait", b"__skb_", b"skb_"),
    ),
    LOCK: (b"futex", b"__futex", b"do_futex"),
    ACCEPT: (b"inet_csk", b"unix_accept"),
}


def calls(machine: str = "") -> Mapping[bytes, str] | None:
    """
    Return the state, or how it is found, by the number of the call; None: of another architecture.

    Args:
        machine: as `platform.machine` names it; this one where it is empty.
    """
    table = _CALLS.get((machine or platform.machine()).lower())
    if table is None:
        return None
    found = {b"%d" % number: state for state, numbers in table.items() for number in numbers}
    return found | {_RUNNING: COMPUTES}


def of_call(line: bytes, table: Mapping[bytes, str], is_socket: Callable[[int], bool]) -> str:
    """
    Return the state of a thread.

    Args:
        line: what /proc/PID/task/TID/syscall holds.
        is_socket: tells whether a descriptor of that process is one.
    """
    state = table.get(line[: line.find(b" ")], OTHER)  # "running" has no blank, but a line end
    if state == "file":
        return SOCKET if is_socket(int(line.split(None, 2)[1], 16)) else OTHER
    if state == "select":  # without a descriptor, as `time.sleep` before Python 3.11
        return SLEEPS if line.split(None, 2)[1] == b"0x0" else POLL
    if state == "poll":
        return SLEEPS if line.split(None, 3)[2] == b"0x0" else POLL
    return state


def of_function(name: bytes) -> str | None:
    """
    Return the state of a thread that waits; None: it does not wait, or that is not known.

    Args:
        name: what /proc/PID/task/TID/wchan holds.
    """
    if name in (b"0", b""):
        return None
    return next((state for state, names in _FUNCTIONS.items() if name.startswith(names)), OTHER)
