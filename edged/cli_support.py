"""The command `edged support`: one file for whoever helps from afar."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edged.clock import SystemClock
from edged.subcommand import Commands, add_command

EXAMPLE = """\
example:
  edged support --out bundle.tar.gz --config /etc/edged/line-a.yaml --unit edged@line-a       under systemd, as root
  edged support --out bundle.tar.gz --config line.yaml --log edged.log                        run by hand
  edged support --out bundle.tar.gz --config line.yaml --token-file /etc/edged/http-token     http.token is not readable
  tar xzf bundle.tar.gz && less edged-support/*                                               look before you send it

What is in it: the configuration without comments and secrets, what `edged check` says of it, status and metrics of the
running daemon, what the outbox holds (how much, not the values), the last alarms and gaps, versions, facts of the
machine, the end of the logs. It works with the daemon dead: what could not be had is listed, also in manifest.json.

How secrets are kept out: only what the schema knows is shown of the configuration; every secret that this box knows
(files, environment, systemd credentials, keys, URLs) is taken out of everything, plain, escaped or encoded; logs lose
what stands behind words such as password or token, private keys, and words that look random. The file is readable by
its owner only. A secret that this box does not know can still stand in a log: look through the files.
"""


def add_support(commands: Commands) -> None:
    """Declares the command."""
    parser = add_command(commands, "support", "gather what a helper needs to know, without secrets", EXAMPLE, _support)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the archive to write (.tar.gz)")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the line's configuration; without it little is had"
    )
    parser.add_argument("--url", help="where the daemon's pages are (default: as configured)")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="the bearer token of the pages")
    parser.add_argument("--log", type=Path, action="append", default=[], metavar="FILE", help="a log; may be repeated")
    parser.add_argument(
        "--unit", action="append", default=[], help="a systemd unit whose journal to take; may be repeated"
    )


def _support(options: argparse.Namespace) -> int:
    from edged.support import README, Wanted, gather

    wanted = Wanted(options.config, options.url, options.token_file, tuple(options.log), tuple(options.unit))
    bundle = gather(wanted, SystemClock())
    bundle.write(options.out, README)
    for missing in bundle.missing:
        print(f"left out: {missing}", file=sys.stderr)
    print(f"{options.out}: {len(bundle)} files; look through them before you send it")
    return 0
