//! Bans of networks.
//!
//! In force in every mode; kept beyond the process where there is a storage.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;
use serde_json::{Value, json};
use skep_engine::site::{Ban, Change, REASON_BYTES_MAX};

use super::asked::{Asked, Segments};
use super::fields::{Field, Kind, check, text};
use super::records::{created, unknown, with_tag};
use super::{Api, blocking, keys, openapi, tag_of};
use crate::admin::problem::Problem;
use crate::config::Scope;
use crate::site::Site;

pub(super) const FIELDS: &[Field] =
    &[Field::new("reason", Kind::Line { bytes_max: REASON_BYTES_MAX }, "Why, for the operator.")];

fn show(ban: &Ban) -> Value {
    json!({ "address": ban.address, "prefix_len": ban.prefix_len, "reason": ban.reason })
}

fn find(site: &Site, network: IpNet) -> Option<Ban> {
    let is_it = |ban: &Ban| (ban.address, ban.prefix_len) == (network.addr(), network.prefix_len());
    site.bans().into_iter().find(is_it)
}

/// Reads a network of a path, in the one form in which it is kept.
fn network(address: &str, prefix_len: &str) -> Result<IpNet, Problem> {
    let address: IpAddr =
        address.parse().map_err(|_| keys::bad("address", "must be an IPv4 or IPv6 address"))?;
    if address != address.to_canonical() {
        return Err(keys::bad("address", "must be an IPv4 address if it stands for one"));
    }
    let bits_max = if address.is_ipv4() { 32 } else { 128 };
    let is_number = !prefix_len.starts_with('+');
    let bits = prefix_len.parse().ok().filter(|bits: &u8| is_number && *bits <= bits_max);
    let detail = || keys::bad("prefix_len", format!("must be a whole number from 0 to {bits_max}"));
    let network = bits.and_then(|bits| IpNet::new(address, bits).ok()).ok_or_else(detail)?;
    if network.network() != address {
        let detail = format!("must be the first of its network, which is {}", network.network());
        return Err(keys::bad("address", detail));
    }
    Ok(network)
}

/// Lists bans by network.
#[utoipa::path(get, path = "/api/v1/bans", tag = "bans", security(("bearer" = ["read"])),
    responses((status = 200, description = "All of them, by network.", body = openapi::BanList)))]
pub(super) async fn list_bans(
    State(api): State<Arc<Api>>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Read)?;
    let [] = asked.query([])?;
    let items: Vec<_> = api.books.site().bans().iter().map(show).collect();
    Ok(super::json(&json!({ "items": items })))
}

/// Shows a ban.
#[utoipa::path(get, path = "/api/v1/bans/{address}/{prefix_len}", tag = "bans", security(("bearer" = ["read"])),
    params(
        ("address" = String, Path, description = "The first address of the network."),
        ("prefix_len" = u8, Path, description = "Bits that its addresses have in common.", minimum = 0, maximum = 128),
    ),
    responses((status = 200, description = "The ban.", body = openapi::BanShown)))]
pub(super) async fn get_ban(
    State(api): State<Arc<Api>>,
    Segments((address, prefix_len)): Segments<(String, String)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Read)?;
    let [] = asked.query([])?;
    let ban = find(api.books.site(), network(&address, &prefix_len)?).ok_or_else(unknown)?;
    let tag = tag_of(&show(&ban));
    if asked.conditions().is_known(&tag) {
        return Ok(with_tag(StatusCode::NOT_MODIFIED.into_response(), &tag));
    }
    Ok(with_tag(super::json(&show(&ban)), &tag))
}

/// Bans a network, or replaces the reason.
#[utoipa::path(put, path = "/api/v1/bans/{address}/{prefix_len}", tag = "bans", security(("bearer" = ["bans"])),
    params(
        ("address" = String, Path, description = "The first address of the network."),
        ("prefix_len" = u8, Path, description = "Bits that its addresses have in common.", minimum = 0, maximum = 128),
    ),
    request_body = openapi::BanPut,
    responses(
        (status = 200, description = "The ban, which was there before.", body = openapi::BanShown),
        (status = 201, description = "The ban, which is new.", body = openapi::BanShown)))]
pub(super) async fn put_ban(
    State(api): State<Arc<Api>>,
    Segments((address, prefix_len)): Segments<(String, String)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Bans)?;
    let [] = asked.query([])?;
    let (value, conditions) = (asked.json()?, asked.conditions());
    let network = network(&address, &prefix_len)?;
    let mut faults = Vec::new();
    let Some(fields) = check(FIELDS, "", &value, true, "", &mut faults) else {
        return Err(Problem::of_faults(faults));
    };
    let ban = Ban {
        address: network.addr(),
        prefix_len: network.prefix_len(),
        reason: fields.get("reason").and_then(text).unwrap_or_default(),
    };
    blocking(move || {
        let is_new = api.books.change_by(|site| {
            let old = find(site, network);
            conditions.allow(old.as_ref().map(|old| tag_of(&show(old))).as_deref())?;
            Ok::<_, Problem>((vec![Change::PutBan(ban.clone())], old.is_none()))
        })?;
        api.refresh_policy()?;
        let shown = show(&ban);
        let response = with_tag(super::json(&shown), &tag_of(&shown));
        Ok(if is_new { created(response, "bans", network) } else { response })
    })
    .await
}

/// Lifts a ban.
#[utoipa::path(delete, path = "/api/v1/bans/{address}/{prefix_len}", tag = "bans", security(("bearer" = ["bans"])),
    params(
        ("address" = String, Path, description = "The first address of the network."),
        ("prefix_len" = u8, Path, description = "Bits that its addresses have in common.", minimum = 0, maximum = 128),
    ),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn delete_ban(
    State(api): State<Arc<Api>>,
    Segments((address, prefix_len)): Segments<(String, String)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Bans)?;
    let [] = asked.query([])?;
    let conditions = asked.conditions();
    let network = network(&address, &prefix_len)?;
    blocking(move || {
        api.books.change_by(|site| {
            let old = find(site, network).ok_or_else(unknown)?;
            conditions.allow(Some(&tag_of(&show(&old))))?;
            let Ban { address, prefix_len, .. } = old;
            Ok::<_, Problem>((vec![Change::RemoveBan(address, prefix_len)], ()))
        })?;
        api.refresh_policy()?;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_has_one_name() {
        assert_eq!(network("192.0.2.0", "24").unwrap().to_string(), "192.0.2.0/24");
        assert_eq!(network("2001:db8::", "32").unwrap().to_string(), "2001:db8::/32");
        for (address, prefix_len) in [
            ("192.0.2.1", "24"),
            ("192.0.2.0", "33"),
            ("192.0.2.0", "+24"),
            ("192.0.2.0", ""),
            ("2001:db8::", "129"),
            ("::ffff:192.0.2.0", "120"),
            ("example.org", "0"),
        ] {
            assert!(network(address, prefix_len).is_err(), "{address}/{prefix_len}");
        }
    }
}
