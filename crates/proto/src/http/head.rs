//! The head of a request: method, target, and the few headers that matter to a tracker.
//!
//! Targets keep their raw bytes, unlike in common HTTP parsers, because there are clients that do
//! not escape every byte of an info_hash. Bodies are never read, only noticed.

/// Most headers that a request may have.
pub const HEADERS_MAX: usize = 64;

/// Longest method that is waited for; it bounds how much binary noise is taken for a request.
const METHOD_BYTES_MAX: usize = 16;
/// What every version that is understood begins with.
const VERSION_START: &[u8] = b"HTTP/1.";

/// What a request wants done; a tracker serves two of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`: the answer to `GET` without its body.
    Head,
    /// Any other.
    Other,
}

/// A head that no answer but an error and a closed connection can follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HeadError {
    /// Not HTTP/1.0 or HTTP/1.1.
    BadRequest,
    /// The request line alone is longer than a head may be.
    TargetTooLong,
    /// The headers are too many or too long.
    HeadersTooLarge,
}

/// How far a buffer has been understood.
#[derive(Clone, Copy, Debug)]
pub enum HeadStatus<'a> {
    /// Good so far, but not all of it is there.
    Partial,
    /// A whole head.
    Complete(Head<'a>),
    /// Nothing more on this connection can be understood.
    Invalid(HeadError),
}

/// A request head; everything in it borrows from the buffer.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    /// The method.
    pub method: Method,
    /// The target as sent, in origin form or absolute form.
    pub target: &'a [u8],
    /// The digit after `HTTP/1.`
    pub http_minor: u8,
    /// The client expects the connection to stay open.
    pub keep_alive: bool,
    /// A body follows, which nobody reads: the connection must end with this request.
    pub has_body: bool,
    /// `Accept` names `application/json`.
    pub accepts_json: bool,
    /// The client asks to speak WebSocket instead.
    pub wants_websocket: bool,
    /// Bytes of the head; the next request begins behind them.
    pub len: usize,
    /// The header lines, each one checked.
    headers: &'a [u8],
}

impl core::fmt::Debug for Head<'_> {
    /// Leaves out the target and the headers, since passkeys and tokens stand in them.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Head")
            .field("method", &self.method)
            .field("http_minor", &self.http_minor)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl<'a> Head<'a> {
    /// All headers in order, names as sent and values trimmed.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.headers.split_inclusive(|&byte| byte == b'\n').filter_map(|line| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            Some((&line[..colon], line[colon + 1..].trim_ascii()))
        })
    }

    /// The values of every header of this name in order; the case of the name does not matter.
    pub fn headers_named<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.headers()
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// The first value of the header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers_named(name).next()
    }
}

/// Reads a request head from the start of `buffer`, where it may take up to `bytes_max` bytes.
///
/// What follows the head is left alone, so requests may be sent ahead of the answers.
///
/// # Cost
/// No allocation. A partial head is read again from its start with the next call.
/// # Source
/// RFC 9112, sections 2 to 5. Deviation: spaces and bytes above 0x7f are allowed in the target, and
/// `Host` may be missing.
#[must_use]
pub fn parse_head(buffer: &[u8], bytes_max: usize) -> HeadStatus<'_> {
    let window = &buffer[..buffer.len().min(bytes_max)];
    let blank = window.iter().take_while(|&&byte| matches!(byte, b'\r' | b'\n')).count();
    let full = window.len() == bytes_max;
    let (line, after_line) = match split_line(&window[blank..]) {
        Ok(Some(split)) => split,
        Ok(None) => {
            return match request_line_may_follow(&window[blank..]) {
                false => HeadStatus::Invalid(HeadError::BadRequest),
                true if full => HeadStatus::Invalid(HeadError::TargetTooLong),
                true => HeadStatus::Partial,
            };
        }
        Err(error) => return HeadStatus::Invalid(error),
    };
    let Some((method, target, http_minor)) = read_request_line(line) else {
        return HeadStatus::Invalid(HeadError::BadRequest);
    };
    match read_headers(after_line) {
        Ok(Some((fields, headers))) => HeadStatus::Complete(Head {
            method,
            target,
            http_minor,
            keep_alive: !fields.close && (http_minor > 0 || fields.keep_alive),
            has_body: fields.has_body,
            accepts_json: fields.accepts_json,
            wants_websocket: fields.upgrade && fields.websocket && method == Method::Get,
            len: window.len() - after_line.len()
                + headers.len()
                + blank_line_bytes(&after_line[headers.len()..]),
            headers,
        }),
        Ok(None) if full => HeadStatus::Invalid(HeadError::HeadersTooLarge),
        Ok(None) => HeadStatus::Partial,
        Err(error) => HeadStatus::Invalid(error),
    }
}

/// A line without its end, and what follows it.
type LineAndRest<'a> = (&'a [u8], &'a [u8]);

/// Splits off one line without its end, or nothing when the end is not there yet.
fn split_line(bytes: &[u8]) -> Result<Option<LineAndRest<'_>>, HeadError> {
    let mut from = 0;
    loop {
        let Some(at) = first_control(&bytes[from..]).map(|at| from + at) else {
            return Ok(None);
        };
        match (bytes[at], bytes.get(at + 1)) {
            (b'\n', _) => return Ok(Some((&bytes[..at], &bytes[at + 1..]))),
            (b'\r', Some(b'\n')) => return Ok(Some((&bytes[..at], &bytes[at + 2..]))),
            (b'\r', None) => return Ok(None),
            (b'\t', _) => from = at + 1,
            _ => return Err(HeadError::BadRequest),
        }
    }
}

/// Finds the first byte below 0x20, eight at a time.
fn first_control(bytes: &[u8]) -> Option<usize> {
    const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let (words, tail) = bytes.as_chunks::<8>();
    let quiet = words.iter().position(|word| {
        let word = u64::from_ne_bytes(*word);
        // Subtracting borrows into the high bit of a byte below 0x20 that had it clear.
        word.wrapping_sub(LOW * 0x20) & !word & HIGH != 0
    });
    let (from, rest) = match quiet {
        Some(word) => (word * 8, &bytes[word * 8..]),
        None => (words.len() * 8, tail),
    };
    rest.iter().position(|&byte| byte < b' ').map(|at| from + at)
}

/// Says whether an unfinished line can still become a request line.
fn request_line_may_follow(line: &[u8]) -> bool {
    let method = line.iter().position(|&byte| byte == b' ').map_or(line, |end| &line[..end]);
    method.len() <= METHOD_BYTES_MAX && method.iter().all(u8::is_ascii_uppercase)
}

fn read_request_line(line: &[u8]) -> Option<(Method, &[u8], u8)> {
    let method_end = line.iter().position(|&byte| byte == b' ')?;
    let method = match &line[..method_end] {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        other if request_line_may_follow(other) && !other.is_empty() => Method::Other,
        _ => return None,
    };
    // The version is looked for at the end, so that a space inside the target does no harm.
    let (rest, minor) = line[method_end + 1..].split_last_chunk::<1>()?;
    let target = rest.strip_suffix(VERSION_START)?.strip_suffix(b" ")?;
    if target.is_empty() || target.contains(&b'\t') || !minor[0].is_ascii_digit() {
        return None;
    }
    Some((method, target, minor[0] - b'0'))
}

/// What the headers say together.
#[derive(Default)]
struct Fields {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    websocket: bool,
    has_body: bool,
    accepts_json: bool,
}

/// Reads all header lines, or nothing when the blank line behind them is not there yet.
fn read_headers(bytes: &[u8]) -> Result<Option<(Fields, &[u8])>, HeadError> {
    let mut fields = Fields::default();
    let mut rest = bytes;
    for _ in 0..=HEADERS_MAX {
        let Some((line, after_line)) = split_line(rest)? else {
            return Ok(None);
        };
        if line.is_empty() {
            return Ok(Some((fields, &bytes[..bytes.len() - rest.len()])));
        }
        let colon = line.iter().position(|&byte| !is_name_byte(byte));
        let colon = colon.filter(|&at| at > 0 && line[at] == b':').ok_or(HeadError::BadRequest)?;
        fields.add(&line[..colon], line[colon + 1..].trim_ascii())?;
        rest = after_line;
    }
    Err(HeadError::HeadersTooLarge)
}

const fn blank_line_bytes(rest: &[u8]) -> usize {
    if matches!(rest, [b'\r', ..]) { 2 } else { 1 }
}

/// The bytes of a token.
///
/// # Source
/// RFC 9110, section 5.6.2.
const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

impl Fields {
    fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeadError> {
        // The length decides first, because most headers are none of these.
        match name.len() {
            6 if name.eq_ignore_ascii_case(b"accept") => {
                self.accepts_json |= has_token(value, b"application/json");
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.websocket |= has_token(value, b"websocket");
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.close |= has_token(value, b"close");
                self.keep_alive |= has_token(value, b"keep-alive");
                self.upgrade |= has_token(value, b"upgrade");
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
                    return Err(HeadError::BadRequest);
                }
                self.has_body |= value.iter().any(|&digit| digit != b'0');
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.has_body = true,
            _ => {}
        }
        Ok(())
    }
}

/// Looks for a word in a list; one with the weight 0 is refused by the client, so it is not there.
fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|&byte| byte == b',').any(|element| {
        let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        parts.next().is_some_and(|word| word.eq_ignore_ascii_case(token))
            && !parts.any(is_zero_weight)
    })
}

/// # Source
/// RFC 9110, section 12.4.2.
fn is_zero_weight(parameter: &[u8]) -> bool {
    let Some((b"q=" | b"Q=", weight)) = parameter.split_at_checked(2) else {
        return false;
    };
    !weight.is_empty() && weight.iter().all(|byte| matches!(byte, b'0' | b'.'))
}
