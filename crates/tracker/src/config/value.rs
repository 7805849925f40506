//! Values of options: from what was written to what is meant, and back to text.
//!
//! Knows kinds, not options, and no relation between two of them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};
use serde::{Serialize, Serializer};

use super::options::{Initial, Kind};
use super::problem::printable;
use super::raw::Raw;

/// A text that is used and never shown.
///
/// Every way to print it says only whether it is set.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(Box<str>);

impl Secret {
    /// Returns the text, or nothing when it is empty.
    pub fn expose(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(&*self.0)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "<unset>" } else { "<set>" })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The checked value of one option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Bool(bool),
    Integer(u64),
    /// A text, a path or the word of a choice.
    Text(String),
    Secret(Secret),
    Texts(Vec<String>),
    /// Nothing for `["off"]`.
    Sockets(Option<Vec<SocketAddr>>),
    Networks(Vec<IpNet>),
}

impl Value {
    /// Returns the value as TOML writes it.
    pub(crate) fn to_toml(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Text(text) => quoted(text),
            Self::Secret(secret) => quoted(&secret.to_string()),
            Self::Texts(texts) => quoted_list(texts),
            Self::Sockets(None) => quoted_list(&["off"]),
            Self::Sockets(Some(addresses)) => quoted_list(addresses),
            Self::Networks(networks) => quoted_list(networks),
        }
    }
}

impl Initial {
    /// Returns the default as it would be written in a file.
    pub(crate) fn raw(self) -> Raw {
        match self {
            Self::Bool(value) => Raw::Bool(value),
            Self::Integer(value) => Raw::Integer(value.into()),
            Self::Text(text) => Raw::Text(text.into()),
            Self::List(items) => {
                Raw::List(items.iter().map(|item| Raw::Text((*item).into())).collect())
            }
        }
    }
}

impl Kind {
    /// Returns what the text of a flag or environment variable would be in a file.
    ///
    /// Text that does not fit stays text, so that [`Kind::parse`] refuses it by name.
    pub(crate) fn raw_from_text(&self, text: &str) -> Raw {
        match self {
            Self::Bool => match text {
                "true" | "1" => Raw::Bool(true),
                "false" | "0" => Raw::Bool(false),
                _ => Raw::Text(text.into()),
            },
            Self::Integer { .. } => match text.trim().parse() {
                Ok(number) => Raw::Integer(number),
                Err(_) => Raw::Text(text.into()),
            },
            Self::Text | Self::Secret | Self::Path | Self::Choice(_) => Raw::Text(text.into()),
            Self::Texts | Self::Sockets | Self::Networks => Raw::List(
                text.split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                    .map(|item| Raw::Text(item.into()))
                    .collect(),
            ),
        }
    }

    /// Checks what was written.
    ///
    /// # Errors
    /// A sentence that says what is allowed; it repeats no value except an item of a list.
    pub(crate) fn parse(&self, raw: &Raw) -> Result<Value, String> {
        let value = match (self, raw) {
            // One item needs no brackets.
            (Self::Texts | Self::Sockets | Self::Networks, Raw::Text(_)) => {
                return self.parse(&Raw::List(vec![raw.clone()]));
            }
            (Self::Bool, Raw::Bool(value)) => Some(Value::Bool(*value)),
            (Self::Integer { min, max }, Raw::Integer(number)) => u64::try_from(*number)
                .ok()
                .filter(|number| (min..=max).contains(&number))
                .map(Value::Integer),
            (Self::Choice(words), Raw::Text(text)) => {
                words.contains(&text.as_str()).then(|| Value::Text(text.clone()))
            }
            (Self::Secret, Raw::Text(text)) => Some(Value::Secret(text.as_str().into())),
            (Self::Text | Self::Path, Raw::Text(text)) => {
                is_plain(text).then(|| Value::Text(text.clone()))
            }
            (Self::Texts, Raw::List(items)) => {
                return self
                    .items(items, |text| {
                        (!text.is_empty() && is_plain(text)).then(|| text.to_owned())
                    })
                    .map(Value::Texts);
            }
            (Self::Networks, Raw::List(items)) => {
                return self.items(items, network).map(Value::Networks);
            }
            (Self::Sockets, Raw::List(items)) => return self.sockets(items),
            _ => None,
        };
        value.ok_or_else(|| format!("must be {}", self.allowed()))
    }

    /// Says what values are allowed, as the end of a sentence.
    pub(crate) fn allowed(&self) -> String {
        match self {
            Self::Bool => "true or false".into(),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Text => "text without control characters".into(),
            Self::Secret => "text".into(),
            Self::Path => "the path of a file, or empty for none".into(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Texts => "a list of texts".into(),
            Self::Sockets => {
                "a list of addresses such as 192.0.2.1:1337 or [2001:db8::1]:1337, or off alone"
                    .into()
            }
            Self::Networks => {
                "a list of address ranges such as 192.0.2.0/24 or 2001:db8::/32".into()
            }
        }
    }

    fn items<T>(&self, items: &[Raw], parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, String> {
        let mut parsed = Vec::new();
        let mut bad = Vec::new();
        for item in items {
            match item {
                Raw::Text(text) => {
                    parse(text.trim()).map_or_else(|| bad.push(item), |item| parsed.push(item))
                }
                _ => bad.push(item),
            }
        }
        let verb = if bad.len() == 1 { "does" } else { "do" };
        let shown: Vec<_> = bad.iter().take(LIST_SHOWN_MAX).map(ToString::to_string).collect();
        match shown.is_empty() {
            true => Ok(parsed),
            false => {
                Err(format!("{} {verb} not fit: must be {}", shown.join(", "), self.allowed()))
            }
        }
    }

    fn sockets(&self, items: &[Raw]) -> Result<Value, String> {
        if matches!(items, [Raw::Text(word)] if word == "off") {
            return Ok(Value::Sockets(None));
        }
        let addresses = self.items(items, |text| text.parse::<SocketAddr>().ok())?;
        for (index, address) in addresses.iter().enumerate() {
            if addresses[..index].contains(address) && address.port() != 0 {
                return Err(format!("{address} is given twice"));
            }
        }
        Ok(Value::Sockets(Some(addresses)))
    }
}

/// Reads an address range or a single address; host bits are cleared.
fn network(text: &str) -> Option<IpNet> {
    let network: IpNet = match text.parse() {
        Ok(network) => network,
        Err(_) => text.parse::<IpAddr>().ok()?.into(),
    };
    // Addresses are compared in their plain form, so a mapped range would never match.
    if let IpNet::V6(v6) = network
        && let Some(prefix) = v6.prefix_len().checked_sub(Ipv6Addr::BITS as u8 - 32)
        && let Some(v4) = v6.addr().to_ipv4_mapped()
    {
        return Ipv4Net::new(v4, prefix).ok().map(|v4| IpNet::V4(v4.trunc()));
    }
    Some(network.trunc())
}

fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            char if char.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(char))),
            char => out.push(char),
        }
    }
    out.push('"');
    out
}

fn quoted_list<T: ToString>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(|item| quoted(&item.to_string())).collect();
    format!("[{}]", items.join(", "))
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Integer(number) => number.fmt(f),
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Text(text) => write!(f, "\"{}\"", printable(text)),
            Self::List(items) => {
                let items: Vec<_> =
                    items.iter().take(LIST_SHOWN_MAX).map(ToString::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Table(_) => f.write_str("a table"),
        }
    }
}

/// A list in a message is cut after this many items.
const LIST_SHOWN_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(kind: Kind, text: &str) -> Result<Value, String> {
        kind.parse(&kind.raw_from_text(text))
    }

    #[test]
    fn secret_is_never_shown() {
        let secret = Secret::from("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "<set> <set>");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"<set>\"");
        assert_eq!(Value::Secret(secret.clone()).to_toml(), "\"<set>\"");
        assert_eq!(secret.expose(), Some("hunter2"));
        assert_eq!(Secret::default().to_string(), "<unset>");
        assert_eq!(Secret::default().expose(), None);
    }

    #[test]
    fn integer_is_refused_outside_its_bounds() {
        let kind = Kind::Integer { min: 60, max: 3600 };
        assert_eq!(parse(kind, "60"), Ok(Value::Integer(60)));
        assert_eq!(parse(kind, "3600"), Ok(Value::Integer(3600)));
        for bad in ["59", "3601", "-60", "60.0", "", "0x60", "99999999999999999999999"] {
            assert_eq!(
                parse(kind, bad),
                Err("must be a whole number from 60 to 3600".into()),
                "{bad}"
            );
        }
    }

    #[test]
    fn file_values_are_not_guessed_from_other_types() {
        let integer = Kind::Integer { min: 0, max: 10 };
        assert!(integer.parse(&Raw::Text("5".into())).is_err());
        assert!(integer.parse(&Raw::Float(5.0)).is_err());
        assert!(Kind::Bool.parse(&Raw::Integer(1)).is_err());
        assert!(Kind::Secret.parse(&Raw::Integer(1)).is_err());
        assert!(Kind::Texts.parse(&Raw::Integer(1)).is_err());
    }

    #[test]
    fn single_text_is_a_list_of_one() {
        let text = |text: &str| Raw::Text(text.into());
        assert_eq!(Kind::Sockets.parse(&text("off")), Ok(Value::Sockets(None)));
        assert_eq!(Kind::Texts.parse(&text("a,b")), Ok(Value::Texts(vec!["a,b".into()])));
        let network = Kind::Networks.parse(&text("10.0.0.0/8")).unwrap();
        assert_eq!(network.to_toml(), r#"["10.0.0.0/8"]"#);
        assert!(Kind::Sockets.parse(&text("localhost:80")).is_err());
    }

    #[test]
    fn every_bad_item_is_told() {
        let error = parse(Kind::Networks, "a,10.0.0.0/8,b").unwrap_err();
        assert!(error.starts_with("\"a\", \"b\" do not fit: must be "), "{error}");
    }

    #[test]
    fn socket_list_is_addresses_or_off() {
        assert_eq!(parse(Kind::Sockets, "off"), Ok(Value::Sockets(None)));
        assert_eq!(parse(Kind::Sockets, ""), Ok(Value::Sockets(Some(vec![]))));
        assert_eq!(
            parse(Kind::Sockets, "127.0.0.1:80, [::1]:81"),
            Ok(Value::Sockets(Some(vec![
                "127.0.0.1:80".parse().unwrap(),
                "[::1]:81".parse().unwrap()
            ])))
        );
        assert!(parse(Kind::Sockets, "off,127.0.0.1:80").unwrap_err().starts_with("\"off\""));
        assert!(parse(Kind::Sockets, "localhost:80").is_err());
        assert_eq!(
            parse(Kind::Sockets, "127.0.0.1:80,127.0.0.1:80"),
            Err("127.0.0.1:80 is given twice".into())
        );
    }

    #[test]
    fn network_is_put_in_the_form_that_addresses_have() {
        let networks = |text| parse(Kind::Networks, text).unwrap().to_toml();
        assert_eq!(networks("10.1.2.3/8"), r#"["10.0.0.0/8"]"#);
        assert_eq!(networks("192.0.2.7,2001:db8::1"), r#"["192.0.2.7/32", "2001:db8::1/128"]"#);
        assert_eq!(networks("::ffff:10.0.0.0/104"), r#"["10.0.0.0/8"]"#);
        assert_eq!(networks("::/0"), r#"["::/0"]"#);
        assert!(parse(Kind::Networks, "10.0.0.0/33").is_err());
    }

    #[test]
    fn toml_text_is_read_back_as_it_was() {
        let text = "a\"b\\c\n\u{1b}\u{e9}";
        let line = format!("x = {}", Value::Text(text.into()).to_toml());
        let table: toml::Table = toml::from_str(&line).unwrap();
        assert_eq!(table["x"].as_str(), Some(text));
    }
}
