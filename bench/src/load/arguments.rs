//! The flags of the command line: `--name=value`, each asked for by name.
//!
//! Which flags there are is known by those who ask.

use std::str::FromStr;

use anyhow::{Result, bail};

/// Flags not yet asked for.
pub(crate) struct Arguments {
    flags: Vec<(String, String)>,
}

impl Arguments {
    /// Splits the words of a command line.
    pub(crate) fn new(words: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut flags = Vec::new();
        for word in words {
            let Some((name, value)) = word.strip_prefix("--").and_then(|flag| flag.split_once('='))
            else {
                bail!("flags are --name=value, not {word:?}");
            };
            flags.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self { flags })
    }

    /// Takes every value given under a name.
    pub(crate) fn all(&mut self, name: &str) -> Vec<String> {
        let taken = self.flags.extract_if(.., |(given, _)| given == name);
        taken.map(|(_, value)| value).collect()
    }

    /// Takes the value under a name, the last one if there are several.
    pub(crate) fn optional<T: FromStr>(&mut self, name: &str) -> Result<Option<T>> {
        let Some(value) = self.all(name).pop() else {
            return Ok(None);
        };
        match value.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => bail!("--{name} cannot be {value:?}"),
        }
    }

    /// Takes the value under a name, or the default.
    pub(crate) fn or<T: FromStr>(&mut self, name: &str, default: T) -> Result<T> {
        Ok(self.optional(name)?.unwrap_or(default))
    }

    /// Refuses what nobody asked for.
    pub(crate) fn finish(&self) -> Result<()> {
        match self.flags.first() {
            None => Ok(()),
            Some((name, _)) => bail!("unknown flag --{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &[&str]) -> Result<Arguments> {
        Arguments::new(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn flags_are_taken_once_and_leftovers_refused() {
        let mut given = arguments(&["--rounds=3", "--tracker=a=b", "--tracker=c"]).unwrap();
        assert_eq!(given.or("rounds", 1).unwrap(), 3);
        assert_eq!(given.or("seconds", 7).unwrap(), 7);
        assert_eq!(given.all("tracker"), ["a=b", "c"]);
        given.finish().unwrap();
        assert!(arguments(&["--typo=1"]).unwrap().finish().is_err());
        assert!(arguments(&["rounds"]).is_err());
        assert!(arguments(&["--rounds=x"]).unwrap().or("rounds", 1).is_err());
    }
}
