//! The description of the API (OpenAPI 3.1), made of the handlers and of the tables of fields.
//!
//! What every operation has in common is added here: problems, conditions, idempotency keys.

use std::borrow::Cow;

use serde_json::{Value, json};
use skep_engine::site::{Factor, Group, Torrent, User};
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, Object, ObjectBuilder, Schema, SchemaType, Type,
};
use utoipa::openapi::{OpenApi, OpenApiBuilder, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::fields::{Field, ID, Kind, Shape, ids, schema};
use super::idempotency::KEY_BYTES_MAX;
use super::records::{MANY_MAX, Record};
use super::{bans, clients, held, trace, verify};
use crate::admin::problem::{Fault, PROBLEM_TYPE, Shown};

/// Names schemas that are not those of a Rust type.
macro_rules! schemas {
    ($($name:ident = $shown:literal, $schema:expr;)+) => {$(
        pub(super) enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                RefOr::T($schema)
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                $shown.into()
            }
        }
    )+};
}

schemas! {
    TorrentShown = "Torrent", schema(Torrent::FIELDS, Shape::Shown);
    TorrentPut = "TorrentPut", schema(Torrent::FIELDS, Shape::Put);
    TorrentPatch = "TorrentPatch", schema(Torrent::FIELDS, Shape::Patch);
    TorrentMany = "TorrentMany", many::<Torrent>();
    TorrentList = "TorrentList", page::<Torrent>();
    UserShown = "User", schema(User::FIELDS, Shape::Shown);
    UserPut = "UserPut", schema(User::FIELDS, Shape::Put);
    UserPatch = "UserPatch", schema(User::FIELDS, Shape::Patch);
    UserMany = "UserMany", many::<User>();
    UserList = "UserList", page::<User>();
    GroupShown = "Group", schema(Group::FIELDS, Shape::Shown);
    GroupPut = "GroupPut", schema(Group::FIELDS, Shape::Put);
    GroupPatch = "GroupPatch", schema(Group::FIELDS, Shape::Patch);
    GroupList = "GroupList", page::<Group>();
    FactorShown = "Factor", schema(Factor::FIELDS, Shape::Shown);
    FactorPut = "FactorPut", schema(Factor::FIELDS, Shape::Put);
    FactorPatch = "FactorPatch", schema(Factor::FIELDS, Shape::Patch);
    FactorList = "FactorList", page::<Factor>();
    ClientShown = "Client", of(vec![("prefix", text()), ("allowed", flag())]);
    ClientPut = "ClientPut", schema(clients::FIELDS, Shape::Put);
    ClientList = "ClientList", all(ClientShown::schema());
    BanShown = "Ban",
        of(vec![("address", text()), ("prefix_len", number(128)), ("reason", text())]);
    BanPut = "BanPut", schema(bans::FIELDS, Shape::Put);
    BanList = "BanList", all(BanShown::schema());
    TracePut = "TracePut", schema(trace::FIELDS, Shape::Put);
    HeldPost = "HeldPost", schema(held::FIELDS, Shape::Put);
    ManyDone = "ManyDone", of(["put", "created", "removed"].map(|name| (name, count())).into());
    Reloaded = "Reloaded", of(vec![("reloaded", flag())]);
    Buckets = "Buckets", of(vec![
        ("bucket_ids", verify::BUCKET_IDS.schema().into()),
        ("buckets", entries(verify::BUCKET)),
    ]);
    BucketsDiffering = "BucketsDiffering", of(vec![("differing", list(count()))]);
    Digests = "Digests", of(vec![
        ("first", number(u32::MAX.into())),
        ("last", number(u32::MAX.into())),
        ("records", entries(verify::RECORD)),
    ]);
    RecordsDiffering = "RecordsDiffering", of(
        ["missing", "surplus", "differing"].map(|name| (name, ids().build().into())).into()
    );
}

fn of(properties: Vec<(&str, Schema)>) -> Schema {
    let mut object = ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::Object))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    for (name, schema) in properties {
        object = object.property(name, schema).required(name);
    }
    object.build().into()
}

fn text() -> Schema {
    Object::with_type(SchemaType::new(Type::String)).into()
}

fn flag() -> Schema {
    Object::with_type(SchemaType::new(Type::Boolean)).into()
}

fn number(max: u64) -> Schema {
    Kind::Number { min: 0, max }.schema().into()
}

fn count() -> Schema {
    number(u32::MAX.into())
}

fn list(items: impl Into<RefOr<Schema>>) -> Schema {
    ArrayBuilder::new().items(items.into()).build().into()
}

fn entries(table: &[Field]) -> Schema {
    let items = schema(table, Shape::Put);
    ArrayBuilder::new().items(RefOr::T(items)).max_items(Some(verify::ENTRIES_MAX)).build().into()
}

fn all(items: RefOr<Schema>) -> Schema {
    of(vec![("items", list(items))])
}

fn page<R: Record>() -> Schema {
    let mut next = ID.schema();
    next.schema_type = SchemaType::from_iter([Type::Integer, Type::Null]);
    next.description = Some("What to give as `after` for the next page; null on the last.".into());
    of(vec![("items", list(schema(R::FIELDS, Shape::Shown))), ("next", next.into())])
}

fn many<R: Record>() -> Schema {
    let put = ArrayBuilder::new().items(RefOr::T(schema(R::FIELDS, Shape::PutMany)));
    ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::Object))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        .property("put", put.max_items(Some(MANY_MAX)).build())
        .property("remove", ids().max_items(Some(MANY_MAX)).build())
        .build()
        .into()
}

/// What the description begins with.
pub(super) fn base() -> OpenApi {
    let info = utoipa::openapi::InfoBuilder::new()
        .title("skep")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("The API of a BitTorrent tracker, for its operator and its site."));
    OpenApiBuilder::new().info(info.build()).build()
}

/// Completes the description of the handlers.
pub(super) fn complete(api: &OpenApi) -> Value {
    let mut document = serde_json::to_value(api).expect("a description is always JSON");
    let schemas = [(Shown::name(), Shown::schema()), (Fault::name(), Fault::schema())];
    for (name, schema) in schemas {
        document["components"]["schemas"][name.as_ref()] = json!(schema);
    }
    document["components"]["securitySchemes"]["bearer"] = json!({
        "type": "http",
        "scheme": "bearer",
        "description": "A token of admin.tokens. Without any, programs on the tracker's host need none, and nobody reads passkeys.",
    });
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            complete_operation(path, method, operation);
        }
    }
    document
}

/// Problems that any operation may end in.
const ANY: &[(&str, &str)] = &[
    ("401", "There is no token, or one that is not known."),
    ("403", "The token does not have the scope, or the request comes from elsewhere."),
    ("422", "A parameter or a field does not fit."),
    ("500", "The tracker failed."),
    ("504", "There was no answer in time."),
];
/// Problems of operations that change something.
const CHANGING: &[(&str, &str)] = &[
    ("400", "The body is not JSON."),
    ("408", "The body did not come in time."),
    ("409", "It contradicts what is known, or cannot be done in this mode."),
    ("412", "The record is not as the conditions say."),
    ("413", "The body is too long."),
    ("415", "The body is not of a type that is taken."),
    ("503", "The storage is away, and the change is not in force."),
];

fn complete_operation(path: &str, method: &str, operation: &mut Value) {
    let changes = method != "get";
    let is_record = path.ends_with('}');
    let mut parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    for parameter in &mut parameters {
        // A parameter is left out, or has a value.
        let kinds = parameter["schema"]["type"].as_array().cloned();
        if let Some(kind) = kinds.and_then(|kinds| kinds.into_iter().find(|kind| kind != "null")) {
            parameter["schema"]["type"] = kind;
        }
    }
    let mut header = |name: &str, doc: &str, schema: Value| {
        parameters.push(json!({
            "name": name, "in": "header", "required": false, "description": doc, "schema": schema,
        }));
    };
    let tags = || json!({ "type": "string" });
    if changes {
        let doc = "A request that comes again with the same key is answered as before and not \
                   carried out again, for a day.";
        let pattern = format!("^[!-~]{{1,{KEY_BYTES_MAX}}}$");
        header("Idempotency-Key", doc, json!({ "type": "string", "pattern": pattern }));
    }
    if changes && is_record {
        header("If-Match", "Changes the record only if its ETag is among these.", tags());
    }
    if is_record {
        header("If-None-Match", "Does nothing if the ETag of the record is among these.", tags());
    }
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    let responses = &mut operation["responses"];
    let mut problem = |status: &str, doc: &str| {
        responses[status] = json!({
            "description": doc,
            "content": { PROBLEM_TYPE: { "schema": { "$ref": "#/components/schemas/Problem" } } },
        });
    };
    let changing = if changes { CHANGING } else { &[] };
    for (status, doc) in ANY.iter().chain(changing) {
        problem(status, doc);
    }
    if path.contains('{') {
        problem("404", "There is no such record.");
    }
    if path.ends_with("/totals") {
        problem("503", "The storage is away.");
    }
    problem("409", "It contradicts what is known, or cannot be done in this mode.");
    if method == "get" && is_record {
        responses["304"] = json!({ "description": "The record is as If-None-Match says." });
    }
}
