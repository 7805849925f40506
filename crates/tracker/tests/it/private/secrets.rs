//! Passkeys reach no log, no metric, no page and no other client.
//!
//! That types show nothing of them is tested where they are made.

use super::*;
use crate::support::{HttpClient, Process, UdpClient, folder};

const SECRET: &str = "do-not-write-this-down";

#[test]
fn passkeys_reach_no_log() {
    let site_key = format!("--keys.site_key={SECRET}-site-key");
    let folder = folder();
    let data_dir = format!("--storage.data_dir={}", folder.path().display());
    let arguments = ["--mode=private", "--log.level=debug", &site_key, &data_dir];
    let mut process = Process::start(&arguments);
    let (http, udp) = (process.http(), process.udp());
    let request = announce(torrent(1), 6881, 5);
    for way in [Way::Path, Way::PathBehind, Way::PathOfUsers, Way::Query] {
        let target = http_target(&way.path(SECRET), &request);
        let response = HttpClient::connect(http).get(&target);
        assert_eq!(failure(response.ok()), "Passkey not found");
    }
    let response = HttpClient::connect(http).get(&format!("/x/{SECRET}/y?passkey={SECRET}"));
    assert_eq!(response.status, 404);
    assert!(!response.text().contains(SECRET));
    let mut client = UdpClient::new(Ipv4Addr::LOCALHOST.into(), udp);
    let datagram = wire::udp_announce(client.connect(), TransactionId([7; 4]), &request);
    let options = url_data(&Way::Udp.path(SECRET));
    let reply = client.exchange(&[&datagram[..], &options].concat());
    assert_eq!(wire::read_udp_announce(&reply, false).unwrap_err(), "Passkey not found");
    let path = Way::Websocket.path(SECRET);
    let mut browser = Browser::connect_to_path(Ipv4Addr::LOCALHOST, http, &path);
    browser.send_text("{not JSON");
    let _closed = browser.close_code();
    let metrics = HttpClient::connect(process.admin()).get("/metrics");
    assert!(!metrics.text().contains(SECRET));
    process.signal("HUP");
    process.wait_for("reloaded");
    process.signal("TERM");
    let (code, said) = process.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("DEBUG"), "{said}");
    assert!(!said.contains(SECRET), "{said}");
}
