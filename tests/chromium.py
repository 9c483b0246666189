"""The browser that pages are tested in: Debian's Chromium (`make browser-test` installs it)."""

import shutil

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (  # else the browser asks after updates, which a closed network answers late
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
