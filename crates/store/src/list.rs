//! Torrent lists and registries in text files, one info_hash a line.
//!
//! It reads what is written there. Which torrents are served because of it is decided elsewhere.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use skep_proto::InfoHash;

/// The longest line that is read; a longer one is a problem and skipped.
///
/// # Units
/// Bytes, without the line break.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// The longest list file that is read.
///
/// # Units
/// Bytes; some 25 million torrents.
pub const FILE_BYTES_MAX: u64 = 1 << 30;

/// How many problems of one list are kept; the rest are only counted.
pub const PROBLEMS_KEPT_MAX: usize = 100;

const EXCERPT_CHARS_MAX: usize = 40;

/// One torrent of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Its name, if the registry gives one.
    pub name: Option<Box<str>>,
    /// Why it is banned, which may be empty; nothing if it is not banned.
    pub banned: Option<Box<str>>,
}

/// What of a list was not read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Skipped {
    /// The first [`PROBLEMS_KEPT_MAX`] lines that were skipped.
    pub problems: Vec<LineProblem>,
    /// How many lines were skipped.
    pub problem_count: u64,
}

/// A line that was skipped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineProblem {
    /// Its number; the first line is 1.
    pub line: u64,
    /// What is wrong with it.
    pub what: LineFault,
}

impl fmt::Display for LineProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// What can be wrong with a line.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineFault {
    /// It does not start with an info_hash; carries the start of the line.
    #[error("expected 40 or 64 hexadecimal digits, found \"{0}\"")]
    NotAnInfoHash(Box<str>),
    /// Its third column is not a ban; carries the start of the column.
    #[error("expected \"banned:\" and a reason in the third column, found \"{0}\"")]
    NotABan(Box<str>),
    /// It is longer than [`LINE_BYTES_MAX`].
    #[error("expected at most {LINE_BYTES_MAX} bytes in a line, found more")]
    TooLong,
}

/// Why a list could not be read at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// The file could not be opened or read to its end.
    #[error("cannot read the list {}: {cause}{}", path.display(), hint(path, cause))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
}

fn hint(path: &Path, cause: &io::Error) -> &'static str {
    if path.starts_with("~") && cause.kind() == io::ErrorKind::NotFound {
        "; write the whole path, only a shell knows what ~ is"
    } else {
        ""
    }
}

/// A list file that is being read.
pub type ListFile = ListReader<BufReader<io::Take<File>>>;

/// Opens a list file.
///
/// # Layout
/// As [`ListReader`] says.
/// # Errors
/// [`ListError::Unreadable`] with the path and the cause: also for a pipe or a device, which might
/// keep its reader waiting for ever, and for a file longer than [`FILE_BYTES_MAX`].
pub fn open_list(path: impl AsRef<Path>) -> Result<ListFile, ListError> {
    let path = path.as_ref();
    open_regular(path).map_err(|cause| ListError::Unreadable { path: path.into(), cause }).map(
        |file| {
            // A file may grow while it is read.
            ListReader::new(BufReader::with_capacity(128 * 1024, file.take(FILE_BYTES_MAX)))
        },
    )
}

fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    // Opening a pipe waits for somebody to write into it, unless told not to.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it is longer than {FILE_BYTES_MAX} bytes")));
    }
    Ok(file)
}

/// Entries of a list, in the order of their lines, repetitions included; a map made of them in order
/// lets the last one win.
///
/// It ends at the end of the input or with the first read that fails: [`ListReader::finish`] tells.
///
/// # Layout
/// One torrent a line: 40 hexadecimal digits of either case, or 64 of which the first 40 count.
///
/// Without a TAB in the line, free text may follow after white space, and a `#` there or at the start
/// of the line begins a comment. With one, the columns are `info_hash`, name and `banned:reason`;
/// the last two may be empty or missing, further ones are ignored, and a `#` in them is ordinary.
///
/// Blank lines, CR before LF, white space around columns and a UTF-8 byte order mark are allowed.
/// Names and reasons that are not UTF-8 are mended with replacement characters.
/// # Cost
/// One line and one read buffer, however long the list is.
#[derive(Debug)]
pub struct ListReader<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
    skipped: Skipped,
    failure: Option<io::Error>,
}

impl<R: BufRead> ListReader<R> {
    /// Reads a list from bytes.
    pub fn new(input: R) -> Self {
        Self { input, line: Vec::new(), number: 0, skipped: Skipped::default(), failure: None }
    }

    /// Tells what was skipped.
    ///
    /// # Errors
    /// The cause of a failed read. Bad lines are no error, but problems.
    pub fn finish(self) -> io::Result<Skipped> {
        match self.failure {
            Some(cause) => Err(cause),
            None => Ok(self.skipped),
        }
    }

    /// Reads the entry of the line at hand, if it has one.
    fn entry(&self) -> Result<Option<Entry>, LineFault> {
        let bytes = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if bytes.len() > LINE_BYTES_MAX {
            // Cut off before its end, or a line break too many; the excess was skipped.
            return Err(LineFault::TooLong);
        }
        let mark: &[u8] = if self.number == 1 { b"\xef\xbb\xbf" } else { b"" };
        parse_line(bytes.strip_prefix(mark).unwrap_or(bytes))
    }
}

impl<R: BufRead> Iterator for ListReader<R> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        while self.failure.is_none() {
            match next_line(&mut self.input, &mut self.line) {
                Ok(true) => self.number += 1,
                Ok(false) => return None,
                Err(cause) => {
                    self.failure = Some(cause);
                    return None;
                }
            }
            match self.entry() {
                Ok(Some(entry)) => return Some(entry),
                Ok(None) => {}
                Err(what) => {
                    self.skipped.problem_count += 1;
                    if self.skipped.problems.len() < PROBLEMS_KEPT_MAX {
                        self.skipped.problems.push(LineProblem { line: self.number, what });
                    }
                }
            }
        }
        None
    }
}

/// Reads one line with its end into `line`, keeping of an overlong one only a little too much.
///
/// Returns false at the end of the input.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    // Two more for the line break, so that a line of the full length is told from an overlong one.
    const KEPT_MAX: usize = LINE_BYTES_MAX + 2;
    line.clear();
    let kept = Read::take(&mut *input, KEPT_MAX as u64).read_until(b'\n', line)?;
    if kept == KEPT_MAX && !line.ends_with(b"\n") {
        input.skip_until(b'\n')?;
    }
    Ok(kept != 0)
}

/// Reads one line; nothing if it is blank or a comment.
fn parse_line(line: &[u8]) -> Result<Option<Entry>, LineFault> {
    let mut columns = line.split(|&byte| byte == b'\t').map(<[u8]>::trim_ascii);
    let first = columns.next().unwrap_or_default();
    let digits_end = first.iter().position(|&byte| byte == b'#' || byte.is_ascii_whitespace());
    let (digits, rest) = first.split_at(digits_end.unwrap_or(first.len()));
    let commented = rest.contains(&b'#');
    if digits.is_empty() && (commented || line.trim_ascii().is_empty()) {
        return Ok(None);
    }
    let info_hash = parse_info_hash(digits)
        .ok_or_else(|| LineFault::NotAnInfoHash(excerpt(line.trim_ascii())))?;
    if commented {
        return Ok(Some(Entry { info_hash, name: None, banned: None }));
    }
    let name = columns.next().filter(|name| !name.is_empty()).map(text);
    let banned = match columns.next() {
        None | Some(b"") => None,
        Some(column) => Some(parse_ban(column)?),
    };
    Ok(Some(Entry { info_hash, name, banned }))
}

/// Takes a v2 info_hash cut short as well as a whole one.
///
/// # Source
/// BEP 52, "Upgrade Path": trackers know a v2 torrent by the first 20 bytes of its hash.
fn parse_info_hash(digits: &[u8]) -> Option<InfoHash> {
    match digits.len() {
        40 => InfoHash::from_hex(digits),
        64 if digits.iter().all(u8::is_ascii_hexdigit) => InfoHash::from_hex(&digits[..40]),
        _ => None,
    }
}

fn parse_ban(column: &[u8]) -> Result<Box<str>, LineFault> {
    const WORD: &[u8] = b"banned";
    match column.split_at_checked(WORD.len()) {
        Some((word, b"")) if word.eq_ignore_ascii_case(WORD) => Ok(Box::default()),
        Some((word, [b':', reason @ ..])) if word.eq_ignore_ascii_case(WORD) => {
            Ok(text(reason.trim_ascii()))
        }
        _ => Err(LineFault::NotABan(excerpt(column))),
    }
}

fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).into()
}

/// The start of a text for a message, made safe for any terminal and log.
fn excerpt(bytes: &[u8]) -> Box<str> {
    let shown = bytes.iter().take(EXCERPT_CHARS_MAX);
    let printable = |&byte: &u8| {
        if (b' '..=b'~').contains(&byte) { char::from(byte) } else { '?' }
    };
    shown.map(printable).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use std::io::repeat;

    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "0123456789ABCDEFabcdef0123456789ABCDEFab";

    fn hash(digits: &str) -> InfoHash {
        InfoHash::from_hex(digits.as_bytes()).unwrap()
    }

    fn bare(digits: &str) -> Entry {
        Entry { info_hash: hash(digits), name: None, banned: None }
    }

    #[derive(Debug)]
    struct List {
        entries: Vec<Entry>,
        problems: Vec<LineProblem>,
        problem_count: u64,
    }

    fn read<R: BufRead>(mut reader: ListReader<R>) -> io::Result<List> {
        let entries = reader.by_ref().collect();
        let Skipped { problems, problem_count } = reader.finish()?;
        Ok(List { entries, problems, problem_count })
    }

    fn parse(text: impl AsRef<[u8]>) -> List {
        read(ListReader::new(text.as_ref())).unwrap()
    }

    /// The entries of a list that must have no problems.
    fn entries(text: impl AsRef<[u8]>) -> Vec<Entry> {
        let list = parse(text);
        assert_eq!((&list.problems[..], list.problem_count), (&[][..], 0));
        list.entries
    }

    fn problems(text: impl AsRef<[u8]>) -> Vec<String> {
        let list = parse(text);
        assert_eq!(list.problem_count, list.problems.len() as u64);
        list.problems.iter().map(LineProblem::to_string).collect()
    }

    #[test]
    fn hashes_of_either_case_are_read_in_order_with_repetitions() {
        let lower = B.to_lowercase();
        let list = entries(format!("{A}\n{B}\n{A}\n{lower}"));
        assert_eq!(list, [bare(A), bare(B), bare(A), bare(B)]);
        assert_eq!(entries(""), []);
    }

    #[test]
    fn free_text_comments_and_blank_lines_are_ignored() {
        let text = format!(
            "# a comment\n\n   \t \n{A} some film\n  {B}   # why\n  # {A}\n{A}#{B}\n{B} text # \tx\n"
        );
        assert_eq!(entries(text), [bare(A), bare(B), bare(A), bare(B)]);
    }

    #[test]
    fn windows_line_ends_and_byte_order_mark_are_accepted() {
        assert_eq!(entries(format!("\u{feff}{A}\r\n\r\n{B}\r\n")), [bare(A), bare(B)]);
        assert_eq!(entries("\u{feff}"), []);
        assert_eq!(entries("\u{feff}# comment\r\n"), []);
        // At the start of the file only.
        assert_eq!(parse(format!("{A}\n\u{feff}{B}\n")).problem_count, 1);
    }

    #[test]
    fn v2_hash_is_cut_to_its_first_half() {
        let long = format!("{B}{}", "5".repeat(24));
        assert_eq!(entries(&long), [bare(B)]);
        assert_eq!(problems(format!("{B}{}x", "5".repeat(23))).len(), 1);
        assert_eq!(problems(&long[..63]).len(), 1);
    }

    #[test]
    fn registry_columns_give_name_and_ban() {
        let row = |name: Option<&str>, banned: Option<&str>| Entry {
            info_hash: hash(A),
            name: name.map(Into::into),
            banned: banned.map(Into::into),
        };
        for (columns, expected) in [
            ("\tSome Film", row(Some("Some Film"), None)),
            ("\t Some Film \t", row(Some("Some Film"), None)),
            ("\t", row(None, None)),
            ("\t\tbanned:", row(None, Some(""))),
            ("\t\tbanned", row(None, Some(""))),
            ("\t#1 hits\tbanned:fake # sure\r", row(Some("#1 hits"), Some("fake # sure"))),
            (" seen\tName\tBanned: by law: yes \tmore", row(Some("Name"), Some("by law: yes"))),
            ("\tZo\u{eb}\tbanned:\u{eb}", row(Some("Zo\u{eb}"), Some("\u{eb}"))),
        ] {
            assert_eq!(entries(format!("{A}{columns}\n")), [expected], "{columns:?}");
        }
    }

    #[test]
    fn name_that_is_not_utf8_is_mended() {
        let list = entries([A.as_bytes(), b"\tcaf\xe9"].concat());
        assert_eq!(list[0].name.as_deref(), Some("caf\u{fffd}"));
    }

    #[test]
    fn bad_line_is_skipped_and_told_with_its_number() {
        let text = format!("{A}\nhello world\n\n{}\n{B}\n\tname\n", &A[1..]);
        assert_eq!(parse(&text).entries, [bare(A), bare(B)]);
        assert_eq!(
            problems(&text),
            [
                "line 2: expected 40 or 64 hexadecimal digits, found \"hello world\"",
                &format!("line 4: expected 40 or 64 hexadecimal digits, found \"{}\"", &A[1..]),
                "line 6: expected 40 or 64 hexadecimal digits, found \"name\"",
            ]
        );
    }

    #[test]
    fn misspelt_ban_is_told_and_not_taken_for_a_free_torrent() {
        for column in ["baned:x", "bannedx", "ban", "reason"] {
            let text = format!("{A}\tname\t{column}\n");
            assert_eq!(parse(&text).entries, []);
            let expected = format!(
                "line 1: expected \"banned:\" and a reason in the third column, found \"{column}\""
            );
            assert_eq!(problems(text), [expected]);
        }
    }

    #[test]
    fn excerpt_is_short_and_printable() {
        let text = format!("\u{1b}[31m\u{eb}{}", "z".repeat(100));
        let expected = format!("?[31m??{}", "z".repeat(33));
        assert_eq!(parse(text).problems[0].what, LineFault::NotAnInfoHash(expected.into()));
    }

    #[test]
    fn only_the_first_problems_are_kept_and_all_are_counted() {
        let list = parse("bad\n".repeat(250));
        assert_eq!((list.problems.len(), list.problem_count), (PROBLEMS_KEPT_MAX, 250));
        assert_eq!(list.problems[PROBLEMS_KEPT_MAX - 1].line, 100);
    }

    #[test]
    fn overlong_line_is_told_and_the_next_one_read() {
        for end in ["\n", "\r\n"] {
            for (excess, problem_count) in [(0, 0), (1, 1), (2, 1), (3, 1), (200_000, 1)] {
                let padding = " ".repeat(LINE_BYTES_MAX - A.len() + excess);
                let list = parse(format!("{A}{padding}{end}{B}{end}"));
                assert_eq!(list.entries.last(), Some(&bare(B)), "{excess} too many");
                assert_eq!(list.problem_count, problem_count, "{excess} too many");
                assert_eq!(list.entries.len() as u64 + problem_count, 2);
                if let Some(problem) = list.problems.first() {
                    assert_eq!((problem.line, &problem.what), (1, &LineFault::TooLong));
                }
            }
        }
    }

    #[test]
    fn endless_line_takes_no_memory() {
        let mut line = Vec::new();
        let mut input = BufReader::new(repeat(b'a').take(64 << 20).chain(&b"\nnext"[..]));
        assert!(next_line(&mut input, &mut line).unwrap());
        assert!(line.capacity() < 4 * LINE_BYTES_MAX, "{} bytes kept", line.capacity());
        assert!(next_line(&mut input, &mut line).unwrap());
        assert_eq!(line, b"next");
        assert!(!next_line(&mut input, &mut line).unwrap());
    }

    #[test]
    fn long_list_is_read_whole_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines: String = (0..100_000).map(|n| format!("{n:040x} film {n}\n")).collect();
        std::fs::write(&file, lines).unwrap();
        let list = read(open_list(&file).unwrap()).unwrap();
        assert_eq!((list.entries.len(), list.problem_count), (100_000, 0));
        assert_eq!(list.entries[99_999], bare(&format!("{:040x}", 99_999)));
    }

    #[test]
    fn unreadable_file_is_named_with_the_cause() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("absent");
        let ListError::Unreadable { path: named, cause } = open_list(&path).unwrap_err();
        assert_eq!((&named, cause.kind()), (&path, io::ErrorKind::NotFound));
        let message = ListError::Unreadable { path: named, cause }.to_string();
        assert!(message.starts_with(&format!("cannot read the list {}: ", path.display())));
        assert!(open_list(dir.path()).is_err());
    }

    #[test]
    fn home_of_a_shell_is_no_path() {
        let error = open_list("~/torrents.txt").unwrap_err().to_string();
        assert!(error.ends_with("; write the whole path, only a shell knows what ~ is"), "{error}");
    }

    #[test]
    fn failed_read_is_told_at_the_end() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("gone"))
            }
        }
        let text = format!("{A}\n{B}\n");
        let mut reader = ListReader::new(BufReader::new(text.as_bytes().chain(Broken)));
        assert_eq!(reader.by_ref().count(), 2);
        assert_eq!(reader.next(), None);
        assert_eq!(reader.finish().unwrap_err().to_string(), "gone");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_refused_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        for path in [pipe.as_path(), Path::new("/dev/zero"), dir.path()] {
            let error = open_list(path).unwrap_err().to_string();
            assert!(error.ends_with(": it is not a regular file"), "{error}");
        }
    }

    #[test]
    fn endless_file_is_refused_before_it_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // It has holes: it takes no room on the disk.
        file.as_file().set_len(FILE_BYTES_MAX + 1).unwrap();
        let error = open_list(&file).unwrap_err().to_string();
        assert!(error.ends_with(": it is longer than 1073741824 bytes"), "{error}");
        file.as_file().set_len(FILE_BYTES_MAX).unwrap();
        assert!(open_list(&file).is_ok());
    }
}
