//! Which JSON a JSONB column can hold, and give back with the same meaning.

use crate::prepared::is_json;

/// The longest number, and the largest exponent, that are kept: beyond them a column would give
/// back hundreds of digits, or none.
const NUMBER_LENGTH_MAX: usize = 300;
const EXPONENT_MAX: u32 = 300;

/// Whether it is JSON that JSONB holds: it has no zero characters, no half surrogate pairs, and
/// neither huge numbers nor a negative zero.
pub(super) fn holds(data: &[u8]) -> bool {
    is_json(data) && every_token_fits(data)
}

/// Of what is known to be JSON.
fn every_token_fits(json: &[u8]) -> bool {
    let mut at = 0;
    while at < json.len() {
        let (fits, length) = match json[at] {
            b'"' => string(&json[at..]),
            b'-' | b'0'..=b'9' => number(&json[at..]),
            _ => (true, 1),
        };
        if !fits {
            return false;
        }
        at += length;
    }
    true
}

/// Whether a string fits, and how long it is with its quotes.
fn string(json: &[u8]) -> (bool, usize) {
    let mut at = 1;
    while at < json.len() && json[at] != b'"' {
        if json[at] != b'\\' {
            at += 1;
            continue;
        }
        match (json.get(at + 1), escaped(&json[at..])) {
            (Some(b'u'), None | Some(0)) => return (false, 0),
            (Some(b'u'), Some(0xd800..=0xdbff)) => {
                let low = escaped(&json[(at + 6).min(json.len())..]);
                if !low.is_some_and(|low| (0xdc00..=0xdfff).contains(&low)) {
                    return (false, 0);
                }
                at += 12;
            }
            (Some(b'u'), Some(0xdc00..=0xdfff)) => return (false, 0),
            (Some(b'u'), Some(_)) => at += 6,
            _ => at += 2,
        }
    }
    (true, at + 1)
}

/// The number in `\uXXXX`, if this is one.
fn escaped(json: &[u8]) -> Option<u32> {
    let digits = json.strip_prefix(b"\\u")?.get(..4)?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Whether a number fits, and how long it is.
fn number(json: &[u8]) -> (bool, usize) {
    let part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    let length = json.iter().take_while(|byte| part(byte)).count();
    let text = &json[..length];
    let (digits, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&text[..at], std::str::from_utf8(&text[at + 1..]).ok()),
        None => (text, Some("0")),
    };
    let exponent = exponent.and_then(|exponent| exponent.parse::<i32>().ok());
    let small = exponent.is_some_and(|exponent| exponent.unsigned_abs() <= EXPONENT_MAX);
    let is_zero = digits.iter().all(|byte| !matches!(byte, b'1'..=b'9'));
    let negative_zero = is_zero && digits.first() == Some(&b'-');
    (length <= NUMBER_LENGTH_MAX && small && !negative_zero, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_jsonb_would_refuse_or_change_is_found() {
        for kept in [
            r#"{"a":[1,-2.5e10,0,"\u0001\\u0000 \ud83d\ude00",true,null]}"#,
            r#""\\\" \\u0000""#,
            "1e300",
            "-0.5",
            "0.0",
            "-10",
            "\"\u{10ffff}\"",
        ] {
            assert!(holds(kept.as_bytes()), "{kept}");
        }
        let long = "9".repeat(NUMBER_LENGTH_MAX + 1);
        for left in [
            r#""\u0000""#,
            r#"{"\u0000":1}"#,
            r#""\\\u0000""#,
            r#""\ud800""#,
            r#""\ud800\ud800""#,
            r#""\ud800x""#,
            r#""\udc00""#,
            "1e999",
            "[1E-400]",
            "1e99999999999",
            "-0",
            "[-0.0e5]",
            "{not json",
            "",
            &long,
        ] {
            assert!(!holds(left.as_bytes()), "{left}");
        }
        assert!(!holds(b"\"\xff\""));
    }
}
