"""Seeds or leeches one torrent with libtorrent and prints every alert.

Finds peers through the tracker only. Runs until it is killed; an interrupt ends it in order.
"""

import signal
import sys

try:
    import libtorrent
except ImportError:
    sys.exit("libtorrent for Python is missing; `cargo xtask install` installs it")

addresses, folder, torrent = sys.argv[1:]
addresses = addresses.split(",")
hosts = [f"[{address}]" if ":" in address else address for address in addresses]

session = libtorrent.session(
    {
        "listen_interfaces": ",".join(f"{host}:6881" for host in hosts),
        "outgoing_interfaces": ",".join(addresses),
        "enable_dht": False,
        "enable_lsd": False,
        "enable_natpmp": False,
        "enable_upnp": False,
        "alert_mask": libtorrent.alert.category_t.error_notification
        | libtorrent.alert.category_t.status_notification
        | libtorrent.alert.category_t.tracker_notification
        | libtorrent.alert.category_t.connect_notification,
    }
)
parameters = libtorrent.add_torrent_params()
parameters.ti = libtorrent.torrent_info(torrent)
parameters.save_path = folder
handle = session.add_torrent(parameters)

interrupts = []
signal.signal(signal.SIGINT, lambda number, frame: interrupts.append(number))
while not interrupts:
    session.wait_for_alert(100)
    for alert in session.pop_alerts():
        print(type(alert).__name__, alert.message(), flush=True)

handle.pause()
status = handle.status()
# What it got twice, or broken, is not in what it tells the tracker.
wasted = status.total_redundant_bytes + status.total_failed_bytes
print(
    f"claims uploaded={status.total_payload_upload}"
    f" downloaded={status.total_payload_download - wasted}",
    flush=True,
)
# Ends when the trackers have answered that it stopped.
del session
