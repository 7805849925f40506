//! Comparing the site's list of torrents or users with what is in force here, in two steps.
//!
//! First the site sends a digest for each bucket of numbers and learns which buckets differ; then it
//! sends a digest for each record of such a bucket and learns which records do. Nothing is changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use skep_engine::site::{Torrent, User};

use super::asked::Asked;
use super::fields::{Field, ID, Kind, check, fault, number, whole};
use super::records::Record;
use super::{Api, blocking, keys, openapi};
use crate::admin::problem::{Fault, Problem};
use crate::config::Scope;

/// Buckets or records of one request.
pub(super) const ENTRIES_MAX: usize = 100_000;
/// Numbers of one bucket.
pub(super) const BUCKET_IDS: Kind = Kind::Number { min: 1, max: 1_000_000 };

const NUMBER: Kind = Kind::Number { min: 0, max: u32::MAX as u64 };

/// What is told of a bucket.
pub(super) const BUCKET: &[Field] = &[
    Field::new("bucket", NUMBER, "Its number: that of each of its records divided by bucket_ids.")
        .required(),
    Field::new("count", NUMBER, "How many records it has.").required(),
    Field::new("digest", Kind::Digest, "The digests of its records, combined by exclusive or.")
        .required(),
];

/// What is told of a record.
pub(super) const RECORD: &[Field] = &[
    Field::new("id", ID, "Its number.").required(),
    Field::new(
        "digest",
        Kind::Digest,
        "The first 16 hexadecimal digits of the SHA-256 of its text.",
    )
    .required(),
];

/// The digest of a record: of its number and its fields in the order of their table, a line each.
fn digest<R: Record>(record: &R) -> u64 {
    let shown = record.show(true);
    let mut hasher = Sha256::new();
    hasher.update(record.id().to_string());
    for field in R::FIELDS {
        let text = match &shown[field.name] {
            Value::Null => String::new(),
            Value::Bool(flag) => u8::from(*flag).to_string(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        hasher.update("\n");
        hasher.update(text);
    }
    let hash = hasher.finalize();
    hash[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn read_digest(value: &Value) -> u64 {
    value.as_str().and_then(|text| u64::from_str_radix(text, 16).ok()).unwrap_or_default()
}

/// Reads a list of objects with these fields out of a body that has some numbers beside it.
fn read<'a>(
    value: &'a Value,
    numbers: &[(&str, &Kind)],
    list: &str,
    table: &[Field],
) -> Result<Vec<&'a Value>, Problem> {
    let mut faults: Vec<Fault> = Vec::new();
    for (name, kind) in numbers {
        if !value.get(name).is_some_and(|value| kind.takes(value)) {
            fault(&mut faults, "", name, format!("must be {}", kind.allowed()));
        }
    }
    for name in value.as_object().into_iter().flat_map(|object| object.keys()) {
        if name != list && !numbers.iter().any(|(known, _)| known == name) {
            fault(&mut faults, "", super::fields::named(name), "is not known");
        }
    }
    let entries = value.get(list).and_then(Value::as_array);
    match entries {
        Some(entries) if entries.len() <= ENTRIES_MAX => {
            for (at, entry) in entries.iter().enumerate() {
                check(table, "", entry, true, &format!("{list}/{at}/"), &mut faults);
            }
        }
        _ => fault(&mut faults, "", list, format!("must be a list of at most {ENTRIES_MAX}")),
    }
    let entries = entries.map(|entries| entries.iter().collect());
    if faults.is_empty() {
        Ok(entries.unwrap_or_default())
    } else {
        Err(Problem::of_faults(faults))
    }
}

async fn compare_buckets<R: Record>(api: Arc<Api>, asked: Asked) -> Result<Response, Problem> {
    api.keep_records()?;
    let [] = asked.query([])?;
    let value = asked.json()?;
    blocking(move || {
        let entries = read(&value, &[("bucket_ids", &BUCKET_IDS)], "buckets", BUCKET)?;
        let bucket_ids = number(&value["bucket_ids"]).unwrap_or(1);
        // Numbers and digests of the site count up, ours count down: what is equal ends at zero.
        let mut buckets = BTreeMap::<u32, (i64, u64)>::new();
        for (at, entry) in entries.iter().enumerate() {
            let bucket = number(&entry["bucket"]).unwrap_or_default();
            let count = whole(&entry["count"]).unwrap_or_default() as i64;
            if buckets.insert(bucket, (count, read_digest(&entry["digest"]))).is_some() {
                return Err(keys::bad(&format!("buckets/{at}/bucket"), "must not be given twice"));
            }
        }
        R::for_each(api.books.site(), &mut |record| {
            let bucket = buckets.entry(record.id() / bucket_ids).or_default();
            *bucket = (bucket.0 - 1, bucket.1 ^ digest(record));
        });
        let differing: Vec<_> =
            buckets.iter().filter(|(_, rest)| **rest != (0, 0)).map(|(bucket, _)| bucket).collect();
        Ok(super::json(&json!({ "differing": differing })))
    })
    .await
}

async fn compare_records<R: Record>(api: Arc<Api>, asked: Asked) -> Result<Response, Problem> {
    api.keep_records()?;
    let [] = asked.query([])?;
    let value = asked.json()?;
    blocking(move || {
        let entries = read(&value, &[("first", &NUMBER), ("last", &NUMBER)], "records", RECORD)?;
        let range = number(&value["first"]).unwrap_or(0)..=number(&value["last"]).unwrap_or(0);
        let mut theirs = BTreeMap::new();
        for (at, entry) in entries.iter().enumerate() {
            let id = number(&entry["id"]).unwrap_or_default();
            let field = format!("records/{at}/id");
            if !range.contains(&id) {
                return Err(keys::bad(&field, "must be from first to last"));
            }
            if theirs.insert(id, read_digest(&entry["digest"])).is_some() {
                return Err(keys::bad(&field, "must not be given twice"));
            }
        }
        let (mut surplus, mut differing) = (Vec::new(), Vec::new());
        R::for_each(api.books.site(), &mut |record| {
            let id = record.id();
            if range.contains(&id) {
                match theirs.remove(&id) {
                    None => surplus.push(id),
                    Some(theirs) if theirs != digest(record) => differing.push(id),
                    Some(_) => {}
                }
            }
        });
        surplus.sort_unstable();
        differing.sort_unstable();
        let missing: Vec<_> = theirs.into_keys().collect();
        let said = json!({ "missing": missing, "surplus": surplus, "differing": differing });
        Ok(super::json(&said))
    })
    .await
}

/// Tells which buckets of torrents are not as the site has them.
#[utoipa::path(post, path = "/api/v1/torrents/verify/buckets", tag = "verify", security(("bearer" = ["read"])),
    request_body = openapi::Buckets,
    responses((status = 200, description = "The buckets that differ.", body = openapi::BucketsDiffering)))]
pub(super) async fn verify_torrent_buckets(
    State(api): State<Arc<Api>>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Read)?;
    compare_buckets::<Torrent>(api, asked).await
}

/// Tells which torrents of a range are not as the site has them.
#[utoipa::path(post, path = "/api/v1/torrents/verify/records", tag = "verify", security(("bearer" = ["read"])),
    request_body = openapi::Digests,
    responses((status = 200, description = "The torrents that differ.", body = openapi::RecordsDiffering)))]
pub(super) async fn verify_torrent_records(
    State(api): State<Arc<Api>>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Read)?;
    compare_records::<Torrent>(api, asked).await
}

/// Tells which buckets of users are not as the site has them.
#[utoipa::path(post, path = "/api/v1/users/verify/buckets", tag = "verify", security(("bearer" = ["read"])),
    request_body = openapi::Buckets,
    responses((status = 200, description = "The buckets that differ.", body = openapi::BucketsDiffering)))]
pub(super) async fn verify_user_buckets(
    State(api): State<Arc<Api>>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Read)?;
    compare_buckets::<User>(api, asked).await
}

/// Tells which users of a range are not as the site has them.
#[utoipa::path(post, path = "/api/v1/users/verify/records", tag = "verify", security(("bearer" = ["read"])),
    request_body = openapi::Digests,
    responses((status = 200, description = "The users that differ.", body = openapi::RecordsDiffering)))]
pub(super) async fn verify_user_records(
    State(api): State<Arc<Api>>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Read)?;
    compare_records::<User>(api, asked).await
}
