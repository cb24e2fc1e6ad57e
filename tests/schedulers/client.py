"""A command of a scheduler: what it was called by, and its words, go to the stand-in's server."""

import json
import os
import socket
import sys

with socket.socket(socket.AF_UNIX) as link:
    name = os.path.basename(sys.argv[0])
    try:
        link.connect(os.environ["STAND_IN"])
    except OSError:
        refused = {"flux": (1, "Unable to connect to Flux: Connection refused")}
        code, said = refused.get(
            name,
            (
                255 if name == "qstat" else 162,
                f"Connection refused\n{name}: cannot connect to server head (errno=15010)",
            ),
        )
        print(said, file=sys.stderr)
        sys.exit(code)
    asked = {"words": [name, *sys.argv[1:]], "env": dict(os.environ), "cwd": os.getcwd(), "pid": os.getpid()}
    link.sendall((json.dumps(asked) + "\n").encode())
    with link.makefile() as file:
        code, out, err = json.loads(file.readline())
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
