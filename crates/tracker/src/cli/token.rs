//! `skep token`: which token of the API is to be made.
//!
//! Makes none: that is done where tokens are compared.

use std::ffi::OsString;

use super::{Command, UsageError, flag_of};
use crate::config::{Scope, scopes_of};

/// Reads what follows the word `token`.
pub(super) fn parse(args: &[OsString]) -> Result<Command, UsageError> {
    let (mut name, mut scopes, mut faults) = ("site".to_owned(), vec![Scope::Read], Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let Some((flag, attached)) = flag_of(arg) else {
            faults.push("token takes no words but flags".to_owned());
            continue;
        };
        if flag == "help" || flag == "h" {
            return Ok(Command::Help(HELP.to_owned()));
        }
        let value = attached.or_else(|| args.next().cloned()).unwrap_or_default();
        let value = value.to_string_lossy();
        match flag.as_str() {
            "name" if is_name(&value) => name = value.into_owned(),
            "name" => faults.push(
                "--name must be 1 to 32 letters, digits, dashes, dots and underscores".to_owned(),
            ),
            "scopes" => match scopes_of(&value) {
                Ok(named) => scopes = named,
                Err(message) => faults.push(format!("--scopes {message}")),
            },
            _ => faults.push("token takes --name and --scopes".to_owned()),
        }
    }
    if faults.is_empty() { Ok(Command::Token { name, scopes }) } else { Err(UsageError { faults }) }
}

fn is_name(text: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=32).contains(&text.len()) && text.bytes().all(is_of_name)
}

const HELP: &str = "\
Usage: skep token [--name NAME] [--scopes SCOPES]

Makes a token for the API and prints it together with its line of admin.tokens, which holds a hash.
The token itself is kept nowhere.

  --name NAME        what the operator calls it; site if not given
  --scopes SCOPES    read+write+bans+reload+trace+users:passkeys, or some of them; read if not given
";

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Result<Command, UsageError> {
        parse(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn name_and_scopes_are_flags_with_defaults() {
        for (words, expected_name, expected) in [
            (&[][..], "site", &[Scope::Read][..]),
            (&["--name", "a.b", "--scopes=read+write"], "a.b", &[Scope::Read, Scope::Write]),
        ] {
            let Ok(Command::Token { name, scopes }) = of(words) else { panic!("{words:?}") };
            assert_eq!((name.as_str(), &scopes[..]), (expected_name, expected));
        }
        for words in [&["x"][..], &["--name", "a:b"], &["--name"], &["--scopes=all"], &["--port=1"]]
        {
            assert_eq!(of(words).unwrap_err().faults.len(), 1, "{words:?}");
        }
    }
}
