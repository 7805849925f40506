//! Rust source without its comments and literals, so that words in prose are not taken for code.
//!
//! A scanner, not a parser: it knows where tokens begin and end and nothing of grammar.

/// Returns `text` with every comment and literal blanked; lines and columns stay where they were.
pub(super) fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at).unwrap_or(at);
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// Where the comment or literal that begins at `at` ends, if one begins there.
fn literal_end(chars: &[char], at: usize) -> Option<usize> {
    let after_word = at > 0 && is_word(chars[at - 1]);
    match (chars[at], chars.get(at + 1)) {
        ('/', Some('/')) => Some(position(chars, at, |c| c == '\n')),
        ('/', Some('*')) => Some(block_comment_end(chars, at)),
        ('"', _) => Some(quoted_end(chars, at + 1, '"')),
        ('r', Some('"' | '#')) if !after_word => raw_string_end(chars, at + 1),
        ('b' | 'c', Some('r')) if !after_word => raw_string_end(chars, at + 2),
        // A quote two places on makes it a character; else it is a lifetime or a label.
        ('\'', Some('\\')) => Some(quoted_end(chars, at + 1, '\'')),
        ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => Some(at + 3),
        _ => None,
    }
}

fn position(chars: &[char], from: usize, wanted: impl Fn(char) -> bool) -> usize {
    chars[from..].iter().position(|&c| wanted(c)).map_or(chars.len(), |found| from + found)
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(chars.len())
}

/// The end of a literal with escapes whose content begins at `at`.
fn quoted_end(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// The end of a raw string whose hashes begin at `at`; `None` for a raw identifier.
fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let open = position(chars, at, |c| c != '#');
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let hashes = open - at;
    let closes = |&end: &usize| {
        let tail = chars.get(end + 1..end + 1 + hashes);
        chars[end] == '"' && tail.is_some_and(|tail| tail.iter().all(|&c| c == '#'))
    };
    let end = (open + 1..chars.len()).find(closes);
    Some(end.map_or(chars.len(), |end| end + 1 + hashes))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The words of a line of code: identifiers, keywords and numbers.
pub(super) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c| !is_word(c)).filter(|word| !word.is_empty())
}

/// A function with a body.
#[derive(Debug, PartialEq)]
pub(super) struct Function<'a> {
    pub(super) name: &'a str,
    /// First line, from 1, and how many there are up to the closing brace.
    pub(super) line: usize,
    pub(super) length: usize,
}

/// Every function with a body in code that [`code_of`] made.
pub(super) fn functions(code: &str) -> Vec<Function<'_>> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices("fn ") {
        if code[..start].ends_with(is_word) {
            continue;
        }
        let name = words(&code[start + 3..]).next().unwrap_or_default();
        let Some(end) = body_end(&code[start..]) else {
            continue;
        };
        found.push(Function {
            name,
            line: code[..start].matches('\n').count() + 1,
            length: code[start..start + end].matches('\n').count() + 1,
        });
    }
    found
}

/// Where the first block after a signature ends; `None` where a semicolon stands in its place.
fn body_end(code: &str) -> Option<usize> {
    let mut depth = 0u32;
    let mut inside = false;
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' | '{' => {
                inside |= c == '{' && depth == 0;
                depth += 1;
            }
            ')' | ']' | '}' => {
                depth = depth.checked_sub(1)?;
                if inside && depth == 0 {
                    return Some(at + 1);
                }
            }
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_vanish_and_columns_stay() {
        let text =
            "let a = \"x // y\"; // why\nlet b = 'c'; /* one /* two */ */ f(r#\"un\"safe\"#);";
        let code = code_of(text);
        assert_eq!(code.len(), text.len());
        assert_eq!(words(&code).collect::<Vec<_>>(), ["let", "a", "let", "b", "f"]);
        assert_eq!(code.find("let b"), text.find("let b"));
    }

    #[test]
    fn lifetimes_raw_identifiers_and_escapes_are_not_mixed_up() {
        let code = code_of("fn f<'a>(r#type: &'a str) { g('\\'', b'\"', br\"z\", \"\\\"q\") }");
        let kept: Vec<_> = words(&code).collect();
        assert_eq!(kept, ["fn", "f", "a", "r", "type", "a", "str", "g", "b"]);
    }

    #[test]
    fn functions_are_measured_to_their_closing_brace() {
        let code =
            "trait T {\n    fn none(&self, a: [u8; 4]);\n}\nfn two() -> [u8; 2] {\n    [1; 2]\n}\n";
        assert_eq!(functions(code), [Function { name: "two", line: 4, length: 3 }]);
    }
}
