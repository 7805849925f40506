//! The little that all HTML pages share: templates, escaping, numbers, style and script.
//!
//! Holds no page.

use std::fmt::Write as _;

/// The style of all pages.
const STYLE: &str = include_str!("skep.css");

/// The script of the home page; every page works without it.
const SCRIPT: &str = include_str!("home.js");

/// What pages may load. The hashes are those of the style and of the script, so that nothing that
/// was smuggled into a page would run.
pub(super) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; \
    style-src 'sha256-6uEApfeoeEeqb8T9WQuZZ6C/4f407lS2PmgsiXozGMs='; \
    script-src 'sha256-w5mNk4QFXqJjJaGs+vdFfjljtD+9LKO34DLsDe1Er/g='; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// A piece of a page.
pub(super) enum Piece<'a> {
    /// Text, which is escaped.
    Text(&'a str),
    /// HTML that was made here.
    Markup(&'a str),
    /// A number, in groups of three digits.
    Number(u64),
}

/// Puts pieces into the places `{{name}}` of a template. What was put in is not looked at again.
pub(super) fn fill(template: &str, pieces: &[(&str, Piece<'_>)]) -> String {
    let mut page = String::with_capacity(template.len() + STYLE.len() + SCRIPT.len() + 1024);
    let mut rest = template;
    while let Some((before, name, after)) = next_place(rest) {
        page.push_str(before);
        match (name, pieces.iter().find(|(known, _)| *known == name)) {
            ("style", _) => page.push_str(STYLE),
            ("script", _) => page.push_str(SCRIPT),
            (_, Some((_, Piece::Text(text)))) => page.push_str(&escape(text)),
            (_, Some((_, Piece::Markup(markup)))) => page.push_str(markup),
            (_, Some((_, Piece::Number(number)))) => page.push_str(&grouped(*number)),
            (name, None) => debug_assert!(false, "nothing to put into {name}"),
        }
        rest = after;
    }
    page.push_str(rest);
    page
}

fn next_place(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{{")?;
    let (name, after) = rest.split_once("}}")?;
    Some((before, name, after))
}

/// Makes text safe between tags and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(char),
        }
    }
    out
}

/// A number with a comma between groups of three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Seconds as people say them, in the two largest units.
pub(super) fn duration(secs: u64) -> String {
    let (days, hours, minutes) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60);
    let mut text = String::new();
    match (days, hours, minutes) {
        (0, 0, 0) => write!(text, "{secs} s"),
        (0, 0, _) => write!(text, "{minutes} min {} s", secs % 60),
        (0, _, _) => write!(text, "{hours} h {minutes} min"),
        _ => write!(text, "{days} d {hours} h"),
    }
    .expect("a String takes everything");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup_or_a_place() {
        let page = fill(
            "<b>{{a}}</b>{{n}}{{m}}",
            &[
                ("a", Piece::Text("<i x='\"'>&{{n}}")),
                ("n", Piece::Number(1_234_567)),
                ("m", Piece::Markup("<hr>")),
            ],
        );
        let expected = "<b>&lt;i x=&#39;&quot;&#39;&gt;&amp;{{n}}</b>1,234,567<hr>";
        assert_eq!(page, expected);
    }

    #[test]
    fn numbers_are_grouped_from_the_right() {
        let texts = [0, 999, 1000, 12_345, 123_456].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "12,345", "123,456"]);
    }

    #[test]
    fn durations_are_short() {
        let texts = [59, 61, 3_661, 90_061].map(duration);
        assert_eq!(texts, ["59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
    }

    #[test]
    fn policy_allows_exactly_this_style_and_this_script() {
        for text in [STYLE, SCRIPT] {
            let source = format!("'sha256-{}'", sha256::base64(text.as_bytes()));
            assert!(CONTENT_SECURITY_POLICY.contains(&source), "the policy lacks {source}");
        }
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }

    /// FIPS 180-4, as far as it takes to check two constants.
    mod sha256 {
        pub(super) fn base64(bytes: &[u8]) -> String {
            const DIGITS: &[u8; 64] =
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            let mut text = String::new();
            for chunk in digest(bytes).chunks(3) {
                let group = (0..3).fold(0, |group, at| {
                    group << 8 | u32::from(chunk.get(at).copied().unwrap_or(0))
                });
                for at in 0..=chunk.len() {
                    text.push(char::from(DIGITS[(group >> (18 - 6 * at)) as usize & 63]));
                }
                text.push_str(&"="[..3 - chunk.len()]);
            }
            text
        }

        fn digest(bytes: &[u8]) -> [u8; 32] {
            let (k, mut state) = constants();
            let mut message = bytes.to_vec();
            message.push(0x80);
            message.resize((message.len() + 8).next_multiple_of(64) - 8, 0);
            message.extend((bytes.len() as u64 * 8).to_be_bytes());
            for block in message.chunks(64) {
                let mut w: Vec<u32> = block
                    .chunks(4)
                    .map(|word| u32::from_be_bytes(word.try_into().unwrap()))
                    .collect();
                for t in 16..64 {
                    let (x, y) = (w[t - 15], w[t - 2]);
                    let s0 = x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3);
                    let s1 = y.rotate_right(17) ^ y.rotate_right(19) ^ (y >> 10);
                    w.push(w[t - 16].wrapping_add(s0).wrapping_add(w[t - 7]).wrapping_add(s1));
                }
                let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
                for t in 0..64 {
                    let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
                    let choice = (e & f) ^ (!e & g);
                    let t1 = [s1, choice, k[t], w[t]].iter().fold(h, |x, y| x.wrapping_add(*y));
                    let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
                    let t2 = s0.wrapping_add((a & b) ^ (a & c) ^ (b & c));
                    (h, g, f, e) = (g, f, e, d.wrapping_add(t1));
                    (d, c, b, a) = (c, b, a, t1.wrapping_add(t2));
                }
                for (sum, word) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
                    *sum = sum.wrapping_add(word);
                }
            }
            let mut out = [0; 32];
            for (bytes, word) in out.chunks_mut(4).zip(state) {
                bytes.copy_from_slice(&word.to_be_bytes());
            }
            out
        }

        /// Fractional parts of the cube roots, and of the square roots, of the first primes.
        fn constants() -> ([u32; 64], [u32; 8]) {
            let is_prime = |n: &u128| (2..*n).all(|d| !n.is_multiple_of(d));
            let primes: Vec<u128> = (2..).filter(is_prime).take(64).collect();
            let root = |value: u128, power: u32| {
                let fits = |x: u128| x.checked_pow(power).is_some_and(|p| p <= value);
                (0..40)
                    .rev()
                    .fold(0u128, |x, bit| if fits(x | 1 << bit) { x | 1 << bit } else { x })
            };
            let k = std::array::from_fn(|at| root(primes[at] << 96, 3) as u32);
            (k, std::array::from_fn(|at| root(primes[at] << 64, 2) as u32))
        }
    }
}
