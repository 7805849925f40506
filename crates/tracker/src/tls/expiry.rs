//! When a certificate ends, read from its DER.
//!
//! Checks nothing else of it: what is no certificate has no end here.

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

const SECS_PER_DAY: u64 = 24 * 60 * 60;

/// Seconds since 1970 at which the validity of a certificate ends (RFC 5280, section 4.1).
pub(super) fn not_after_unix_secs(der: &[u8]) -> Option<u64> {
    let (certificate, _) = sequence(der)?;
    let (mut fields, _) = sequence(certificate)?;
    let (tag, _, after_version) = element(fields)?;
    if tag == VERSION {
        fields = after_version;
    }
    // Serial number, signature, issuer.
    for _ in 0..3 {
        (_, _, fields) = element(fields)?;
    }
    let (validity, _) = sequence(fields)?;
    let (_, _, not_after) = element(validity)?;
    let (tag, time, _) = element(not_after)?;
    let time = std::str::from_utf8(time).ok()?.strip_suffix('Z')?;
    match tag {
        UTC_TIME => {
            let year = number(time, 0..2)?;
            unix_secs(if year < 50 { 2000 + year } else { 1900 + year }, time.get(2..)?)
        }
        GENERALIZED_TIME => unix_secs(number(time, 0..4)?, time.get(4..)?),
        _ => None,
    }
}

/// The time of a year and of month, day, hour, minute and second behind it.
fn unix_secs(year: u64, rest: &str) -> Option<u64> {
    let [month, day, hour, minute, second] =
        [0, 2, 4, 6, 8].map(|start| number(rest, start..start + 2));
    let (month, day) = (month?, day?);
    if rest.len() != 10 || year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    let is_leap = leap_days(year) > leap_days(year - 1);
    let before_month = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][month as usize - 1];
    let days = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969)
        + before_month
        + u64::from(is_leap && month > 2)
        + (day - 1);
    Some(days * SECS_PER_DAY + hour? * 3600 + minute? * 60 + second?)
}

fn number(text: &str, range: std::ops::Range<usize>) -> Option<u64> {
    let digits = text.get(range)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn sequence(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(der)?;
    (tag == SEQUENCE).then_some((content, rest))
}

/// Tag and content of the first element, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], &length[..], content].concat()
    }

    /// As much of a certificate as is read.
    fn certificate(tag: u8, not_after: &str) -> Vec<u8> {
        let times = [der(UTC_TIME, b"200101000000Z"), der(tag, not_after.as_bytes())].concat();
        let fields = [
            der(VERSION, &[2, 1, 2]),
            der(0x02, &[1]),
            der(SEQUENCE, &[]),
            der(SEQUENCE, &[]),
            der(SEQUENCE, &times),
        ];
        der(SEQUENCE, &der(SEQUENCE, &fields.concat()))
    }

    #[test]
    fn end_is_read_in_both_notations() {
        let cases = [
            (UTC_TIME, "700101000000Z", 0),
            (UTC_TIME, "240229120000Z", 1_709_208_000),
            (UTC_TIME, "491231235959Z", 2_524_607_999),
            (GENERALIZED_TIME, "20500301000000Z", 2_529_705_600),
            (GENERALIZED_TIME, "20000301000001Z", 951_868_801),
        ];
        for (tag, text, secs) in cases {
            assert_eq!(not_after_unix_secs(&certificate(tag, text)), Some(secs), "{text}");
        }
    }

    #[test]
    fn anything_else_has_no_end() {
        let whole = certificate(UTC_TIME, "240229120000Z");
        for length in 0..whole.len() {
            assert_eq!(not_after_unix_secs(&whole[..length]), None, "{length}");
        }
        for text in ["240229120000", "241329120000Z", "2402291200Z", "24+229120000Z", ""] {
            assert_eq!(not_after_unix_secs(&certificate(UTC_TIME, text)), None, "{text}");
        }
        assert_eq!(not_after_unix_secs(&[0x30, 0x84, 255, 255, 255, 255]), None);
    }
}
