//! What all numbered records have in common: being listed, read, put, changed and removed.
//!
//! Knows no kind of record. Changes are decided while nothing else changes, and a change that was
//! answered is kept.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use skep_engine::site::Change;

use super::asked::{Asked, Conditions};
use super::fields::{Field, Fields, ID, Kind, check, fault, number, whole};
use super::{Api, blocking, keys, tag_of};
use crate::admin::problem::{Fault, Problem};
use crate::site::Site;

/// Records that are put and removed together.
pub(super) const MANY_MAX: usize = 10_000;
/// Records of one page.
pub(super) const PAGE_MAX: u64 = 1_000;
/// Records of a page for those who name no number.
const PAGE_DEFAULT: usize = 100;

/// A kind of record that has a number.
pub(super) trait Record: Clone + PartialEq + Send + Sync + 'static {
    /// The last part of its path.
    const KIND: &'static str;
    /// Its fields, but for the number.
    const FIELDS: &'static [Field];
    /// The field that no two records may share, or nothing.
    const UNIQUE: &'static str = "";

    fn new(id: u32) -> Self;
    fn id(&self) -> u32;
    /// Takes fields, whose values were compared with the table, and notes what they contradict.
    fn take(&mut self, fields: &Fields, at: &str, faults: &mut Vec<Fault>);
    fn show(&self, secrets: bool) -> Value;
    fn find(site: &Site, id: u32) -> Option<Self>;
    fn for_each(site: &Site, visit: &mut dyn FnMut(&Self));
    fn put(self) -> Change;

    /// Puts a record of which only these fields were given: what the tracker itself changes stays as it
    /// is unless it was given.
    fn amend(self, _given: &Value) -> Change {
        self.put()
    }

    fn remove(id: u32) -> Change;

    /// What no two records may share, as text.
    fn unique(&self) -> Option<String> {
        None
    }

    /// Who has the unique field of this record now.
    fn holder(&self, _site: &Site) -> Option<u32> {
        None
    }

    /// A short text that changes with the record.
    fn tag(&self) -> String {
        tag_of(&self.show(true))
    }
}

/// Which part of a list is asked for.
#[derive(Clone, Copy)]
pub(super) struct Page {
    after: u32,
    len: usize,
}

impl Page {
    pub(super) fn new(after: Option<&str>, limit: Option<&str>) -> Result<Self, Problem> {
        const AFTER: Kind = Kind::Number { min: 0, max: u32::MAX as u64 };
        let after = after.map_or(Ok(0), |text| parameter("after", text, &AFTER))?;
        let len = limit.map_or(Ok(PAGE_DEFAULT as u64), |text| {
            parameter("limit", text, &Kind::Number { min: 1, max: PAGE_MAX })
        })?;
        Ok(Self { after: after as u32, len: len as usize })
    }
}

/// Reads a number out of the query.
pub(super) fn parameter(name: &str, text: &str, kind: &Kind) -> Result<u64, Problem> {
    let value = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok());
    let value = value.flatten().filter(|number| kind.takes(&json!(number)));
    value.ok_or_else(|| keys::bad(name, format!("must be {}", kind.allowed())))
}

/// Reads a truth out of the query.
pub(super) fn truth(name: &str, text: Option<&str>) -> Result<bool, Problem> {
    match text {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(keys::bad(name, "must be true or false")),
    }
}

pub(super) async fn list<R: Record>(
    api: Arc<Api>,
    page: Page,
    secrets: bool,
    keep: impl Fn(&R) -> bool + Send + 'static,
) -> Result<Response, Problem> {
    api.keep_records()?;
    blocking(move || {
        let mut found = BTreeMap::new();
        R::for_each(api.books.site(), &mut |record| {
            let id = record.id();
            let is_early = |last: (&u32, _)| id < *last.0;
            let has_room = found.len() <= page.len || found.last_key_value().is_some_and(is_early);
            if id > page.after && has_room && keep(record) {
                found.insert(id, record.clone());
                if found.len() > page.len + 1 {
                    found.pop_last();
                }
            }
        });
        let has_more = found.len() > page.len;
        if has_more {
            found.pop_last();
        }
        let next = found.last_key_value().map(|(id, _)| *id).filter(|_| has_more);
        let items: Vec<_> = found.values().map(|record| record.show(secrets)).collect();
        Ok(super::json(&json!({ "items": items, "next": next })))
    })
    .await
}

pub(super) fn get<R: Record>(
    api: &Api,
    id: u32,
    asked: &Asked,
    secrets: bool,
) -> Result<Response, Problem> {
    api.keep_records()?;
    let record = R::find(api.books.site(), id).ok_or_else(unknown)?;
    let tag = record.tag();
    if asked.conditions().is_known(&tag) {
        return Ok(with_tag(StatusCode::NOT_MODIFIED.into_response(), &tag));
    }
    Ok(with_tag(super::json(&record.show(secrets)), &tag))
}

/// Whether a record is put as a whole, or a part of it is changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    Whole,
    Part,
}

pub(super) async fn put<R: Record>(
    api: Arc<Api>,
    id: u32,
    asked: Asked,
    extent: Extent,
) -> Result<Response, Problem> {
    api.keep_records()?;
    let [] = asked.query([])?;
    let (value, conditions) = (asked.json()?, asked.conditions());
    blocking(move || {
        let (old, new) = api.books.change_by(|site| {
            let old = R::find(site, id);
            let new = decide(site, id, old.as_ref(), &value, &conditions, extent)?;
            let is_new = old.as_ref() != Some(&new);
            let change = |new: R| match extent {
                Extent::Whole => new.put(),
                Extent::Part => new.amend(&value),
            };
            let changes = is_new.then(|| change(new.clone())).into_iter().collect();
            Ok::<_, Problem>((changes, (old, new)))
        })?;
        let response = with_tag(super::json(&new.show(false)), &new.tag());
        Ok(if old.is_some() { response } else { created(response, R::KIND, id) })
    })
    .await
}

fn decide<R: Record>(
    site: &Site,
    id: u32,
    old: Option<&R>,
    value: &Value,
    conditions: &Conditions,
    extent: Extent,
) -> Result<R, Problem> {
    let mut faults = Vec::new();
    let fields = check(R::FIELDS, "id", value, extent == Extent::Whole, "", &mut faults);
    if fields.and_then(|fields| fields.get("id")).is_some_and(|named| number(named) != Some(id)) {
        fault(&mut faults, "", "id", "must be that of the path, or be left out");
    }
    let Some(fields) = fields.filter(|_| faults.is_empty()) else {
        return Err(Problem::of_faults(faults));
    };
    let mut new = match (extent, old) {
        (Extent::Whole, _) => R::new(id),
        (Extent::Part, Some(old)) => old.clone(),
        (Extent::Part, None) => return Err(unknown()),
    };
    new.take(fields, "", &mut faults);
    if !faults.is_empty() {
        return Err(Problem::of_faults(faults));
    }
    // A condition does not count for a request that would fail without it.
    conditions.allow(old.map(R::tag).as_deref())?;
    if let Some(holder) = new.holder(site).filter(|holder| *holder != id) {
        fault(&mut faults, "", R::UNIQUE, in_use(holder));
        return Err(Problem::of_conflicts(faults));
    }
    Ok(new)
}

pub(super) async fn remove<R: Record>(
    api: Arc<Api>,
    id: u32,
    asked: Asked,
) -> Result<Response, Problem> {
    api.keep_records()?;
    let [] = asked.query([])?;
    let conditions = asked.conditions();
    blocking(move || {
        api.books.change_by(|site| {
            let old = R::find(site, id).ok_or_else(unknown)?;
            conditions.allow(Some(&old.tag()))?;
            Ok::<_, Problem>((vec![R::remove(id)], ()))
        })?;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}

/// What is put and removed together.
struct Many<R> {
    put: Vec<R>,
    remove: Vec<u32>,
}

pub(super) async fn change_many<R: Record>(
    api: Arc<Api>,
    asked: Asked,
) -> Result<Response, Problem> {
    api.keep_records()?;
    let [] = asked.query([])?;
    let value = asked.json()?;
    blocking(move || {
        let Many { put, remove } = Many::<R>::read(&value)?;
        let (put_count, (created, removed)) = (
            put.len(),
            api.books.change_by(|site| {
                let conflicts = conflicts(site, &put, &remove);
                if !conflicts.is_empty() {
                    return Err(Problem::of_conflicts(conflicts));
                }
                let gone: Vec<_> =
                    remove.iter().copied().filter(|id| R::find(site, *id).is_some()).collect();
                let created = put.iter().filter(|new| R::find(site, new.id()).is_none()).count();
                let removed = gone.len();
                let removals = gone.into_iter().map(R::remove);
                let changes = removals.chain(put.into_iter().map(R::put)).collect();
                Ok((changes, (created, removed)))
            })?,
        );
        let said = json!({ "put": put_count, "created": created, "removed": removed });
        Ok(super::json(&said))
    })
    .await
}

impl<R: Record> Many<R> {
    fn read(value: &Value) -> Result<Self, Problem> {
        let mut faults = Vec::new();
        let mut many = Self { put: Vec::new(), remove: Vec::new() };
        let Some(object) = value.as_object() else {
            return Err(keys::bad("body", "must be an object with put, remove or both"));
        };
        let mut count = 0;
        for (name, value) in object {
            let is_known = name == "put" || name == "remove";
            match value.as_array() {
                Some(list) if is_known => count += list.len(),
                _ if is_known => fault(&mut faults, "", name, "must be a list"),
                _ => fault(
                    &mut faults,
                    "",
                    super::fields::named(name),
                    "is not known; there are put, remove",
                ),
            }
        }
        if count > MANY_MAX {
            fault(&mut faults, "", "body", format!("must hold at most {MANY_MAX} records"));
        }
        if !faults.is_empty() {
            return Err(Problem::of_faults(faults));
        }
        let list = |name| object.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut seen = HashSet::new();
        for (at, value) in list("remove").iter().enumerate() {
            match number(value).filter(|_| ID.takes(value)) {
                Some(id) if !seen.insert(id) => {
                    fault(&mut faults, "remove/", &at.to_string(), TWICE)
                }
                Some(id) => many.remove.push(id),
                None => {
                    fault(
                        &mut faults,
                        "remove/",
                        &at.to_string(),
                        format!("must be {}", ID.allowed()),
                    );
                }
            }
        }
        for (at, value) in list("put").iter().enumerate() {
            let at = format!("put/{at}/");
            let id = value.get("id");
            if !id.is_some_and(|id| ID.takes(id)) {
                fault(&mut faults, &at, "id", format!("must be {}", ID.allowed()));
            }
            let id = id.and_then(whole).unwrap_or_default() as u32;
            if id != 0 && !seen.insert(id) {
                fault(&mut faults, &at, "id", TWICE);
            }
            let mut record = R::new(id);
            if let Some(fields) = check(R::FIELDS, "id", value, true, &at, &mut faults) {
                record.take(fields, &at, &mut faults);
            }
            many.put.push(record);
        }
        if faults.is_empty() { Ok(many) } else { Err(Problem::of_faults(faults)) }
    }
}

/// Fields of records to be put that others have and keep until then: a record that is changed in the
/// same request gives nothing up, since records are put one after the other.
fn conflicts<R: Record>(site: &Site, put: &[R], remove: &[u32]) -> Vec<Fault> {
    let removed: HashSet<_> = remove.iter().collect();
    let mut taken = HashMap::new();
    let mut faults = Vec::new();
    for (at, record) in put.iter().enumerate() {
        let Some(unique) = record.unique() else { continue };
        let holder = record.holder(site).filter(|holder| !removed.contains(holder));
        let earlier = taken.insert(unique, record.id());
        if let Some(holder) = holder.or(earlier).filter(|holder| *holder != record.id()) {
            fault(&mut faults, &format!("put/{at}/"), R::UNIQUE, in_use(holder));
        }
    }
    faults
}

const TWICE: &str = "must not be given twice";

fn in_use(holder: u32) -> String {
    format!("is that of {holder} already")
}

pub(super) fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no such record")
}

pub(super) fn with_tag(mut response: Response, tag: &str) -> Response {
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

pub(super) fn created(mut response: Response, kind: &str, id: impl std::fmt::Display) -> Response {
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/{kind}/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
