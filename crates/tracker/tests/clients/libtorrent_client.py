"""Seeds or leeches one torrent with libtorrent and prints every alert.

Finds peers through the tracker only. Runs until it is killed.
"""

import sys

try:
    import libtorrent
except ImportError:
    sys.exit("libtorrent for Python is missing; `cargo xtask install` installs it")

address, folder, torrent = sys.argv[1:]
host = f"[{address}]" if ":" in address else address

session = libtorrent.session(
    {
        "listen_interfaces": f"{host}:6881",
        "outgoing_interfaces": address,
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
session.add_torrent(parameters)

while True:
    session.wait_for_alert(1000)
    for alert in session.pop_alerts():
        print(type(alert).__name__, alert.message(), flush=True)
