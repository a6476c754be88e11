"""`python -m stack.mortal MODULE [ARGUMENT...]`: run a module whose forks die with it.

For a server with worker processes: workers must not outlive a master that was killed.
"""

import os
import runpy
import sys
import threading

from stack.launch import die_with_parent


def make_forks_mortal() -> None:
    """Let every child that the main thread forks from now on die when this process does.

    Not the children of other threads: they would die with the thread, which may end much sooner.
    """
    fork = threading.local()

    def before() -> None:
        fork.parent = os.getpid() if threading.current_thread() is threading.main_thread() else None

    def in_child() -> None:
        if fork.parent is not None:
            die_with_parent(parent=fork.parent)

    os.register_at_fork(before=before, after_in_child=in_child)


def main() -> None:
    """Become the module that the first argument names."""
    if len(sys.argv) < 2:
        sys.exit("usage: python -m stack.mortal MODULE [ARGUMENT...]")
    make_forks_mortal()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
